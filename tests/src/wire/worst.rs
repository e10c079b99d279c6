//! Requests that ask the most of whoever reads them: of each array that an API's requests have in a version, as many
//! elements as fit, each as small as it can be.

use klamm_core::types::Uuid;
use klamm_core::wire::reflect::{Codec, Fields, MESSAGES, Value};
use klamm_core::wire::versions::{ApiKey, supported};
use klamm_core::wire::{Field, Role, Struct, Text, Type};

/// What the elements are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Names {
    /// Each another, and next to none of something that is there. Strings have so many letters, or more where there are not
    /// enough of them.
    Different(usize),
    /// All the same, of something that is there.
    Same,
}

/// What is there: a topic, and the number of a resource's kind that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct There<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// Its id.
    pub id: Uuid,
    /// A name that nobody had before, for what a request is about as a whole.
    pub fresh: &'a str,
    /// `ConfigResource.Type`.
    pub kind: i8,
}

/// The requests of the APIs that are served, each with its versions.
pub fn requests() -> impl Iterator<Item = (ApiKey, Codec, core::ops::RangeInclusive<i16>)> {
    MESSAGES.iter().filter_map(|&codec| {
        let Role::Request(code) = codec.schema.role else {
            return None;
        };
        let api = ApiKey::from_code(code).expect("a request is of an API");
        let (first, last) = supported(api)?;
        Some((api, codec, first..=last))
    })
}

/// The arrays of a message in a version, each by the fields that lead to it.
pub fn arrays(body: &'static Struct, version: i16) -> Vec<Vec<&'static str>> {
    let mut found = Vec::new();
    for field in body.fields.iter().filter(|field| field.versions.contains(version)) {
        let Type::Array(element) = field.kind else { continue };
        found.push(vec![field.name()]);
        if let Type::Struct(inner) = element {
            let deeper = arrays(inner, version).into_iter();
            found.extend(deeper.map(|path| [vec![field.name()], path].concat()));
        }
    }
    found
}

/// A message whose array at `path` has `count` elements, and each array inside an element one; those on the way there have
/// one element, of what is there.
pub fn message(
    body: &'static Struct,
    version: i16,
    path: &[&str],
    (count, names): (usize, Names),
    there: There<'_>,
) -> Value {
    let whole = Element {
        version,
        names: Names::Same,
        there,
        top: true,
    };
    whole.structure(body, 0, Some((path, count, names)))
}

struct Element<'a> {
    version: i16,
    names: Names,
    there: There<'a>,
    /// It is the message itself.
    top: bool,
}

impl Element<'_> {
    fn inner(&self, names: Names) -> Self {
        Element {
            version: self.version,
            names,
            there: self.there,
            top: false,
        }
    }

    fn structure(&self, body: &'static Struct, number: usize, many: Option<(&[&str], usize, Names)>) -> Value {
        let mut fields = Fields::new();
        let mut told_apart = false;
        for field in body.fields.iter().filter(|field| field.versions.contains(self.version)) {
            let leads = many.filter(|(path, ..)| path.first() == Some(&field.name()));
            let value = match (field.kind, leads) {
                (Type::Array(element), Some((path, count, names))) => {
                    let deeper = Some((&path[1..], count, names)).filter(|_| path.len() > 1);
                    let (length, names) = deeper.map_or((count, names), |_| (1, Names::Same));
                    let inner = self.inner(names);
                    Value::Array(
                        (0..length)
                            .map(|at| inner.element(field, *element, at, deeper))
                            .collect(),
                    )
                }
                // Arrays beside the one that matters are empty, those inside its elements are not.
                (Type::Array(_), None) if self.top || many.is_some() => Value::Array(Vec::new()),
                (Type::Array(element), None) => Value::Array(vec![self.element(field, *element, number, None)]),
                (kind, _) => {
                    let first = !core::mem::replace(&mut told_apart, true);
                    match self.value(field, kind, number, first) {
                        Some(value) => value,
                        None => continue,
                    }
                }
            };
            fields.push((field.name(), value));
        }
        Value::Struct(fields)
    }

    fn element(&self, field: &Field, kind: Type, number: usize, many: Option<(&[&str], usize, Names)>) -> Value {
        match kind {
            Type::Struct(body) => self.structure(body, number, many),
            kind => self.value(field, kind, number, true).expect("an element has a value"),
        }
    }

    /// A value that is no array; `None` for the default. The first field of an element tells it from others.
    fn value(&self, field: &Field, kind: Type, number: usize, first: bool) -> Option<Value> {
        let different = matches!(self.names, Names::Different(_));
        let known = match field.name() {
            "acks" => Some(-1),
            "resource_type" => Some(self.there.kind.into()),
            "session_timeout_ms" | "rebalance_timeout_ms" | "timeout_ms" => Some(10_000),
            "num_partitions" | "replication_factor" | "count" => Some(1),
            _ => None,
        };
        Some(match kind {
            Type::Bool => Value::Bool(true),
            Type::Int8 | Type::Int16 | Type::Uint16 | Type::Int32 | Type::Uint32 | Type::Int64 => match known {
                Some(known) => Value::Int(known),
                None if self.top || !first => return None,
                None => Value::Int(if different { number as i64 % 128 } else { 0 }.max(match kind {
                    Type::Int32 | Type::Int64 if different => number as i64,
                    _ => 0,
                })),
            },
            Type::Uuid if different => Value::Uuid(Uuid(u128::try_from(number + 1).expect("fits").to_be_bytes())),
            Type::Uuid => Value::Uuid(self.there.id),
            Type::String | Type::ClassicString if field.nullable.contains(self.version) && !first => Value::Null,
            Type::String | Type::ClassicString => Value::String(Text::from(self.name(number))),
            Type::Bytes => Value::Bytes(bytes::Bytes::new()),
            Type::Records | Type::Float64 | Type::Struct(_) | Type::Array(_) => return None,
        })
    }

    fn name(&self, number: usize) -> String {
        match self.names {
            _ if self.top => self.there.fresh.to_owned(),
            Names::Same => self.there.topic.to_owned(),
            Names::Different(letters) => {
                const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
                let mut name = String::new();
                let mut rest = number;
                while name.len() < letters || rest > 0 {
                    name.push(LETTERS[rest % 32].into());
                    rest /= 32;
                }
                name
            }
        }
    }
}

/// Elements by which the size of one is judged.
const SAMPLE: usize = 2000;

/// The message with as many elements as make about `bytes` of it.
pub fn filling(
    codec: Codec,
    version: i16,
    path: &[&str],
    (bytes, names): (usize, Names),
    there: There<'_>,
) -> bytes::Bytes {
    let encode = |count| {
        let message = message(codec.schema.body, version, path, (count, names), there);
        let encoded = codec.encode(&message, version);
        encoded.unwrap_or_else(|error| panic!("{} {version} {path:?}: {error}", codec.schema.name()))
    };
    let each = (encode(SAMPLE).len() - encode(0).len()).div_ceil(SAMPLE);
    encode(bytes / each.max(1))
}
