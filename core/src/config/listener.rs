//! Addresses as `listeners` and `advertised.listeners` write them.

use super::ConfigError;
use alloc::borrow::ToOwned;
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

    /// Whether only this machine reaches it.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<core::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
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

/// One entry of `listeners`: `NAME://host:port`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) address: HostPort,
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
        name: name.to_ascii_uppercase(),
        address: HostPort::parse(key, address)?,
    })
}

/// The security protocol of each listener name, as `listener.security.protocol.map` writes it. A name that the map does
/// not hold is its own protocol.
pub(super) fn parse_protocol_map(text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let key = "listener.security.protocol.map";
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, protocol) = part
                .split_once(':')
                .ok_or_else(|| ConfigError::new(key, format!("'{part}' is not of the form NAME:PROTOCOL")))?;
            Ok((name.trim().to_ascii_uppercase(), protocol.trim().to_ascii_uppercase()))
        })
        .collect()
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
        assert!(parse_protocol_map("PLAINTEXT").is_err());
    }

    #[test]
    fn wildcards_and_loopbacks_are_recognized() {
        let read = |text| HostPort::parse("listeners", text).unwrap();
        assert!(read(":1").is_wildcard() && read("0.0.0.0:1").is_wildcard() && read("[::]:1").is_wildcard());
        assert!(!read("127.0.0.1:1").is_wildcard() && !read("example:1").is_wildcard());
        assert!(
            read("localhost:1").is_loopback() && read("[::1]:1").is_loopback() && !read("10.0.0.1:1").is_loopback()
        );
    }
}
