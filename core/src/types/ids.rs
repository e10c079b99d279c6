//! Who and what: ids as newtypes, so that one is never taken for another.

use alloc::string::String;
use core::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id! {
    /// A broker of the cluster (`node.id`).
    BrokerId(i32)
}
id! {
    /// One registration of a broker: a restarted broker has a new one.
    BrokerEpoch(i64)
}
id! {
    /// A shard of this process: the unit that runs on one CPU core.
    ShardId(u16)
}
id! {
    /// A log directory of this broker, by its place in `log.dirs`.
    LogDirectoryId(u16)
}
id! {
    /// A client connection. Never reused within a process.
    ConnectionId(u64)
}
id! {
    /// An idempotent producer. Issued once, ever, in a cluster.
    ProducerId(i64)
}
id! {
    /// One incarnation of a producer id.
    ProducerEpoch(i16)
}

impl ProducerId {
    /// What a batch of a producer that is not idempotent carries.
    pub const NONE: Self = Self(-1);
}

/// What a client calls itself in its request headers.
pub type ClientId = String;

/// An operation that needs an answer: a slot of the shard's slab and the generation it was taken in. Each gets exactly
/// one completion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpId {
    /// The slot in the slab.
    pub slot: u32,
    /// Which use of the slot this is.
    pub generation: u32,
}

/// 16 bytes, shown as unpadded URL-safe base64, as Kafka shows them (`org.apache.kafka.common.Uuid`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Uuid {
    /// Kafka's 'no id'.
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is Kafka's 'no id'.
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// Reads the 22 characters that [`Display`](fmt::Display) writes; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 22 {
            return None;
        }
        let mut value: u128 = 0;
        for (i, byte) in text.bytes().enumerate() {
            let digit = BASE64_URL.iter().position(|&c| c == byte)? as u128;
            if i < 21 {
                value = (value << 6) | digit;
            } else if digit.trailing_zeros() >= 4 {
                value = (value << 2) | (digit >> 4);
            } else {
                return None;
            }
        }
        Some(Self(value.to_be_bytes()))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        for i in 0..22 {
            let digit = if i < 21 { value >> (122 - 6 * i) } else { value << 4 };
            write!(f, "{}", BASE64_URL[(digit & 0x3F) as usize] as char)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The identity of a topic: a topic deleted and created again under its name has another (KIP-516).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct TopicId(pub Uuid);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition of a topic, by the topic's identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition's index; the first is 0.
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::Uuid;
    use crate::types::Seed;
    use alloc::string::ToString;

    #[test]
    fn a_uuid_reads_back_what_it_shows() {
        let mut seed = Seed::new(3);
        for _ in 0..100 {
            let id = Uuid(seed.bytes16());
            assert_eq!(Uuid::parse(&id.to_string()), Some(id));
        }
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid::parse("AAAAAAAAAAAAAAAAAAAAAB"), None);
        assert_eq!(Uuid::parse("short"), None);
    }
}
