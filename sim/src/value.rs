//! What stands in a record's value: who sent it, where to, and a checksum, so that a record found anywhere can be told
//! from every other and from a damaged one.

use crate::batch::crc32c;

const MAGIC: u32 = 0x4B4C_414D;
/// The shortest value.
pub(crate) const LEAST: usize = 48;

/// A record's identity, unique within a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Mark {
    /// Which simulated producer.
    pub(crate) producer: u32,
    /// Counts the connections or producer ids that it used; records are ordered within one.
    pub(crate) session: u32,
    /// Counts its records to this partition, over all sessions.
    pub(crate) sequence: u64,
    /// The partition it was sent to.
    pub(crate) partition: i32,
    /// The topic's id it was sent to, folded.
    pub(crate) topic: u64,
}

/// A topic's id in 64 bits.
pub(crate) fn fold_topic(id: &[u8; 16]) -> u64 {
    let mut hasher = crate::trace::Hasher::new();
    hasher.bytes(id);
    hasher.value()
}

impl Mark {
    /// A value of `size` bytes, at least [`LEAST`].
    pub(crate) fn encode(&self, size: usize) -> Vec<u8> {
        let mut value = Vec::with_capacity(size.max(LEAST));
        value.extend_from_slice(&[0; 4]);
        value.extend_from_slice(&MAGIC.to_be_bytes());
        value.extend_from_slice(&self.producer.to_be_bytes());
        value.extend_from_slice(&self.session.to_be_bytes());
        value.extend_from_slice(&self.sequence.to_be_bytes());
        value.extend_from_slice(&self.topic.to_be_bytes());
        value.extend_from_slice(&self.partition.to_be_bytes());
        value.resize(size.max(LEAST), self.sequence as u8);
        let checksum = crc32c(&value[4..]);
        value[..4].copy_from_slice(&checksum.to_be_bytes());
        value
    }

    /// Reads a value; `None` when it is damaged or not of a simulated producer.
    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        if value.len() < LEAST {
            return None;
        }
        let word = |at: usize| u32::from_be_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        if word(4) != MAGIC || word(0) != crc32c(&value[4..]) {
            return None;
        }
        Some(Self {
            producer: word(8),
            session: word(12),
            sequence: long(16),
            topic: long(24),
            partition: word(32) as i32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Mark;

    #[test]
    fn a_damaged_value_is_told_from_a_whole_one() {
        let mark = Mark {
            producer: 3,
            session: 1,
            sequence: 1 << 40,
            partition: 7,
            topic: 99,
        };
        for size in [0, 48, 300] {
            let mut value = mark.encode(size);
            assert_eq!(Mark::decode(&value), Some(mark));
            let last = value.len() - 1;
            value[last] ^= 1;
            assert_eq!(Mark::decode(&value), None);
        }
    }
}
