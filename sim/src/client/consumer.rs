//! A consumer: it reads every partition from the start, in order, with or without a fetch session.

use super::{Hands, Pending, Wire, judge_error};
use crate::frame::{Api, EARLIEST, Fetch, FetchPart, Fetched, Listed, Request, Response, TopicRef};
use crate::options::ConsumerPlan;
use crate::oracle::{Checker, Place};
use crate::stage::{MILLIS, Nanos};

/// After a start partitions open one after the other, and a fetch waits for all that it names.
const OPENING: Nanos = 2000 * MILLIS;

#[derive(Debug)]
struct Reader {
    topic: TopicRef,
    partition: i32,
    position: i64,
    /// The position that the session was told last; `None` when it was told nothing yet.
    told: Option<i64>,
    /// Its position is no more: it asks where the log starts now.
    lost: bool,
}

#[derive(Debug)]
pub(super) struct Consumer {
    plan: ConsumerPlan,
    readers: Vec<Reader>,
    knows_topics: bool,
    waiting: bool,
    session: i32,
    session_epoch: i32,
    next_at: Nanos,
}

impl Consumer {
    pub(super) fn new(plan: &ConsumerPlan) -> Self {
        Self {
            plan: plan.clone(),
            readers: Vec::new(),
            knows_topics: false,
            waiting: false,
            session: 0,
            session_epoch: 0,
            next_at: 0,
        }
    }

    pub(super) fn next_at(&self) -> Nanos {
        self.next_at
    }

    pub(super) fn connected(&mut self, _wire: &mut Wire, _hands: &mut Hands<'_>) {
        self.waiting = false;
        self.knows_topics = false;
        self.forget_session();
    }

    pub(super) fn disconnected(&mut self) {
        self.waiting = false;
        self.forget_session();
    }

    fn forget_session(&mut self) {
        self.session = 0;
        self.session_epoch = 0;
        for reader in &mut self.readers {
            reader.told = None;
        }
    }

    pub(super) fn step(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        if self.waiting || hands.stage.now() < self.next_at {
            return;
        }
        self.waiting = true;
        if !self.knows_topics {
            let topics = hands.options.topics.iter().map(|topic| topic.name.clone()).collect();
            wire.send(hands, Request::Metadata { topics }, 0);
            return;
        }
        if let Some(reader) = self.readers.iter().find(|reader| reader.lost) {
            let request = Request::ListOffsets {
                topic: reader.topic.clone(),
                partitions: vec![reader.partition],
                timestamp: EARLIEST,
            };
            wire.send(hands, request, 0);
            return;
        }
        let sessions = self.plan.sessions && wire.plan.versions.fetch >= 7;
        let parts = self
            .readers
            .iter_mut()
            .filter(|reader| !sessions || reader.told != Some(reader.position));
        let parts = parts.map(|reader| {
            reader.told = Some(reader.position);
            FetchPart {
                topic: reader.topic.clone(),
                partition: reader.partition,
                leader_epoch: -1,
                offset: reader.position,
                max_bytes: self.plan.partition_max_bytes,
            }
        });
        let fetch = Fetch {
            max_wait_ms: self.plan.max_wait_ms,
            min_bytes: self.plan.min_bytes,
            max_bytes: self.plan.max_bytes,
            session_id: self.session,
            session_epoch: if sessions { self.session_epoch } else { -1 },
            parts: parts.collect(),
        };
        wire.send(hands, Request::Fetch(fetch), 0);
    }

    pub(super) fn answer(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, pending: &Pending, response: Response) {
        self.waiting = false;
        self.next_at = hands.stage.now() + hands.stage.draw.within(self.plan.pause / 2, self.plan.pause);
        match response {
            Response::Metadata { topics } => {
                self.knows_topics = true;
                for told in topics {
                    hands.oracle.metadata(&told);
                    if told.error != 0 {
                        judge_error(hands, Api::Metadata, told.error);
                        self.knows_topics = false;
                        self.next_at = hands.stage.now() + 10 * MILLIS;
                        continue;
                    }
                    for &(partition, _, _) in &told.partitions {
                        if !self
                            .readers
                            .iter()
                            .any(|reader| reader.topic == told.topic && reader.partition == partition)
                        {
                            self.readers.push(Reader {
                                topic: told.topic.clone(),
                                partition,
                                position: 0,
                                told: None,
                                lost: false,
                            });
                        }
                    }
                }
                self.readers
                    .sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
            }
            Response::Fetch {
                error,
                session_id,
                parts,
            } => {
                let Request::Fetch(asked) = &pending.request else {
                    return;
                };
                if error == 0 && (hands.options.calm || !hands.working) {
                    self.judge_wait(hands, pending.sent_at, OPENING);
                }
                self.fetched(wire, hands, asked, error, session_id, &parts);
            }
            Response::ListOffsets(listed) => self.found_start(wire.index, hands, &pending.request, &listed),
            response => {
                let text = format!("a consumer cannot make sense of {response:?}");
                hands.oracle.violate(Checker::Protocol, text);
            }
        }
    }

