//! Messages as JSON with our own field names: requests written in it become bytes, answers become JSON, both by what the
//! wire notation says. Records in an answer are taken apart, batch by batch.
//!
//! Invariant: a request's field that its structure does not have in any version is a mistake of the scenario, and panics;
//! one that the version at hand does not have is left out.

use crate::batch;
use bytes::Bytes;
use klamm_core::types::Uuid;
use klamm_core::wire::reflect::{Codec, MESSAGES, Value};
use klamm_core::wire::versions::{ApiKey, supported};
use klamm_core::wire::{Reader, Role, Struct, Type};
use klamm_tests::wire::json::{Form, Tagged, to_json};
use serde_json::Value as Json;
use std::ops::RangeInclusive;

/// Field names as in the notation, bytes in hexadecimal digits, records taken apart, and every field.
const FORM: Form = Form {
    name: str::to_owned,
    bytes: hex,
    records: ("", batch::to_json),
    tagged: Tagged::All,
};

/// Kafka's error code.
const UNSUPPORTED_VERSION: i16 = 35;

/// One API: its key and the codecs of both directions.
#[derive(Clone, Copy)]
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    request: Codec,
    response: Codec,
}

impl Api {
    /// The API called `name`, if there is a codec for it.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let key = ApiKey::ALL.iter().copied().find(|key| key.name() == name)?;
        let codec = |role: Role| MESSAGES.iter().copied().find(|codec| codec.schema.role == role);
        Some(Self {
            key,
            request: codec(Role::Request(key.code()))?,
            response: codec(Role::Response(key.code()))?,
        })
    }

    /// The API called `name`.
    pub(crate) fn named(name: &str) -> Self {
        Self::find(name).unwrap_or_else(|| panic!("no API is called {name}"))
    }

    /// The versions that klamm serves; every one that there is where it serves none.
    pub(crate) fn versions(self) -> RangeInclusive<i16> {
        let all = self.request.schema.versions;
        let (first, last) = supported(self.key).unwrap_or((all.first, all.last));
        first..=last
    }

    pub(crate) const fn request_codec(self) -> Codec {
        self.request
    }

    pub(crate) const fn response_body(self) -> &'static Struct {
        self.response.schema.body
    }

    /// The bytes of a request's body. A version that the notation lacks is laid out as the nearest that it has.
    pub(crate) fn encode(self, version: i16, body: &Json) -> Vec<u8> {
        let known = version.clamp(self.request.schema.versions.first, self.request.schema.versions.last);
        let value = structure(self.request.schema.body, body, known);
        let encoded = self.request.encode(&value, known);
        encoded
            .unwrap_or_else(|error| panic!("{} {version}: {error}: {body}", self.key))
            .to_vec()
    }

    /// The header that goes before a request of `version`.
    pub(crate) fn header(self, version: i16, correlation: i32) -> Vec<u8> {
        header(
            self.key.code(),
            version,
            correlation,
            self.key.flexible().contains(version),
        )
    }

    /// An answer's body, which is all that follows the correlation id, as JSON; an error for what it is not.
    pub(crate) fn decode(self, version: i16, answer: &Bytes) -> Result<Json, String> {
        let versions = self.response.schema.versions;
        let known = match (self.key, answer.first_chunk()) {
            // Answered in version 0, whatever was asked (KIP-511).
            (ApiKey::ApiVersions, Some(&code)) if i16::from_be_bytes(code) == UNSUPPORTED_VERSION => 0,
            _ => version.clamp(versions.first, versions.last),
        };
        let mut answer = answer.clone();
        if self.key != ApiKey::ApiVersions && self.key.flexible().contains(version) {
            match answer.first() {
                Some(0) => answer = answer.slice(1..),
                other => return Err(format!("{other:?} where the header's count of tagged fields stands")),
            }
        }
        let mut reader = Reader::new(answer);
        let value = self
            .response
            .decode(&mut reader, known)
            .map_err(|error| error.to_string())?;
        match reader.remaining() {
            0 => Ok(told(self.response, &value, known)),
            rest => Err(format!("{rest} bytes follow the message")),
        }
    }
}

/// A message as JSON; a request can be written so again.
pub(crate) fn told(codec: Codec, message: &Value, version: i16) -> Json {
    let Value::Struct(fields) = message else {
        panic!("{message:?} is no message");
    };
    to_json(codec.schema.body, fields, version, FORM)
}

/// The versions of an API to go through.
pub(crate) fn versions(api: &str) -> RangeInclusive<i16> {
    Api::named(api).versions()
}

/// A request header: version 2 where `flexible`, otherwise 1.
pub(crate) fn header(key: i16, version: i16, correlation: i32, flexible: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(correlation.to_be_bytes());
    bytes.extend(6_i16.to_be_bytes());
    bytes.extend(b"parity");
    if flexible {
        bytes.push(0);
    }
    bytes
}

fn structure(body: &Struct, json: &Json, version: i16) -> Value {
    let Json::Object(object) = json else {
        panic!("{} is written as {json}", body.name);
    };
    for name in object.keys() {
        assert!(
            body.fields.iter().any(|field| field.name() == name),
            "{} has no {name}",
            body.name
        );
    }
    let fields = body.fields.iter().filter(|field| field.versions.contains(version));
    let given = fields.filter_map(|field| {
        Some((
            field.name(),
            value(field.path, field.kind, object.get(field.name())?, version),
        ))
    });
    Value::Struct(given.collect())
}

fn value(path: &str, kind: Type, json: &Json, version: i16) -> Value {
    let refuse = || -> ! { panic!("{path}: {json} is no {kind:?}") };
    match (kind, json) {
        (_, Json::Null) => Value::Null,
        (Type::Bool, Json::Bool(value)) => Value::Bool(*value),
        (Type::Uuid, Json::String(text)) => Value::Uuid(Uuid::parse(text).unwrap_or_else(|| refuse())),
        (Type::String | Type::ClassicString, Json::String(text)) => Value::String(text.clone().into()),
        (Type::Bytes | Type::Records, Json::String(text)) => Value::Bytes(unhex(text).into()),
        (Type::Array(element), Json::Array(values)) => {
            Value::Array(values.iter().map(|json| value(path, *element, json, version)).collect())
        }
        (Type::Struct(body), json) => structure(body, json, version),
        (_, Json::Number(number)) => number.as_i64().map_or_else(|| refuse(), Value::Int),
        _ => refuse(),
    }
}

/// Bytes as a request writes them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |bits: u8| char::from_digit(bits.into(), 16).expect("four bits");
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}
