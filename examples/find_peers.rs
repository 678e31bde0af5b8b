//! A program that joins a network: it prints who is there, is there itself, and says goodbye when a line is typed.
//!
//!     cargo run --example find_peers -- http://127.0.0.1:8080 alice 9000

use std::io::{self, Write as _};

use waypost::client::announcer::OwnPeer;
use waypost::client::{Client, Config};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, id, port] = arguments.as_slice() else { return Err("arguments: SERVER ID PORT".into()) };

    let client = Client::new(Config::of_server(server)?)?;
    let found = smol::block_on(client.discover())?;
    for peer in &found.peers {
        println!("{} is at {}", peer.id.as_deref().unwrap_or("somebody"), peer.endpoints.join(" or "));
    }
    println!("{} peers; the return key ends this", found.peers.len());
    io::stdout().flush()?;

    let me = OwnPeer::unsigned(&client.config().network, id, &[&format!("tcp://:{port}")]);
    let (typed, ended) = smol::channel::bounded(1);
    std::thread::spawn(move || {
        let _ = io::stdin().read_line(&mut String::new());
        typed.send_blocking(())
    });
    let quit = async {
        let _ = ended.recv().await;
    };
    let told = |event| println!("{event}");
    smol::block_on(client.keep_announced(me, told, quit))?;
    Ok(())
}
