//! Every capacity, size and duration of the server, with its unit in its name and its reason beside it.

include!(concat!(env!("OUT_DIR"), "/capacities.rs"));

// ---- Records ----------------------------------------------------------------------------------------------------

/// Longest peer id, in bytes: room for a 32-byte key in hex.
pub const MAX_ID_BYTES: usize = 64;
/// Longest network name, in bytes.
pub const MAX_NETWORK_NAME_BYTES: usize = 64;
/// Endpoints one peer may have.
pub const MAX_ENDPOINTS: usize = 4;
/// Longest endpoint, in bytes of text: a v3 onion name with the longest scheme and port is 86.
pub const MAX_ENDPOINT_BYTES: usize = 96;
/// Longest scheme of an endpoint, in bytes.
pub const MAX_SCHEME_BYTES: usize = 12;
/// Schemes one query may ask for.
pub const MAX_SCHEMES: usize = 8;

// ---- Lifetimes --------------------------------------------------------------------------------------------------

/// Shortest life a client may ask for, in seconds.
pub const MIN_TTL_S: u32 = 30;
/// Life of a peer whose client asks for none, in seconds.
pub const DEFAULT_TTL_S: u32 = 300;
/// Default of `--max-ttl`, in seconds.
pub const DEFAULT_MAX_TTL_S: u32 = 3600;
/// Highest `--max-ttl`, in seconds: a day. Longer-lived records belong in a database.
pub const HIGHEST_MAX_TTL_S: u32 = 86_400;
/// A token's epoch, in seconds. A token is good for its own epoch and the next: 5 to 10 minutes, as BEP 5 advises.
pub const TOKEN_EPOCH_S: u32 = 300;
/// How long one client network keeps the same sample under `--stable-samples`, in seconds.
pub const STABLE_SAMPLE_EPOCH_S: u32 = 600;
/// How long a rate limiter keeps one hash key, in seconds, so that nobody shares an unlucky cell for long.
pub const LIMITER_EPOCH_S: u32 = 600;
/// Peers looked at by one sweep for expired ones: at most some seventy microseconds of work between two requests.
pub const EXPIRY_STEPS: u32 = 64;
/// Peers of the running second looked at, when the table is full, for one that has just expired. Few: every newcomer to
/// a full table pays for them.
pub const OVERDUE_STEPS: usize = 8;
/// Window of the `active_5m` count, in seconds.
pub const ACTIVE_WINDOW_S: u32 = 300;
/// Wall clocks that show a time before this Unix second (2026-01-01) are wrong, and are not quoted to clients.
pub const EARLIEST_CREDIBLE_UNIX_S: u64 = 1_767_225_600;

// ---- Answers ----------------------------------------------------------------------------------------------------

/// Most peers in one HTTP answer, and the default.
pub const MAX_SAMPLE: usize = 50;
/// Peers that one client network is shown under `--stable-samples`, at least: with fewer, half a network could be of one
/// attacker. At most [`MAX_SAMPLE`].
pub const MIN_STABLE_SAMPLE: usize = 8;
/// Default number of peers in one UDP answer.
pub const DEFAULT_UDP_SAMPLE: usize = 8;
/// Most peers in one UDP answer.
pub const MAX_UDP_SAMPLE: usize = 32;
/// Peers of one /24 or /48 in one answer while others remain.
pub const SAMPLE_PER_NARROW: usize = 2;
/// Peers of one /16 or /32 in one answer while others remain.
pub const SAMPLE_PER_WIDE: usize = 4;
/// Default of `--rate-limit`: queries a minute for one address.
pub const DEFAULT_QUERIES_PER_MINUTE: u32 = 60;
/// Default of `--announce-limit`: announces a minute for one address.
pub const DEFAULT_ANNOUNCES_PER_MINUTE: u32 = 30;

/// Peers examined for each one asked for, at most: a sample stays cheap however many peers are of another scheme, have
/// expired, or share a prefix. In a network of no more peers than that, all are examined.
pub const SAMPLE_EXAMINED_PER_PEER: usize = 4;
/// Peers that may be examined for the smallest sample: a rare scheme must not need a large one.
pub const SAMPLE_EXAMINED_AT_LEAST: usize = 64;

// ---- Places in the table: one prefix must not fill it -----------------------------------------------------------

