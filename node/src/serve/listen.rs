//! Sockets to listen on, and how many files the process may open.

use crate::failure::Failure;
use klamm_core::config::{HostPort, Listener};
use klamm_core::types::ListenerName;
use klamm_net::BoundListener;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

/// Opens every listener. Where nobody chose the addresses, a machine without IPv6 goes without that one.
pub(super) fn bind_all(listeners: &[Listener], chosen: bool) -> Result<Vec<BoundListener>, Failure> {
    let mut bound = Vec::new();
    for Listener { name, address } in listeners {
        let mut address = address.clone();
        if address.port == 0 {
            // Both addresses of a listener have the port that the system chose for the first.
            address.port = port_of(name, &bound)?.unwrap_or(0);
        }
        match bind(&address) {
            Ok(socket) => bound.push(BoundListener {
                name: name.clone(),
                socket,
            }),
            Err((_, error)) if !chosen && !bound.is_empty() && is_absent(&error) => {
                tracing::debug!("not listening on {address}: {error}");
            }
            Err((at, error)) => return Err(explain(&address, at, &error)),
        }
    }
    Ok(bound)
}

/// The port of a listener, once it is open.
pub(super) fn port_of(name: &ListenerName, bound: &[BoundListener]) -> Result<Option<u16>, Failure> {
    let found = bound.iter().find(|listener| listener.name == *name);
    let port = found.map(|listener| listener.socket.local_addr().map(|at| at.port()));
    Ok(port.transpose()?)
}

/// Opens one listener, at the first address that its host has; every address of the machine over IPv6 where there is
/// that, which takes IPv4 along.
fn bind(address: &HostPort) -> Result<TcpListener, (Option<SocketAddr>, std::io::Error)> {
    if address.host.is_empty() {
        let every = |ip: IpAddr| {
            let at = SocketAddr::new(ip, address.port);
            klamm_net::bind(at).map_err(|error| (Some(at), error))
        };
        return match every(Ipv6Addr::UNSPECIFIED.into()) {
            Err((_, error)) if is_absent(&error) => every(Ipv4Addr::UNSPECIFIED.into()),
            bound => bound,
        };
    }
    let mut found = (address.host.as_str(), address.port)
        .to_socket_addrs()
        .map_err(|error| (None, error))?;
    let at = found.next().ok_or_else(|| (None, ErrorKind::NotFound.into()))?;
    klamm_net::bind(at).map_err(|error| (Some(at), error))
}

/// Whether the machine does not have such an address, or such a family of addresses.
fn is_absent(error: &std::io::Error) -> bool {
    let family = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(family)
}

fn explain(address: &HostPort, at: Option<SocketAddr>, error: &std::io::Error) -> Failure {
    let advice = match (error.kind(), at) {
        (ErrorKind::AddrInUse, _) => {
            let other = HostPort {
                host: address.host.clone(),
                port: address.port.saturating_add(10),
            };
            format!("the port is taken, perhaps by another broker; stop that, or choose another with --listen {other}")
        }
        (ErrorKind::PermissionDenied, _) => {
            "this user may not open that port; choose one from 1024 on with --listen".to_owned()
        }
        (ErrorKind::AddrNotAvailable, _) => {
            "this machine does not have that address; choose one of its own with --listen".to_owned()
        }
        (_, None) => "the host has no address; write one that this machine has, with --listen".to_owned(),
        _ => "choose another address with --listen".to_owned(),
    };
    Failure::new(format!("cannot listen on {address}: {error}; {advice}"))
}

/// Lets the process open as many files as it may, and says how many that is.
pub(super) fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum;
    if limit.current != most
        && setrlimit(
            Resource::Nofile,
            Rlimit {
                current: most,
                maximum: most,
            },
        )
        .is_ok()
    {
        return most.unwrap_or(u64::MAX);
    }
    limit.current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Listener {
        Listener {
            name: ListenerName::default(),
            address: HostPort {
                host: host.to_owned(),
                port,
            },
        }
    }

    #[test]
    fn a_taken_port_is_explained() {
        let first = bind_all(&[address("127.0.0.1", 0)], true).unwrap();
        let port = first[0].socket.local_addr().unwrap().port();
        let error = bind_all(&[address("127.0.0.1", port)], true).unwrap_err().to_string();
        assert!(
            error.contains("the port is taken") && error.contains("--listen"),
            "{error}"
        );
    }

    #[test]
    fn an_address_of_another_machine_is_explained() {
        let error = bind_all(&[address("192.0.2.1", 0)], true).unwrap_err().to_string();
        assert!(error.contains("does not have that address"), "{error}");
    }

    #[test]
    fn without_a_choice_an_absent_address_is_left_out() {
        let addresses = [address("127.0.0.1", 0), address("192.0.2.1", 0)];
        assert_eq!(bind_all(&addresses, false).unwrap().len(), 1);
        assert!(bind_all(&addresses, true).is_err());
    }

    #[test]
    fn both_addresses_of_a_listener_have_one_port_and_other_listeners_their_own() {
        let other = Listener {
            name: ListenerName::new("OTHER"),
            ..address("127.0.0.1", 0)
        };
        let bound = bind_all(&[address("127.0.0.1", 0), other, address("127.0.0.2", 0)], true).unwrap();
        let ports: Vec<u16> = bound.iter().map(|it| it.socket.local_addr().unwrap().port()).collect();
        assert!(ports[0] == ports[2] && ports[0] != ports[1], "{ports:?}");
        assert_eq!(port_of(&ListenerName::new("OTHER"), &bound).unwrap(), Some(ports[1]));
        assert_eq!(port_of(&ListenerName::new("NONE"), &bound).unwrap(), None);
    }

    #[test]
    fn some_files_may_be_opened() {
        let most = raise_open_files();
        assert!(most > 3);
        assert_eq!(raise_open_files(), most);
    }
}
