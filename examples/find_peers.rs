//! A program that joins a network: announces itself and prints who else is there.
//!
//!     cargo run --example find_peers -- http://127.0.0.1:8080 [MY_ID MY_PORT]

use waypost::client::{Client, Config};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let server = arguments.first().ok_or("which server? http://HOST:PORT")?;
    let client = Client::new(Config::of_server(server)?)?;
    let found = smol::block_on(client.discover())?;
    for peer in &found.peers {
        println!("{} is at {}", peer.id.as_deref().unwrap_or("somebody"), peer.endpoints.join(" or "));
    }
    println!("{} peers", found.peers.len());
    Ok(())
}
