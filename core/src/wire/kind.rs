//! The types of the protocol: how each is measured, written and read. Invariant: `write` puts exactly the bytes that
//! `measure` counted, and `read` takes exactly those.

use super::error::{DecodeError, DecodeProblem, EncodeError, EncodeProblem};
use super::reader::Reader;
use super::records::Records;
use super::schema::{Form, Struct, Type};
use super::text::Text;
use super::writer::{Size, Writer, varint_len};
use crate::types::Uuid;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Debug;
use core::marker::PhantomData;

/// A type of the protocol, and the Rust type that holds its values.
pub trait Kind {
    /// What holds a value.
    type Value: Clone + Debug + PartialEq;
    /// The type's name at run time.
    const TYPE: Type;

    /// Kafka's default for the type.
    fn initial() -> Self::Value;

    /// The fewest bytes a value takes.
    fn least(form: Form) -> usize;

    /// Counts the bytes of `value`, and refuses it where the wire cannot hold it or null is not `nullable`.
    fn measure(value: &Self::Value, form: Form, nullable: bool, size: &mut Size) -> Result<(), EncodeError>;

    /// Writes a value that has been measured.
    fn write(value: &Self::Value, form: Form, nullable: bool, writer: &mut Writer);

    /// Reads a value.
    fn read(reader: &mut Reader, form: Form, nullable: bool) -> Result<Self::Value, DecodeError>;
}

/// A type that has a null.
pub trait Optional: Kind {
    /// Counts the bytes of `value` or of null.
    fn measure_option(value: Option<&Self::Value>, form: Form, size: &mut Size) -> Result<(), EncodeError>;

    /// Writes `value` or null.
    fn write_option(value: Option<&Self::Value>, form: Form, writer: &mut Writer);

    /// Reads a value or null.
    fn read_option(reader: &mut Reader, form: Form) -> Result<Option<Self::Value>, DecodeError>;
}

/// A message or a structure inside one; implemented by [`message!`](crate::wire::notation::message).
pub trait Structure: Clone + Debug + PartialEq + Default {
    /// Its name and fields.
    const STRUCT: &'static Struct;

    /// The fewest bytes it takes.
    fn least(form: Form) -> usize;

    /// Counts its bytes.
    fn measure(&self, form: Form, size: &mut Size) -> Result<(), EncodeError>;

    /// Writes it, once measured.
    fn write(&self, form: Form, writer: &mut Writer);

    /// Reads it.
    fn read(reader: &mut Reader, form: Form) -> Result<Self, DecodeError>;
}

macro_rules! numbers {
    ($($name:ident $value:ty, $size:literal;)*) => { $(
        #[doc = concat!("`", stringify!($value), "`, big endian.")]
        #[derive(Debug)]
        pub struct $name;

        impl Kind for $name {
            type Value = $value;
            const TYPE: Type = Type::$name;

            #[inline]
            fn initial() -> $value {
                <$value>::default()
            }

            #[inline]
            fn least(_: Form) -> usize {
                $size
            }

            #[inline]
            fn measure(_: &$value, _: Form, _: bool, size: &mut Size) -> Result<(), EncodeError> {
                size.add($size);
                Ok(())
            }

            #[inline]
            fn write(value: &$value, _: Form, _: bool, writer: &mut Writer) {
                writer.put(&value.to_be_bytes());
            }

            #[inline]
            fn read(reader: &mut Reader, _: Form, _: bool) -> Result<$value, DecodeError> {
                Ok(<$value>::from_be_bytes(reader.array()?))
            }
        }
    )* };
}

numbers! {
    Int8 i8, 1;
    Int16 i16, 2;
    Uint16 u16, 2;
    Int32 i32, 4;
    Uint32 u32, 4;
    Int64 i64, 8;
    Float64 f64, 8;
}

/// A byte: 0 is false, anything else true.
#[derive(Debug)]
pub struct Bool;

impl Kind for Bool {
    type Value = bool;
    const TYPE: Type = Type::Bool;

    #[inline]
    fn initial() -> bool {
        false
    }

    #[inline]
    fn least(_: Form) -> usize {
        1
    }

    #[inline]
    fn measure(_: &bool, _: Form, _: bool, size: &mut Size) -> Result<(), EncodeError> {
        size.add(1);
        Ok(())
    }

    #[inline]
    fn write(value: &bool, _: Form, _: bool, writer: &mut Writer) {
        writer.put(&[u8::from(*value)]);
    }

