//! Messages as JSON: one walk by the notation, in the form that its reader wants.

use klamm_core::types::Uuid;
use klamm_core::wire::reflect::{Fields, Value};
use klamm_core::wire::{Field, Struct, Type};
use serde_json::{Map, Value as Json};

/// How a message stands in JSON.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// A field's name, from that of the notation.
    pub name: fn(&str) -> String,
    /// Bytes.
    pub bytes: fn(&[u8]) -> String,
    /// What is added to the name of records, and how they stand.
    pub records: (&'static str, fn(&[u8]) -> Json),
    /// Which tagged fields there are.
    pub tagged: Tagged,
}

/// Which tagged fields a form has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tagged {
    /// All.
    All,
    /// Those that are not at their default.
    Changed,
}

/// As Kafka's converters write: records by their length only.
pub const AS_KAFKA_WRITES: Form = Form {
    name: camel_case,
    bytes: base64,
    records: ("SizeInBytes", |bytes| bytes.len().into()),
    tagged: Tagged::Changed,
};

/// As Kafka's converters read.
pub const AS_KAFKA_READS: Form = Form {
    records: ("", |bytes| base64(bytes).into()),
    ..AS_KAFKA_WRITES
};

/// The fields that `version` has.
pub fn to_json(body: &Struct, fields: &Fields, version: i16, form: Form) -> Json {
    let mut object = Map::new();
    for (field, (_, value)) in body.fields.iter().zip(fields) {
        let silent = form.tagged == Tagged::Changed && field.tag.is_some() && *value == default(field);
        if silent || !field.versions.contains(version) {
            continue;
        }
        let name = (form.name)(field.name());
        match (field.kind, value) {
            (Type::Records, Value::Bytes(bytes)) => {
                let (suffix, told) = form.records;
                object.insert(name + suffix, told(bytes));
            }
            _ => {
                object.insert(name, value_to_json(field.kind, value, version, form));
            }
        }
    }
    Json::Object(object)
}

fn value_to_json(kind: Type, value: &Value, version: i16, form: Form) -> Json {
    match (kind, value) {
        (_, Value::Null) => Json::Null,
        (_, Value::Bool(value)) => (*value).into(),
        (_, Value::Int(value)) => (*value).into(),
        (_, Value::Float(value)) => (*value).into(),
        (_, Value::Uuid(value)) => value.to_string().into(),
        (_, Value::String(value)) => value.as_str().into(),
        (_, Value::Bytes(value)) => (form.bytes)(value).into(),
        (Type::Array(element), Value::Array(values)) => values
            .iter()
            .map(|value| value_to_json(*element, value, version, form))
            .collect(),
        (Type::Struct(body), Value::Struct(fields)) => to_json(body, fields, version, form),
        (kind, value) => panic!("{value:?} is no {kind:?}"),
    }
}

/// The default of a field, from what the notation says about it.
pub fn default(field: &Field) -> Value {
    let Some(text) = field.default else {
        return match field.kind {
            Type::Bool => Value::Bool(false),
            Type::Int8 | Type::Int16 | Type::Uint16 | Type::Int32 | Type::Uint32 | Type::Int64 => Value::Int(0),
            Type::Float64 => Value::Float(0.0),
            Type::Uuid => Value::Uuid(Uuid::ZERO),
            Type::String | Type::ClassicString => Value::String("".into()),
            Type::Bytes => Value::Bytes("".into()),
            Type::Records => Value::Null,
            Type::Array(_) => Value::Array(Vec::new()),
            Type::Struct(body) => defaults(body),
        };
    };
    match text {
        "None" => Value::Null,
        "true" => Value::Bool(true),
        number => Value::Int(integer(number)),
    }
}

/// A structure whose fields all have their defaults.
pub fn defaults(body: &Struct) -> Value {
    Value::Struct(body.fields.iter().map(|field| (field.name(), default(field))).collect())
}

/// A number as the notation or Kafka's schemas write it.
pub fn integer(text: &str) -> i64 {
    let digits = text.replace('_', "");
    let number = digits
        .strip_prefix("0x")
        .map_or_else(|| digits.parse(), |hex| i64::from_str_radix(hex, 16));
    number.unwrap_or_else(|_| panic!("{text} is no number"))
}

/// `throttle_time_ms` as `throttleTimeMs`.
pub fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |camel, word| camel + &word[..1].to_uppercase() + &word[1..])
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .chain(&[0, 0])
            .take(3)
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        for digit in 0..4 {
            let known = digit <= chunk.len();
            text.push(if known {
                DIGITS[bits >> (18 - 6 * digit) & 63].into()
            } else {
                '='
            });
        }
    }
    text
}
