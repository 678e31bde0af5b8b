//! Asks the system's resolvers for SRV records (RFC 1035, 2782), which the system's own look-up does not know.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};

use async_io::Async;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Reach;
use super::datagrams::connected;
use super::race::within;
use crate::client::failure::Failure;
use crate::client::lookup::{Reply, Services, resolv_conf, service_name};
use crate::time::Instant;
use crate::wire::dns::{self, NameBuf, Type};

/// Longest query: a header, a name, type and class.
const MAX_QUERY_BYTES: usize = dns::HEADER_BYTES + dns::MAX_NAME_BYTES + 4;
/// Longest answer in a datagram, in bytes: we do not say that we can take more than 512 (RFC 1035 section 4.2.1).
const MAX_DATAGRAM_BYTES: usize = 2048;
/// How often each resolver is asked.
const ROUNDS: u32 = 2;
/// How long a resolver is waited for at first; in the second round it is twice as long. In milliseconds.
const PATIENCE_MS: u64 = 1000;

impl Reach {
    /// What the zone of `domain` says about who serves it, and for how many seconds that holds.
    ///
    /// # Errors
    /// [`Failure`] if none of the system's resolvers can tell. That there are no records is no failure.
    pub async fn services(
        &self,
        domain: &str,
        deadline: Instant,
    ) -> Result<(Services, Option<u32>), Failure> {
        let name = NameBuf::from_text(&service_name(domain))
            .ok_or(Failure::Unsupported("its name is too long for SRV records"))?;
        self.services_from(&resolvers(), &name, deadline).await
    }

    /// Asks these resolvers, one after the other until one can tell.
    async fn services_from(
        &self,
        resolvers: &[SocketAddr],
        name: &NameBuf,
        deadline: Instant,
    ) -> Result<(Services, Option<u32>), Failure> {
        let mut failure = None;
        for round in 0..ROUNDS {
            let mut left = u64::try_from(resolvers.len()).unwrap_or(u64::MAX);
            for resolver in resolvers {
                let now = self.clock.now();
                let part_ms = deadline.ms_since(now).checked_div(left).unwrap_or(0);
                left = left.saturating_sub(1);
                if part_ms == 0 {
                    break;
                }
                let until = now.plus_ms(part_ms.min(PATIENCE_MS << round));
                match self.services_at(*resolver, name, until, deadline).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => {
                        failure.get_or_insert(why(*resolver, error));
                    }
                }
            }
        }
        Err(failure.unwrap_or(Failure::TimedOut))
    }

    /// Asks one resolver by a datagram until `until`, and over TCP if the answer does not fit one.
    async fn services_at(
        &self,
        resolver: SocketAddr,
        name: &NameBuf,
        until: Instant,
        deadline: Instant,
    ) -> Result<(Services, Option<u32>), Failure> {
        // Identifier and port are new each time, so that nobody can answer who has not seen the query (RFC 5452).
        let id = u16::from_be_bytes(self.random_bytes());
        let mut query = [0; MAX_QUERY_BYTES];
        let length = dns::query(&mut query, id, name.name(), Type::SRV).map_err(|_| Failure::TooLong)?;
        let query = query.get(..length).unwrap_or_default();
        let reply = within(self.clock, until, by_datagram(resolver, query, id, name)).await?;
        let reply = match reply {
            Reply::Truncated => within(self.clock, deadline, by_stream(resolver, query, id, name)).await?,
            reply => reply,
        };
        match reply {
            Reply::Services(services, ttl_s) => Ok((services, ttl_s)),
            Reply::Failed(code) => Err(Failure::Broken(format!("it answers with code {code}"))),
            Reply::Truncated | Reply::Malformed => Err(Failure::Broken("its answer is damaged".into())),
        }
    }
}

/// Asks by a datagram. The socket hears the resolver's address only.
async fn by_datagram(resolver: SocketAddr, query: &[u8], id: u16, name: &NameBuf) -> Result<Reply, Failure> {
    let socket: Async<UdpSocket> = connected(resolver).await?;
    socket.send(query).await.map_err(|error| Failure::of_io(&error))?;
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(|error| Failure::of_io(&error))?;
        let datagram = buffer.get(..length).unwrap_or_default();
        if let Some(reply) = Reply::read(datagram, id, name, false) {
            return Ok(reply);
        }
    }
}

