//! Simulated clients: they connect, keep requests in order, give up on answers that do not come, and leave what to ask
//! and what to make of the answer to their role.

mod asker;
mod consumer;
mod hostile;
mod member;
mod prober;
mod producer;
mod recreator;
mod setup;
mod tool;
mod trimmer;
mod verifier;
mod visitor;

use crate::frame::{Api, Request, Response};
use crate::link::{End, LinkId, Links};
use crate::options::{ClientPlan, Options, Role};
use crate::oracle::{Checker, Oracle, Place};
use crate::stage::{MILLIS, Nanos, Stage};
use crate::world::Event;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// What a client may touch.
pub(crate) struct Hands<'a> {
    pub(crate) stage: &'a mut Stage<Event>,
    pub(crate) links: &'a mut Links,
    pub(crate) oracle: &'a mut Oracle,
    pub(crate) options: &'a Options,
    /// Whether the broker accepts connections.
    pub(crate) serving: bool,
    /// Which process of the broker runs, or ran last.
    pub(crate) incarnation: u32,
    /// Whether the workload still runs; afterwards clients only finish what they began.
    pub(crate) working: bool,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Pending {
    correlation: i32,
    pub(crate) request: Request,
    version: i16,
    pub(crate) sent_at: Nanos,
    /// What the role wants to remember with it.
    pub(crate) note: u64,
}

/// The part of a client that is the same for all roles.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) index: usize,
    pub(crate) plan: ClientPlan,
    name: String,
    link: Option<LinkId>,
    pending: VecDeque<Pending>,
    received: BytesMut,
    correlation: i32,
    retry_at: Nanos,
    /// Connections made so far.
    pub(crate) connections: u32,
    /// Answers received so far.
    pub(crate) answers: u64,
}

#[derive(Debug)]
enum State {
    Producer(producer::Producer),
    Consumer(consumer::Consumer),
    Member(Box<member::Member>),
    Recreator(recreator::Recreator),
    Visitor(visitor::Visitor),
    Hostile(hostile::Hostile),
    Setup(setup::Setup),
    Tool(tool::Tool),
    Verifier(verifier::Verifier),
    /// It does nothing any more.
    Retired,
}

/// One simulated client.
#[derive(Debug)]
pub(crate) struct Client {
    wire: Wire,
    state: State,
    woken_for: Option<Nanos>,
}

/// How long an answer may take at least when all faults have ended.
const LAST_PATIENCE: Nanos = 20_000 * MILLIS;
/// When everything is calm, a fetch that has waited long enough is answered within this time.
const AFTER_WAIT: Nanos = 2500 * MILLIS;
/// When everything is calm and open, a waiting fetch is woken within this time.
const WAKE_UP: Nanos = 300 * MILLIS;

/// How an attempt to connect or a silent peer counts in a run without faults.
fn complain_if_calm(hands: &mut Hands<'_>, what: impl FnOnce() -> String) {
    if hands.options.calm {
        hands.oracle.violate(Checker::Liveness, what());
    }
}

impl Wire {
    /// Whether a request can be sent now.
    pub(crate) fn connected(&self) -> bool {
        self.link.is_some()
    }

    /// How long an answer may take; a fetch may wait on top. Once all faults have ended nobody gives up early: who is
    /// not answered then never will be.
    fn patience(&self, pending: &Pending, working: bool) -> Nanos {
        let timeout = if working {
            self.plan.timeout
        } else {
            self.plan.timeout.max(LAST_PATIENCE)
        };
        match &pending.request {
            Request::Fetch(fetch) => timeout + fetch.max_wait_ms.max(0) as u64 * MILLIS,
            Request::Group(request) => timeout + request.waits_ms().max(0) as u64 * MILLIS,
            _ => timeout,
        }
    }

