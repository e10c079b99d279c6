//! One field of a structure: whether a version has it, where it stands, and how it is passed on. The functions take the
//! field's description as a constant, so that once inlined only the code of its own type and versions is left.

use super::error::{DecodeError, DecodeProblem, EncodeError, EncodeProblem};
use super::kind::Kind;
use super::reader::Reader;
use super::schema::{Field, Form, Otherwise};
use super::writer::{Size, Writer, varint_len};

/// A field with its type and default: what the code of a structure is made of.
#[derive(Debug)]
pub struct Slot<K: Kind> {
    /// The field's description.
    pub field: Field,
    /// Makes the default.
    pub default: fn() -> K::Value,
}

impl<K: Kind> Slot<K> {
    #[inline]
    fn nullable_in(&self, form: Form) -> bool {
        self.field.nullable.contains(form.version)
    }

    /// Whether `form` has this field in its place in the order of fields, not among the tagged ones.
    #[inline]
    fn plain_in(&self, form: Form) -> bool {
        self.field.tag.is_none() && self.field.versions.contains(form.version)
    }

    /// The fewest bytes the field takes.
    #[inline]
    pub fn least(&self, form: Form) -> usize {
        if self.plain_in(form) { K::least(form) } else { 0 }
    }

    /// Counts the field's bytes; for a tagged field that is not left out, with its tag and size, and one in `tags`.
    #[inline]
    pub fn measure(&self, value: &K::Value, form: Form, size: &mut Size, tags: &mut u32) -> Result<(), EncodeError> {
        let nullable = self.nullable_in(form);
        if self.plain_in(form) {
            return K::measure(value, form, nullable, size).map_err(|error| error.at(self.field.path));
        }
        if !self.field.versions.contains(form.version) {
            return match self.field.otherwise {
                Otherwise::Refused if *value != (self.default)() => {
                    Err(EncodeError::from(EncodeProblem::NotInVersion(form.version)).at(self.field.path))
                }
                _ => Ok(()),
            };
        }
        if let Some(tag) = self.field.tag
            && *value != (self.default)()
        {
            let before = size.total();
            K::measure(value, form, nullable, size).map_err(|error| error.at(self.field.path))?;
            let length = size.total() - before;
            size.add(varint_len(tag) + varint_len(length as u32));
            *tags += 1;
        }
        Ok(())
    }

    /// Writes the field where it has a place in the order of fields; counts it in `tags` where it is tagged and not
    /// left out.
    #[inline]
    pub fn write(&self, value: &K::Value, form: Form, writer: &mut Writer, tags: &mut u32) {
        if self.plain_in(form) {
            K::write(value, form, self.nullable_in(form), writer);
        } else if self.field.versions.contains(form.version) && *value != (self.default)() {
            *tags += 1;
        }
    }

    /// Writes the field with its tag and size, where it is tagged and not left out.
    #[inline]
    pub fn write_tagged(&self, value: &K::Value, form: Form, writer: &mut Writer) {
        if let Some(tag) = self.field.tag
            && self.field.versions.contains(form.version)
            && *value != (self.default)()
        {
            let nullable = self.nullable_in(form);
            let mut size = Size::default();
            // Measured before, as a part of the whole: it cannot be refused now.
            let measured = K::measure(value, form, nullable, &mut size);
            debug_assert!(
                measured.is_ok(),
                "{} was not measured before it was written",
                self.field.path
            );
            writer.put_varint(tag);
            writer.put_varint(size.total() as u32);
            K::write(value, form, nullable, writer);
        }
    }

    /// Reads the field where it has a place in the order of fields; the default elsewhere.
    #[inline]
    pub fn read(&self, reader: &mut Reader, form: Form) -> Result<K::Value, DecodeError> {
        if self.plain_in(form) {
            K::read(reader, form, self.nullable_in(form)).map_err(|error| error.at(self.field.path))
        } else {
            Ok((self.default)())
        }
    }

    /// Reads the value of a tagged field into `value`, if the tag is this field's; says whether it was.
    #[inline]
    pub fn read_tagged(
        &self,
        reader: &mut Reader,
        tag: u32,
        form: Form,
        value: &mut K::Value,
    ) -> Result<bool, DecodeError> {
        if self.field.tag != Some(tag) || !self.field.versions.contains(form.version) {
            return Ok(false);
        }
        *value = K::read(reader, form, self.nullable_in(form)).map_err(|error| error.at(self.field.path))?;
        Ok(true)
    }
}

/// Reads the tagged fields that end a structure of a flexible version. `known` reads the value of a tag it knows; others
/// are skipped.
#[inline]
pub fn read_tags(
    reader: &mut Reader,
    mut known: impl FnMut(&mut Reader, u32) -> Result<bool, DecodeError>,
) -> Result<(), DecodeError> {
    for _ in 0..reader.unsigned_varint()? {
        let tag = reader.unsigned_varint()?;
        let length = reader.unsigned_varint()? as usize;
        let before = reader.remaining();
        if length > before {
            return Err(DecodeProblem::Truncated {
                needed: length,
                remaining: before,
            }
            .into());
        }
        if !known(reader, tag)? {
            reader.take(length)?;
        } else if before - reader.remaining() != length {
            return Err(DecodeProblem::TagSize { tag }.into());
        }
    }
    Ok(())
}
