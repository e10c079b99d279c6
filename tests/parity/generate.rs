//! Requests drawn from the wire notation: every field that a version has, with values that are good, at the edge, or bad.
//!
//! Invariants: what is drawn follows from the draws and from how many values a field may take, never from the values, so
//! that ids which differ between the brokers are drawn alike. No part of a request is there twice: what Kafka makes of
//! that are scenarios of their own.

use crate::draw::Draw;
use crate::message::Api;
use klamm_core::wire::{Field, Struct, Type};
use serde_json::{Map, Value as Json, json};

/// What one field may be given: values that a request gets on with, and those at the edge of that or beyond. An array
/// without any is mostly empty.
pub(crate) struct Pool {
    good: Vec<Json>,
    edge: Vec<Json>,
}

impl Pool {
    /// Two arrays of values; for the elements of an array where the field is one.
    pub(crate) fn new(good: &Json, edge: &Json) -> Self {
        let values = |array: &Json| array.as_array().cloned().expect("a pool is an array");
        Self {
            good: values(good),
            edge: values(edge),
        }
    }
}

/// What fields are given: by the API, the version, and the field as `Structure.field`. Without a pool, values of the
/// field's type.
pub(crate) type Pools<'a> = &'a dyn Fn(&str, i16, &str) -> Option<Pool>;

/// How much of a request is at the edge: nothing, a field here or there, or much of it.
#[derive(Clone, Copy)]
enum Mood {
    Good,
    Careless,
    Wild,
}

/// A request of an API and version.
pub(crate) fn request(draw: &mut Draw, api: Api, version: i16, pools: Pools<'_>) -> Json {
    let mood = *draw.pick(&[
        Mood::Good,
        Mood::Good,
        Mood::Careless,
        Mood::Careless,
        Mood::Careless,
        Mood::Wild,
    ]);
    let mut maker = Maker {
        draw,
        mood,
        api: api.key.name(),
        version,
        pools,
    };
    maker.structure(api.request_codec().schema.body)
}

struct Maker<'a> {
    draw: &'a mut Draw,
    mood: Mood,
    api: &'static str,
    version: i16,
    pools: Pools<'a>,
}

impl Maker<'_> {
    /// Whether the next value is one at the edge.
    fn at_the_edge(&mut self) -> bool {
        match self.mood {
            Mood::Good => false,
            Mood::Careless => self.draw.one_in(8),
            Mood::Wild => self.draw.one_in(3),
        }
    }

    fn structure(&mut self, body: &Struct) -> Json {
        let fields = body.fields.iter().filter(|field| field.versions.contains(self.version));
        let drawn: Vec<_> = fields.collect();
        let drawn = drawn
            .into_iter()
            .map(|field| (field.name().to_owned(), self.field(field)));
        Json::Object(drawn.collect::<Map<_, _>>())
    }

    fn field(&mut self, field: &Field) -> Json {
        let pool = (self.pools)(self.api, self.version, field.path);
        let nullable = field.nullable.contains(self.version);
        if let Type::Array(element) = field.kind {
            // Null asks for everything there is, which is for pools to allow.
            let null = pool.as_ref().is_some_and(|pool| pool.edge.contains(&Json::Null));
            if nullable && null && self.draw.one_in(6) {
                return Json::Null;
            }
            let rare = pool
                .as_ref()
                .is_some_and(|pool| pool.good.is_empty() && pool.edge.is_empty());
            return match (rare && !self.draw.one_in(4), nullable) {
                (true, true) => Json::Null,
                (true, false) => json!([]),
                (false, _) => self.array(*element, pool.filter(|_| !rare)),
            };
        }
        if pool.is_none() && nullable && self.draw.one_in(2) {
            return Json::Null;
        }
        let value = self.scalar(field.kind, pool.as_ref());
        match value {
            Json::Null if !nullable => self.plain(field.kind),
            value => value,
        }
    }

    fn array(&mut self, element: Type, pool: Option<Pool>) -> Json {
        let pool = pool.map(|mut pool| {
            pool.edge.retain(|value| !value.is_null());
            pool
        });
        let count = if self.at_the_edge() { 0 } else { 1 + self.draw.below(3) };
        let mut values: Vec<Json> = Vec::new();
        for _ in 0..count {
            let value = match element {
                Type::Struct(body) => self.structure(body),
                kind => self.scalar(kind, pool.as_ref()),
            };
            if !values.iter().any(|other| identity(other) == identity(&value)) {
                values.push(value);
            }
        }
        Json::Array(values)
    }

    fn scalar(&mut self, kind: Type, pool: Option<&Pool>) -> Json {
        let edge = self.at_the_edge();
        match pool {
            Some(pool) if !pool.edge.is_empty() && (edge || pool.good.is_empty()) => self.draw.pick(&pool.edge).clone(),
            Some(pool) => self.draw.pick(&pool.good).clone(),
            None if edge => self.extreme(kind),
            None => self.plain(kind),
        }
    }

    fn plain(&mut self, kind: Type) -> Json {
        match kind {
            Type::Bool => json!(self.draw.one_in(2)),
            Type::String | Type::ClassicString => json!(*self.draw.pick(&["some", "other"])),
            Type::Bytes | Type::Records => json!(*self.draw.pick(&["", "00", "0a0b"])),
            Type::Uuid => json!(crate::scenarios::NO_TOPIC_ID),
            Type::Float64 => json!(0.0),
            Type::Struct(body) => self.structure(body),
            Type::Array(_) => json!([]),
            _ => json!(self.draw.below(2)),
        }
    }

    fn extreme(&mut self, kind: Type) -> Json {
        let bounds = match kind {
            Type::Int8 => [i64::from(i8::MIN), i64::from(i8::MAX)],
            Type::Int16 => [i64::from(i16::MIN), i64::from(i16::MAX)],
            Type::Int32 => [i64::from(i32::MIN), i64::from(i32::MAX)],
            Type::Int64 => [i64::MIN, i64::MAX],
            Type::Uint16 => [0, i64::from(u16::MAX)],
            Type::Uint32 => [0, i64::from(u32::MAX)],
            Type::String | Type::ClassicString => return json!(*self.draw.pick(&["", "ü", " ", "a\u{0}b"])),
            Type::Uuid => return json!(crate::scenarios::ZERO_ID),
            kind => return self.plain(kind),
        };
        let [first, last] = bounds;
        json!(*self.draw.pick(&[first, last, (first / 2 + last / 2).max(-1)]))
    }
}

