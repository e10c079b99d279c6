//! Our notation says what Kafka's own schemas say, field by field.

use klamm_core::wire::versions::{ApiKey, supported};
use klamm_core::wire::{Field, Latest, Otherwise, Role, Schema, Struct, Type, Versions};
use klamm_tests::wire::{codecs, json, kafka};
use serde_json::Value as Json;
use std::collections::BTreeMap;

fn by_name() -> BTreeMap<String, Json> {
    kafka::schemas()
        .into_iter()
        .map(|schema| (text(&schema, "name").to_owned(), schema))
        .collect()
}

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap_or_default()
}

/// `3+`, `8-10`, `0` or `none`; nothing said is none.
fn versions(text: &str) -> Versions {
    let number = |text: &str| text.parse().expect("a version is a number");
    match (text, text.strip_suffix('+'), text.split_once('-')) {
        ("none" | "", _, _) => Versions::NONE,
        (_, Some(first), _) => Versions {
            first: number(first),
            last: i16::MAX,
        },
        (_, _, Some((first, last))) => Versions {
            first: number(first),
            last: number(last),
        },
        (single, _, _) => Versions {
            first: number(single),
            last: number(single),
        },
    }
}

fn compare_message(ours: &Schema, theirs: &Json) {
    let name = ours.name();
    let key = || i16::try_from(theirs["apiKey"].as_i64().expect("what is no header has a key")).unwrap();
    let role = match text(theirs, "type") {
        "request" => Role::Request(key()),
        "response" => Role::Response(key()),
        "header" => Role::Header,
        "coordinator-key" => Role::CoordinatorKey(key()),
        "coordinator-value" => Role::CoordinatorValue(key()),
        _ => Role::Data,
    };
    assert_eq!(ours.role, role, "{name}");
    assert_eq!(
        ours.versions,
        versions(text(theirs, "validVersions")),
        "{name}: versions"
    );
    assert_eq!(
        ours.flexible,
        versions(text(theirs, "flexibleVersions")),
        "{name}: flexible"
    );
    let unstable = theirs["latestVersionUnstable"] == true;
    assert_eq!(ours.latest == Latest::Unstable, unstable, "{name}: latest version");
    compare_struct(ours.body, &theirs["fields"], &theirs["commonStructs"]);
}

fn compare_struct(ours: &Struct, theirs: &Json, common: &Json) {
    let theirs = theirs
        .as_array()
        .unwrap_or_else(|| panic!("{} has no fields in Kafka's schema", ours.name));
    let our_names: Vec<_> = ours.fields.iter().map(|field| json::camel_case(field.name())).collect();
    let their_names: Vec<_> = theirs.iter().map(|field| decapitalized(text(field, "name"))).collect();
    assert_eq!(our_names, their_names, "{}: fields and their order", ours.name);
    for (field, other) in ours.fields.iter().zip(theirs) {
        compare_field(field, other, common);
    }
    let tags: Vec<_> = ours.fields.iter().filter_map(|field| field.tag).collect();
    assert!(
        tags.is_sorted(),
        "{}: tagged fields stand in the order of their tags",
        ours.name
    );
}

fn decapitalized(name: &str) -> String {
    name[..1].to_lowercase() + &name[1..]
}

fn compare_field(ours: &Field, theirs: &Json, common: &Json) {
    let path = ours.path;
    assert_eq!(ours.versions, versions(text(theirs, "versions")), "{path}: versions");
    assert_eq!(
        ours.nullable,
        versions(text(theirs, "nullableVersions")),
        "{path}: nullable"
    );
    assert_eq!(ours.tag.map(i64::from), theirs["tag"].as_i64(), "{path}: tag");
    if ours.tag.is_some() {
        assert_eq!(
            ours.versions,
            versions(text(theirs, "taggedVersions")),
            "{path}: tagged in all its versions"
        );
    }
    assert_eq!(
        ours.otherwise == Otherwise::Ignored,
        theirs["ignorable"] == true,
        "{path}: ignorable"
    );
    compare_default(ours, &theirs["default"]);
    let plain = text(theirs, "flexibleVersions") == "none";
    assert_eq!(matches!(ours.kind, Type::ClassicString), plain, "{path}: flexible");
    compare_type(path, ours.kind, text(theirs, "type"), theirs, common);
}

