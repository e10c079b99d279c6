//! The connections of a shard by their place, and who of them can move on.

use super::receive::Rest;
use super::send::Outgoing;
use super::{Connection, Outlet};
use crate::bell::Bell;
use crate::inbox::{Inbox, lock};
use klamm_core::config::ConnectionConfig;
use klamm_core::types::{ConnectionId, Monotonic};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::task::Waker;

/// Bits of a [`ConnectionId`] that say its place; those above tell it from all others of the process.
const PLACE_BITS: u32 = 24;

/// How many connections are open, in all and by address, and how many may be.
#[derive(Debug)]
pub(crate) struct Census {
    count: Mutex<Count>,
    ceiling: usize,
}

#[derive(Debug)]
struct Count {
    open: usize,
    by_address: BTreeMap<IpAddr, usize>,
    bounds: ConnectionConfig,
}

impl Census {
    /// Nobody yet, within `bounds`, and never more than `ceiling` in all.
    pub(crate) fn new(bounds: ConnectionConfig, ceiling: usize) -> Self {
        let by_address = BTreeMap::new();
        let count = Mutex::new(Count {
            open: 0,
            by_address,
            bounds,
        });
        Self { count, ceiling }
    }

    /// Holds whoever comes from now on to other bounds.
    pub(crate) fn bound(&self, bounds: ConnectionConfig) {
        lock(&self.count).bounds = bounds;
    }

    /// How many may come in a second.
    pub(crate) fn new_per_second(&self) -> u32 {
        lock(&self.count).bounds.new_per_second
    }
}

/// Why there is no permit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    /// As many connections as there may be are open.
    InAll,
    /// More than there may be by now.
    Beyond,
    /// As many connections as the process has descriptors for.
    OfProcess,
    /// As many from this address.
    OfAddress,
}

/// The right to be one of the open connections; counted until it drops.
#[derive(Debug)]
pub(crate) struct Permit {
    census: Arc<Census>,
    address: IpAddr,
}

impl Permit {
    /// A permit for a client at `address`, if there are fewer than may be, in all and from there.
    pub(crate) fn take(census: &Arc<Census>, address: IpAddr) -> Result<Self, Full> {
        let address = address.to_canonical();
        let mut count = lock(&census.count);
        let here = count.by_address.get(&address).copied().unwrap_or(0);
        if here >= count.bounds.most_of(address) as usize {
            return Err(Full::OfAddress);
        }
        let most = count.bounds.most as usize;
        if count.open > most {
            return Err(Full::Beyond);
        }
        if count.open >= most.min(census.ceiling) {
            return Err(if most <= census.ceiling {
                Full::InAll
            } else {
                Full::OfProcess
            });
        }
        count.open += 1;
        count.by_address.insert(address, here + 1);
        Ok(Self {
            census: Arc::clone(census),
            address,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut count = lock(&self.census.count);
        count.open -= 1;
        if let Some(here) = count.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                count.by_address.remove(&self.address);
            }
        }
    }
}

#[derive(Debug)]
struct Place<O> {
    connection: Option<Connection<O>>,
    bell: Arc<Bell>,
}

/// The connections of a shard.
#[derive(Debug)]
pub(crate) struct Connections<O> {
    places: Vec<Place<O>>,
    free: Vec<u32>,
    ready: Arc<Inbox<u32>>,
}

impl<O: Outlet> Connections<O> {
    /// No connections; whoever can move on is announced in `ready`.
    pub(crate) fn new(ready: Arc<Inbox<u32>>) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            ready,
        }
    }

    /// Adds a connection, the `sequence`th of this process.
    pub(crate) fn add(
        &mut self,
        sequence: u64,
        outlet: O,
        peer: Box<str>,
        permit: Permit,
        now: Monotonic,
    ) -> ConnectionId {
        let place = self.free.pop().unwrap_or_else(|| {
            let place = self.places.len() as u32;
            assert!(place < 1 << PLACE_BITS, "descriptors run out before places do");
            let bell = Arc::new(Bell::new(place, Arc::clone(&self.ready)));
            self.places.push(Place { connection: None, bell });
            place
        });
        let id = ConnectionId(sequence << PLACE_BITS | u64::from(place));
        let place = &mut self.places[place as usize];
        place.connection = Some(Connection {
            id,
            outlet,
            waker: Waker::from(Arc::clone(&place.bell)),
            peer,
            closing: None,
            grants: 0,
            rest: Rest::None,
            latest_frame: 0,
            received_at: now,
            frame_since: now,
            delivered: VecDeque::new(),
            awaits_own: false,
            in_line: false,
            outgoing: Outgoing::new(now),
            permit: Some(permit),
        });
        id
    }

    /// The connection `id`; `None` once it is gone.
    pub(crate) fn get(&mut self, id: ConnectionId) -> Option<&mut Connection<O>> {
        let place = (id.0 & ((1 << PLACE_BITS) - 1)) as usize;
        let connection = self.places.get_mut(place)?.connection.as_mut()?;
        (connection.id == id).then_some(connection)
    }

    /// Takes the connection `id` out.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Connection<O>> {
        self.get(id)?;
        let place = (id.0 & ((1 << PLACE_BITS) - 1)) as usize;
        self.free.push(place as u32);
        self.places[place].connection.take()
    }

    /// Answers the bell of `place`: whose it is now, if anybody's. Its next wake announces it again.
    pub(crate) fn answer(&mut self, place: u32) -> Option<ConnectionId> {
        let place = self.places.get(place as usize)?;
        place.bell.answer();
        place.connection.as_ref().map(|connection| connection.id)
    }

    /// All connections, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection<O>> {
        self.places.iter().filter_map(|place| place.connection.as_ref())
    }

    /// All connections, to change.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection<O>> {
        self.places.iter_mut().filter_map(|place| place.connection.as_mut())
    }
}
