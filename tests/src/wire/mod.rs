//! What the tests of the wire protocol share: two APIs that are not there yet, Kafka's schemas, and Kafka's codec.

pub mod hardest;
pub mod json;
pub mod kafka;
pub mod oracle;
pub mod worst;

use klamm_core::wire::reflect::{Codec, MESSAGES};

/// The codecs of all messages that there are, the [hardest] among them.
pub fn codecs() -> impl Iterator<Item = Codec> + Clone {
    MESSAGES.iter().copied().chain(hardest::MESSAGES.iter().copied())
}