    /// Requests without an answer.
    pub(crate) fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Sends `request`; its answer will come with `note`.
    pub(crate) fn send(&mut self, hands: &mut Hands<'_>, request: Request, note: u64) {
        let version = request.version(&self.plan.versions);
        self.correlation += 1;
        let frame = self.plan.codec.encode(self.correlation, &self.name, &request, version);
        let unanswered = matches!(request, Request::Produce { acks: 0, .. });
        if let (Some(link), Request::Produce { acks: 1 | -1, parts }) = (self.link, &request) {
            let codec = self.plan.codec;
            let oracle = &mut *hands.oracle;
            oracle.expect_produced(link, self.correlation, codec, version, parts.clone());
        }
        if let (Some(link), Request::Group(request)) = (self.link, &request) {
            let codec = self.plan.codec;
            hands
                .oracle
                .expect_group(link, self.correlation, codec, version, request);
        }
        if let (Some(link), Request::InitProducerId) = (self.link, &request) {
            let codec = self.plan.codec;
            hands.oracle.expect_producer_id(link, self.correlation, codec, version);
        }
        if let (
            Some(link),
            Request::DeleteRecords {
                topic,
                partition,
                offset,
                ..
            },
        ) = (self.link, &request)
        {
            let place = Place::new(topic.id, *partition);
            let oracle = &mut *hands.oracle;
            oracle.expect_deletion(link, self.correlation, self.plan.codec, version, place, *offset);
        }
        hands.oracle.counts.operations += 1;
        if !unanswered {
            self.pending.push_back(Pending {
                correlation: self.correlation,
                request,
                version,
                sent_at: hands.stage.now(),
                note,
            });
        }
        self.send_raw(hands, &frame);
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, hands: &mut Hands<'_>, bytes: &Bytes) {
        if let Some(link) = self.link {
            hands
                .links
                .send(hands.stage, &hands.options.delays, link, End::Client, bytes);
        }
    }

    /// Tells of the requests whose answers have not come.
    fn tell_unanswered(&self, oracle: &mut Oracle) {
        for pending in &self.pending {
            oracle.unanswered(&pending.request, pending.sent_at);
        }
    }

    /// Closes the connection and connects again later.
    pub(crate) fn hang_up(&mut self, hands: &mut Hands<'_>) {
        if let Some(link) = self.link.take() {
            hands.links.close(hands.stage, &hands.options.delays, link, End::Client);
        }
        self.forget(hands);
    }

    fn forget(&mut self, hands: &mut Hands<'_>) {
        self.link = None;
        for pending in self.pending.drain(..) {
            hands.oracle.unheard(&pending.request, pending.sent_at);
        }
        self.received.clear();
        self.retry_at = hands.stage.now() + hands.stage.draw.within(1, 40) * MILLIS;
    }

    fn connect(&mut self, hands: &mut Hands<'_>) -> bool {
        if !hands.serving {
            self.retry_at = hands.stage.now() + hands.stage.draw.within(2, 40) * MILLIS;
            return false;
        }
        let delays = &hands.options.delays;
        let link = hands.links.connect(hands.stage, delays, self.index, hands.incarnation);
        self.link = Some(link);
        self.connections += 1;
        true
    }

    /// Takes the next whole frame, without its length.
    fn take_frame(&mut self) -> Option<Bytes> {
        let length = i32::from_be_bytes(*self.received.first_chunk::<4>()?);
        let length = usize::try_from(length).ok()?;
        if self.received.len() < 4 + length {
            return None;
        }
        let mut frame = self.received.split_to(4 + length);
        Some(frame.split_off(4).freeze())
    }

    /// Pairs a frame with the oldest request: answers come in order, one each.
    fn pair(&mut self, hands: &mut Hands<'_>, frame: &Bytes) -> Option<(Pending, Response)> {
        let Some(pending) = self.pending.pop_front() else {
            hands.oracle.violate(
                Checker::Order,
                format!("{}: a response that nobody asked for", self.name),
            );
            return None;
        };
        let api = pending.request.api();
        let came = frame.first_chunk().map(|&bytes| i32::from_be_bytes(bytes));
        if came != Some(pending.correlation) {
            let expected = pending.correlation;
            let text = format!(
                "{}: response {came:?} came where {expected} to {api:?} was due",
                self.name
            );
            hands.oracle.violate(Checker::Order, text);
            return None;
        }
        match self.plan.codec.decode(api, pending.version, frame) {
            Ok((_, response)) => {
                self.answers += 1;
                hands.oracle.answers_in(pending.request.kind(), pending.version);
                hands.oracle.heard(&pending.request, pending.sent_at, &response);
                Some((pending, response))
            }
            Err(error) => {
                let version = pending.version;
                let text = format!(
                    "{}: the response to {api:?} {version} cannot be read: {error}",
                    self.name
                );
                hands.oracle.violate(Checker::Protocol, text);
                None
            }
        }
    }
}