/// Places of one IPv4 address. Lower hides honest peers behind one carrier-grade NAT.
pub const PLACES_PER_V4_HOST: u32 = 16;
/// Places of one IPv4 /24.
pub const PLACES_PER_V4_NARROW: u32 = 32;
/// Places of one IPv6 /64, which one household gets.
pub const PLACES_PER_V6_HOST: u32 = 4;
/// Places of one IPv6 /56.
pub const PLACES_PER_V6_SITE: u32 = 8;
/// Places of one IPv6 /48.
pub const PLACES_PER_V6_NARROW: u32 = 16;
/// Least time a peer must have stayed to be protected from eviction, in seconds. Its own lifetime, if longer, counts;
/// it is the client's to choose, and a flood must not buy protection by choosing a short one.
pub const MIN_TENURE_S: u32 = DEFAULT_TTL_S;
/// One IPv4 /16 or IPv6 /32 may hold the table's capacity divided by this.
pub const WIDE_SHARE_DIVISOR: u32 = 8;
/// Least places of one /16 or /32, however small the table.
pub const MIN_PLACES_PER_WIDE: u32 = 4;

// ---- Signed records ---------------------------------------------------------------------------------------------

/// Signed peers that are gone, and whose last number is remembered: 24 kB, touched only by those that use it.
pub const TOMBS: usize = 1024;
/// Among how many of them the oldest makes room.
pub const TOMBS_PER_SET: usize = 4;
/// For how many of its lifetimes a signed peer is remembered when it is gone.
pub const TOMB_LIVES: u64 = 2;
/// Replies signed a second over all clients: a signature takes a small router some 15 ms.
pub const SIGNED_REPLIES_PER_S: u32 = 10;
/// Replies signed at once.
pub const SIGNED_REPLIES_AT_ONCE: u32 = 30;
/// Shortest nonce of a signed reply, in bytes.
pub const MIN_NONCE_BYTES: usize = 8;
/// Longest nonce of a signed reply, in bytes.
pub const MAX_NONCE_BYTES: usize = 32;

// ---- Proof of work ----------------------------------------------------------------------------------------------

/// How long a challenge is good, in seconds.
pub const CHALLENGE_LIFE_S: u32 = 120;
/// The price while it is asked for by itself, in bits: 0.05 s of a core of a Raspberry Pi 4, 0.3 s of a small router.
pub const POW_LOWEST: u8 = 16;
/// Its highest, in bits: 3 s and 21 s.
pub const POW_HIGHEST: u8 = 22;
/// Highest `--pow`, in bits: 12 s and 84 s. Clients of ours refuse more.
pub const POW_HIGHEST_FIXED: u8 = 24;
/// Newcomers pay, and more every [`POW_RISE_S`], while more than so many percent of what they may take at once is taken.
pub const POW_PRESSED_PERCENT: u64 = 50;
/// The price falls every [`POW_FALL_S`] while less than so many percent are taken.
pub const POW_CALM_PERCENT: u64 = 25;
/// Least time between two rises of the price, in seconds.
pub const POW_RISE_S: u64 = 10;
/// Least calm before the price falls, in seconds.
pub const POW_FALL_S: u64 = 60;
/// While others pay, newcomers that cannot are let in as fast as into a table so many times smaller.
pub const UNABLE_GATE_DIVISOR: usize = 4;
/// The least size of that table.
pub const UNABLE_GATE_LEAST: usize = 16;

// ---- HTTP -------------------------------------------------------------------------------------------------------

/// Longest request head, in bytes; longer is 431.
pub const MAX_HEAD_BYTES: usize = 4096;
/// Longest request target, in bytes; longer is 414. libtorrent tells a tracker all its IPv6 addresses: on a host with five of
/// them an announce has more than 512, and a scrape may name as many networks as fit.
pub const MAX_TARGET_BYTES: usize = 2048;
/// Most header fields in a request; more is 431.
pub const MAX_HEADERS: usize = 32;
/// Longest request body, in bytes; longer is 413.
pub const MAX_BODY_BYTES: usize = 4096;
/// Longest extension of one chunk, in bytes; longer is 400. Nobody needs any.
pub const MAX_CHUNK_EXTENSION_BYTES: usize = 64;
/// Most trailer bytes behind a chunked body; more is 431. They are dropped.
pub const MAX_TRAILER_BYTES: usize = 512;
/// Longest response, head and body, in bytes: written once, from one buffer.
pub const MAX_RESPONSE_BYTES: usize = 16_384;
/// What the kernel may keep of the answers that a client has not taken, in bytes as SO_SNDBUF counts them: it doubles them for
/// its own needs, so one answer always fits. Only who asks again without reading can be waited for in a write.
pub const SEND_BUFFER_BYTES: usize = MAX_RESPONSE_BYTES;
/// Time for a whole request head, from its first byte (or from accept), in milliseconds.
pub const HEAD_DEADLINE_MS: u64 = 5_000;
/// Time for a whole request body after its head, in milliseconds.
pub const BODY_DEADLINE_MS: u64 = 5_000;
/// Time for the client to take a whole response, in milliseconds.
pub const WRITE_DEADLINE_MS: u64 = 5_000;
/// Time a kept-alive connection may be idle between requests, in milliseconds.
pub const IDLE_DEADLINE_MS: u64 = 10_000;
/// Time for the client to see the end of a connection that is closed on it, in milliseconds.
pub const LINGER_DEADLINE_MS: u64 = 1_000;
/// Most time a connection may last, in milliseconds.
pub const CONNECTION_DEADLINE_MS: u64 = 60_000;
/// Most requests on one connection.
pub const MAX_REQUESTS_PER_CONNECTION: u32 = 100;

