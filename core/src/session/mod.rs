//! One client connection: requests taken in order, shared out to the machines that own the state, answered in order.
//!
//! Invariants:
//! - responses leave in the order of their requests, one each (none for a produce request with acks=0);
//! - requests take effect in the order sent. Produce requests follow each other without waiting, because every
//!   partition takes its batches in the order asked; any other request begins once all before it are answered, and
//!   nothing begins before it is;
//! - a request that ends the connection ends it at its place in the order: what was asked before is answered, and
//!   nothing behind it begins;
//! - no more frames are in progress than were granted, and each is granted again once what it held is released;
//! - nothing begins while the turn has no work left for it, nor while too much is not sent ([`Room`]), nor while the
//!   connection pauses.

mod api;
mod ask;
mod fetch_sessions;
mod head;
mod owed;
mod room;
mod scatter;

pub use ask::{Answer, Ask};
pub use fetch_sessions::FetchSessions;
pub use room::Room;

use crate::bugs::bug;
use crate::config::{BrokerConfig, Limits};
use crate::metadata::Image;
use crate::storage::Lease;
use crate::types::{ConnectionId, ListenerName, Monotonic, Now, OpId, Part, ShardId};
use crate::wire::versions::ApiKey;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use api::{Progress, Work};
use bytes::Bytes;
use core::fmt;
use head::{WORK_BYTES, api_of, is_answered_in_short, read_header, work_of};
use owed::Owed;
use room::Place;

/// A connection with less than this unsent has its requests begun that are answered in short, however full it is: producers
/// with several under way have answers on their way most of the time.
const SHORT_BYTES: usize = 4 << 10;

/// What a session may look at while it handles an input.
pub struct Context<'a> {
    /// The time of the step.
    pub now: Now,
    /// How many shards there are.
    pub shards: u16,
    /// The shard that runs the controller, or reaches it.
    pub controller: ShardId,
    /// The shard of the session itself.
    pub here: ShardId,
    /// The cluster's identity.
    pub cluster_id: &'a str,
    /// The state of the cluster that this shard knows.
    pub image: &'a Arc<Image>,
    /// The broker's settings.
    pub config: &'a BrokerConfig,
    /// The fetch sessions of this shard.
    pub fetch_sessions: &'a mut FetchSessions,
    /// What all sessions of this shard share.
    pub room: &'a mut Room,
}

/// A request of one connection, by its place in the order sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RequestId(u64);

/// What a session wants done.
#[derive(Debug)]
pub enum Action {
    /// Put this to a shard; the answer comes back with the request and the tag.
    Ask {
        /// The request it is for.
        request: RequestId,
        /// Which of the request's asks this is.
        tag: u32,
        /// The shard.
        to: ShardId,
        /// The ask.
        ask: Ask,
    },
    /// News is not wanted any more.
    Unwatch {
        /// The watching shard.
        to: ShardId,
        /// The watch.
        watch: OpId,
    },
    /// So many bytes of news are enough to end the watch.
    Lower {
        /// The watching shard.
        to: ShardId,
        /// The watch.
        watch: OpId,
        /// Bytes that came since the shard answered.
        bytes: usize,
    },
    /// Call [`Session::deadline`] at this time. Replaces a deadline set before.
    SetDeadline(Monotonic),
    /// No deadline is wanted any more.
    ClearDeadline,
    /// Send this, and hold the leases until it is sent.
    Respond {
        /// The frame.
        parts: Vec<Part>,
        /// What its ranges pin.
        leases: Vec<Lease>,
        /// Bytes of memory that it alone holds: to be named to [`Session::sent`] and [`Room::sent`] once it is sent.
        bytes: usize,
        /// Bytes that are to leave: to be named to [`Session::sent`] as well.
        length: u64,
    },
    /// A read that is not used: release what it pins.
    Release(Vec<Lease>),
    /// Let the client send this many more frames.
    Grant(u32),
    /// Close the connection.
    Close(CloseReason),
}

