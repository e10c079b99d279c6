//! What ends a command badly: a text that says what to do, and an exit code.

use crate::client::ClientError;
use klamm_core::config::ConfigError;
use std::fmt;
use std::io::{self, Write, stderr};

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    pub(crate) telling: Telling,
}

/// Whether people have to be told of a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Telling {
    /// They have to be.
    Due,
    /// They were told.
    Done,
    /// Nobody reads what is printed any more, as with `| head`: it is none.
    Idle,
}

/// What a command ends with.
pub(crate) type Outcome = Result<(), Failure>;

/// Says something on standard error, if anybody listens there.
pub(crate) fn tell(text: fmt::Arguments<'_>) {
    // Where it cannot be written, nobody can be told.
    let _ = writeln!(stderr(), "{text}");
}

impl Failure {
    /// A failure that people are told as `text`.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            telling: Telling::Due,
        }
    }

    /// What was asked for could not be printed.
    pub(crate) fn printing(error: &io::Error) -> Self {
        let telling = match error.kind() {
            io::ErrorKind::BrokenPipe => Telling::Idle,
            _ => Telling::Due,
        };
        Self {
            text: format!("cannot write to standard output: {error}"),
            telling,
        }
    }

    /// The same, of which people were told.
    pub(crate) fn told(self) -> Self {
        Self {
            telling: Telling::Done,
            ..self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string())
    }
}
