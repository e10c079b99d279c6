//! What can go wrong between a client and a broker, in words that help.

use klamm_core::config::HostPort;
use klamm_core::types::ErrorCode;
use klamm_core::wire::{DecodeError, EncodeError};
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a request got no answer that could be used.
#[derive(Debug)]
pub enum ClientError {
    /// No connection could be made.
    Connect {
        /// To where.
        address: HostPort,
        /// The system's reason.
        error: io::Error,
    },
    /// The connection failed while it was in use.
    Io {
        /// With whom.
        address: HostPort,
        /// The system's reason.
        error: io::Error,
    },
    /// The peer took the connection and never said anything.
    Mute {
        /// Who.
        address: HostPort,
        /// For how long.
        patience: Duration,
    },
    /// The broker neither sends nor takes anything any more.
    Silent {
        /// Which.
        address: HostPort,
        /// For how long.
        patience: Duration,
    },
    /// The broker speaks no version of an API that this client does.
    Unsupported {
        /// The API's name.
        api: &'static str,
    },
    /// The answer cannot be read.
    Decode(DecodeError),
    /// The request cannot be written.
    Encode(EncodeError),
    /// The answer is none to the request.
    Unexpected(String),
    /// The broker answered with an error.
    Refused {
        /// What was asked for, for people.
        what: String,
        /// Kafka's code.
        code: i16,
        /// What the broker adds.
        message: Option<String>,
    },
}

impl ClientError {
    /// An error that the broker answered with.
    pub fn refused(what: impl Into<String>, code: i16, message: Option<&str>) -> Self {
        let (what, message) = (what.into(), message.map(str::to_owned));
        Self::Refused { what, code, message }
    }

    /// Whether asking again, perhaps another broker or on another connection, may help.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Io { .. } => true,
            Self::Refused { code, .. } => ErrorCode::from_code(*code).is_some_and(is_retriable),
            _ => false,
        }
    }

    /// Whether a peer said nothing for too long. It has cost much time, so it is asked again only where that has no limit.
    pub const fn is_silence(&self) -> bool {
        matches!(self, Self::Mute { .. } | Self::Silent { .. })
    }
}

/// Whether Kafka's clients ask again (`RetriableException`), as far as it concerns the requests made here.
fn is_retriable(code: ErrorCode) -> bool {
    use ErrorCode::{
        BrokerNotAvailable, ConcurrentTransactions, CoordinatorLoadInProgress, CoordinatorNotAvailable, CorruptMessage,
        FencedLeaderEpoch, KafkaStorageError, LeaderNotAvailable, NetworkException, NotController, NotCoordinator,
        NotEnoughReplicas, NotEnoughReplicasAfterAppend, NotLeaderOrFollower, OffsetNotAvailable, ReplicaNotAvailable,
        RequestTimedOut, ThrottlingQuotaExceeded, UnknownLeaderEpoch, UnknownTopicId, UnknownTopicOrPartition,
    };
    matches!(
        code,
        BrokerNotAvailable
            | ConcurrentTransactions
            | CoordinatorLoadInProgress
            | CoordinatorNotAvailable
            | CorruptMessage
            | FencedLeaderEpoch
            | KafkaStorageError
            | LeaderNotAvailable
            | NetworkException
            | NotController
            | NotCoordinator
            | NotEnoughReplicas
            | NotEnoughReplicasAfterAppend
            | NotLeaderOrFollower
            | OffsetNotAvailable
            | ReplicaNotAvailable
            | RequestTimedOut
            | ThrottlingQuotaExceeded
            | UnknownLeaderEpoch
            | UnknownTopicId
            | UnknownTopicOrPartition
    )
}

/// Kafka's name of a code, or its number.
pub fn code_name(code: i16) -> String {
    ErrorCode::from_code(code).map_or_else(|| format!("error {code}"), |code| code.name().to_owned())
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { address, error } => {
                write!(
                    f,
                    "cannot connect to {address}: {error}; is the broker running there, and is --bootstrap right?"
                )
            }
            Self::Io { address, error } if error.kind() == io::ErrorKind::UnexpectedEof => {
                write!(
                    f,
                    "{address} closed the connection; if it is a Kafka broker, its log says why"
                )
            }
            Self::Io { address, error } => write!(f, "the connection to {address} failed: {error}"),
            Self::Mute { address, patience } => write!(
                f,
                "{address} took the connection and has said nothing for {patience:?}: is it a Kafka broker, or stuck?"
            ),
            Self::Silent { address, patience } => write!(
                f,
                "{address} has not moved for {patience:?}: is it stuck? --timeout says how long to wait"
            ),
            Self::Unsupported { api } => write!(f, "the broker speaks no version of {api} that this client does"),
            Self::Decode(error) => write!(f, "the broker's answer cannot be read: {error}"),
            Self::Encode(error) => write!(f, "the request cannot be written: {error}"),
            Self::Unexpected(text) => f.write_str(text),
            Self::Refused { what, code, message } => {
                write!(f, "{what}: {}", code_name(*code))?;
                message.as_ref().map_or(Ok(()), |message| write!(f, " ({message})"))
            }
        }
    }
}

impl std::error::Error for ClientError {}

impl From<DecodeError> for ClientError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<EncodeError> for ClientError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}
