//! The UDP tracker protocol (BEP 15). All numbers are big-endian; the options of BEP 41 behind an announce are skipped.

use super::{Full, Writer};

/// First bytes of a connect request, where the connection id will be.
pub const CONNECT_MAGIC: [u8; 8] = [0x00, 0x00, 0x04, 0x17, 0x27, 0x10, 0x19, 0x80];
/// Length of what every request begins with: connection id, action, transaction id.
pub const HEADER_BYTES: usize = 16;
/// Length of an announce without options.
const ANNOUNCE_BYTES: usize = 98;
/// Most info-hashes in a scrape (BEP 15: "up to about 74 torrents can be scraped at once").
pub const MAX_SCRAPED: usize = 74;

const ACTION_CONNECT: u32 = 0;
const ACTION_ANNOUNCE: u32 = 1;
const ACTION_SCRAPE: u32 = 2;
const ACTION_ERROR: u32 = 3;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What the server gave to the client; [`CONNECT_MAGIC`] in a connect request.
    pub connection_id: [u8; 8],
    /// To be sent back.
    pub transaction_id: TransactionId,
    /// What is asked for.
    pub action: Action<'a>,
}

/// Ties an answer to its request.
pub type TransactionId = [u8; 4];

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// A connection id.
    Connect,
    /// To be listed, and others.
    Announce(Announce),
    /// How many peers these networks have: up to [`MAX_SCRAPED`].
    Scrape(&'a [[u8; 20]]),
}

/// The fields of an announce that say something the server cannot see for itself. `peer_id`, `downloaded`, `uploaded`, `ip` and
/// `key` are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce {
    /// Which network.
    pub info_hash: [u8; 20],
    /// Whether nothing is left to download.
    pub is_complete: bool,
    /// 0 none, 1 completed, 2 started, 3 stopped, 4 paused (BEP 21, as libtorrent numbers it).
    pub event: u32,
    /// How many peers are wanted at most; negative for the server's default.
    pub num_want: i32,
    /// Where the client listens.
    pub port: u16,
}

/// The datagram is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl<'a> Request<'a> {
    /// Takes a datagram as a request.
    ///
    /// # Errors
    /// [`Malformed`] if it is too short for its action, or the action is none of these.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let (&connection_id, rest) = datagram.split_first_chunk().ok_or(Malformed)?;
        let (&action, rest) = rest.split_first_chunk().ok_or(Malformed)?;
        let (&transaction_id, body) = rest.split_first_chunk().ok_or(Malformed)?;
        let action = match u32::from_be_bytes(action) {
            ACTION_CONNECT if connection_id == CONNECT_MAGIC => Action::Connect,
            ACTION_ANNOUNCE => Action::Announce(Announce::parse(datagram).ok_or(Malformed)?),
            ACTION_SCRAPE => {
                let (hashes, _) = body.as_chunks();
                Action::Scrape(hashes.get(..MAX_SCRAPED).unwrap_or(hashes))
            }
            _ => return Err(Malformed),
        };
        Ok(Self { connection_id, transaction_id, action })
    }
}

impl Announce {
    /// The announce in a whole datagram.
    fn parse(datagram: &[u8]) -> Option<Self> {
        // All that follows is within this length, so that nothing more is checked when it runs.
        let fields: &[u8; ANNOUNCE_BYTES] = datagram.first_chunk()?;
        let (_header, rest) = fields.split_first_chunk::<HEADER_BYTES>()?;
        let (&info_hash, rest) = rest.split_first_chunk::<20>()?;
        let (_peer_id_and_downloaded, rest) = rest.split_first_chunk::<28>()?;
        let (left, rest) = rest.split_first_chunk::<8>()?;
        let (_uploaded, rest) = rest.split_first_chunk::<8>()?;
        let (&event, rest) = rest.split_first_chunk::<4>()?;
        let (_ip_and_key, rest) = rest.split_first_chunk::<8>()?;
        let (&num_want, rest) = rest.split_first_chunk::<4>()?;
        let (&port, _) = rest.split_first_chunk::<2>()?;
        Some(Self {
            info_hash,
            is_complete: *left == [0; 8],
            event: u32::from_be_bytes(event),
            num_want: i32::from_be_bytes(num_want),
            port: u16::from_be_bytes(port),
        })
    }
}

/// Writes the answer to a connect request: 16 bytes.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn emit_connection(
    transaction_id: TransactionId,
    connection_id: [u8; 8],
    out: &mut Writer<'_>,
) -> Result<(), Full> {
    emit_header(ACTION_CONNECT, transaction_id, out)?;
    out.put(&connection_id)
}

/// Writes the answer to an announce as far as its peers: 20 bytes. They follow in compact form, all of one family.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn emit_announced(
    transaction_id: TransactionId,
    interval_s: u32,
    leechers: u32,
    seeders: u32,
    out: &mut Writer<'_>,
) -> Result<(), Full> {
    emit_header(ACTION_ANNOUNCE, transaction_id, out)?;
    emit_numbers([interval_s, leechers, seeders], out)
}

/// Writes the answer to a scrape as far as its counts: 8 bytes. They follow, one [`emit_scraped`] a network.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn emit_scrape(transaction_id: TransactionId, out: &mut Writer<'_>) -> Result<(), Full> {
    emit_header(ACTION_SCRAPE, transaction_id, out)
}

