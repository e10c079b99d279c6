//! What the broker listens on, and what it tells the clients of each listener.
//!
//! Invariants (`KafkaConfig.validateValues`, `CoreUtils.listenerListToEndPoints`): a listener is advertised at most once,
//! and only if there is one of its name; no wildcard is advertised; no two listeners share a name or a port, but for
//! those on an IPv4 and an IPv6 address.

use super::{Notes, Values, text_of};
use crate::config::ConfigError;
use crate::config::broker_keys::LISTENERS;
use crate::config::listener::{Listener, Protocols, default_protocols, parse_listeners, parse_protocol_map};
use crate::config::value::Value;
use crate::types::ListenerName;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

const ADVERTISED: &str = "advertised.listeners";

/// What to listen on for clients, and what to advertise of it.
pub(super) fn read(values: &Values, notes: &mut Notes) -> Result<(Vec<Listener>, Vec<Listener>), ConfigError> {
    let controllers: BTreeSet<ListenerName> = match values.get("controller.listener.names") {
        Some(Value::List(names)) => names.iter().map(|name| ListenerName::new(name)).collect(),
        _ => BTreeSet::new(),
    };
    let text = values
        .get("listeners")
        .map_or_else(|| LISTENERS.to_owned(), Value::canonical);
    let listeners = parse_listeners("listeners", &text)?;
    check_distinct(&listeners)?;
    let map = text_of(values, "listener.security.protocol.map");
    let protocols = map.map_or_else(|| Ok(default_protocols()), parse_protocol_map)?;
    for listener in &listeners {
        let inner = controllers.contains(&listener.name);
        // Who maps nothing need not map the controllers' either (`KafkaConfig.effectiveListenerSecurityProtocolMap`).
        if map.is_some() || !inner {
            check_protocol(listener, inner, &protocols)?;
        }
    }
    let (peers, clients): (Vec<_>, Vec<_>) = listeners
        .into_iter()
        .partition(|listener| controllers.contains(&listener.name));
    if !peers.is_empty() {
        let name = format!("the listeners {}", list(&controllers));
        notes
            .inert
            .push((name, "this node is alone and has no peers to talk to"));
    }
    if clients.is_empty() {
        return Err(ConfigError::new("listeners", "none is for clients"));
    }
    let advertised = match values.get(ADVERTISED) {
        Some(value) => advertised(&value.canonical(), &clients, &controllers)?,
        None => derived(&clients)?,
    };
    Ok((clients, advertised))
}

/// No two listeners have one port, nor one name, unless one has an IPv4 and the other an IPv6 address. Kafka wants other
/// names for these, too; a listener is given both here with one name and one port.
fn check_distinct(listeners: &[Listener]) -> Result<(), ConfigError> {
    for (at, listener) in listeners.iter().enumerate() {
        for other in listeners.iter().take(at) {
            let (one, two) = (&other.address, &listener.address);
            let apart = one.is_of_another_family(two);
            if other.name == listener.name && !(apart && one.port == two.port) {
                let problem = format!(
                    "{} is both {one} and {two}; give each listener a name of its own (only an IPv4 and an IPv6 address \
                     with the same port may share one)",
                    listener.name
                );
                return Err(ConfigError::new("listeners", problem));
            }
            if one.port == two.port && one.port != 0 && !apart {
                let problem = format!(
                    "{}://{one} and {}://{two} have the same port; give each listener a port of its own (only an IPv4 \
                     and an IPv6 address may share one)",
                    other.name, listener.name
                );
                return Err(ConfigError::new("listeners", problem));
            }
        }
    }
    Ok(())
}

/// The map has a protocol for each listener, and that of one for clients is available; `inner` ones are not opened.
fn check_protocol(listener: &Listener, inner: bool, protocols: &Protocols) -> Result<(), ConfigError> {
    let name = &listener.name;
    let problem = match protocols.get(name) {
        Some(&"PLAINTEXT") => return Ok(()),
        Some(_) if inner => return Ok(()),
        Some(protocol) => format!(
            "{name} asks for {protocol}, and TLS and SASL are not available yet; use a PLAINTEXT listener on an address \
             that only trusted clients reach"
        ),
        None => format!(
            "listener.security.protocol.map gives no security protocol for {name}; it has some for {}; add \
             {name}:PLAINTEXT to it",
            list(protocols.keys())
        ),
    };
    Err(ConfigError::new("listeners", problem))
}

