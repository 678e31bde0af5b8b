//! Tokens: short MACs that prove an address or the ownership of a registration, and cost the server no memory.
//!
//! All kinds are SipHash-2-4 under one secret key. The first byte hashed is the kind, so none passes for another, and
//! every field but the last has a fixed width, so that no two inputs are spelt alike.
//!
//! Those that prove an address begin with the low byte of the epoch they were made in: one hash makes one, and one hash
//! checks it.

use crate::addr::CanonicalAddr;
use crate::id::{NetworkKey, PeerId};
use crate::limits::{MAX_ID_BYTES, TOKEN_EPOCH_S};
use crate::rng::HashKey;
use crate::time::Instant;
use crate::wire::{Full, Writer, base64url};

/// Eight bytes nobody else can make. Comparing two takes the same time wherever they differ.
#[derive(Clone, Copy, Debug, Eq)]
pub struct Token(pub [u8; 8]);

/// Length of a token as text, in bytes: base64url (RFC 4648 section 5) without padding.
pub const TOKEN_TEXT_BYTES: usize = 11;

/// Kinds of tokens: the first byte hashed. A number, once used, is never given to another kind.
const KIND_JSON: u8 = 1;
const KIND_OWNER: u8 = 2;
const KIND_KRPC: u8 = 3;
const KIND_PING: u8 = 4;
const KIND_CONNECTION: u8 = 5;

/// First byte of the connection ids this server makes: how its datagrams are told from those of other protocols.
pub const CONNECTION_TAG: u8 = 0xb5;

/// What a token proves an address for. Each is good for its own epoch and the next ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// JSON over UDP.
    Json,
    /// The `token` of `get_peers`, for `announce_peer` (BEP 5).
    Krpc,
    /// The transaction id of our ping of the node at this port: only who gets the ping can answer it.
    Ping(u16),
    /// A connection id (BEP 15).
    Connection,
}

impl Use {
    /// The kind, and the port it is bound to; 0 for any.
    const fn fields(self) -> (u8, u16) {
        match self {
            Self::Json => (KIND_JSON, 0),
            Self::Krpc => (KIND_KRPC, 0),
            Self::Ping(port) => (KIND_PING, port),
            Self::Connection => (KIND_CONNECTION, 0),
        }
    }

    /// For how many epochs it is good, the one it was made in included.
    const fn epochs(self) -> u32 {
        match self {
            // Clients keep a connection id for five minutes and more, whatever BEP 15 says.
            Self::Connection => 3,
            _ => 2,
        }
    }

    /// The epoch that a token of this use was made in, by the byte it begins with; `None` if it is not good now.
    fn made_in(self, now: Instant, epoch_byte: u8) -> Option<u32> {
        let this = epoch(now);
        let mut epochs = (0..self.epochs()).filter_map(|age| this.checked_sub(age));
        epochs.find(|epoch| low_byte(*epoch) == epoch_byte)
    }
}
/// Address families, as hashed.
const FAMILY_V4: u8 = 4;
const FAMILY_V6: u8 = 6;

impl Token {
    /// Takes `text` as a token. `None` if it is not 11 characters of base64url in canonical form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 8];
        base64url::decode(text, &mut bytes).then_some(Self(bytes))
    }

    /// Writes the token as text.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn emit(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        base64url::put(&self.0, out)
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        equal(&self.0, &other.0)
    }
}

