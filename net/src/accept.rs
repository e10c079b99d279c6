//! Accepting clients and spreading them over the shards.
//!
//! Invariants: nobody is accepted before all shards serve, nor once the broker stops. Whoever is one too many is closed
//! at once, and has a shard close an idle connection, so that the next attempt finds room: no shard more than one for
//! each, and none that did anything in the last seconds. (Apache Kafka, whose bound is infinite by default, has clients wait
//! in the listener's queue instead, but for brokers, for which it closes the connection that was used least recently:
//! `ConnectionQuotas.inc`, `Processor.closeExcessConnections`.)

use crate::clock::Clock;
use crate::connection::{Census, Full, Newcomer, Permit};
use crate::counters::{Counters, count};
use crate::event::Event;
use crate::grumble::Grumble;
use crate::inbox::Inbox;
use crate::lifecycle::{Doors, Lifecycle};
use crate::options::NetLimits;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;

/// How long to wait when the process has no descriptor left.
const RESPITE: Duration = Duration::from_millis(100);

/// Clients accepted before other listeners get their turn.
const BATCH: usize = 256;

/// What accepts clients.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) shards: Vec<Arc<Inbox<Newcomer<TcpStream>>>>,
    /// What else reaches them.
    pub(crate) events: Vec<Arc<Inbox<Event>>>,
    /// Clients that were not let in, since as many as may be are connected.
    pub(crate) crowded: usize,
    pub(crate) limits: NetLimits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) census: Arc<Census>,
    pub(crate) sequence: u64,
    pub(crate) grumble: Grumble,
    pub(crate) clock: Clock,
}

/// What became of the waiting clients of one listener.
enum Accepted {
    /// All of them, or as many as in one go.
    Some,
    /// The process is out of something.
    Exhausted,
}

impl Acceptor {
    /// Accepts clients of `listeners` while the broker serves. To be run inside a runtime.
    pub(crate) async fn run(mut self, listeners: Vec<std::net::TcpListener>) {
        let listeners: io::Result<Vec<_>> = listeners.into_iter().map(TcpListener::from_std).collect();
        let listeners = match listeners {
            Ok(listeners) => listeners,
            Err(error) => {
                tracing::error!(%error, "cannot accept clients");
                return;
            }
        };
        loop {
            let accepted = std::future::poll_fn(|cx| self.turn(&listeners, cx)).await;
            match accepted {
                None => return,
                Some(Accepted::Some) => tokio::task::yield_now().await,
                Some(Accepted::Exhausted) => tokio::time::sleep(RESPITE).await,
            }
        }
    }

    /// `None` once the doors are closed.
    fn turn(&mut self, listeners: &[TcpListener], cx: &mut Context<'_>) -> Poll<Option<Accepted>> {
        self.lifecycle.alarm(self.lifecycle.shards()).set(cx.waker());
        match self.lifecycle.doors() {
            Doors::NotYet => return Poll::Pending,
            Doors::Closed => return Poll::Ready(None),
            Doors::Open => {}
        }
        let mut any = false;
        for listener in listeners {
            for _ in 0..BATCH {
                match listener.poll_accept(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok((stream, address))) => {
                        any = true;
                        self.admit(stream, address);
                    }
                    Poll::Ready(Err(error)) if is_about_one_client(&error) => any = true,
                    Poll::Ready(Err(error)) => {
                        tracing::warn!(%error, "cannot accept clients now");
                        return Poll::Ready(Some(Accepted::Exhausted));
                    }
                }
            }
        }
        if any {
            Poll::Ready(Some(Accepted::Some))
        } else {
            Poll::Pending
        }
    }

    fn admit(&mut self, stream: tokio::net::TcpStream, address: SocketAddr) {
        let limits = &self.limits;
        let permit = Permit::take(
            &self.census,
            address.ip(),
            limits.max_connections,
            limits.max_connections_per_ip,
        );
        let permit = match permit {
            Ok(permit) => permit,
            Err(full) => return self.refuse(address, full),
        };
        let raw = match prepare(stream) {
            Ok(raw) => raw,
            Err(error) => {
                tracing::debug!(peer = %address, %error, "a client left before it was served");
                return;
            }
        };
        let shard = (self.sequence % self.shards.len() as u64) as usize;
        self.shards[shard].push(Newcomer {
            sequence: self.sequence,
            raw,
            peer: address.to_string().into_boxed_str(),
            permit,
        });
        self.sequence += 1;
    }
}

impl Acceptor {
    fn refuse(&mut self, address: SocketAddr, full: Full) {
        count(&self.counters.connections_refused, 1);
        let why = match full {
            Full::InAll => "there are as many as max.connections allows",
            Full::OfAddress => "there are as many as max.connections.per.ip allows",
        };
        self.grumble.refusing(self.clock.monotonic(), address, why);
        if full == Full::InAll {
            // One shard after the other: each serves as many as the others.
            self.events[self.crowded % self.events.len()].push(Event::Crowded);
            self.crowded = self.crowded.wrapping_add(1);
        }
    }
}

/// A client's connection as it is served: answers leave at once, and a client that vanished is noticed in the end, as in
/// Kafka (`SocketServer.accept`).
fn prepare(stream: tokio::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
    stream.into_std()
}

/// Whether an error of `accept` says something of the one client only.
fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, PermissionDenied, TimedOut};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | PermissionDenied | TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::prepare;

    #[test]
    fn answers_leave_at_once_and_a_vanished_client_is_noticed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let client = tokio::net::TcpStream::connect(address).await.expect("it listens");
            let (accepted, _) = listener.accept().await.expect("a client");
            let served = prepare(accepted).expect("a socket");
            assert!(served.nodelay().expect("an option"));
            assert!(rustix::net::sockopt::socket_keepalive(&served).expect("an option"));
            drop(client);
        });
    }
}
