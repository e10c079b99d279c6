//! Kafka's record batches, format v2 (magic 2, KIP-98): the only unit that is produced, stored, replicated and fetched.
//!
//! Invariants:
//! - A [`Batch`] always has magic 2 and a length field that equals its real length: nothing else can be made.
//! - Records stay raw: a batch is a copied 61-byte header and a slice of the bytes it came in. Only
//!   [`build`], [`filter()`] and [`validate::validate_opened`] write record bytes.
//! - Every byte here may come from a hostile client or a rotten disk: nothing panics, and no allocation follows a length
//!   that is merely claimed.
//! - What the header declares about a compressed body (count, greatest timestamp) is a claim until somebody opens it, as
//!   [`validate`] does before a batch is stored.

mod batch;
pub mod build;
mod chain;
pub mod codec;
pub mod crc;
mod error;
mod filter;
mod header;
mod open;
pub mod validate;
pub mod walk;

pub use batch::{Batch, Restamp, Split, split};
pub use build::{BatchBuilder, Producer};
pub use codec::{CodecError, Compression, Level};
pub use error::{BatchError, RecordDefect, RecordError, RecordFault, Rejection};
pub use filter::{Filtered, filter};
pub use header::{Attributes, BatchHeader, CRC_COVERS_FROM, HEADER_LEN, LENGTH_OVERHEAD, MAGIC, TimestampType};
pub use open::Opened;
pub use validate::{ProduceRules, Validation, single_batch, validate_opened, validate_produce};
pub use walk::{Headers, Record, Walk};
