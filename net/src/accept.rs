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
use crate::options::BoundListener;
use klamm_core::types::{ListenerName, Monotonic};
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
    pub(crate) counters: Arc<Counters>,
    pub(crate) census: Arc<Census>,
    pub(crate) pace: Pace,
    /// The listener whose clients are accepted first.
    pub(crate) first: usize,
    pub(crate) sequence: u64,
    pub(crate) grumble: Grumble,
    pub(crate) clock: Clock,
}

/// How fast clients come: at most as many as a second's worth of a rate at once, and then as they are due
/// (`max.connection.creation.rate`).
#[derive(Default, Debug)]
pub(crate) struct Pace {
    /// When the next one would come, had all come at the rate.
    due: Monotonic,
}

impl Pace {
    const SECOND: u64 = 1_000_000_000;

    /// Whether one more may come now.
    fn allows(&self, now: Monotonic, per_second: u32) -> bool {
        self.due.0 <= now.0.saturating_add(Self::SECOND - Self::interval(per_second))
    }

    /// One came.
    fn count(&mut self, now: Monotonic, per_second: u32) {
        self.due = Monotonic(self.due.max(now).0.saturating_add(Self::interval(per_second)));
    }

    /// Nanoseconds from one to the next. A rate of 0 lets one come a second, as in Kafka, whose waits are no longer.
    fn interval(per_second: u32) -> u64 {
        Self::SECOND / u64::from(per_second.max(1))
    }
}

/// What became of the waiting clients of one listener.
enum Accepted {
    /// All of them, or as many as in one go.
    Some,
    /// The process is out of something, or as many came as may in this time: the others wait.
    Exhausted,
}

impl Acceptor {
    /// Accepts clients of `listeners` while the broker serves. To be run inside a runtime.
    pub(crate) async fn run(mut self, listeners: Vec<BoundListener>) {
        let adopt = |it: BoundListener| Ok((it.name, TcpListener::from_std(it.socket)?));
        let listeners: io::Result<Vec<_>> = listeners.into_iter().map(adopt).collect();
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
    fn turn(&mut self, listeners: &[(ListenerName, TcpListener)], cx: &mut Context<'_>) -> Poll<Option<Accepted>> {
        self.lifecycle.alarm(self.lifecycle.shards()).set(cx.waker());
        match self.lifecycle.doors() {
            Doors::NotYet => return Poll::Pending,
            Doors::Closed => return Poll::Ready(None),
            Doors::Open => {}
        }
        let mut any = false;
        let first = self.first;
        let (before, from) = listeners.split_at(first);
        for (place, (name, listener)) in (first..).zip(from).chain((0..).zip(before)) {
            for _ in 0..BATCH {
                if !self.pace.allows(self.clock.monotonic(), self.census.new_per_second()) {
                    // The others are next: a flood at one keeps nobody from another.
                    self.first = (place + 1) % listeners.len();
                    return Poll::Ready(Some(Accepted::Exhausted));
                }
                match listener.poll_accept(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok((stream, address))) => {
                        any = true;
                        self.pace.count(self.clock.monotonic(), self.census.new_per_second());
                        self.admit(stream, address, name);
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

    fn admit(&mut self, stream: tokio::net::TcpStream, address: SocketAddr, listener: &ListenerName) {
        let permit = match Permit::take(&self.census, address.ip()) {
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
            listener: listener.clone(),
            permit,
        });
        self.sequence += 1;
    }

    fn refuse(&mut self, address: SocketAddr, full: Full) {
        count(&self.counters.connections_refused, 1);
        let why = match full {
            Full::InAll | Full::Beyond => "there are as many as max.connections allows",
            Full::OfProcess => "there are as many as the descriptors of this process allow",
            Full::OfAddress => "there are as many as max.connections.per.ip allows",
        };
        self.grumble.refusing(self.clock.monotonic(), address, why);
        if matches!(full, Full::InAll | Full::OfProcess) {
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
    use super::{Pace, prepare};
    use klamm_core::types::Monotonic;

    #[test]
    fn as_many_come_at_once_as_in_a_second_and_then_each_when_it_is_due() {
        for per_second in [0, 1, 2, 10, 1000] {
            let mut pace = Pace::default();
            let mut come = |millis| {
                let now = Monotonic(0).plus_millis(5000 + millis);
                let mut came = 0;
                while pace.allows(now, per_second) {
                    pace.count(now, per_second);
                    came += 1;
                }
                came
            };
            let rate = u64::from(per_second.max(1));
            assert_eq!(come(0), rate);
            assert_eq!(come(999 / rate), 0);
            assert_eq!(come(1000 / rate), 1);
            assert_eq!(come(1000 / rate + 10_000), rate, "nobody saves up");
        }
    }

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
