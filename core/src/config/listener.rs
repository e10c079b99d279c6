//! Addresses as `listeners` and `advertised.listeners` write them.

use super::ConfigError;
use crate::types::ListenerName;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A host and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPort {
    /// A host name or an address without brackets; empty for every address of the machine.
    pub host: String,
    /// The TCP port; 0 lets the system choose one.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`; an IPv6 address stands in brackets, an empty host means every address. `name` is the setting,
    /// for errors.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::new(name, format!("'{text}' is not of the form host:port"));
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(address) if address.parse::<core::net::Ipv6Addr>().is_ok() => address,
            Some(_) => return Err(wrong()),
            None if host.contains([':', '/', ' ', '[', ']']) => return Err(wrong()),
            None => host,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// Whether it stands for every address of the machine.
    pub fn is_wildcard(&self) -> bool {
        self.host.is_empty()
            || self
                .host
                .parse::<core::net::IpAddr>()
                .is_ok_and(|address| address.is_unspecified())
    }

    /// Whether one of the two is an IPv4 address and the other an IPv6 address: these may share a port.
    pub(super) fn is_of_another_family(&self, other: &Self) -> bool {
        match (self.host.parse(), other.host.parse()) {
            (Ok(one), Ok(other)) => core::net::IpAddr::is_ipv4(&one) != core::net::IpAddr::is_ipv4(&other),
            _ => false,
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One entry of `listeners` or `advertised.listeners`: `NAME://host:port`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// What the listener is called. Two entries have one name where it listens on an IPv4 and on an IPv6 address.
    pub name: ListenerName,
    /// What it listens on, or clients connect to.
    pub address: HostPort,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, self.address)
    }
}

/// Reads the value of `listeners` or `advertised.listeners`; `key` is which.
pub(super) fn parse_listeners(key: &str, text: &str) -> Result<Vec<Listener>, ConfigError> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| parse_listener(key, part))
        .collect()
}

fn parse_listener(key: &str, text: &str) -> Result<Listener, ConfigError> {
    let (name, address) = text
        .split_once("://")
        .ok_or_else(|| ConfigError::new(key, format!("'{text}' is not of the form NAME://host:port")))?;
    Ok(Listener {
        name: ListenerName::new(name),
        address: HostPort::parse(key, address)?,
    })
}

/// `org.apache.kafka.common.security.auth.SecurityProtocol`.
const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// The security protocol of each listener.
pub(super) type Protocols = BTreeMap<ListenerName, &'static str>;

/// What `listener.security.protocol.map` says where nobody sets it: a protocol's name stands for the protocol.
pub(super) fn default_protocols() -> Protocols {
    PROTOCOLS
        .into_iter()
        .map(|protocol| (ListenerName::new(protocol), protocol))
        .collect()
}

/// Reads `listener.security.protocol.map`.
pub(super) fn parse_protocol_map(text: &str) -> Result<Protocols, ConfigError> {
    let wrong = |problem: String| ConfigError::new("listener.security.protocol.map", problem);
    let mut protocols = Protocols::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, text) = part
            .split_once(':')
            .ok_or_else(|| wrong(format!("'{part}' is not of the form NAME:PROTOCOL")))?;
        let given = text.trim().to_ascii_uppercase();
        let known = PROTOCOLS.into_iter().find(|protocol| *protocol == given);
        let protocol = known.ok_or_else(|| {
            let allowed = PROTOCOLS.join(", ");
            wrong(format!(
                "'{given}' in '{part}' is no security protocol; allowed are {allowed}"
            ))
        })?;
        if protocols.insert(ListenerName::new(name.trim()), protocol).is_some() {
            return Err(wrong(format!("{} stands twice; give it one protocol", name.trim())));
        }
    }
    Ok(protocols)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_address_reads_back_what_it_shows() {
        for text in ["localhost:9092", "127.0.0.1:0", "[::1]:9092", ":9092", "[::]:65535"] {
            assert_eq!(HostPort::parse("listeners", text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_text() {
        for text in [
            "",
            "9092",
            "host",
            "host:",
            "host:70000",
            "::1:9092",
            "[::1]",
            "[host]:1",
            "a b:1",
            "[]:1",
        ] {
            let error = HostPort::parse("listeners", text).unwrap_err().to_string();
            assert!(error.starts_with("listeners") && error.contains("host:port"), "{error}");
        }
        assert!(parse_listeners("listeners", "localhost:9092").is_err());
    }

    #[test]
    fn wildcards_and_families_are_recognized() {
        let read = |text| HostPort::parse("listeners", text).unwrap();
        assert!(read(":1").is_wildcard() && read("0.0.0.0:1").is_wildcard() && read("[::]:1").is_wildcard());
        assert!(!read("127.0.0.1:1").is_wildcard() && !read("example:1").is_wildcard());
        let differ = |one, other| read(one).is_of_another_family(&read(other));
        assert!(differ("127.0.0.1:1", "[::1]:1") && differ("[::1]:1", "127.0.0.1:1"));
        assert!(!differ("127.0.0.1:1", "10.0.0.1:1") && !differ("localhost:1", "[::1]:1") && !differ(":1", "[::1]:1"));
    }

    #[test]
    fn each_listener_of_the_map_has_one_protocol_that_there_is() {
        let protocols = parse_protocol_map(" in:plaintext, OUT:SASL_SSL,").unwrap();
        let read: Vec<_> = protocols
            .iter()
            .map(|(name, protocol)| (name.as_str(), *protocol))
            .collect();
        assert_eq!(read, [("IN", "PLAINTEXT"), ("OUT", "SASL_SSL")]);
        for (text, problem) in [
            ("PLAINTEXT", "NAME:PROTOCOL"),
            ("IN:TLS", "allowed are PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
            ("IN:SSL,in:PLAINTEXT", "in stands twice"),
        ] {
            let error = parse_protocol_map(text).unwrap_err().to_string();
            assert!(
                error.starts_with("listener.security.protocol.map") && error.contains(problem),
                "{error}"
            );
        }
    }
}