impl Client {
    /// The client `index` of the run.
    pub(crate) fn new(index: usize, plan: &ClientPlan, options: &Options) -> Self {
        let state = match &plan.role {
            Role::Producer(role) => State::Producer(producer::Producer::new(index, role, options)),
            Role::Consumer(role) => State::Consumer(consumer::Consumer::new(role)),
            Role::Member(role) => State::Member(Box::new(member::Member::new(index, role))),
            Role::Recreator { rounds } => State::Recreator(recreator::Recreator::new(index, *rounds)),
            Role::Prober { pause } => State::Visitor(visitor::Visitor::new(*pause, prober::Prober::default())),
            Role::Hostile { pause } => State::Hostile(hostile::Hostile::new(*pause)),
            Role::Setup => State::Setup(setup::Setup::new(options)),
            Role::Asker { pause } => State::Visitor(visitor::Visitor::new(*pause, asker::Asker::default())),
            Role::Tool(role) => State::Tool(tool::Tool::new(index, role)),
            Role::Trimmer { pause } => State::Visitor(visitor::Visitor::new(*pause, trimmer::Trimmer)),
            Role::Verifier { appends, max_bytes } => {
                State::Verifier(verifier::Verifier::new(index, *appends, *max_bytes))
            }
        };
        Self {
            wire: Wire {
                index,
                plan: plan.clone(),
                name: format!("client-{index}"),
                link: None,
                pending: VecDeque::new(),
                received: BytesMut::new(),
                correlation: 0,
                retry_at: 0,
                connections: 0,
                answers: 0,
            },
            state,
            woken_for: None,
        }
    }

    /// The connection it uses.
    pub(crate) fn link(&self) -> Option<LinkId> {
        self.wire.link
    }

    /// Tells of the requests whose answers have not come.
    pub(crate) fn tell_unanswered(&self, oracle: &mut Oracle) {
        self.wire.tell_unanswered(oracle);
    }

    /// Whether nothing of what it began is unfinished.
    pub(crate) fn finished(&self) -> bool {
        match &self.state {
            State::Producer(producer) => producer.finished() && self.wire.pending.is_empty(),
            State::Consumer(_) | State::Visitor(_) | State::Hostile(_) | State::Retired => true,
            State::Member(member) => member.finished(),
            State::Setup(setup) => setup.finished(),
            State::Tool(tool) => tool.finished(),
            State::Verifier(verifier) => verifier.finished(),
            State::Recreator(recreator) => recreator.finished(),
        }
    }

    /// What is wrong with the groups of `clients`, now that they should have come to rest; `None` when nothing is.
    pub(crate) fn unshared(clients: &[Self]) -> Option<String> {
        member::unshared(clients.iter().filter_map(|client| match &client.state {
            State::Member(member) => Some(&**member),
            _ => None,
        }))
    }

    /// What it is doing, for people.
    pub(crate) fn describe(&self) -> String {
        let waits: Vec<_> = self
            .wire
            .pending
            .iter()
            .map(|pending| (pending.request.api(), pending.sent_at))
            .collect();
        let link = self.wire.link;
        let mut text = format!("{} on {link:?} waits for {waits:?}: {:?}", self.wire.name, self.state);
        let end = (0..=1500.min(text.len()))
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        text.truncate(end);
        text
    }

    /// Its time has come.
    pub(crate) fn wake(&mut self, hands: &mut Hands<'_>) {
        let now = hands.stage.now();
        if self.woken_for.is_some_and(|at| at <= now) {
            self.woken_for = None;
        }
        if self
            .wire
            .pending
            .front()
            .is_some_and(|oldest| oldest.sent_at + self.wire.patience(oldest, hands.working) <= now)
        {
            let name = &self.wire.name;
            complain_if_calm(hands, || format!("{name}: no answer in time"));
            hands.oracle.counts.timeouts += 1;
            self.wire.hang_up(hands);
            self.disconnected(hands);
        }
        let retired = matches!(self.state, State::Retired);
        if !retired && self.wire.link.is_none() && self.wire.retry_at <= now && self.wire.connect(hands) {
            self.connected(hands);
        }
        self.step(hands);
        self.schedule(hands);
    }

