//! Arrays of responses whose elements are encoded as they are made: in memory an element takes several times what it takes
//! on the wire, and a request names many.
//!
//! Invariant: what was encoded is written into a message of the same form only.

use super::error::{DecodeError, DecodeProblem, EncodeError};
use super::kind::{Array, Kind, Nested, Optional, Structure, measure_length, write_length};
use super::reader::Reader;
use super::schema::{Form, Type};
use super::writer::{Size, Writer};
use super::{Message, Schema};
use crate::types::Part;
use alloc::vec::Vec;
use core::marker::PhantomData;

/// Bytes of encoded elements that lie in one piece, about.
const PIECE: usize = 16 << 10;

/// An array of a response.
#[derive(Clone, PartialEq, Debug)]
pub enum List<S> {
    /// Its elements.
    Made(Vec<S>),
    /// Its elements as they are sent.
    Written(Written),
}

/// Encoded elements.
#[derive(Clone, PartialEq, Debug)]
pub struct Written {
    form: Form,
    count: usize,
    parts: Vec<Part>,
    /// Why one of them could not be encoded.
    failed: Option<EncodeError>,
}

impl<S: Structure> List<S> {
    /// Encodes `elements` for a message of `version` of `schema`, one by one as they come.
    pub fn write(schema: &Schema, version: i16, elements: impl IntoIterator<Item = S>) -> Self {
        // Without a form the message is refused, whatever is in it.
        let Some(form) = schema.form(version) else {
            return Self::default();
        };
        let mut written = Written {
            form,
            count: 0,
            parts: Vec::new(),
            failed: None,
        };
        let mut writer = Writer::default();
        for element in elements {
            let mut size = Size::default();
            if let Err(error) = element.measure(form, &mut size) {
                written.failed = Some(error);
                break;
            }
            if writer.buffered() + size.inline > PIECE {
                written.parts.extend(core::mem::take(&mut writer).into_parts());
                writer.reserve(Size {
                    inline: PIECE.max(size.inline),
                    spliced: 0,
                });
            }
            element.write(form, &mut writer);
            written.count += 1;
        }
        written.parts.extend(writer.into_parts());
        Self::Written(written)
    }

    /// The same for a message of type `M`.
    pub fn write_in<M: Message>(version: i16, elements: impl IntoIterator<Item = S>) -> Self {
        Self::write(M::SCHEMA, version, elements)
    }
}

impl<S> List<S> {
    /// The elements. Panics where they are encoded: those of a message that was decoded are not.
    pub fn as_slice(&self) -> &[S] {
        match self {
            Self::Made(elements) => elements,
            Self::Written(_) => panic!("the elements are encoded already"),
        }
    }
}

impl<S> Default for List<S> {
    fn default() -> Self {
        Self::Made(Vec::new())
    }
}

impl<S> From<Vec<S>> for List<S> {
    fn from(elements: Vec<S>) -> Self {
        Self::Made(elements)
    }
}

impl<S> core::ops::Deref for List<S> {
    type Target = [S];

    fn deref(&self) -> &[S] {
        self.as_slice()
    }
}

impl<S> IntoIterator for List<S> {
    type Item = S;
    type IntoIter = alloc::vec::IntoIter<S>;

    fn into_iter(self) -> Self::IntoIter {
        match self {
            Self::Made(elements) => elements.into_iter(),
            Self::Written(_) => panic!("the elements are encoded already"),
        }
    }
}

impl<'a, S> IntoIterator for &'a List<S> {
    type Item = &'a S;
    type IntoIter = core::slice::Iter<'a, S>;

    fn into_iter(self) -> Self::IntoIter {
        self.as_slice().iter()
    }
}

/// The type of a [`List`]: on the wire an array like any other.
#[derive(Debug)]
pub struct Listed<S>(PhantomData<S>);

impl<S: Structure> Kind for Listed<S> {
    type Value = List<S>;
    const TYPE: Type = <Array<Nested<S>> as Kind>::TYPE;

    fn initial() -> List<S> {
        List::default()
    }

    fn least(form: Form) -> usize {
        Array::<Nested<S>>::least(form)
    }

    fn measure(value: &List<S>, form: Form, _: bool, size: &mut Size) -> Result<(), EncodeError> {
        let written = match value {
            List::Made(elements) => return Array::<Nested<S>>::measure_option(Some(elements), form, size),
            List::Written(written) => written,
        };
        if let Some(error) = &written.failed {
            return Err(*error);
        }
        assert_eq!(written.form, form, "elements of another form than their message");
        measure_length(Some(written.count), form.flexible, 4, size)?;
        size.add_records(&written.parts);
        Ok(())
    }

    fn write(value: &List<S>, form: Form, _: bool, writer: &mut Writer) {
        match value {
            List::Made(elements) => Array::<Nested<S>>::write_option(Some(elements), form, writer),
            List::Written(written) => {
                write_length(Some(written.count), form.flexible, 4, writer);
                writer.put_records(&written.parts);
            }
        }
    }

    fn read(reader: &mut Reader, form: Form, _: bool) -> Result<List<S>, DecodeError> {
        let elements = Array::<Nested<S>>::read_option(reader, form)?;
        elements.map(List::Made).ok_or(DecodeError::from(DecodeProblem::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::List;
    use crate::wire::message::delete_groups::{DeletableGroupResult, DeleteGroupsResponse};
    use crate::wire::{EncodeProblem, Message, Text, Writer, frame, reflect};
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn results(count: i16) -> Vec<DeletableGroupResult> {
        let result = |number: i16| DeletableGroupResult {
            group_id: Text::from(format!("group {number}")),
            error_code: number,
            ..DeletableGroupResult::default()
        };
        (0..count).map(result).collect()
    }

    fn encoded(results: List<DeletableGroupResult>, version: i16) -> Vec<u8> {
        let response = DeleteGroupsResponse {
            throttle_time_ms: 7,
            results,
        };
        let mut writer = Writer::default();
        let size = response.encoded_size(version).unwrap();
        response.encode(version, &mut writer).unwrap();
        let bytes = frame::join(&writer.into_parts()).unwrap();
        assert_eq!(bytes.len(), size);
        bytes.to_vec()
    }

    #[test]
    fn what_is_encoded_one_by_one_is_what_is_encoded_at_once() {
        for version in reflect::versions(DeleteGroupsResponse::SCHEMA) {
            // None, some, and more than fit one piece.
            for count in [0, 1, 30, 5000] {
                let written = List::write_in::<DeleteGroupsResponse>(version, results(count));
                assert!(matches!(&written, List::Written(it) if it.count == count as usize));
                assert_eq!(encoded(written, version), encoded(results(count).into(), version));
            }
        }
    }

    #[test]
    fn an_element_that_no_frame_holds_spoils_the_message() {
        let long = DeletableGroupResult {
            group_id: Text::from(String::from_utf8(alloc::vec![b'a'; 40_000]).unwrap()),
            ..DeletableGroupResult::default()
        };
        let response = DeleteGroupsResponse {
            results: List::write_in::<DeleteGroupsResponse>(0, [long]),
            ..DeleteGroupsResponse::default()
        };
        let error = response.encoded_size(0).unwrap_err();
        assert_eq!(error.problem, EncodeProblem::TooLong(40_000));
    }
}
