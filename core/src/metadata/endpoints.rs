//! Where a broker is reached, by the listener that its client came in on.

use super::image::ApplyError;
use super::record::{EndpointRecord, RegisterBrokerRecord};
use crate::types::{BrokerId, ListenerName};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

/// A host and a port that clients connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// A host name or an address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// The endpoints of a broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoints {
    /// One for clients of every listener: what records say that do not tell listeners apart.
    Alike(Endpoint),
    /// Those that it advertises, by listener.
    ByListener(BTreeMap<ListenerName, Endpoint>),
}

impl Endpoints {
    /// What the clients of `listener` are told; nothing where the broker advertises none for it.
    pub fn of(&self, listener: &ListenerName) -> Option<&Endpoint> {
        match self {
            Self::Alike(endpoint) => Some(endpoint),
            Self::ByListener(endpoints) => endpoints.get(listener),
        }
    }

    /// What a registration says.
    pub(super) fn read(record: &RegisterBrokerRecord) -> Result<Self, ApplyError> {
        let broker = BrokerId(record.broker);
        if record.endpoints.is_empty() {
            return Ok(Self::Alike(endpoint(broker, &record.host, record.port)?));
        }
        let mut endpoints = BTreeMap::new();
        for EndpointRecord { listener, host, port } in &record.endpoints {
            let name = ListenerName::new(listener);
            if endpoints.insert(name, endpoint(broker, host, *port)?).is_some() {
                let problem = format!("broker {broker} has two endpoints for {listener}");
                return Err(ApplyError::Contradiction(problem));
            }
        }
        Ok(Self::ByListener(endpoints))
    }
}

fn endpoint(broker: BrokerId, host: &str, port: u32) -> Result<Endpoint, ApplyError> {
    let contradiction = |_| ApplyError::Contradiction(format!("broker {broker} at port {port}"));
    Ok(Endpoint {
        host: String::from(host),
        port: u16::try_from(port).map_err(contradiction)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::MetadataRecord;
    use alloc::vec::Vec;
    use prost::Message;

    fn record(endpoints: &[(&str, &str, u32)]) -> RegisterBrokerRecord {
        let endpoint = |&(listener, host, port): &(&str, &str, u32)| EndpointRecord {
            listener: String::from(listener),
            host: String::from(host),
            port,
        };
        RegisterBrokerRecord {
            broker: 1,
            starts: 1,
            host: String::from("old.example"),
            port: 9092,
            rack: None,
            endpoints: endpoints.iter().map(endpoint).collect(),
        }
    }

    #[test]
    fn each_listener_has_its_own_endpoint_and_others_have_none() {
        let endpoints = Endpoints::read(&record(&[("IN", "in.example", 1), ("OUT", "out.example", 2)])).unwrap();
        let told = |listener: &str| {
            let endpoint = endpoints.of(&ListenerName::new(listener));
            endpoint.map(|endpoint| (endpoint.host.as_str(), endpoint.port))
        };
        assert_eq!(told("in"), Some(("in.example", 1)));
        assert_eq!(told("OUT"), Some(("out.example", 2)));
        assert_eq!(told("PLAINTEXT"), None);
    }

    /// The bytes that a version without listeners wrote: change 1 with broker 1, starts 3, host `b.example`, port 9092,
    /// rack `r`.
    #[test]
    fn a_record_without_listeners_tells_everybody_its_one_endpoint() {
        let mut bytes = Vec::from([0x0a, 21, 0x08, 1, 0x10, 3, 0x1a, 9]);
        bytes.extend(b"b.example");
        bytes.extend([0x20, 0x84, 0x47, 0x2a, 1, b'r']);
        let record = MetadataRecord::decode(bytes.as_slice()).unwrap();
        let Some(crate::metadata::Change::RegisterBroker(record)) = record.change else {
            panic!("{record:?}")
        };
        assert_eq!(
            (record.broker, record.starts, record.rack.as_deref()),
            (1, 3, Some("r"))
        );
        let endpoints = Endpoints::read(&record).unwrap();
        for listener in ["PLAINTEXT", "OUT"] {
            let endpoint = endpoints.of(&ListenerName::new(listener)).unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.port), ("b.example", 9092));
        }
    }

    #[test]
    fn a_port_that_is_none_and_a_second_endpoint_of_a_listener_contradict() {
        for wrong in [&[("IN", "h", 70_000)][..], &[("IN", "h", 1), ("in", "h", 2)]] {
            let refused = Endpoints::read(&record(wrong));
            assert!(matches!(refused, Err(ApplyError::Contradiction(_))), "{refused:?}");
        }
        let old = RegisterBrokerRecord {
            port: 70_000,
            ..record(&[])
        };
        assert!(Endpoints::read(&old).is_err());
    }
}