/// The kinds of resources that there are (`ConfigResource.Type`); all others are one to Kafka, which is silent where two
/// have one name.
const RESOURCES: &[i64] = &[2, 4, 8, 16, 32];

/// What a part of a request is about: what stands before its numbers.
fn identity(value: &Json) -> String {
    const IDS: &[&str] = &[
        "topic",
        "name",
        "topic_name",
        "topic_id",
        "partition",
        "partition_index",
        "index",
        "resource_type",
        "resource_name",
        "member_id",
        "group_instance_id",
    ];
    let said: Vec<String> = IDS
        .iter()
        .filter_map(|name| {
            let said = value.get(name)?;
            let unknown = *name == "resource_type" && !said.as_i64().is_some_and(|kind| RESOURCES.contains(&kind));
            Some(if unknown {
                "unknown".to_owned()
            } else {
                said.to_string()
            })
        })
        .collect();
    if let Some(group) = value.get("group_id") {
        return group.to_string();
    }
    if said.is_empty() {
        value.to_string()
    } else {
        said.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::{Pool, request};
    use crate::draw::Draw;
    use crate::message::{Api, versions};
    use klamm_core::wire::versions::{ApiKey, supported};
    use serde_json::json;

    #[test]
    fn whatever_is_drawn_can_be_written_in_every_version() {
        let mut draw = Draw::new(1, "all");
        for key in ApiKey::ALL.iter().filter(|key| supported(**key).is_some()) {
            let api = Api::named(key.name());
            for version in versions(key.name()) {
                for _ in 0..20 {
                    let body = request(&mut draw, api, version, &|_, _, _| None);
                    api.encode(version, &body);
                }
            }
        }
    }

    #[test]
    fn pools_of_one_size_are_drawn_from_alike() {
        let drawn = |first: &str, second: &str| {
            let pools = |_: &str, _: i16, field: &str| {
                (field == "HeartbeatRequest.member_id").then(|| Pool::new(&json!([first, second]), &json!([])))
            };
            let mut draw = Draw::new(3, "pools");
            let requests = (0..30).map(|_| request(&mut draw, Api::named("Heartbeat"), 4, &pools).to_string());
            requests.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(
            drawn("a", "b").replace("\"a\"", "\"c\"").replace("\"b\"", "\"d\""),
            drawn("c", "d")
        );
    }
}
