//! A running broker: its threads, from start to end.

use crate::accept::{Acceptor, Pace};
use crate::clock::Clock;
use crate::connection::{Census, Newcomer};
use crate::counters::{Counters, Snapshot};
use crate::disk::Threads;
use crate::event::Event;
use crate::grumble::Grumble;
use crate::inbox::{Inbox, lock};
use crate::lifecycle::{Doors, Guard, Lifecycle};
use crate::options::{BoundListener, BrokerOptions, Exit, NetLimits, StartError};
use crate::shard::{Driver, Links, Machine};
use crate::spawner::{OsThreads, Spawner, guarded};
use klamm_core::shard::Shard;
use klamm_core::types::ShardId;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Binds a listener to `address`. Port 0 takes a free one; [`Broker::addresses`] tells which.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// What the threads of a broker and those who hold it share.
#[derive(Debug)]
struct Common {
    lifecycle: Arc<Lifecycle>,
    shards: Vec<Arc<Inbox<Event>>>,
    counters: Vec<Arc<Counters>>,
    asked_to_stop: Mutex<bool>,
}

impl Common {
    fn request_stop(&self) {
        self.lifecycle.stop_accepting();
        let mut asked = lock(&self.asked_to_stop);
        if !*asked {
            *asked = true;
            for shard in &self.shards {
                shard.push(Event::Shutdown);
            }
        }
    }
}

/// A running broker. Dropping it ends it at once, as a kill would.
#[derive(Debug)]
pub struct Broker {
    common: Arc<Common>,
    disk: Arc<Threads>,
    census: Arc<Census>,
    addresses: Vec<SocketAddr>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    disk_threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Asks a broker to stop, from any thread, as long as the broker or its process lives.
#[derive(Clone, Debug)]
pub struct Stopper {
    common: Arc<Common>,
}

impl Stopper {
    /// Asks for a graceful stop and returns at once; [`Broker::wait`] tells when it is done.
    pub fn request(&self) {
        self.common.request_stop();
    }
}

impl Broker {
    /// Starts a broker. Clients are accepted once its shards are up, see [`ready`](Self::ready).
    pub fn start(options: BrokerOptions) -> Result<Self, StartError> {
        let (config, seed) = (Arc::clone(&options.config), options.seed);
        Self::start_with(options, |id, count| Shard::new(id, count, &config, seed))
    }

    /// Starts a broker of other machines than [`Shard`], made by `machine` from their id and count: for tests of the
    /// driver.
    pub fn start_with<M: Machine>(
        options: BrokerOptions,
        mut machine: impl FnMut(ShardId, u16) -> M,
    ) -> Result<Self, StartError> {
        let count = options.shards.max(1);
        let clock = Clock::start();
        let addresses = prepare(&options.listeners).map_err(StartError::Listener)?;
        let disk_counters = Arc::new(Counters::default());
        let disk =
            Threads::open(&options.log_directory, count, clock, Arc::clone(&disk_counters)).map_err(|error| {
                let path = options.log_directory.clone();
                StartError::LogDirectory { path, error }
            })?;
        let shard_counters: Vec<_> = (0..count).map(|_| Arc::new(Counters::default())).collect();
        let accept_counters = Arc::new(Counters::default());
        let mut counters = shard_counters.clone();
        counters.extend([disk_counters, Arc::clone(&accept_counters)]);
        let broker = Self {
            common: Arc::new(Common {
                lifecycle: Arc::new(Lifecycle::new(count)),
                shards: (0..count).map(|_| Arc::default()).collect(),
                counters,
                asked_to_stop: Mutex::new(false),
            }),
            disk,
            census: Arc::new(Census::new(
                options.config.connections.clone(),
                options.limits.max_connections,
            )),
            addresses,
            threads: Mutex::default(),
            disk_threads: Mutex::default(),
        };
        broker.start_disk(&options.limits).map_err(StartError::Thread)?;
        let mut newcomers = Vec::new();
        for (id, counters) in (0..count).map(ShardId).zip(shard_counters) {
            let inbox = broker.start_shard(machine(id, count), id, counters, clock, &options.limits);
            newcomers.push(inbox.map_err(StartError::Thread)?);
        }
        let acceptor = Acceptor {
            lifecycle: Arc::clone(&broker.common.lifecycle),
            shards: newcomers,
            events: broker.common.shards.clone(),
            crowded: 0,
            counters: accept_counters,
            census: Arc::clone(&broker.census),
            pace: Pace::default(),
            first: 0,
            sequence: 0,
            grumble: Grumble::default(),
            clock,
        };
        broker
            .start_acceptor(acceptor, options.listeners)
            .map_err(StartError::Thread)?;
        Ok(broker)
    }

