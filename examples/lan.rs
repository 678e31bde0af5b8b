//! Who is on the LAN, and being found there: `cargo run --example lan -- browse pscryptochat 3`, or
//! `cargo run --example lan -- advertise pscryptochat alice 9000`.

use std::time::Duration;

use waypost::client::lan::{LanAdvert, advertise, browse};
use waypost::net::signal::EndSignals;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["browse", service, seconds] => {
            let window = Duration::from_secs(seconds.parse().unwrap_or(3));
            smol::block_on(browse(service, window, |found| {
                let kind = if found.is_server { "server" } else { "peer" };
                let addresses = found.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                let udp = found.udp_port.map_or("-".into(), |port| port.to_string());
                println!(
                    "{kind};{};{};{};{addresses};{udp};{}",
                    found.instance,
                    found.host,
                    found.port,
                    found.id.as_deref().unwrap_or("-"),
                );
            }))
        }
        ["advertise", service, id, port] => {
            let port = port.parse().unwrap_or(9000);
            let advert = LanAdvert { service: service.into(), id: id.into(), port, udp_port: Some(port) };
            let signals = EndSignals::listen()?;
            smol::block_on(advertise(advert, async {
                signals.next().await;
            }))
        }
        _ => {
            eprintln!("lan browse SERVICE SECONDS, or lan advertise SERVICE ID PORT");
            std::process::exit(2);
        }
    }
}
