//! Kafka's record batches, format v2 (magic 2, KIP-98): the only unit that is produced, stored, replicated and fetched.
//!
//! Invariants:
//! - A [`Batch`] always has magic 2 and a length field that equals its real length: nothing else can be made.
//! - Records stay raw: a batch is a copied 61-byte header and a slice of the bytes it came in.
//! - Every byte here may come from a hostile client or a rotten disk: nothing panics, and no allocation follows a length
//!   that is merely claimed.
//! - What the header declares about a compressed body (count, greatest timestamp) is a claim until somebody opens it.

mod batch;
pub mod codec;
pub mod crc;
mod error;
mod header;

pub use batch::{Batch, Restamp, Split, split};
pub use codec::Compression;
pub use error::{BatchError, RecordDefect};
pub use header::{Attributes, BatchHeader, HEADER_LEN, LENGTH_OVERHEAD, MAGIC, TimestampType};