/// Why the broker closes a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// The frame cannot be read as a request.
    MalformedRequest(String),
    /// No request of this API or version is served.
    UnsupportedRequest {
        /// The API key.
        api: i16,
        /// The version asked for.
        version: i16,
    },
    /// A request with acks=0 failed, and there is no response to say so in.
    FailedWithoutAcks(&'static str),
    /// Nothing was asked for `connections.max.idle.ms`.
    Idle,
    /// A response cannot be put into a frame; the text says why.
    Unsendable(String),
    /// It takes too little of its responses, which hold so many bytes, and others wait for the room.
    Unread(usize),
    /// The broker stops.
    Shutdown,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedRequest(text) => write!(f, "malformed request: {text}"),
            Self::UnsupportedRequest { api, version } => match ApiKey::from_code(*api) {
                Some(api) => write!(f, "unsupported request: {} version {version}", api.name()),
                None => write!(f, "unsupported request: unknown API key {api}, version {version}"),
            },
            Self::FailedWithoutAcks(code) => write!(f, "a produce request with acks=0 failed: {code}"),
            Self::Idle => f.write_str("idle for connections.max.idle.ms"),
            Self::Unsendable(text) => write!(f, "a response cannot be sent: {text}"),
            Self::Unread(bytes) => write!(f, "it takes too little of {bytes} bytes of responses, and others wait"),
            Self::Shutdown => f.write_str("the broker stops"),
        }
    }
}

/// Who connected.
#[derive(Clone, Debug)]
pub struct Peer<'a> {
    /// The client's address.
    pub address: &'a str,
    /// The listener that took it.
    pub listener: ListenerName,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    connection: ConnectionId,
    /// The client's address, as Kafka writes it.
    host: Arc<str>,
    /// What it came in on.
    listener: ListenerName,
    phase: Phase,
    /// Frames that may not begin yet.
    waiting: VecDeque<Bytes>,
    /// Requests in progress, in the order sent.
    active: VecDeque<Request>,
    next_request: u64,
    /// Frames taken whose grant was not given back.
    held: u32,
    owed: Owed,
    /// Where it waits for its turn or for room, if it does.
    place: Option<Place>,
    /// Whether nothing begins before its deadline comes.
    paused: bool,
    last_activity: Monotonic,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// The broker stops: what is in progress is answered, and nothing more is taken.
    Draining,
    /// A close is on its way: nothing more is taken or sent.
    Closing,
}

#[derive(Debug)]
struct Request {
    id: RequestId,
    state: State,
}

/// What a response needs to know of its request.
#[derive(Clone, Copy, Debug)]
struct Header {
    api: ApiKey,
    version: i16,
    correlation_id: i32,
}

#[derive(Debug)]
enum State {
    Working(Header, Work),
    Ready {
        parts: Vec<Part>,
        leases: Vec<Lease>,
        /// Bytes of memory that nobody else holds.
        bytes: usize,
    },
    /// Done, and the protocol has no response for it.
    Silent,
    /// It ends the connection, once everything before it is answered.
    Ending(CloseReason),
}

/// A request at work: what it knows of itself, what it may look at, and where its actions go.
struct Call<'a, 'b> {
    request: RequestId,
    header: Header,
    /// The client's address, as Kafka writes it.
    host: &'a Arc<str>,
    /// To be set with a deadline, before which nothing else of the connection is to begin.
    paused: &'a mut bool,
    /// What the connection came in on.
    listener: &'a ListenerName,
    context: &'a mut Context<'b>,
    actions: &'a mut Vec<Action>,
}

impl Session {
    /// A new connection; grants its first frames.
    pub fn new(connection: ConnectionId, peer: Peer<'_>, context: &Context<'_>, actions: &mut Vec<Action>) -> Self {
        actions.push(Action::Grant(context.config.limits.frames_in_flight));
        Self {
            connection,
            host: host(peer.address),
            listener: peer.listener,
            phase: Phase::Open,
            waiting: VecDeque::new(),
            active: VecDeque::new(),
            next_request: 0,
            held: 0,
            owed: Owed::new(context.now.monotonic),
            place: None,
            paused: false,
            last_activity: context.now.monotonic,
        }
    }

    /// A frame arrived.
    pub fn frame(&mut self, frame: Bytes, context: &mut Context<'_>, actions: &mut Vec<Action>) {
        if self.phase != Phase::Open {
            return;
        }
        self.held += 1;
        let granted = context.config.limits.frames_in_flight;
        assert!(
            self.held <= granted,
            "{} sent {} frames of {granted} granted",
            self.connection,
            self.held
        );
        self.last_activity = context.now.monotonic;
        self.waiting.push_back(frame);
        self.advance(context, actions);
    }

    /// An ask of `request` was answered. `watch` names the watch that its shard keeps, if it does.
    pub fn answer(
        &mut self,
        (request, tag): (RequestId, u32),
        answer: Answer,
        watch: Option<(ShardId, OpId)>,
        context: &mut Context<'_>,
        actions: &mut Vec<Action>,
    ) {
        let event = Event::Answer { tag, answer, watch };
        self.drive(request, event, context, actions);
        self.advance(context, actions);
    }

    /// A watch of `request` ended: there is news, or it was given up.
    pub fn watch_ended(
        &mut self,
        request: RequestId,
        watch: OpId,
        context: &mut Context<'_>,
        actions: &mut Vec<Action>,
    ) {
        self.drive(request, Event::WatchEnded(watch), context, actions);
        self.advance(context, actions);
    }