    #[inline]
    fn read(reader: &mut Reader, _: Form, _: bool) -> Result<bool, DecodeError> {
        let [byte] = reader.array()?;
        Ok(byte != 0)
    }
}

/// 16 bytes (KIP-516).
#[derive(Debug)]
pub struct Id;

impl Kind for Id {
    type Value = Uuid;
    const TYPE: Type = Type::Uuid;

    #[inline]
    fn initial() -> Uuid {
        Uuid::ZERO
    }

    #[inline]
    fn least(_: Form) -> usize {
        16
    }

    #[inline]
    fn measure(_: &Uuid, _: Form, _: bool, size: &mut Size) -> Result<(), EncodeError> {
        size.add(16);
        Ok(())
    }

    #[inline]
    fn write(value: &Uuid, _: Form, _: bool, writer: &mut Writer) {
        writer.put(&value.0);
    }

    #[inline]
    fn read(reader: &mut Reader, _: Form, _: bool) -> Result<Uuid, DecodeError> {
        Ok(Uuid(reader.array()?))
    }
}

/// Counts a compact length, or one of `classic` bytes. Null is shorter by nothing: it takes a length too.
#[inline]
pub(super) fn measure_length(
    length: Option<usize>,
    compact: bool,
    classic: usize,
    size: &mut Size,
) -> Result<(), EncodeError> {
    let length = length.unwrap_or(0);
    let limit = if classic == 2 && !compact {
        i16::MAX as usize
    } else {
        i32::MAX as usize
    };
    if length > limit {
        return Err(EncodeProblem::TooLong(length).into());
    }
    // A compact null is the number 0 and a compact length of 0 is the number 1: one byte both.
    size.add(if compact {
        varint_len(length as u32 + 1)
    } else {
        classic
    });
    Ok(())
}

#[inline]
pub(super) fn write_length(length: Option<usize>, compact: bool, classic: usize, writer: &mut Writer) {
    if compact {
        writer.put_varint(length.map_or(0, |length| length as u32 + 1));
    } else if classic == 2 {
        writer.put(&length.map_or(-1, |length| length as i16).to_be_bytes());
    } else {
        writer.put(&length.map_or(-1, |length| length as i32).to_be_bytes());
    }
}

#[inline]
fn read_length(reader: &mut Reader, compact: bool, classic: usize) -> Result<Option<usize>, DecodeError> {
    if compact {
        reader.compact_length()
    } else if classic == 2 {
        Reader::classic_length(i16::from_be_bytes(reader.array()?).into())
    } else {
        Reader::classic_length(i32::from_be_bytes(reader.array()?))
    }
}

/// Implements [`Kind`] by way of [`Optional`], for types whose null is a length of its own.
macro_rules! kind_by_option {
    ($value:ty, $ty:expr, $initial:expr, compact $least:literal, classic $classic:literal) => {
        type Value = $value;
        const TYPE: Type = $ty;

        #[inline]
        fn initial() -> Self::Value {
            $initial
        }

        #[inline]
        fn least(form: Form) -> usize {
            if form.flexible { $least } else { $classic }
        }

        #[inline]
        fn measure(value: &Self::Value, form: Form, _: bool, size: &mut Size) -> Result<(), EncodeError> {
            Self::measure_option(Some(value), form, size)
        }

        #[inline]
        fn write(value: &Self::Value, form: Form, _: bool, writer: &mut Writer) {
            Self::write_option(Some(value), form, writer);
        }

        #[inline]
        fn read(reader: &mut Reader, form: Form, _: bool) -> Result<Self::Value, DecodeError> {
            Self::read_option(reader, form)?.ok_or(DecodeError::from(DecodeProblem::Null))
        }
    };
}

macro_rules! strings {
    ($($(#[$doc:meta])* $name:ident $ty:ident, compact $least:literal $compact:expr;)*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Kind for $name {
            kind_by_option!(Text, Type::$ty, Text::EMPTY, compact $least, classic 2);
        }

        impl Optional for $name {
            #[inline]
            fn measure_option(value: Option<&Text>, form: Form, size: &mut Size) -> Result<(), EncodeError> {
                let length = value.map(|text| text.as_bytes().len());
                measure_length(length, $compact(form), 2, size)?;
                size.add(length.unwrap_or(0));
                Ok(())
            }

            #[inline]
            fn write_option(value: Option<&Text>, form: Form, writer: &mut Writer) {
                write_length(value.map(|text| text.as_bytes().len()), $compact(form), 2, writer);
                if let Some(text) = value {
                    writer.put(text.as_bytes());
                }
            }

            #[inline]
            fn read_option(reader: &mut Reader, form: Form) -> Result<Option<Text>, DecodeError> {
                let length = read_length(reader, $compact(form), 2)?;
                length.map(|length| reader.text(length)).transpose()
            }
        }
    )* };
}