    /// Bytes arrived.
    pub(crate) fn receive(&mut self, hands: &mut Hands<'_>, link: LinkId, bytes: &[u8]) {
        if self.wire.link != Some(link) {
            return;
        }
        self.wire.received.extend_from_slice(bytes);
        while let Some(frame) = self.wire.take_frame() {
            if let State::Hostile(_) = &mut self.state {
                hostile::Hostile::answered(&mut self.wire);
                continue;
            }
            if let Some((pending, response)) = self.wire.pair(hands, &frame) {
                self.answer(hands, &pending, response);
            }
        }
        self.step(hands);
        self.schedule(hands);
    }

    /// The connection is gone.
    pub(crate) fn broken(&mut self, hands: &mut Hands<'_>, link: LinkId) {
        if self.wire.link != Some(link) {
            return;
        }
        if !matches!(self.state, State::Hostile(_)) {
            let name = &self.wire.name;
            complain_if_calm(hands, || format!("{name}: the connection broke"));
        }
        self.wire.forget(hands);
        self.disconnected(hands);
        self.schedule(hands);
    }

    /// It vanishes without a word, and comes back with another connection.
    pub(crate) fn vanish(&mut self, hands: &mut Hands<'_>) {
        if let Some(link) = self.wire.link {
            hands.links.vanish(hands.stage, link);
            self.wire.forget(hands);
            self.disconnected(hands);
            self.schedule(hands);
        }
    }

    /// How long it would wait for records, where it has nothing else to do.
    pub(crate) fn waits_long(&self) -> bool {
        match &self.wire.plan.role {
            Role::Consumer(plan) => plan.max_wait_ms > 1000 && plan.min_bytes <= 1,
            _ => false,
        }
    }

    /// How long ago its oldest fetch should have been answered, whatever there was to be read.
    fn overdue(&self, now: Nanos) -> Option<Nanos> {
        let oldest = self.wire.pending.front()?;
        let Request::Fetch(fetch) = &oldest.request else {
            return None;
        };
        now.checked_sub(oldest.sent_at + fetch.max_wait_ms.max(0) as u64 * MILLIS)
    }

    /// Whether it is too early to say that its fetch is never answered.
    pub(crate) fn is_in_doubt(&self, now: Nanos) -> bool {
        let doubtful = WAKE_UP..AFTER_WAIT;
        self.overdue(now).is_some_and(|overdue| doubtful.contains(&overdue))
    }

    /// Whatever it waits for must have been missing until just now, and it may not wait for longer than it asked.
    pub(crate) fn judge_wait(&mut self, hands: &mut Hands<'_>) {
        let (State::Consumer(consumer), Some(oldest)) = (&self.state, self.wire.pending.front()) else {
            return;
        };
        consumer.judge_wait(hands, oldest.sent_at, WAKE_UP);
        if let Some(overdue) = self.overdue(hands.stage.now()).filter(|&overdue| overdue >= AFTER_WAIT) {
            let name = &self.wire.name;
            let text = format!("{name}: a fetch is {} ms overdue", overdue / MILLIS);
            hands.oracle.violate(Checker::Liveness, text);
        }
    }

    /// It closes its connection and does nothing any more.
    pub(crate) fn retire(&mut self, hands: &mut Hands<'_>) {
        self.wire.hang_up(hands);
        self.state = State::Retired;
    }

    fn connected(&mut self, hands: &mut Hands<'_>) {
        match &mut self.state {
            State::Producer(producer) => producer.connected(&mut self.wire, hands),
            State::Consumer(consumer) => consumer.connected(&mut self.wire, hands),
            State::Member(member) => member.connected(hands),
            State::Recreator(_)
            | State::Visitor(_)
            | State::Setup(_)
            | State::Tool(_)
            | State::Verifier(_)
            | State::Retired => {}
            State::Hostile(hostile) => hostile.connected(),
        }
    }

    fn disconnected(&mut self, hands: &mut Hands<'_>) {
        match &mut self.state {
            State::Producer(producer) => producer.disconnected(hands),
            State::Consumer(consumer) => consumer.disconnected(),
            State::Member(member) => member.disconnected(hands),
            State::Recreator(recreator) => recreator.disconnected(),
            State::Visitor(visitor) => visitor.disconnected(),
            State::Setup(setup) => setup.disconnected(),
            State::Tool(tool) => tool.disconnected(),
            State::Verifier(verifier) => verifier.disconnected(),
            State::Hostile(_) | State::Retired => {}
        }
    }