/// What `advertised.listeners` says the clients of each listener should connect to. What it says of controllers is for
/// peers.
fn advertised(
    text: &str,
    clients: &[Listener],
    controllers: &BTreeSet<ListenerName>,
) -> Result<Vec<Listener>, ConfigError> {
    let mut seen = BTreeSet::new();
    let mut advertised = Vec::new();
    for Listener { name, address } in parse_listeners(ADVERTISED, text)? {
        if !seen.insert(name.clone()) {
            let problem = format!("{name} stands twice; each listener is advertised once");
            return Err(ConfigError::new(ADVERTISED, problem));
        }
        if controllers.contains(&name) {
            continue;
        }
        if !clients.iter().any(|listener| listener.name == name) {
            let names: BTreeSet<_> = clients.iter().map(|listener| &listener.name).collect();
            let problem = format!("{name} is none of the listeners; allowed are {}", list(names));
            return Err(ConfigError::new(ADVERTISED, problem));
        }
        if address.is_wildcard() {
            let problem = format!("'{address}' is a wildcard, which no client can connect to; name a host");
            return Err(ConfigError::new(ADVERTISED, problem));
        }
        advertised.push(Listener { name, address });
    }
    if advertised.is_empty() {
        return Err(ConfigError::new(ADVERTISED, "none is for clients"));
    }
    Ok(advertised)
}

/// What clients should connect to where nobody says it: what their listener listens on.
fn derived(clients: &[Listener]) -> Result<Vec<Listener>, ConfigError> {
    let mut advertised: Vec<Listener> = Vec::new();
    for listener in clients {
        let Listener { name, address } = listener;
        if address.is_wildcard() {
            let problem = format!(
                "'{address}' listens on every address of this machine, so the broker cannot know which one clients \
                 reach; set advertised.listeners, for example {name}://host.example:{}",
                address.port
            );
            return Err(ConfigError::new("listeners", problem));
        }
        let same = advertised.iter_mut().find(|earlier| earlier.name == *name);
        match same.map(|earlier| &mut earlier.address.host) {
            // Both loopbacks, which is what this name stands for.
            Some(host) if ["127.0.0.1", "::1"].map(|it| it == host || it == address.host) == [true, true] => {
                "localhost".clone_into(host);
            }
            Some(_) => {}
            None => advertised.push(listener.clone()),
        }
    }
    Ok(advertised)
}