/// Asks over TCP: each message stands after its length (RFC 1035 section 4.2.2).
async fn by_stream(resolver: SocketAddr, query: &[u8], id: u16, name: &NameBuf) -> Result<Reply, Failure> {
    let stream = Async::<TcpStream>::connect(resolver).await;
    let mut stream = stream.map_err(|error| Failure::of_io(&error))?;
    let length = u16::try_from(query.len()).map_err(|_| Failure::TooLong)?;
    let message = [&length.to_be_bytes(), query].concat();
    stream.write_all(&message).await.map_err(|error| Failure::of_io(&error))?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await.map_err(|error| Failure::of_io(&error))?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).await.map_err(|error| Failure::of_io(&error))?;
    Ok(Reply::read(&message, id, name, true).unwrap_or(Reply::Malformed))
}

/// A failure as that of a resolver.
fn why(resolver: SocketAddr, failure: Failure) -> Failure {
    let ip = resolver.ip();
    Failure::NoSuchHost(match failure {
        Failure::TimedOut => format!("the resolver {ip} does not answer in time"),
        Failure::Unreachable(why) => format!("the resolver {ip} cannot be reached: {why}"),
        Failure::Broken(why) => format!("the resolver {ip} is of no use: {why}"),
        other => return other,
    })
}

/// The system's resolvers as they are now: a laptop has others at the next place.
fn resolvers() -> Vec<SocketAddr> {
    let mut file = Vec::new();
    if let Ok(opened) = std::fs::File::open(resolv_conf::PATH) {
        // What can be read of it counts; without any it is as if there were no file.
        let _ = opened.take(resolv_conf::MAX_BYTES).read_to_end(&mut file);
    }
    resolv_conf::nameservers(&file, index_of_interface)
}

