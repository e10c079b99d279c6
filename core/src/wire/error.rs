//! Why bytes are no message, and why a message has no bytes in some version.

use core::fmt;

/// Why bytes could not be read as a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// The innermost field that was being read, as `Struct.field`; empty where the frame itself is at fault.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: DecodeProblem,
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeProblem {
    /// The bytes end before the value does.
    Truncated {
        /// How many bytes the value, or at least its next part, takes.
        needed: usize,
        /// How many there are.
        remaining: usize,
    },
    /// An array claims more elements than the remaining bytes can hold.
    TooManyElements {
        /// The claimed count.
        count: usize,
        /// How many bytes there are.
        remaining: usize,
    },
    /// The elements would take more memory than the frame's size justifies; see [`Reader`](super::Reader).
    TooMuchMemory,
    /// A length below −1, which stands for null.
    NegativeLength(i32),
    /// Null, where this version has no null.
    Null,
    /// A string of more bytes than [`MAX_TEXT_BYTES`](super::MAX_TEXT_BYTES).
    TextTooLong(usize),
    /// A string that is not UTF-8.
    NotUtf8,
    /// A variable-length number that does not end within 32 bits.
    VarintTooLong,
    /// A tagged field whose value does not fill the size it was given.
    TagSize {
        /// The field's tag.
        tag: u32,
    },
    /// A version that this message does not have.
    UnsupportedVersion(i16),
}

impl DecodeError {
    /// The same error, in `field` unless an inner one is named already.
    #[must_use]
    #[cold]
    pub fn at(mut self, field: &'static str) -> Self {
        if self.field.is_empty() {
            self.field = field;
        }
        self
    }
}

impl From<DecodeProblem> for DecodeError {
    #[cold]
    fn from(problem: DecodeProblem) -> Self {
        Self { field: "", problem }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        match self.problem {
            DecodeProblem::Truncated { needed, remaining } => {
                write!(f, "needs {needed} bytes, but {remaining} remain")
            }
            DecodeProblem::TooManyElements { count, remaining } => {
                write!(f, "claims {count} elements, but only {remaining} bytes remain")
            }
            DecodeProblem::TooMuchMemory => f.write_str("its elements take too much memory for a frame of this size"),
            DecodeProblem::NegativeLength(length) => write!(f, "has the length {length}"),
            DecodeProblem::Null => f.write_str("is null, which this version does not allow"),
            DecodeProblem::TextTooLong(length) => write!(f, "is a string of {length} bytes, more than any may have"),
            DecodeProblem::NotUtf8 => f.write_str("is not UTF-8, and too long with what is not replaced"),
            DecodeProblem::VarintTooLong => f.write_str("has a variable-length number of more than 32 bits"),
            DecodeProblem::TagSize { tag } => write!(f, "the value of tag {tag} does not fill its size"),
            DecodeProblem::UnsupportedVersion(version) => write!(f, "version {version} is not supported"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Why a message could not be written in a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EncodeError {
    /// The innermost field at fault, as `Struct.field`, or the message's name.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: EncodeProblem,
}

/// What is wrong with the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodeProblem {
    /// The message does not have this version.
    UnsupportedVersion(i16),
    /// The field is set, must not be ignored, and is not part of this version.
    NotInVersion(i16),
    /// The field is null, which this version does not allow.
    Null,
    /// A length that the wire's length field cannot hold, in bytes or elements.
    TooLong(usize),
}

impl EncodeError {
    /// The same error, in `field` unless an inner one is named already.
    #[must_use]
    #[cold]
    pub fn at(mut self, field: &'static str) -> Self {
        if self.field.is_empty() {
            self.field = field;
        }
        self
    }
}

impl From<EncodeProblem> for EncodeError {
    #[cold]
    fn from(problem: EncodeProblem) -> Self {
        Self { field: "", problem }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.field)?;
        match self.problem {
            EncodeProblem::UnsupportedVersion(version) => write!(f, "version {version} is not supported"),
            EncodeProblem::NotInVersion(version) => write!(f, "is set, but version {version} does not carry it"),
            EncodeProblem::Null => f.write_str("is null, which this version does not allow"),
            EncodeProblem::TooLong(length) => write!(f, "its length {length} does not fit on the wire"),
        }
    }
}

impl core::error::Error for EncodeError {}