    /// The reader that was lost goes on where the log starts now.
    fn found_start(&mut self, client: usize, hands: &mut Hands<'_>, asked: &Request, listed: &[Listed]) {
        let (Request::ListOffsets { topic, partitions, .. }, [found]) = (asked, listed) else {
            let text = format!("one offset was asked for, {} came", listed.len());
            hands.oracle.violate(Checker::Protocol, text);
            return;
        };
        if found.error != 0 {
            judge_error(hands, Api::ListOffsets, found.error);
            return;
        }
        let mut readers = self.readers.iter_mut();
        let reader = readers.find(|reader| reader.topic == *topic && partitions.contains(&reader.partition));
        if let Some(reader) = reader {
            let place = Place::new(topic.id, reader.partition);
            hands.oracle.log_start(place, found.offset);
            hands.oracle.assigned(client);
            reader.position = found.offset;
            reader.lost = false;
        }
    }

    /// Nothing that the fetch sent at `sent_at` waits for may have been there for longer than `patience`.
    pub(super) fn judge_wait(&self, hands: &mut Hands<'_>, sent_at: Nanos, patience: Nanos) {
        if self.plan.min_bytes > 1 {
            return;
        }
        for reader in &self.readers {
            let place = Place::new(reader.topic.id, reader.partition);
            hands.oracle.woken(place, reader.position, sent_at, patience);
        }
    }

    fn fetched(
        &mut self,
        wire: &mut Wire,
        hands: &mut Hands<'_>,
        asked: &Fetch,
        error: i16,
        session: i32,
        parts: &[Fetched],
    ) {
        if error != 0 {
            // FETCH_SESSION_ID_NOT_FOUND is how an evicted session ends, whatever else goes on.
            if error != 70 && error != 71 {
                judge_error(hands, Api::Fetch, error);
            }
            self.forget_session();
            return;
        }
        if asked.session_epoch == 0 {
            self.session = session;
            self.session_epoch = i32::from(session != 0);
        } else if asked.session_epoch > 0 {
            self.session_epoch += 1;
        }
        let by_name = wire.plan.versions.fetch < 13;
        for part in parts {
            let reader = self.readers.iter_mut().find(|reader| {
                let same = if by_name {
                    reader.topic.name == part.topic.name
                } else {
                    reader.topic.id == part.topic.id
                };
                same && reader.partition == part.partition
            });
            let Some(reader) = reader else {
                let text = format!("a fetch answered a partition that was not asked for: {part:?}");
                hands.oracle.violate(Checker::Protocol, text);
                continue;
            };
            take(wire.index, hands, reader, part, asked);
        }
        if self.session == 0 {
            for reader in &mut self.readers {
                reader.told = None;
            }
        }
    }
}

/// Reads one partition's answer.
fn take(client: usize, hands: &mut Hands<'_>, reader: &mut Reader, part: &Fetched, asked: &Fetch) {
    let place = Place::new(reader.topic.id, reader.partition);
    match part.error {
        0 => {
            reader.position = hands.oracle.fetched(place, client, reader.position, part, asked);
        }
        // OFFSET_OUT_OF_RANGE
        1 if hands.oracle.may_lack(place) || hands.oracle.may_be_removed(place, reader.position) => {
            reader.lost = true;
        }
        1 => {
            let text = format!(
                "{place}: offset {} is out of range, though nothing may have removed it",
                reader.position
            );
            hands.oracle.violate(Checker::AcknowledgedDurability, text);
        }
        error => judge_error(hands, Api::Fetch, error),
    }
    if part.error != 0 {
        reader.told = None;
    }
}
