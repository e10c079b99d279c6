//! Kafka's wire protocol: bytes to messages and back, in every version that a client may speak.
//!
//! - [`notation`] is how a message is described, and [`message`] holds the descriptions: one file per API.
//! - [`frame`] is what surrounds a message on a connection, [`coordinator`] what does in a coordinator's record.
//! - [`versions`] says which APIs there are and which of their versions are served.
//!
//! Invariants: decoding copies no strings and no bytes, and allocates no more than its frame justifies ([`Reader`]);
//! encoding allocates once, at the exact size, and does not touch records ([`Records`]). No input panics.

pub mod coordinator;
mod error;
#[doc(hidden)]
pub mod field;
pub mod frame;
pub mod kind;
mod list;
pub mod message;
pub mod notation;
mod reader;
mod records;
#[cfg(any(test, feature = "reflect"))]
pub mod reflect;
mod schema;
mod text;
pub mod versions;
mod writer;

pub use error::{DecodeError, DecodeProblem, EncodeError, EncodeProblem};
pub use list::{List, Listed};
pub use reader::{MAX_TEXT_BYTES, Reader};
pub use records::Records;
pub use schema::{Field, Form, Latest, Otherwise, Role, Schema, Struct, Type, Versions};
pub use text::Text;
pub use writer::{Size, Writer};

use kind::Structure;

/// A message of the protocol; defined by [`message!`](crate::wire::notation::message).
pub trait Message: Structure {
    /// What the notation says about it.
    const SCHEMA: &'static Schema;

    /// Reads the message as `version` lays it out. Bytes after it are left in the reader.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        match Self::SCHEMA.form(version) {
            Some(form) => Self::read(reader, form),
            None => Err(DecodeError::from(DecodeProblem::UnsupportedVersion(version)).at(Self::SCHEMA.name())),
        }
    }

    /// How many bytes the message takes in `version`, those of its records included.
    fn encoded_size(&self, version: i16) -> Result<usize, EncodeError> {
        Ok(self.sized(version)?.1.total())
    }

    /// Writes the message as `version` lays it out. On an error nothing is written.
    fn encode(&self, version: i16, writer: &mut Writer) -> Result<(), EncodeError> {
        let (form, size) = self.sized(version)?;
        writer.reserve(size);
        self.write(form, writer);
        Ok(())
    }

    /// The form of `version`, and what the message takes in it.
    fn sized(&self, version: i16) -> Result<(Form, Size), EncodeError> {
        let Some(form) = Self::SCHEMA.form(version) else {
            return Err(EncodeError::from(EncodeProblem::UnsupportedVersion(version)).at(Self::SCHEMA.name()));
        };
        let mut size = Size::default();
        self.measure(form, &mut size)?;
        Ok((form, size))
    }
}
