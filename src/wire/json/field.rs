//! The fields Waypost's messages have.

/// A field of a request, named as in the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `challenge`: what work was done for.
    Challenge,
    /// `client_id`: another name for `id`.
    ClientId,
    /// `endpoints`: where a peer can be reached.
    Endpoints,
    /// `exclude`: the asker's own id.
    Exclude,
    /// `id`: of the peer; over UDP of the message.
    Id,
    /// `key`: the public key of a signed record.
    Key,
    /// `limit`: most peers wanted.
    Limit,
    /// `network`: in which network.
    Network,
    /// `nonce`: what solves a challenge; what makes a signed answer a new one.
    Nonce,
    /// `pad`: makes a datagram as long as the answer wanted.
    Pad,
    /// `peer_id`: of the peer, over UDP.
    PeerId,
    /// `port`: where a peer can be reached, over UDP.
    Port,
    /// `pow`: proof of work.
    Pow,
    /// `seq`: the version of a signed record.
    Seq,
    /// `sig`: the signature of a signed record.
    Sig,
    /// `supports`: schemes the client understands.
    Supports,
    /// `token`: proves an address or the ownership of a registration.
    Token,
    /// `transport`: schemes wanted, separated by commas.
    Transport,
    /// `ttl`: life wanted, in seconds.
    Ttl,
    /// `type`: what a datagram is.
    Type,
    /// `version`: of the client's protocol.
    Version,
}

impl Field {
    /// Its key in the JSON object.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::ClientId => "client_id",
            Self::Endpoints => "endpoints",
            Self::Exclude => "exclude",
            Self::Id => "id",
            Self::Key => "key",
            Self::Limit => "limit",
            Self::Network => "network",
            Self::Nonce => "nonce",
            Self::Pad => "pad",
            Self::PeerId => "peer_id",
            Self::Port => "port",
            Self::Pow => "pow",
            Self::Seq => "seq",
            Self::Sig => "sig",
            Self::Supports => "supports",
            Self::Token => "token",
            Self::Transport => "transport",
            Self::Ttl => "ttl",
            Self::Type => "type",
            Self::Version => "version",
        }
    }
}