/// Writes the counts of one network: 12 bytes.
///
/// # Errors
/// [`Full`] if they do not fit.
pub fn emit_scraped(seeders: u32, completed: u32, leechers: u32, out: &mut Writer<'_>) -> Result<(), Full> {
    emit_numbers([seeders, completed, leechers], out)
}

/// Writes an error as far as its text.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn emit_error(transaction_id: TransactionId, out: &mut Writer<'_>) -> Result<(), Full> {
    emit_header(ACTION_ERROR, transaction_id, out)
}

fn emit_header(action: u32, transaction_id: TransactionId, out: &mut Writer<'_>) -> Result<(), Full> {
    out.put(&action.to_be_bytes())?;
    out.put(&transaction_id)
}

fn emit_numbers(numbers: [u32; 3], out: &mut Writer<'_>) -> Result<(), Full> {
    out.put(numbers.map(u32::to_be_bytes).as_flattened())
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// An announce with every field different, and BEP 41 options behind it.
    fn announce() -> Vec<u8> {
        let mut bytes = Vec::from([0xb5, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 1, 9, 8, 7, 6]);
        bytes.extend([0x11; 20]);
        bytes.extend(b"-XX0001-abcdefghijkl");
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
        bytes.extend([0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff, 0xff, 0xff, 0x1a, 0xe1]);
        assert_eq!(bytes.len(), 98);
        bytes.extend([2, 4, b'/', b'a', b'?', b'x', 1, 0]);
        bytes
    }

    #[test]
    fn a_connect() {
        let bytes = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4, 99];
        let request = Request::parse(&bytes).unwrap();
        assert_eq!((request.action, request.transaction_id), (Action::Connect, [1, 2, 3, 4]));
        let mut other = bytes;
        other[0] = 0xb5;
        assert_eq!(Request::parse(&other), Err(Malformed), "a connection id is no magic");
    }

    #[test]
    fn an_announce() {
        let mut bytes = announce();
        let request = Request::parse(&bytes).unwrap();
        assert_eq!(request.connection_id, [0xb5, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(request.transaction_id, [9, 8, 7, 6]);
        let expected =
            Announce { info_hash: [0x11; 20], is_complete: false, event: 2, num_want: -1, port: 6881 };
        assert_eq!(request.action, Action::Announce(expected));
        bytes[71] = 0;
        let Action::Announce(seeder) = Request::parse(&bytes[..98]).unwrap().action else { unreachable!() };
        assert!(seeder.is_complete, "`left` counts, not `downloaded` or `uploaded`");
        for left in 64..72 {
            let mut leecher = bytes.clone();
            leecher[left] = 1;
            let Action::Announce(leecher) = Request::parse(&leecher).unwrap().action else { unreachable!() };
            assert!(!leecher.is_complete, "byte {left}");
        }
    }

    #[test]
    fn a_scrape() {
        let mut bytes = Vec::from([0xb5, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 2, 9, 8, 7, 6]);
        assert_eq!(Request::parse(&bytes).unwrap().action, Action::Scrape(&[]));
        bytes.extend([[1; 20], [2; 20]].as_flattened());
        assert_eq!(Request::parse(&bytes).unwrap().action, Action::Scrape(&[[1; 20], [2; 20]]));
        assert_eq!(
            Request::parse(&bytes[..55]).unwrap().action,
            Action::Scrape(&[[1; 20]]),
            "whole ones only"
        );
        bytes.resize(16 + 80 * 20, 3);
        let Action::Scrape(hashes) = Request::parse(&bytes).unwrap().action else { unreachable!() };
        assert_eq!(hashes.len(), 74);
    }

    #[test]
    fn what_is_cut_short_is_no_request() {
        let bytes = announce();
        for end in 0..98 {
            assert_eq!(Request::parse(&bytes[..end]), Err(Malformed), "{end}");
        }
        for action in [0, 3, 4, 255] {
            let mut other = bytes.clone();
            other[11] = action;
            assert_eq!(Request::parse(&other), Err(Malformed), "action {action}");
        }
    }

    #[test]
    fn answers() {
        let mut buffer = [0; 40];
        let mut emit = |emit: &dyn Fn(&mut Writer<'_>) -> Result<(), Full>| {
            let mut out = Writer::new(&mut buffer);
            emit(&mut out).unwrap();
            out.written().to_vec()
        };
        let id = [9, 8, 7, 6];
        let connected = emit(&|out| emit_connection(id, [0xb5, 1, 2, 3, 4, 5, 6, 7], out));
        assert_eq!(connected, [0, 0, 0, 0, 9, 8, 7, 6, 0xb5, 1, 2, 3, 4, 5, 6, 7]);
        let announced = emit(&|out| emit_announced(id, 1800, 2, 0x0102_0304, out));
        assert_eq!(announced, [0, 0, 0, 1, 9, 8, 7, 6, 0, 0, 7, 8, 0, 0, 0, 2, 1, 2, 3, 4]);
        let scraped = emit(&|out| emit_scrape(id, out).and_then(|()| emit_scraped(1, 2, 3, out)));
        assert_eq!(scraped, [0, 0, 0, 2, 9, 8, 7, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
        assert_eq!(emit(&|out| emit_error(id, out)), [0, 0, 0, 3, 9, 8, 7, 6]);
    }
}
