//! Ids, offsets, epochs, time, sizes, errors: the vocabulary every other module speaks, in Kafka's own terms.

mod chain;
mod error;
mod ids;
mod io;
mod listener;
mod offsets;
mod seed;
mod time;

pub use chain::{Broken, Chain, Flaw, Gaps, Origin};
pub(crate) use chain::{Check, Cursor, Due};
pub use error::{ErrorCode, Fault, FaultKind, Refusal};
pub use ids::{
    BrokerEpoch, BrokerId, ClientId, ConnectionId, LogDirectoryId, OpId, ProducerEpoch, ProducerId, ShardId,
};
pub use ids::{TopicId, TopicPartition, Uuid};
pub use io::{Content, FileId, FileRange, Part, parts_len};
pub use listener::ListenerName;
pub use offsets::{LeaderEpoch, Offset, Sequence};
pub use seed::Seed;
pub use time::{Monotonic, Now, Timestamp};