fn compare_default(ours: &Field, theirs: &Json) {
    use klamm_core::wire::reflect::Value;
    let value = json::default(ours);
    let same = match (theirs, &value) {
        (Json::Null, _) => ours.default.is_none(),
        (Json::String(text), Value::Null) => text == "null",
        (Json::String(text), Value::Int(value)) => json::integer(text) == *value,
        (Json::String(text), Value::Bool(value)) => text == &value.to_string(),
        (Json::String(text), Value::String(value)) => text == value.as_str(),
        (Json::Number(number), Value::Int(value)) => number.as_i64() == Some(*value),
        (Json::Bool(theirs), Value::Bool(value)) => theirs == value,
        _ => false,
    };
    assert!(same, "{}: our default is {value:?}, Kafka's {theirs}", ours.path);
}

fn compare_type(path: &str, ours: Type, theirs: &str, field: &Json, common: &Json) {
    let name = match ours {
        Type::Bool => "bool",
        Type::Int8 => "int8",
        Type::Int16 => "int16",
        Type::Uint16 => "uint16",
        Type::Int32 => "int32",
        Type::Uint32 => "uint32",
        Type::Int64 => "int64",
        Type::Float64 => "float64",
        Type::Uuid => "uuid",
        Type::String | Type::ClassicString => "string",
        Type::Bytes => "bytes",
        Type::Records => "records",
        Type::Array(element) => {
            let element_name = theirs
                .strip_prefix("[]")
                .unwrap_or_else(|| panic!("{path}: {theirs} is no array"));
            return compare_type(path, *element, element_name, field, common);
        }
        Type::Struct(body) => {
            let shared = common
                .as_array()
                .into_iter()
                .flatten()
                .find(|shared| text(shared, "name") == body.name);
            compare_struct(
                body,
                shared.map_or(&field["fields"], |shared| &shared["fields"]),
                common,
            );
            body.name
        }
    };
    assert_eq!(name, theirs, "{path}: type");
}

#[test]
fn every_message_has_the_structure_of_kafkas_schema() {
    let theirs = by_name();
    for codec in codecs() {
        let name = codec.schema.name();
        compare_message(
            codec.schema,
            theirs.get(name).unwrap_or_else(|| panic!("Kafka has no {name}")),
        );
    }
}

#[test]
fn every_default_is_the_one_in_the_notation() {
    for codec in codecs() {
        let empty = klamm_core::wire::reflect::Value::Struct(Vec::new());
        assert_eq!(
            codec.complete(&empty),
            json::defaults(codec.schema.body),
            "{}",
            codec.schema.name()
        );
    }
}

#[test]
fn the_apis_are_kafkas() {
    let mut theirs: Vec<_> = by_name()
        .into_values()
        .filter(|schema| text(schema, "type") == "request" && text(schema, "validVersions") != "none")
        .map(|schema| {
            let key = i16::try_from(schema["apiKey"].as_i64().expect("a request has a key")).unwrap();
            let name = text(&schema, "name")
                .strip_suffix("Request")
                .expect("a request is called that")
                .to_owned();
            (key, name, versions(text(&schema, "flexibleVersions")))
        })
        .collect();
    theirs.sort_by_key(|(key, _, _)| *key);
    let ours: Vec<_> = ApiKey::ALL
        .iter()
        .map(|api| (api.code(), api.name().to_owned(), api.flexible()))
        .collect();
    assert_eq!(ours, theirs);
}

#[test]
fn what_is_served_is_all_that_is_stable() {
    let theirs = by_name();
    let mut served = 0;
    for &api in ApiKey::ALL {
        let Some(ours) = supported(api) else { continue };
        served += 1;
        let request = &theirs[&format!("{api}Request")];
        let all = versions(text(request, "validVersions"));
        let unstable = i16::from(request["latestVersionUnstable"] == true);
        assert_eq!(ours, (all.first, all.last - unstable), "{api}");
    }
    assert!(served >= 10, "only {served} APIs are served");
}