/// Whether two MACs are equal, in a time that does not depend on where they differ.
pub(super) fn equal<const N: usize>(one: &[u8; N], other: &[u8; N]) -> bool {
    one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Makes and checks tokens.
pub struct Minter {
    key: HashKey,
}

impl Minter {
    /// A minter with this key.
    pub const fn new(key: HashKey) -> Self {
        Self { key }
    }

    /// The token that proves `addr`.
    pub fn address_token(&self, now: Instant, addr: CanonicalAddr, purpose: Use) -> Token {
        self.address_token_of(epoch(now), addr, purpose)
    }

    /// Whether `token` was made for `addr` and `purpose`, and is still good.
    pub fn proves_address(&self, now: Instant, addr: CanonicalAddr, purpose: Use, token: Token) -> bool {
        let [epoch_byte, ..] = token.0;
        purpose
            .made_in(now, epoch_byte)
            .is_some_and(|epoch| token == self.address_token_of(epoch, addr, purpose))
    }

    /// The connection id for `addr` (BEP 15): [`CONNECTION_TAG`], then the first seven bytes of a token.
    pub fn connection_id(&self, now: Instant, addr: CanonicalAddr) -> [u8; 8] {
        connection_id_of(self.address_token(now, addr, Use::Connection))
    }

    /// Whether `id` is a connection id made for `addr` at most 10 to 15 minutes ago.
    pub fn proves_connection(&self, now: Instant, addr: CanonicalAddr, id: [u8; 8]) -> bool {
        let [_, epoch_byte, ..] = id;
        Use::Connection.made_in(now, epoch_byte).is_some_and(|epoch| {
            Token(id) == Token(connection_id_of(self.address_token_of(epoch, addr, Use::Connection)))
        })
    }

    /// The token that proves ownership of one registration.
    pub fn owner_token(&self, network: NetworkKey, id: PeerId<'_>, born: Instant) -> Token {
        let mut input = [0; 1 + 20 + 8 + MAX_ID_BYTES];
        let mut writer = Writer::new(&mut input);
        // An id is at most as long as there is room for it: nothing is ever left out.
        let _written = writer
            .put(&[KIND_OWNER])
            .and_then(|()| writer.put(&network.0))
            .and_then(|()| writer.put(&born.as_ms().to_be_bytes()))
            .and_then(|()| writer.put_str(id.as_str()));
        Token(self.key.hash(writer.written()).to_be_bytes())
    }

    /// The low byte of the epoch, then seven bytes of the hash of kind, family, address, epoch, and the port if it is
    /// bound to one.
    fn address_token_of(&self, epoch: u32, addr: CanonicalAddr, purpose: Use) -> Token {
        let family = if addr.is_v4() { FAMILY_V4 } else { FAMILY_V6 };
        let (kind, port) = purpose.fields();
        let mut input = [0; 1 + 1 + 16 + 4 + 2];
        let fields = [kind, family].into_iter().chain(addr.octets());
        let fields = fields.chain(epoch.to_be_bytes()).chain(port.to_be_bytes());
        input.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        let [_, tag @ ..] = self.key.hash(&input).to_be_bytes();
        let [a, b, c, d, e, f, g] = tag;
        Token([low_byte(epoch), a, b, c, d, e, f, g])
    }
}

fn connection_id_of(token: Token) -> [u8; 8] {
    let [a, b, c, d, e, f, g, _] = token.0;
    [CONNECTION_TAG, a, b, c, d, e, f, g]
}

fn low_byte(epoch: u32) -> u8 {
    let [.., byte] = epoch.to_be_bytes();
    byte
}

/// Which epoch `now` is in. Forty thousand years fit.
fn epoch(now: Instant) -> u32 {
    const EPOCH_S: u64 = TOKEN_EPOCH_S as u64;
    u32::try_from(now.as_s() / EPOCH_S).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    const EPOCH_S: u64 = TOKEN_EPOCH_S as u64;

    fn minter() -> Minter {
        Minter::new(HashKey::new([9; 16]))
    }

    fn addr(text: &str) -> CanonicalAddr {
        CanonicalAddr::new(text.parse().unwrap())
    }

    fn text(token: Token) -> std::string::String {
        let mut buffer = [0; TOKEN_TEXT_BYTES];
        let mut writer = Writer::new(&mut buffer);
        token.emit(&mut writer).unwrap();
        std::str::from_utf8(writer.written()).unwrap().into()
    }

    #[test]
    fn text_round_trips() {
        for (bytes, expected) in [
            ([0; 8], "AAAAAAAAAAA"),
            ([0xff; 8], "__________8"),
            ([0xfb, 0xef, 0xbe, 1, 2, 3, 4, 5], "----AQIDBAU"),
        ] {
            assert_eq!(text(Token(bytes)), expected);
            assert_eq!(Token::parse(expected), Some(Token(bytes)));
        }
    }

    #[test]
    fn other_text_is_no_token() {
        for text in [
            "",
            "AAAAAAAAAA",
            "AAAAAAAAAAAA",
            "AAAAAAAAAAA=",
            "AAAAAAAAAAB",
            "AAAAAAAAAA+",
            "AAAAAAAAAA/",
            "AAAAA AAAAA",
            "AAAAAAAAA\u{e4}",
            "AAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_byte_is_compared() {
        let token = Token([7; 8]);
        for at in 0..8 {
            for bit in 0..8 {
                let mut bytes = token.0;
                bytes[at] ^= 1 << bit;
                assert_ne!(token, Token(bytes));
            }
        }
        assert_eq!(token, Token([7; 8]));
    }

    #[test]
    fn an_address_token_lives_for_its_epoch_and_the_next() {
        let (minter, host) = (minter(), addr("198.51.100.7"));
        for made_s in [0, EPOCH_S - 1, EPOCH_S, 255 * EPOCH_S, 256 * EPOCH_S + 7, u64::from(u32::MAX)] {
            let token = minter.address_token(Instant::from_s(made_s), host, Use::Json);
            let start_s = made_s / EPOCH_S * EPOCH_S;
            let proves = |at_s| minter.proves_address(Instant::from_s(at_s), host, Use::Json, token);
            assert!(proves(made_s) && proves(start_s) && proves(start_s + 2 * EPOCH_S - 1), "{made_s}");
            assert!(!proves(start_s + 2 * EPOCH_S), "{made_s}");
            assert!(!proves(start_s + 256 * EPOCH_S), "{made_s}: the same epoch byte");
            assert!(start_s == 0 || !proves(start_s - 1), "{made_s}: from the future");
        }
    }

    #[test]
    fn an_address_token_names_its_address() {
        let (minter, now) = (minter(), Instant::from_s(1000));
        let token = minter.address_token(now, addr("198.51.100.7"), Use::Json);
        assert_eq!(token.0[0], 3, "the epoch");
        assert!(minter.proves_address(now, addr("::ffff:198.51.100.7"), Use::Json, token));
        for other in ["198.51.100.8", "::198.51.100.7", "2001:db8::1"] {
            assert!(!minter.proves_address(now, addr(other), Use::Json, token), "{other}");
        }
        let other_key = Minter::new(HashKey::new([8; 16]));
        assert!(!other_key.proves_address(now, addr("198.51.100.7"), Use::Json, token));
    }

    #[test]
    fn the_layout_is_fixed() {
        // [epoch byte | bytes 1..8 of SipHash-2-4(1, 4, ::ffff:198.51.100.7, epoch 0x102, no port)], counted out here.
        let mut input = std::vec![1, 4];
        input.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100, 7, 0, 0, 1, 2, 0, 0]);
        let hash = HashKey::new([9; 16]).hash(&input).to_be_bytes();
        let token = minter().address_token(Instant::from_s(0x102 * EPOCH_S), addr("198.51.100.7"), Use::Json);
        assert_eq!(token.0, [2, hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]]);
    }

    #[test]
    fn guessing_does_not_pay() {
        let (minter, host, now) = (minter(), addr("198.51.100.7"), Instant::from_s(5000));
        let mut rng = Rng::new(HashKey::new([1; 16]));
        let epoch_byte = minter.address_token(now, host, Use::Json).0[0];
        let accepted = (0..1_000_000)
            .filter(|_| {
                let mut bytes = rng.next_u64().to_be_bytes();
                bytes[0] = epoch_byte;
                minter.proves_address(now, host, Use::Json, Token(bytes))
            })
            .count();
        assert_eq!(accepted, 0);
    }

    #[test]
    fn an_owner_token_names_its_registration() {
        let minter = minter();
        let key = |name| NetworkKey::of_name(name).unwrap();
        let id = |text| PeerId::parse(text).unwrap();
        let born = Instant::from_ms(77);
        let token = minter.owner_token(key("room"), id("node"), born);
        assert_eq!(token, minter.owner_token(key("room"), id("node"), born));
        assert_ne!(token, minter.owner_token(key("hall"), id("node"), born));
        assert_ne!(token, minter.owner_token(key("room"), id("node2"), born));
        assert_ne!(token, minter.owner_token(key("room"), id("node"), Instant::from_ms(78)));
        let long = "x".repeat(MAX_ID_BYTES);
        let longest = minter.owner_token(key("room"), id(&long), born);
        assert_ne!(longest, minter.owner_token(key("room"), id(&long[1..]), born));
        let other = std::format!("{}y", &long[1..]);
        assert_ne!(longest, minter.owner_token(key("room"), id(&other), born), "the last byte counts");
    }

    #[test]
    fn no_kind_passes_for_another() {
        let (minter, host) = (minter(), addr("198.51.100.7"));
        let born = Instant::from_ms(0);
        let owner = minter.owner_token(NetworkKey::default(), PeerId::parse("n").unwrap(), born);
        let uses = [Use::Json, Use::Krpc, Use::Ping(1), Use::Ping(2), Use::Connection];
        for one in uses {
            let token = minter.address_token(born, host, one);
            assert!(token != owner && !minter.proves_address(born, host, one, owner));
            for other in uses {
                assert_eq!(
                    minter.proves_address(born, host, other, token),
                    one == other,
                    "{one:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn a_connection_id_lives_for_ten_minutes_at_least() {
        let (minter, host) = (minter(), addr("2001:db8::7"));
        for made_s in [0, EPOCH_S - 1, EPOCH_S, 257 * EPOCH_S + 7] {
            let id = minter.connection_id(Instant::from_s(made_s), host);
            assert_eq!(id[0], 0xb5);
            let proves = |at_s| minter.proves_connection(Instant::from_s(at_s), host, id);
            let end_s = made_s / EPOCH_S * EPOCH_S + 3 * EPOCH_S;
            assert!(
                proves(made_s) && proves(made_s + 600) && proves(end_s - 1) && !proves(end_s),
                "{made_s}"
            );
            assert!(!minter.proves_connection(Instant::from_s(made_s), addr("2001:db8::8"), id));
            for at in 0..8 {
                let mut forged = id;
                forged[at] ^= 1;
                assert!(!minter.proves_connection(Instant::from_s(made_s), host, forged), "byte {at}");
            }
        }
    }
}