strings! {
    /// UTF-8 with a length.
    Str String, compact 1 |form: Form| form.flexible;
    /// UTF-8 with a length of two bytes in flexible versions too, for what must be read before the version is agreed on.
    ClassicStr ClassicString, compact 2 |_: Form| false;
}

/// Bytes with a length.
#[derive(Debug)]
pub struct Blob;

impl Kind for Blob {
    kind_by_option!(Bytes, Type::Bytes, Bytes::new(), compact 1, classic 4);
}

impl Optional for Blob {
    #[inline]
    fn measure_option(value: Option<&Bytes>, form: Form, size: &mut Size) -> Result<(), EncodeError> {
        measure_length(value.map(Bytes::len), form.flexible, 4, size)?;
        size.add(value.map_or(0, Bytes::len));
        Ok(())
    }

    #[inline]
    fn write_option(value: Option<&Bytes>, form: Form, writer: &mut Writer) {
        write_length(value.map(Bytes::len), form.flexible, 4, writer);
        if let Some(bytes) = value {
            writer.put(bytes);
        }
    }

    #[inline]
    fn read_option(reader: &mut Reader, form: Form) -> Result<Option<Bytes>, DecodeError> {
        let length = read_length(reader, form.flexible, 4)?;
        length.map(|length| reader.take(length)).transpose()
    }
}

/// Record batches in memory: those of a request. Null is their default and always has a place in the struct.
#[derive(Debug)]
pub struct RecordBytes;

impl Kind for RecordBytes {
    type Value = Option<Bytes>;
    const TYPE: Type = Type::Records;

    #[inline]
    fn initial() -> Self::Value {
        None
    }

    #[inline]
    fn least(form: Form) -> usize {
        Blob::least(form)
    }

    #[inline]
    fn measure(value: &Self::Value, form: Form, nullable: bool, size: &mut Size) -> Result<(), EncodeError> {
        measure_length(value.as_ref().map(Bytes::len), form.flexible, 4, size)?;
        match value {
            Some(bytes) => size.add_bytes(bytes.len()),
            None if nullable => {}
            None => return Err(EncodeProblem::Null.into()),
        }
        Ok(())
    }

    #[inline]
    fn write(value: &Self::Value, form: Form, _: bool, writer: &mut Writer) {
        write_length(value.as_ref().map(Bytes::len), form.flexible, 4, writer);
        if let Some(bytes) = value {
            writer.put_bytes(bytes);
        }
    }

    #[inline]
    fn read(reader: &mut Reader, form: Form, nullable: bool) -> Result<Self::Value, DecodeError> {
        match Blob::read_option(reader, form)? {
            None if !nullable => Err(DecodeProblem::Null.into()),
            value => Ok(value),
        }
    }
}

/// Record batches wherever they lie: those of a response.
#[derive(Debug)]
pub struct RecordParts;

impl Kind for RecordParts {
    type Value = Records;
    const TYPE: Type = Type::Records;

    #[inline]
    fn initial() -> Records {
        Records::Null
    }

    #[inline]
    fn least(form: Form) -> usize {
        Blob::least(form)
    }

    #[inline]
    fn measure(value: &Records, form: Form, nullable: bool, size: &mut Size) -> Result<(), EncodeError> {
        if *value == Records::Null && !nullable {
            return Err(EncodeProblem::Null.into());
        }
        measure_length(Some(value.len()), form.flexible, 4, size)?;
        size.add_records(value.parts());
        Ok(())
    }

    #[inline]
    fn write(value: &Records, form: Form, _: bool, writer: &mut Writer) {
        let length = match value {
            Records::Null => None,
            Records::Parts(_) => Some(value.len()),
        };
        write_length(length, form.flexible, 4, writer);
        writer.put_records(value.parts());
    }

    #[inline]
    fn read(reader: &mut Reader, form: Form, nullable: bool) -> Result<Records, DecodeError> {
        match Blob::read_option(reader, form)? {
            Some(bytes) => Ok(Records::from(bytes)),
            None if nullable => Ok(Records::Null),
            None => Err(DecodeProblem::Null.into()),
        }
    }
}

/// Values of one type with a count.
#[derive(Debug)]
pub struct Array<K>(PhantomData<K>);