/// Connections of one address or IPv6 /64 at a time. LAN addresses and trusted proxies have no such limit.
pub const CONNECTIONS_PER_HOST: usize = 8;
/// One IPv4 /24 or IPv6 /48 may have all connections divided by this.
pub const NARROW_CONNECTIONS_DIVISOR: usize = 4;
/// How long a client may take to send a request while fewer than half of the connections are free, in milliseconds.
pub const PATIENCE_BUSY_MS: u64 = 1_000;
/// The same while fewer than a fifth are free, in milliseconds.
pub const PATIENCE_CROWDED_MS: u64 = 200;
/// How long a client may take to send a request, or an answer may find no room in its buffers, while no connection is free
/// and somebody waits for one, in milliseconds. A queue of [`LISTEN_BACKLOG`] slow clients in front of a good one is gone in a tenth of a second.
pub const PATIENCE_FULL_MS: u64 = 25;

// ---- UDP --------------------------------------------------------------------------------------------------------

/// Longest datagram read, in bytes; longer ones are dropped. What an Ethernet frame carries.
pub const MAX_DATAGRAM_BYTES: usize = 1472;
/// Longest UDP JSON answer, in bytes: passes every link without fragments.
pub const MAX_UDP_REPLY_BYTES: usize = 1200;
/// Answers of KRPC and STUN to an address that has not proved itself are at most this many times as long as the request: their
/// requests cannot be padded, and this is what QUIC allows (RFC 9000 section 8.1).
pub const BINARY_AMPLIFICATION: usize = 3;
/// Longest answer of the UDP tracker, in bytes: 50 peers of IPv6 are 920, 74 scraped networks 896.
pub const MAX_TRACKER_REPLY_BYTES: usize = 1024;
/// Longest message id echoed over UDP, in bytes.
pub const MAX_MESSAGE_ID_BYTES: usize = 32;
/// Lowest source port answered over UDP: lower ones are services, and an answer could start a loop (CVE-2024-2169).
pub const LOWEST_CLIENT_PORT: u16 = 1024;

/// Answers of KRPC that are longer than their query, to addresses that have not proved themselves, in bytes a second. With
/// those of STUN 64,000, and 16,000 of a build for a small device, whose uplink is small too. What is no longer than its
/// request is of no use to a reflector, and is not counted.
pub const KRPC_EGRESS_BYTES_PER_S: u32 = if MAX_PEERS < 4096 { 12_000 } else { 48_000 };
/// The same of STUN. Neither can use up what the other has.
pub const STUN_EGRESS_BYTES_PER_S: u32 = if MAX_PEERS < 4096 { 4_000 } else { 16_000 };
/// What may leave at once, as seconds of the rate.
pub const EGRESS_BURST_S: u32 = 2;

/// Datagrams read before other sockets get their turn. More gains nothing measurable (one wake costs about as much as
/// four datagrams), and 64 of 10 us each cost a waiting HTTP client less than a millisecond.
pub const IO_LOOP_BOUND: usize = 64;
/// Bytes of answers that wait to be sent together: [`IO_LOOP_BOUND`] of 200 bytes, what a tracker answers, and room for one of
/// the longest.
pub const OUTBOX_BYTES: usize = 64 * 200 + MAX_UDP_REPLY_BYTES;

// ---- DHT --------------------------------------------------------------------------------------------------------

/// Nodes of one address family that are known at a time, a power of two: many times what one answer holds.
pub const DHT_NODES: usize = 128;
/// Nodes of one /24 or /48 among them.
pub const NODES_PER_NARROW: usize = 2;
/// Longest KRPC answer, in bytes (BEP 32).
pub const MAX_KRPC_REPLY_BYTES: usize = 1024;
/// Life of a peer that a client of the DHT announces, in seconds: they announce every 15 to 30 minutes, and cannot be told
/// otherwise.
pub const KRPC_LIFE_S: u32 = 2_700;
/// A node is good for that long after it has answered, in seconds (BEP 5), and is then pinged again; nobody else is pinged
/// more often either.
pub const PING_AGAIN_S: u32 = 900;
/// A node is handed out for that long after it has answered, in seconds: the time to answer once more is not held against it.
pub const NODE_LIFE_S: u32 = PING_AGAIN_S + 60;
/// Least time between two pings of ours, in milliseconds: with those who ask for the first time at most 16 a second, 1 kB.
pub const PING_PAUSE_MS: u64 = 62;
/// Who waits to be pinged. Who finds no place asks again.
pub const PING_CANDIDATES: usize = 32;
/// Nodes in other networks that must agree on our address before our id is made to fit it.
pub const ADDRESS_VOTES: usize = 4;
/// Most `--dht-node` options.
pub const MAX_DHT_NODES: usize = 8;
/// Addresses they may have: one of each family.
pub const MAX_DHT_ADDRESSES: usize = 2 * MAX_DHT_NODES;
/// Least time between two questions to one node of `--dht-node`, in seconds.
pub const DHT_NODE_PAUSE_S: u32 = 60;