    fn answer(&mut self, hands: &mut Hands<'_>, pending: &Pending, response: Response) {
        match &mut self.state {
            State::Producer(producer) => producer.answer(&mut self.wire, hands, pending, response),
            State::Consumer(consumer) => consumer.answer(&mut self.wire, hands, pending, response),
            State::Member(member) => member.answer(&mut self.wire, hands, pending, response),
            State::Recreator(recreator) => recreator.answer(&mut self.wire, hands, pending, response),
            State::Visitor(visitor) => visitor.answer(&self.wire, hands, pending, response),
            State::Setup(setup) => setup.answer(hands, pending, response),
            State::Tool(tool) => tool.answer(hands, pending, response),
            State::Verifier(verifier) => verifier.answer(&mut self.wire, hands, pending, response),
            State::Hostile(_) | State::Retired => {}
        }
    }

    fn step(&mut self, hands: &mut Hands<'_>) {
        if !self.wire.connected() {
            return;
        }
        match &mut self.state {
            State::Producer(producer) => producer.step(&mut self.wire, hands),
            State::Consumer(consumer) => consumer.step(&mut self.wire, hands),
            State::Member(member) => member.step(&mut self.wire, hands),
            State::Recreator(recreator) => recreator.step(&mut self.wire, hands),
            State::Visitor(visitor) => visitor.step(&mut self.wire, hands),
            State::Hostile(hostile) => hostile.step(&mut self.wire, hands),
            State::Setup(setup) => setup.step(&mut self.wire, hands),
            State::Tool(tool) => tool.step(&mut self.wire, hands),
            State::Verifier(verifier) => verifier.step(&mut self.wire, hands),
            State::Retired => {}
        }
    }

    /// Sets the alarm for whatever comes first.
    fn schedule(&mut self, hands: &mut Hands<'_>) {
        let next = match &self.state {
            State::Producer(producer) => producer.next_at(),
            State::Consumer(consumer) => consumer.next_at(),
            State::Member(member) => member.next_at(),
            State::Recreator(recreator) => recreator.next_at(),
            State::Visitor(visitor) => visitor.next_at(),
            State::Hostile(hostile) => hostile.next_at(),
            State::Setup(setup) => setup.next_at(),
            State::Tool(tool) => tool.next_at(),
            State::Verifier(verifier) => verifier.next_at(),
            State::Retired => return,
        };
        let now = hands.stage.now();
        let mut at = match self.wire.link {
            // What was due has just been done, or waits for an answer.
            Some(_) if next <= now => Nanos::MAX,
            Some(_) => next,
            None => self.wire.retry_at,
        };
        if let Some(oldest) = self.wire.pending.front() {
            at = at.min(oldest.sent_at + self.wire.patience(oldest, hands.working));
        }
        let at = at.max(now + 1);
        if self.woken_for.is_none_or(|woken_for| at < woken_for) && at < Nanos::MAX {
            self.woken_for = Some(at);
            hands.stage.at(
                at,
                Event::Wake {
                    client: self.wire.index,
                },
            );
        }
    }
}

/// Whether an error may come while faults are about and is worth another try.
fn is_retriable(error: i16) -> bool {
    // UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT, NETWORK_EXCEPTION,
    // COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, NOT_ENOUGH_REPLICAS,
    // NOT_ENOUGH_REPLICAS_AFTER_APPEND, NOT_CONTROLLER, KAFKA_STORAGE_ERROR, UNKNOWN_TOPIC_ID
    [3, 5, 6, 7, 13, 14, 15, 16, 19, 20, 41, 56, 100].contains(&error)
}

/// Notes an error that came back; one that is not retriable, or any in a run without faults, is a violation.
fn judge_error(hands: &mut Hands<'_>, api: Api, error: i16) {
    hands.oracle.counts.errors += 1;
    if !is_retriable(error) {
        let text = format!("{api:?} answered error {error}, which nothing explains");
        hands.oracle.violate(Checker::Protocol, text);
    } else if hands.options.calm {
        hands.oracle.violate(
            Checker::Liveness,
            format!("{api:?} answered error {error} without any fault"),
        );
    }
}