/// The number of an interface, as Linux shows it.
fn index_of_interface(name: &str) -> Option<u32> {
    let plain = !name.contains('/') && name != "." && name != "..";
    let text = plain.then(|| std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")))?;
    text.ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::client::lookup::SrvRecord;
    use crate::net::clock::Clock;
    use crate::rng::Seed;
    use crate::wire::dns::{Data, Emitter, Flags, Message, Section, Srv};

    /// A resolver on loopback: `serve` gets its sockets, both on one port.
    fn resolver(
        serve: impl FnOnce(UdpSocket, TcpListener) + Send + 'static,
    ) -> (SocketAddr, thread::JoinHandle<()>) {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        (address, thread::spawn(move || serve(udp, tcp)))
    }

    /// The answer to `query` with these flags and hosts, its identifier changed by `twist`.
    fn answer(query: &[u8], flags: u16, hosts: &[&str], twist: u16) -> Vec<u8> {
        let message = Message::parse(query).unwrap();
        let question = message.questions().next().unwrap().unwrap();
        let mut buffer = vec![0; 8000];
        let mut out = Emitter::new(&mut buffer, message.id ^ twist, Flags(0x8180 | flags)).unwrap();
        out.question(question.name, question.kind, false).unwrap();
        for host in hosts {
            let target = NameBuf::from_text(host).unwrap();
            let data = Data::Srv(Srv { priority: 1, weight: 0, port: 443, target: target.name() });
            out.record(Section::Answer, question.name, false, 60, &data).unwrap();
        }
        let length = out.finish();
        buffer.truncate(length);
        buffer
    }

    fn ask(resolvers: &[SocketAddr], ms: u64) -> Result<(Services, Option<u32>), Failure> {
        let reach = Reach::new(Clock::start(), &Seed([3; 32]));
        let name = NameBuf::from_text("_waypost._tcp.example.com").unwrap();
        let deadline = reach.now().plus_ms(ms);
        smol::block_on(reach.services_from(resolvers, &name, deadline))
    }

    fn at(host: &str) -> Result<(Services, Option<u32>), Failure> {
        Ok((Services::At(vec![SrvRecord { priority: 1, weight: 0, port: 443, host: host.into() }]), Some(60)))
    }

    fn receive(udp: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 600];
        let (length, from) = udp.recv_from(&mut buffer).unwrap();
        (buffer[..length].to_vec(), from)
    }

    #[test]
    fn lies_are_passed_over() {
        let (address, served) = resolver(|udp, _| {
            let (query, from) = receive(&udp);
            // Another identifier, another address, and no answer at all.
            udp.send_to(&answer(&query, 0, &["liar.example"], 1), from).unwrap();
            let other = UdpSocket::bind("127.0.0.1:0").unwrap();
            other.send_to(&answer(&query, 0, &["liar.example"], 0), from).unwrap();
            udp.send_to(&query, from).unwrap();
            udp.send_to(b"", from).unwrap();
            udp.send_to(&answer(&query, 0, &["right.example"], 0), from).unwrap();
        });
        assert_eq!(ask(&[address], 20_000), at("right.example"));
        served.join().unwrap();
    }

    #[test]
    fn what_fits_no_datagram_is_asked_for_over_tcp() {
        let (address, served) = resolver(|udp, tcp| {
            let (query, from) = receive(&udp);
            udp.send_to(&answer(&query, 0x0200, &[], 0), from).unwrap();
            let (mut stream, _) = tcp.accept().unwrap();
            let mut again = vec![0; query.len() + 2];
            stream.read_exact(&mut again).unwrap();
            let whole = answer(&again[2..], 0, &["right.example"], 0);
            let length = u16::try_from(whole.len()).unwrap().to_be_bytes();
            // In pieces, as streams have it.
            for piece in [&length[..1], &length[1..], &whole[..20], &whole[20..]] {
                stream.write_all(piece).unwrap();
                stream.flush().unwrap();
            }
        });
        assert_eq!(ask(&[address], 20_000), at("right.example"));
        served.join().unwrap();
    }

    #[test]
    fn the_next_one_is_asked_when_one_cannot_tell() {
        let (broken, one) = resolver(|udp, _| {
            let (query, from) = receive(&udp);
            udp.send_to(&answer(&query, 2, &[], 0), from).unwrap();
        });
        let (good, other) = resolver(|udp, _| {
            let (query, from) = receive(&udp);
            udp.send_to(&answer(&query, 0, &["right.example"], 0), from).unwrap();
        });
        // Nobody is there any more.
        let (gone, ended) = resolver(|_, _| {});
        ended.join().unwrap();
        assert_eq!(ask(&[gone, broken, good], 20_000), at("right.example"));
        one.join().unwrap();
        other.join().unwrap();
    }

    #[test]
    fn a_query_that_is_lost_is_sent_again_with_another_identifier() {
        let (address, served) = resolver(|udp, _| {
            let (first, one) = receive(&udp);
            let (second, other) = receive(&udp);
            assert!(first[..2] != second[..2] && one != other);
            assert_eq!(first[2..], second[2..]);
            udp.send_to(&answer(&second, 0, &["right.example"], 0), other).unwrap();
        });
        assert_eq!(ask(&[address], 20_000), at("right.example"));
        served.join().unwrap();
    }

    #[test]
    fn nothing_is_no_failure_and_silence_is_one() {
        let (address, served) = resolver(|udp, _| {
            let (query, from) = receive(&udp);
            udp.send_to(&answer(&query, 3, &[], 0), from).unwrap();
        });
        assert_eq!(ask(&[address], 20_000), Ok((Services::None, None)));
        served.join().unwrap();
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let said = ask(&[silent.local_addr().unwrap()], 100).unwrap_err().to_string();
        assert!(said.contains("the resolver 127.0.0.1 does not answer in time"), "{said}");
        let (gone, ended) = resolver(|_, _| {});
        ended.join().unwrap();
        let said = ask(&[gone], 20_000).unwrap_err().to_string();
        assert!(said.contains("the resolver 127.0.0.1 cannot be reached: connection refused"), "{said}");
        assert!(ask(&[gone], 0).is_err());
    }

    #[test]
    fn interfaces_have_numbers() {
        for name in ["", ".", "..", "../net/lo", "no such"] {
            assert_eq!(index_of_interface(name), None, "{name}");
        }
        if cfg!(target_os = "linux") && std::path::Path::new("/sys/class/net/lo").exists() {
            assert_eq!(index_of_interface("lo"), Some(1));
        }
    }
}