// ---- The LAN: DNS-SD over multicast DNS -------------------------------------------------------------------------

/// Interfaces that are advertised on.
pub const MAX_INTERFACES: usize = 8;
/// Addresses of one interface, of both families.
pub const MAX_INTERFACE_ADDRESSES: usize = 8;
/// Longest packet read, in bytes (RFC 6762, section 17).
pub const MAX_MDNS_PACKET_BYTES: usize = 9000;
/// Longest packet sent, in bytes: passes every link in one piece. An advert with all its records has some 600.
pub const MAX_MDNS_REPLY_BYTES: usize = 1232;
/// Longest texts of an advert, each with its length byte, in bytes: a peer's id, and room to spare.
pub const MAX_TEXTS_BYTES: usize = 160;
/// Longest name of an instance without what renaming adds, in bytes.
pub const MAX_INSTANCE_BYTES: usize = 48;
/// Questions of one packet that are looked at.
pub const MAX_MDNS_QUESTIONS: usize = 64;
/// Records of one packet that are looked at.
pub const MAX_MDNS_RECORDS: usize = 256;
/// Answers to one asker alone on one link, a second: those who ask that much are not lost clients.
pub const MDNS_UNICASTS_PER_S: u32 = 20;
/// Lifetime of records that name a host or hold its addresses, in seconds (RFC 6762, section 10).
pub const MDNS_HOST_TTL_S: u32 = 120;
/// Lifetime of all others, in seconds: 75 minutes.
pub const MDNS_OTHER_TTL_S: u32 = 4500;
/// Longest lifetime that is told to those who take no part in multicast DNS, in seconds (RFC 6762, section 6.7).
pub const MDNS_LEGACY_TTL_S: u32 = 10;

// ---- Driver -----------------------------------------------------------------------------------------------------

/// Time between two ticks, in milliseconds. All deadlines are this coarse, so that no read needs a timer of its own.
pub const TICK_MS: u64 = 250;
/// Connections the kernel keeps waiting for us. What does not fit there waits in the clients.
pub const LISTEN_BACKLOG: i32 = 1024;
/// Pause after the system refused a socket for want of descriptors or memory, in milliseconds.
pub const SHORTAGE_PAUSE_MS: u64 = 100;
/// Time for the answers under way when the server is told to stop, in milliseconds: it is gone within a second.
pub const FINISH_MS: u64 = 900;
/// Time between two looks of the watchdog at the loop, in milliseconds.
pub const WATCHDOG_PAUSE_MS: u64 = 1_000;
/// Looks in a row that find the loop where it was before the process aborts: half a minute. The loop comes round every
/// [`TICK_MS`].
pub const WATCHDOG_LOOKS: u32 = 30;
/// Stack of the watchdog's thread, in bytes: what it does takes a page or two, and no more is ever resident.
pub const WATCHDOG_STACK_BYTES: usize = 32 * 1024;
/// Most time between two reports to the supervisor, in milliseconds.
pub const STATUS_PAUSE_MS: u64 = 30_000;
/// Descriptors the process needs besides one for each connection.
pub const SPARE_DESCRIPTORS: u64 = 32;

// ---- JSON -------------------------------------------------------------------------------------------------------

/// Deepest nesting of a JSON document.
pub const MAX_JSON_DEPTH: usize = 8;
/// Most tokens (brackets, strings, numbers, literals) in a JSON document.
pub const MAX_JSON_TOKENS: usize = 256;

// ---- Configuration ----------------------------------------------------------------------------------------------

/// Most `--network` options.
pub const MAX_SERVED_NETWORKS: usize = 8;
/// Most `--trusted-proxy` options.
pub const MAX_TRUSTED_PROXIES: usize = 16;
/// Most `--bind` options.
pub const MAX_BIND_ADDRESSES: usize = 4;
/// Longest DNS-SD service name, in bytes (RFC 6335, section 5.1).
pub const MAX_SERVICE_BYTES: usize = 15;
/// Largest configuration file, in bytes.
pub const MAX_CONFIG_BYTES: usize = 16_384;
/// Highest `--rate-limit` and `--announce-limit`, a minute.
pub const HIGHEST_RATE_PER_MINUTE: u32 = 60_000;
