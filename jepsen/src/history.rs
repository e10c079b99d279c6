//! What happened, as the clients saw it.

/// A client that does one thing after the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Process(pub u32);

/// A log: a partition of a topic. Keys are small numbers, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(pub u32);

/// What was sent: no two sends of a history have the same. Values are small numbers, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Value(pub u32);

/// A value at an offset of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// The log.
    pub key: Key,
    /// Where in it.
    pub offset: i64,
    /// What.
    pub value: Value,
}

/// What became of a send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was acknowledged at this offset.
    Acknowledged(i64),
    /// Nobody knows: it may take effect any time later, or never.
    Unknown,
}

/// One operation, as it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// A value was sent.
    Send {
        /// Who sent it.
        process: Process,
        /// Where to.
        key: Key,
        /// What.
        value: Value,
        /// What became of it.
        outcome: Outcome,
    },
    /// Messages were polled, in this order.
    Poll {
        /// Who polled.
        process: Process,
        /// What came.
        messages: Vec<Message>,
    },
    /// The process begins to poll anew: what follows need not continue what came before.
    Assign {
        /// Who.
        process: Process,
    },
}

/// Operations in the order that each process saw them end.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct History {
    /// The operations.
    pub ops: Vec<Op>,
    /// How far every log was polled at the end, by somebody who had time: only then is what nobody saw *unseen*.
    pub polled_to_the_end: bool,
}