impl<K: Kind> Kind for Array<K> {
    kind_by_option!(Vec<K::Value>, Type::Array(&K::TYPE), Vec::new(), compact 1, classic 4);
}

impl<K: Kind> Optional for Array<K> {
    #[inline]
    fn measure_option(value: Option<&Self::Value>, form: Form, size: &mut Size) -> Result<(), EncodeError> {
        measure_length(value.map(Vec::len), form.flexible, 4, size)?;
        value
            .into_iter()
            .flatten()
            .try_for_each(|element| K::measure(element, form, false, size))
    }

    #[inline]
    fn write_option(value: Option<&Self::Value>, form: Form, writer: &mut Writer) {
        write_length(value.map(Vec::len), form.flexible, 4, writer);
        for element in value.into_iter().flatten() {
            K::write(element, form, false, writer);
        }
    }

    #[inline]
    fn read_option(reader: &mut Reader, form: Form) -> Result<Option<Self::Value>, DecodeError> {
        let Some(count) = read_length(reader, form.flexible, 4)? else {
            return Ok(None);
        };
        reader.admit(count, K::least(form), size_of::<K::Value>())?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(K::read(reader, form, false)?);
        }
        Ok(Some(elements))
    }
}

/// A structure in its place, without a length.
#[derive(Debug)]
pub struct Nested<S>(PhantomData<S>);

impl<S: Structure> Kind for Nested<S> {
    type Value = S;
    const TYPE: Type = Type::Struct(S::STRUCT);

    #[inline]
    fn initial() -> S {
        S::default()
    }

    #[inline]
    fn least(form: Form) -> usize {
        S::least(form)
    }

    #[inline]
    fn measure(value: &S, form: Form, _: bool, size: &mut Size) -> Result<(), EncodeError> {
        value.measure(form, size)
    }

    #[inline]
    fn write(value: &S, form: Form, _: bool, writer: &mut Writer) {
        value.write(form, writer);
    }

    #[inline]
    fn read(reader: &mut Reader, form: Form, _: bool) -> Result<S, DecodeError> {
        S::read(reader, form)
    }
}

/// Where a structure may be null, a byte says whether it is: −1 for null, 1 for a structure that follows (KIP-893).
impl<S: Structure> Optional for Nested<S> {
    fn measure_option(value: Option<&S>, form: Form, size: &mut Size) -> Result<(), EncodeError> {
        size.add(1);
        value.map_or(Ok(()), |value| value.measure(form, size))
    }

    fn write_option(value: Option<&S>, form: Form, writer: &mut Writer) {
        writer.put(&(if value.is_some() { 1i8 } else { -1 }).to_be_bytes());
        if let Some(value) = value {
            value.write(form, writer);
        }
    }

    fn read_option(reader: &mut Reader, form: Form) -> Result<Option<S>, DecodeError> {
        let presence = i8::from_be_bytes(reader.array()?);
        if presence < 0 {
            Ok(None)
        } else {
            S::read(reader, form).map(Some)
        }
    }
}

/// A value that is null in some versions.
#[derive(Debug)]
pub struct Nullable<K>(PhantomData<K>);

impl<K: Optional> Kind for Nullable<K> {
    type Value = Option<K::Value>;
    const TYPE: Type = K::TYPE;

    #[inline]
    fn initial() -> Self::Value {
        Some(K::initial())
    }

    #[inline]
    fn least(form: Form) -> usize {
        match K::TYPE {
            // Either the byte that says null, or in versions without null at least as much.
            Type::Struct(_) => 1,
            _ => K::least(form),
        }
    }

    #[inline]
    fn measure(value: &Self::Value, form: Form, nullable: bool, size: &mut Size) -> Result<(), EncodeError> {
        match value {
            _ if nullable => K::measure_option(value.as_ref(), form, size),
            Some(value) => K::measure(value, form, false, size),
            None => Err(EncodeProblem::Null.into()),
        }
    }

    #[inline]
    fn write(value: &Self::Value, form: Form, nullable: bool, writer: &mut Writer) {
        match value {
            Some(value) if !nullable => K::write(value, form, false, writer),
            value => K::write_option(value.as_ref(), form, writer),
        }
    }

    #[inline]
    fn read(reader: &mut Reader, form: Form, nullable: bool) -> Result<Self::Value, DecodeError> {
        if nullable {
            K::read_option(reader, form)
        } else {
            K::read(reader, form, false).map(Some)
        }
    }
}
