//! The name of a listener.

use alloc::sync::Arc;
use core::fmt;

/// Which of a broker's listeners: clients that come in on one are told the endpoints that brokers have for it.
/// In capitals (`org.apache.kafka.common.network.ListenerName.normalised`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ListenerName(Arc<str>);

impl ListenerName {
    /// The listener of who names none.
    pub const DEFAULT: &'static str = "PLAINTEXT";

    /// A listener, however its name is written.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name.to_uppercase()))
    }

    /// The name, in capitals.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ListenerName {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