    /// The deadline that was set has come.
    pub fn deadline(&mut self, context: &mut Context<'_>, actions: &mut Vec<Action>) {
        self.paused = false;
        if let Some(Request { id, .. }) = self.active.front() {
            let id = *id;
            self.drive(id, Event::Deadline, context, actions);
        }
        self.advance(context, actions);
    }

    /// A response of this session left, or never will: what it held is free. `bytes` and `length` are those of its
    /// [`Action::Respond`].
    pub fn sent(&mut self, (bytes, length): (usize, u64), context: &mut Context<'_>, actions: &mut Vec<Action>) {
        self.last_activity = context.now.monotonic;
        self.owed.sent(bytes, length, context.now.monotonic);
        self.give_back(actions);
        self.advance(context, actions);
    }

    /// So many bytes of its oldest response left since the last of them did.
    pub fn progress(&mut self, bytes: u64, now: Monotonic) {
        self.owed.progress(bytes, now);
    }

    /// Its turn has come, which [`Room::next_turn`] says: begins one request that waits.
    pub fn take_turn(&mut self, context: &mut Context<'_>, actions: &mut Vec<Action>) {
        self.place = None;
        self.begin_at_most(1, context, actions);
    }

    /// How much of the room it keeps from others and for how long, if it takes its responses too slowly: the greatest
    /// of them is to go first. 0 if it does not.
    pub fn burden(&self, now: Monotonic) -> u128 {
        match self.phase {
            Phase::Closing => 0,
            Phase::Open | Phase::Draining => self.owed.burden(now),
        }
    }

    /// Closes the connection, since it takes too little of what it is owed.
    pub fn evict(&mut self, actions: &mut Vec<Action>) {
        self.close(CloseReason::Unread(self.owed.memory()), actions);
    }

    /// When the connection counts as idle, unless something happens before; a request in progress is not idle.
    pub fn idle_at(&self, now: Monotonic, config: &BrokerConfig) -> Monotonic {
        let busy = self.held > 0;
        let since = if busy { now } else { self.last_activity };
        since.plus_millis(config.connections_max_idle_ms)
    }