    fn guard(&self) -> Guard {
        Guard(Arc::clone(&self.common.lifecycle))
    }

    fn start_disk(&self, limits: &NetLimits) -> io::Result<()> {
        let lifecycle = Arc::clone(&self.common.lifecycle);
        let guard = move || Guard(Arc::clone(&lifecycle));
        let threads = self.disk.start(limits.disk_threads, limits.task_threads, guard)?;
        lock(&self.disk_threads).extend(threads);
        Ok(())
    }

    fn start_shard<M: Machine>(
        &self,
        machine: M,
        id: ShardId,
        counters: Arc<Counters>,
        clock: Clock,
        limits: &NetLimits,
    ) -> io::Result<Arc<Inbox<Newcomer<TcpStream>>>> {
        let newcomers = Arc::new(Inbox::default());
        let links = Links {
            id,
            lifecycle: Arc::clone(&self.common.lifecycle),
            shards: self.common.shards.clone(),
            newcomers: Arc::clone(&newcomers),
            census: Arc::clone(&self.census),
            counters,
            clock,
            limits: limits.clone(),
        };
        let (disk, guard) = (Arc::clone(&self.disk), self.guard());
        let make = move || {
            guarded(
                guard,
                Driver::<M, _, tokio::net::TcpStream>::new(machine, disk, links).run(),
            )
        };
        lock(&self.threads).push(OsThreads.spawn(format!("klamm-shard-{id}"), make)?);
        Ok(newcomers)
    }

    fn start_acceptor(&self, acceptor: Acceptor, listeners: Vec<BoundListener>) -> io::Result<()> {
        let guard = self.guard();
        let make = move || guarded(guard, acceptor.run(listeners));
        lock(&self.threads).push(OsThreads.spawn(String::from("klamm-accept"), make)?);
        Ok(())
    }

    /// Where the broker listens, in the order of [`BrokerOptions::listeners`].
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until clients are accepted; an error says how the broker ended before that.
    pub fn ready(&self) -> Result<(), Exit> {
        self.common.lifecycle.wait_until_accepting()
    }

    /// Whether clients are accepted now.
    pub fn is_ready(&self) -> bool {
        self.common.lifecycle.doors() == Doors::Open
    }

    /// Whether the broker has ended.
    pub fn has_ended(&self) -> bool {
        self.common.lifecycle.ended()
    }

    /// A handle to ask for a stop from elsewhere.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            common: Arc::clone(&self.common),
        }
    }

    /// Stops in good order: accepts nobody any more, lets the shards answer what is in progress and make everything
    /// durable, and waits for the end.
    pub fn stop(&self) -> Exit {
        self.common.request_stop();
        self.wait()
    }

    /// Waits for the end of the broker, however it comes.
    pub fn wait(&self) -> Exit {
        let exit = self.common.lifecycle.wait();
        if exit == Exit::Stopped {
            let threads = std::mem::take(&mut *lock(&self.threads));
            for thread in threads {
                OsThreads.join(thread);
            }
            self.disk.close();
            let threads = std::mem::take(&mut *lock(&self.disk_threads));
            for thread in threads {
                OsThreads.join(thread);
            }
        }
        exit
    }

    /// The counters, summed over all shards.
    pub fn metrics(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        self.common
            .counters
            .iter()
            .for_each(|counters| counters.add_to(&mut sum));
        sum
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Does nothing to one that has ended.
        self.common.lifecycle.abort(Exit::Stopped);
        self.disk.close();
    }
}

fn prepare(listeners: &[BoundListener]) -> io::Result<Vec<SocketAddr>> {
    listeners
        .iter()
        .map(|listener| {
            listener.socket.set_nonblocking(true)?;
            listener.socket.local_addr()
        })
        .collect()
}
