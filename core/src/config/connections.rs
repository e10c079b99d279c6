//! What bounds the connections of a broker (`ConnectionQuotas`): all of it may change while the broker runs.
//!
//! Invariant: an address is kept in its canonical form, so that one machine has one count whichever way it came.

use super::value::{ConfigError, Value};
use alloc::collections::BTreeMap;
use core::net::IpAddr;

/// How many connections there may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionConfig {
    /// `max.connections`: those that are open at once.
    pub most: u32,
    /// `max.connections.per.ip`: those of them that come from one address.
    pub most_of_one: u32,
    /// `max.connections.per.ip.overrides`: the same for these addresses.
    pub most_of: BTreeMap<IpAddr, u32>,
    /// `max.connection.creation.rate`: those that are accepted in a second.
    pub new_per_second: u32,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            most: 10_000,
            most_of_one: i32::MAX as u32,
            most_of: BTreeMap::new(),
            new_per_second: i32::MAX as u32,
        }
    }
}

impl ConnectionConfig {
    /// How many of the connections may come from `address`, which is canonical.
    pub fn most_of(&self, address: IpAddr) -> u32 {
        self.most_of.get(&address).copied().unwrap_or(self.most_of_one)
    }

    /// Refuses bounds that would let nobody in (`KafkaConfig.validateValues`).
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.most_of_one == 0 && self.most_of.is_empty() {
            let problem = "0 lets in nobody but the addresses in max.connections.per.ip.overrides, and there are none";
            return Err(ConfigError::new("max.connections.per.ip", problem));
        }
        Ok(())
    }

    /// Takes a setting of connections, if it is one.
    pub(super) fn set(&mut self, name: &str, value: &Value) {
        match (name, value) {
            ("max.connections", _) => self.most = value.size32(),
            ("max.connections.per.ip", _) => self.most_of_one = value.size32(),
            ("max.connections.per.ip.overrides", Value::Text(text)) => {
                self.most_of = parse_counts(text).unwrap_or_default();
            }
            ("max.connection.creation.rate", _) => self.new_per_second = value.size32(),
            _ => {}
        }
    }
}

/// Reads `address:count,…`; `None` for anything else. Host names are not looked up.
pub(super) fn parse_counts(text: &str) -> Option<BTreeMap<IpAddr, u32>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (address, count) = part.rsplit_once(':')?;
            let address = address.trim().trim_start_matches('[').trim_end_matches(']');
            let count = count
                .trim()
                .parse::<i32>()
                .ok()
                .and_then(|count| u32::try_from(count).ok())?;
            Some((address.parse::<IpAddr>().ok()?.to_canonical(), count))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn an_address_has_its_own_bound_or_that_of_all() {
        let counts = parse_counts("127.0.0.1:5, ::1:6,[::2]:7 ,::ffff:10.0.0.1:8").unwrap();
        let config = ConnectionConfig {
            most_of_one: 3,
            most_of: counts,
            ..ConnectionConfig::default()
        };
        for (address, most) in [
            ("127.0.0.1", 5),
            ("::1", 6),
            ("::2", 7),
            ("10.0.0.1", 8),
            ("10.0.0.2", 3),
        ] {
            assert_eq!(config.most_of(address.parse().unwrap()), most, "{address}");
        }
    }

    #[test]
    fn what_is_no_address_and_count_is_refused() {
        assert_eq!(parse_counts(""), Some(BTreeMap::new()));
        for text in [
            "localhost:5",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:-1",
            "127.0.0.1:4294967295",
            ":5",
            "a:b",
        ] {
            assert_eq!(parse_counts(text), None, "{text}");
        }
        let one = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(parse_counts("127.0.0.1:0"), Some(BTreeMap::from([(one, 0)])));
    }
}