    /// The broker stops: what waits for data is answered with what there is, and the connection closes once what is in
    /// progress is answered.
    pub fn shut_down(&mut self, context: &mut Context<'_>, actions: &mut Vec<Action>) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
        }
        self.waiting.clear();
        self.deadline(context, actions);
        if self.active.is_empty() {
            self.close(CloseReason::Shutdown, actions);
        }
    }

    /// Whether requests are in progress.
    pub fn is_busy(&self) -> bool {
        !self.active.is_empty()
    }

    /// Closes the connection, once.
    pub fn close(&mut self, reason: CloseReason, actions: &mut Vec<Action>) {
        if self.phase != Phase::Closing {
            self.phase = Phase::Closing;
            self.waiting.clear();
            actions.push(Action::Close(reason));
        }
    }

    /// The connection is gone: gives up what its requests hold. Appends go on; only their replies are dropped.
    pub fn abandon(self, context: &mut Context<'_>, actions: &mut Vec<Action>) {
        if let Some(place) = self.place {
            context.room.leave(place);
        }
        for request in self.active {
            match request.state {
                State::Working(_, work) => work.abandon(context.room, actions),
                State::Ready { leases, .. } => actions.push(Action::Release(leases)),
                State::Silent | State::Ending(_) => {}
            }
        }
    }

    fn advance(&mut self, context: &mut Context<'_>, actions: &mut Vec<Action>) {
        // Whoever waits for a turn goes first.
        let most = if context.room.is_contended() { 0 } else { u32::MAX };
        self.begin_at_most(most, context, actions);
    }

    fn begin_at_most(&mut self, mut most: u32, context: &mut Context<'_>, actions: &mut Vec<Action>) {
        loop {
            self.flush(context, actions);
            if self.phase == Phase::Closing
                || self.place.is_some()
                || self.paused
                || !self.may_begin(&context.config.limits)
            {
                return;
            }
            let Some(frame) = self.waiting.front() else { return };
            if context.room.is_full() && !(self.owed.memory() < SHORT_BYTES && is_answered_in_short(frame)) {
                self.place = Some(context.room.park(self.connection, context.now.monotonic));
                return;
            }
            if most == 0 || !context.room.has_work() {
                self.place = Some(context.room.queue(self.connection));
                return;
            }
            most -= 1;
            if let Some(frame) = self.waiting.pop_front() {
                context.room.worked(work_of(&frame));
                self.begin(&frame, context, actions);
            }
        }
    }

    /// Sends what is ready, up to the first request that is not.
    fn flush(&mut self, context: &mut Context<'_>, actions: &mut Vec<Action>) {
        while let Some(request) = self.active.pop_front() {
            match request.state {
                State::Working(..) => {
                    self.active.push_front(request);
                    let ready =
                        |later: &Request| bug!(ResponsesReordered) && matches!(later.state, State::Ready { .. });
                    let Some(place) = self.active.iter().position(ready) else {
                        return;
                    };
                    self.active.swap(0, place);
                }
                State::Ready { leases, .. } if self.phase == Phase::Closing => actions.push(Action::Release(leases)),
                State::Ready { parts, leases, bytes } => {
                    let length = parts.iter().map(|part| part.len() as u64).sum();
                    self.owed.add(bytes, length, context.now.monotonic);
                    context.room.owe(bytes);
                    context.room.worked((bytes / WORK_BYTES) as u32);
                    actions.push(Action::Respond {
                        parts,
                        leases,
                        bytes,
                        length,
                    });
                }
                State::Silent => self.give_back(actions),
                State::Ending(reason) => self.close(reason, actions),
            }
        }
    }

    fn may_begin(&self, limits: &Limits) -> bool {
        let Some(frame) = self.waiting.front() else {
            return false;
        };
        if self.owed.memory() >= limits.connection_unsent_bytes.max(1) {
            return false;
        }
        let next = api_of(frame);
        let passable = |request: &Request| match &request.state {
            State::Working(header, _) => header.api == ApiKey::Produce,
            // Done, and behind one that is not: only produce requests come to that.
            State::Ready { .. } | State::Silent => true,
            State::Ending(_) => false,
        };
        let in_turn = next == Some(ApiKey::Produce) || bug!(EffectsReordered);
        self.active.is_empty() || (in_turn && self.active.iter().all(passable))
    }

    fn begin(&mut self, frame: &Bytes, context: &mut Context<'_>, actions: &mut Vec<Action>) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let state = match read_header(frame) {
            Err(reason) => State::Ending(reason),
            Ok((header, client_id, reader)) => {
                let mut call = Call {
                    request: id,
                    header,
                    host: &self.host,
                    paused: &mut self.paused,
                    listener: &self.listener,
                    context,
                    actions,
                };
                State::after(header, api::begin(reader, client_id.as_ref(), &mut call))
            }
        };
        self.active.push_back(Request { id, state });
    }

    fn drive(&mut self, id: RequestId, event: Event, context: &mut Context<'_>, actions: &mut Vec<Action>) {
        let Some(request) = self.active.iter_mut().find(|request| request.id == id) else {
            return event.discard(actions);
        };
        let State::Working(header, work) = core::mem::replace(&mut request.state, State::Silent) else {
            panic!("{event:?} for a request that is done");
        };
        let mut call = Call {
            request: id,
            header,
            host: &self.host,
            paused: &mut self.paused,
            listener: &self.listener,
            context,
            actions,
        };
        request.state = State::after(header, work.resume(event, &mut call));
    }

    fn give_back(&mut self, actions: &mut Vec<Action>) {
        self.held = self
            .held
            .checked_sub(1)
            .unwrap_or_else(|| panic!("{} gives back too much", self.connection));
        if self.phase == Phase::Open {
            actions.push(Action::Grant(1));
        }
    }
}

impl State {
    fn after(header: Header, progress: Progress) -> Self {
        match progress {
            Progress::Working(work) => Self::Working(header, work),
            Progress::Ready { parts, leases, bytes } => Self::Ready { parts, leases, bytes },
            Progress::Silent => Self::Silent,
            Progress::Close(reason) => Self::Ending(reason),
        }
    }
}

/// The host of `host:port`, as Java's `InetAddress` writes an address without a name.
fn host(peer: &str) -> Arc<str> {
    let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
    Arc::from(alloc::format!(
        "/{}",
        host.trim_start_matches('[').trim_end_matches(']')
    ))
}

/// What a request at work hears.
#[derive(Debug)]
enum Event {
    Answer {
        tag: u32,
        answer: Answer,
        watch: Option<(ShardId, OpId)>,
    },
    WatchEnded(OpId),
    Deadline,
}

impl Event {
    /// Nobody waits for it any more.
    fn discard(self, actions: &mut Vec<Action>) {
        if let Self::Answer { answer, watch, .. } = self {
            answer.discard(actions);
            if let Some((to, watch)) = watch {
                actions.push(Action::Unwatch { to, watch });
            }
        }
    }
}

#[cfg(test)]
mod tests;
