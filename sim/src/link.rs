//! Connections between clients and the broker: two directions of bytes in order, each with a delay; either end may go
//! away without the other knowing.

use crate::options::Delays;
use crate::stage::{Fifo, MILLIS, Nanos, Stage};
use crate::world::Event;
use bytes::Bytes;
use std::collections::BTreeMap;

/// A connection; its number is also the broker's `ConnectionId`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LinkId(pub(crate) u64);

/// Which end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Client,
    Broker,
}

/// One direction.
#[derive(Default, Debug)]
struct Direction {
    fifo: Fifo,
    /// How many bytes still arrive; `None` while the connection is whole.
    left: Option<u64>,
}

#[derive(Debug)]
struct Link {
    client: usize,
    /// The broker process it leads to.
    incarnation: u32,
    up: Direction,
    down: Direction,
    client_open: bool,
    broker_open: bool,
    slow_until: Nanos,
}

/// All connections.
#[derive(Default, Debug)]
pub(crate) struct Links {
    links: BTreeMap<LinkId, Link>,
    next: u64,
}

impl Links {
    /// A new connection of `client`; the broker hears of it before anything that is sent on it.
    pub(crate) fn connect(
        &mut self,
        stage: &mut Stage<Event>,
        delays: &Delays,
        client: usize,
        incarnation: u32,
    ) -> LinkId {
        let id = LinkId(self.next);
        self.next += 1;
        let mut up = Direction::default();
        let at = stage.now() + stage.draw.within(delays.network.0, delays.network.1);
        stage.at(up.fifo.arrival(at), Event::Connect { link: id });
        self.links.insert(
            id,
            Link {
                client,
                incarnation,
                up,
                down: Direction::default(),
                client_open: true,
                broker_open: true,
                slow_until: 0,
            },
        );
        id
    }

    /// Sends `bytes` towards the other end, in pieces.
    pub(crate) fn send(&mut self, stage: &mut Stage<Event>, delays: &Delays, id: LinkId, from: End, bytes: &Bytes) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let now = stage.now();
        let crawl = if now < link.slow_until { 20 } else { 1 };
        let direction = match from {
            End::Client => &mut link.up,
            End::Broker => &mut link.down,
        };
        let mut at = now;
        let mut start = 0;
        while start < bytes.len() {
            let most = delays.segment.min((bytes.len() - start) as u64);
            // Small segments would drown everything else in events: about eight pieces a message at most.
            let least = most.min(bytes.len() as u64 / 8 + 1);
            let end = start + stage.draw.within(least, most.max(least)) as usize;
            at += stage.draw.within(delays.network.0, delays.network.1) * crawl;
            let arrival = direction.fifo.arrival(at);
            let piece = bytes.slice(start..end);
            stage.at(
                arrival,
                Event::Bytes {
                    link: id,
                    to: from.other(),
                    bytes: piece,
                },
            );
            at = now;
            start = end;
        }
    }

    /// How much of `length` bytes that arrive now do arrive.
    pub(crate) fn admit(&mut self, id: LinkId, to: End, length: usize) -> usize {
        let Some(link) = self.links.get_mut(&id) else {
            return 0;
        };
        let (open, direction) = match to {
            End::Broker => (link.broker_open, &mut link.up),
            End::Client => (link.client_open, &mut link.down),
        };
        if !open {
            return 0;
        }
        match &mut direction.left {
            None => length,
            Some(left) => {
                let admitted = (*left).min(length as u64);
                *left -= admitted;
                admitted as usize
            }
        }
    }

    /// `end` is gone; the other end learns of it behind what is in flight.
    pub(crate) fn close(&mut self, stage: &mut Stage<Event>, delays: &Delays, id: LinkId, end: End) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (open, direction) = match end {
            End::Client => (&mut link.client_open, &mut link.up),
            End::Broker => (&mut link.broker_open, &mut link.down),
        };
        if !std::mem::replace(open, false) {
            return;
        }
        let at = stage.now() + stage.draw.within(delays.network.0, delays.network.1);
        let at = direction.fifo.arrival(at);
        stage.at(
            at,
            Event::Broken {
                link: id,
                end: end.other(),
            },
        );
        self.forget_closed(id);
    }

    /// `end` heard that the connection is broken. Returns whether it still was open there.
    pub(crate) fn broken(&mut self, id: LinkId, end: End) -> bool {
        let Some(link) = self.links.get_mut(&id) else {
            return false;
        };
        let open = match end {
            End::Client => &mut link.client_open,
            End::Broker => &mut link.broker_open,
        };
        let was_open = std::mem::replace(open, false);
        self.forget_closed(id);
        was_open
    }

    /// The connection breaks in the middle: of what is in flight any prefix still arrives, then both ends hear of it.
    pub(crate) fn reset(&mut self, stage: &mut Stage<Event>, delays: &Delays, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        for (end, direction) in [(End::Broker, &mut link.up), (End::Client, &mut link.down)] {
            direction.left = Some(stage.draw.spread(0, 4000));
            let at = stage.now() + stage.draw.within(delays.network.0, delays.network.1);
            let at = direction.fifo.arrival(at);
            stage.at(at, Event::Broken { link: id, end });
        }
    }

    /// The client vanishes; the broker hears of it much later.
    pub(crate) fn vanish(&mut self, stage: &mut Stage<Event>, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.up.left = Some(0);
            link.down.left = Some(0);
            link.client_open = false;
            let silence = stage.draw.within(1, 3000) * MILLIS;
            stage.after(
                silence,
                Event::Broken {
                    link: id,
                    end: End::Broker,
                },
            );
        }
    }

    /// The broker's process is gone: every client hears of it.
    pub(crate) fn broker_died(&mut self, stage: &mut Stage<Event>, delays: &Delays) {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            self.close(stage, delays, id, End::Broker);
        }
    }

    /// Until when the link is slow.
    pub(crate) fn slow_until(&self, id: LinkId) -> Nanos {
        self.links.get(&id).map_or(0, |link| link.slow_until)
    }

    /// The client's bytes crawl until then.
    pub(crate) fn slow(&mut self, id: LinkId, until: Nanos) {
        if let Some(link) = self.links.get_mut(&id) {
            link.slow_until = until;
        }
    }

    /// Whether the broker's end is open.
    pub(crate) fn broker_open(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.broker_open)
    }

    /// The broker process that the connection leads to.
    pub(crate) fn incarnation(&self, id: LinkId) -> Option<u32> {
        self.links.get(&id).map(|link| link.incarnation)
    }

    /// Whose connection this is, while its end is open.
    pub(crate) fn client(&self, id: LinkId) -> Option<usize> {
        self.links
            .get(&id)
            .filter(|link| link.client_open)
            .map(|link| link.client)
    }

    /// Connections that are open at both ends, ascending.
    pub(crate) fn whole(&self) -> Vec<LinkId> {
        let whole = self
            .links
            .iter()
            .filter(|(_, link)| link.client_open && link.broker_open);
        whole.map(|(&id, _)| id).collect()
    }

    fn forget_closed(&mut self, id: LinkId) {
        if self
            .links
            .get(&id)
            .is_some_and(|link| !link.client_open && !link.broker_open)
        {
            self.links.remove(&id);
        }
    }
}

impl End {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Broker,
            Self::Broker => Self::Client,
        }
    }
}
