//! Record bytes of a response, wherever they lie.

use crate::types::{Part, parts_len};
use alloc::vec::Vec;
use bytes::Bytes;

/// Raw record batches that a response carries as parts, so that it is encoded around ranges of files without reading
/// them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Records {
    /// Kafka's null, and its default. librdkafka drops a whole reply that has it: brokers answer [`Self::empty`].
    #[default]
    Null,
    /// The batches, as parts in order; none for no records.
    Parts(Vec<Part>),
}

impl Records {
    /// No records, which is not null.
    pub const fn empty() -> Self {
        Self::Parts(Vec::new())
    }

    /// The parts; none for null.
    pub fn parts(&self) -> &[Part] {
        match self {
            Self::Null => &[],
            Self::Parts(parts) => parts,
        }
    }

    /// How many bytes of records there are; 0 for null.
    pub fn len(&self) -> usize {
        parts_len(self.parts())
    }

    /// Whether there are no bytes, for null too.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that a decoded response carries; `None` for null, and where there is more than the one part in memory
    /// that decoding gives.
    pub fn bytes(&self) -> Option<Bytes> {
        match self {
            Self::Null => None,
            Self::Parts(parts) => match parts.as_slice() {
                [] => Some(Bytes::new()),
                [Part::Inline(bytes)] => Some(bytes.clone()),
                _ => None,
            },
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self::Parts(if bytes.is_empty() {
            Vec::new()
        } else {
            alloc::vec![Part::Inline(bytes)]
        })
    }
}

impl From<Vec<Part>> for Records {
    fn from(parts: Vec<Part>) -> Self {
        Self::Parts(parts)
    }
}
