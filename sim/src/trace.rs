//! The hash over everything that happened, and the lines that explain it where somebody asked for them.

use std::fmt;

/// A fast 64-bit hash: for telling runs apart, not against adversaries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hasher(u64);

const MULTIPLIER: u64 = 0xD6E8_FEB8_6659_FD93;

impl Hasher {
    pub(crate) const fn new() -> Self {
        Self(0x243F_6A88_85A3_08D3)
    }

    pub(crate) fn word(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(MULTIPLIER);
        self.0 = mixed ^ (mixed >> 32);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

/// What a run leaves behind to be compared.
#[derive(Debug)]
pub(crate) struct Trace {
    hasher: Hasher,
    events: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace; `verbose` ones keep a line per event.
    pub(crate) fn new(verbose: bool) -> Self {
        Self {
            hasher: Hasher::new(),
            events: 0,
            lines: verbose.then(Vec::new),
        }
    }

    /// One event: when it was, what the draws had come to, and what kind it is of.
    pub(crate) fn event(&mut self, at: u64, draws: u64, kind: u64) {
        self.events += 1;
        self.hasher.word(at);
        self.hasher.word(draws);
        self.hasher.word(kind);
    }

    /// A number that belongs to the event.
    pub(crate) fn word(&mut self, word: u64) {
        self.hasher.word(word);
    }

    /// Bytes that belong to the event.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.bytes(bytes);
    }

    /// A line for people, made only where somebody reads it; the hash does not depend on it.
    pub(crate) fn line(&mut self, at: u64, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let hash = self.hasher.value();
            let (millis, nanos) = (at / 1_000_000, at % 1_000_000);
            lines.push(format!("{millis:>7}.{nanos:06} ms  {hash:016x}  {}", line()));
        }
    }

    /// Whether somebody reads the lines.
    pub(crate) fn is_told(&self) -> bool {
        self.lines.is_some()
    }

    /// How many events there were.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The hash of everything so far.
    pub(crate) fn hash(&self) -> TraceHash {
        TraceHash(self.hasher.value())
    }

    /// The lines kept; none where nobody asked.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

/// The hash of a whole run: two runs of one seed must have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TraceHash(pub u64);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Hasher, Trace};

    #[test]
    fn lengths_and_order_count() {
        let hash = |parts: &[&[u8]]| {
            let mut hasher = Hasher::new();
            for part in parts {
                hasher.bytes(part);
            }
            hasher.value()
        };
        assert_eq!(hash(&[b"ab", b"c"]), hash(&[b"ab", b"c"]));
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"c", b"ab"]));
        assert_ne!(hash(&[b"a\0"]), hash(&[b"a"]));
    }

    #[test]
    fn the_lines_do_not_change_the_hash() {
        let mut quiet = Trace::new(false);
        let mut verbose = Trace::new(true);
        for trace in [&mut quiet, &mut verbose] {
            trace.event(5, 1, 2);
            trace.line(5, || "something".into());
        }
        assert_eq!(quiet.hash(), verbose.hash());
        assert_eq!(verbose.into_lines().len(), 1);
        assert!(quiet.into_lines().is_empty());
    }
}