/// Names, one behind the other.
fn list<'a>(names: impl IntoIterator<Item = &'a ListenerName>) -> String {
    let mut text = String::new();
    for name in names {
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a text does not fail.
        let _ = write!(text, "{comma}{name}");
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigError, ServerConfig};
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    const MAP: (&str, &str) = (
        "listener.security.protocol.map",
        "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,SAFE:SSL",
    );
    const BOTH: (&str, &str) = ("listeners", "INTERNAL://127.0.0.1:41141,EXTERNAL://127.0.0.1:41142");

    fn parse(settings: &[(&str, &str)]) -> Result<ServerConfig, ConfigError> {
        ServerConfig::parse(settings.iter().copied()).map(|(config, _)| config)
    }

    fn refused(settings: &[(&str, &str)], texts: &[&str]) {
        let error = parse(settings).unwrap_err().to_string();
        assert!(texts.iter().all(|text| error.contains(text)), "{error}");
    }

    /// What is advertised, as settings write it.
    fn told(settings: &[(&str, &str)]) -> Vec<String> {
        let advertised = parse(settings).unwrap().broker.advertised;
        advertised.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_listener_has_what_is_advertised_for_it() {
        let advertised = (
            "advertised.listeners",
            "EXTERNAL://external.example:9093,internal://internal.example:9092",
        );
        assert_eq!(
            told(&[BOTH, MAP, advertised]),
            ["EXTERNAL://external.example:9093", "INTERNAL://internal.example:9092"]
        );
        let listeners = parse(&[BOTH, MAP, advertised]).unwrap().listeners;
        let shown: Vec<_> = listeners.iter().map(ToString::to_string).collect();
        assert_eq!(shown.join(","), BOTH.1);
        // Kafka lets one be for those who look nobody else up.
        assert_eq!(
            told(&[BOTH, MAP, ("advertised.listeners", "EXTERNAL://e.example:1")]),
            ["EXTERNAL://e.example:1"]
        );
    }

    #[test]
    fn what_is_listened_on_is_advertised_where_nobody_says_it() {
        assert_eq!(told(&[]), ["PLAINTEXT://localhost:9092"]);
        assert_eq!(
            told(&[BOTH, MAP]),
            ["INTERNAL://127.0.0.1:41141", "EXTERNAL://127.0.0.1:41142"]
        );
        for (listeners, advertised) in [
            ("PLAINTEXT://127.0.0.1:1", "PLAINTEXT://127.0.0.1:1"),
            ("PLAINTEXT://[::1]:1", "PLAINTEXT://[::1]:1"),
            ("PLAINTEXT://localhost:1", "PLAINTEXT://localhost:1"),
            ("PLAINTEXT://[::1]:1,PLAINTEXT://127.0.0.1:1", "PLAINTEXT://localhost:1"),
            ("PLAINTEXT://10.0.0.1:1,PLAINTEXT://[::1]:1", "PLAINTEXT://10.0.0.1:1"),
        ] {
            assert_eq!(told(&[("listeners", listeners)]), [advertised]);
        }
    }

    #[test]
    fn names_and_ports_are_one_listeners_own() {
        refused(
            &[("listeners", "PLAINTEXT://127.0.0.1:1,PLAINTEXT://127.0.0.1:2")],
            &[
                "listeners: PLAINTEXT is both 127.0.0.1:1 and 127.0.0.1:2",
                "a name of its own",
            ],
        );
        refused(
            &[("listeners", "PLAINTEXT://127.0.0.1:1,PLAINTEXT://[::1]:2")],
            &["a name of its own"],
        );
        for second in ["127.0.0.2:41141", "localhost:41141", ":41141"] {
            let listeners = format!("INTERNAL://127.0.0.1:41141,EXTERNAL://{second}");
            refused(
                &[
                    ("listeners", &listeners),
                    MAP,
                    ("advertised.listeners", "EXTERNAL://e:1"),
                ],
                &["INTERNAL://127.0.0.1:41141 and EXTERNAL://", "a port of its own"],
            );
        }
        let apart = ("listeners", "INTERNAL://127.0.0.1:1,EXTERNAL://[::1]:1");
        assert_eq!(told(&[apart, MAP]), ["INTERNAL://127.0.0.1:1", "EXTERNAL://[::1]:1"]);
        // The system chooses two.
        assert!(parse(&[("listeners", "INTERNAL://127.0.0.1:0,EXTERNAL://127.0.0.1:0"), MAP]).is_ok());
    }

    #[test]
    fn only_listeners_are_advertised_and_each_once() {
        refused(
            &[BOTH, MAP, ("advertised.listeners", "PUBLIC://p.example:1")],
            &["advertised.listeners: PUBLIC is none of the listeners; allowed are EXTERNAL, INTERNAL"],
        );
        refused(
            &[BOTH, MAP, ("advertised.listeners", "INTERNAL://a:1,INTERNAL://b:2")],
            &["INTERNAL stands twice"],
        );
        // One port behind two names is somebody's proxy.
        assert!(parse(&[BOTH, MAP, ("advertised.listeners", "INTERNAL://a:1,EXTERNAL://b:1")]).is_ok());
        for wildcard in ["EXTERNAL://:1", "EXTERNAL://0.0.0.0:1", "EXTERNAL://[::]:1"] {
            let advertised = format!("INTERNAL://internal.example:1,{wildcard}");
            refused(&[BOTH, MAP, ("advertised.listeners", &advertised)], &["is a wildcard"]);
        }
        refused(
            &[("listeners", "INTERNAL://127.0.0.1:1,EXTERNAL://:2"), MAP],
            &["set advertised.listeners, for example EXTERNAL://host.example:2"],
        );
        refused(
            &[
                ("controller.listener.names", "IN"),
                ("advertised.listeners", "IN://a:1"),
            ],
            &["advertised.listeners: none is for clients"],
        );
    }

    #[test]
    fn every_listener_is_in_the_map() {
        let map = |map| ("listener.security.protocol.map", map);
        refused(
            &[BOTH, map("INTERNAL:PLAINTEXT")],
            &[
                "no security protocol for EXTERNAL",
                "it has some for INTERNAL",
                "EXTERNAL:PLAINTEXT",
            ],
        );
        // What is set takes the place of the default.
        refused(
            &[("listeners", "PLAINTEXT://127.0.0.1:1"), map("IN:PLAINTEXT")],
            &["no security protocol for PLAINTEXT"],
        );
        let controller = ("controller.listener.names", "CONTROLLER");
        let listeners = ("listeners", "PLAINTEXT://127.0.0.1:1,CONTROLLER://:2");
        refused(
            &[listeners, controller, map("PLAINTEXT:PLAINTEXT")],
            &["no security protocol for CONTROLLER"],
        );
        assert!(parse(&[listeners, controller]).is_ok());
        assert!(parse(&[listeners, controller, map("PLAINTEXT:PLAINTEXT,CONTROLLER:SSL")]).is_ok());
        refused(
            &[("listeners", "INTERNAL://127.0.0.1:1,SAFE://127.0.0.1:2"), MAP],
            &["SAFE asks for SSL", "not available yet"],
        );
    }
}
