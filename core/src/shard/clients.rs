//! Connections: their sessions, and what these want done.

use super::mail::Mail;
use super::wheel::TimerKey;
use super::{CONTROLLER, Effect, Effects, Pending, Phase, Shard, Timer};
use crate::bugs::bug;
use crate::config::BrokerConfig;
use crate::metadata::Image;
use crate::session::{Action, Answer, Ask, CloseReason, Context, FetchSessions, Peer, RequestId, Room, Session};
use crate::storage::Lease;
use crate::types::{ConnectionId, Monotonic, Now, OpId, ShardId, TopicPartition};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// A connection and its timers.
#[derive(Debug)]
pub(super) struct Client {
    session: Session,
    deadline: Option<TimerKey>,
    idle: TimerKey,
}

/// What a response holds until it is sent.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) leases: Vec<Lease>,
    /// Bytes of memory that it alone holds.
    pub(super) bytes: usize,
    /// Bytes that leave.
    pub(super) length: u64,
}

/// Who waits for the answer to an ask.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    /// A request of a client.
    Session {
        connection: ConnectionId,
        request: RequestId,
        tag: u32,
    },
    /// This shard, for a block of producer ids.
    ProducerIds,
    /// The coordinator of the groups of this partition, which is this shard's.
    Coordinator(TopicPartition),
}

/// What sessions look at.
#[derive(Debug)]
pub(super) struct View {
    pub(super) id: ShardId,
    pub(super) shards: u16,
    pub(super) config: Arc<BrokerConfig>,
    pub(super) cluster_id: Arc<str>,
    pub(super) image: Arc<Image>,
    pub(super) fetch_sessions: FetchSessions,
    pub(super) room: Room,
}

impl View {
    pub(super) fn context(&mut self, now: Now) -> Context<'_> {
        Context {
            now,
            shards: self.shards,
            controller: CONTROLLER,
            here: self.id,
            cluster_id: &self.cluster_id,
            image: &self.image,
            config: &self.config,
            fetch_sessions: &mut self.fetch_sessions,
            room: &mut self.room,
        }
    }
}

/// An event of a session, with the connection found and the context made.
pub(super) type Event<'a> = &'a mut dyn FnMut(&mut Session, &mut Context<'_>, &mut Vec<Action>);

impl Shard {
    pub(super) fn connected(&mut self, now: Now, connection: ConnectionId, peer: Peer<'_>, effects: &mut Effects) {
        let mut actions = core::mem::take(&mut self.actions);
        let mut session = Session::new(connection, peer, &self.view.context(now), &mut actions);
        if self.phase != Phase::Serving {
            actions.clear();
            session.close(CloseReason::Shutdown, &mut actions);
        }
        let idle_at = session.idle_at(now.monotonic, &self.view.config);
        let idle = self.wheel.arm(idle_at, Timer::Idle(connection));
        self.clients.insert(
            connection,
            Client {
                session,
                deadline: None,
                idle,
            },
        );
        self.act(connection, &mut actions, effects);
        self.actions = actions;
    }

    pub(super) fn frame(&mut self, now: Now, connection: ConnectionId, frame: Bytes, effects: &mut Effects) {
        self.counters.requests += 1;
        let mut frame = Some(frame);
        self.with_session(now, connection, effects, &mut |session, context, actions| {
            session.frame(frame.take().expect("a frame is handled once"), context, actions);
        });
    }

    pub(super) fn disconnected(&mut self, now: Now, connection: ConnectionId, effects: &mut Effects) {
        let Some(client) = self.clients.remove(&connection) else {
            panic!("{connection:?} disconnects, and was never connected");
        };
        self.wheel.cancel(client.idle);
        if let Some(deadline) = client.deadline {
            self.wheel.cancel(deadline);
        }
        let mut actions = core::mem::take(&mut self.actions);
        client.session.abandon(&mut self.view.context(now), &mut actions);
        self.act(connection, &mut actions, effects);
        self.actions = actions;
    }

    /// A response left, or never will.
    pub(super) fn sent(&mut self, now: Now, (connection, response): (ConnectionId, Held), effects: &mut Effects) {
        let Held { leases, bytes, length } = response;
        let gone = !self.clients.contains_key(&connection);
        if !(gone && bug!(LostLease)) {
            self.release(leases, effects);
        }
        self.view.room.sent(bytes);
        self.with_session(now, connection, effects, &mut |session, context, actions| {
            session.sent((bytes, length), context, actions);
        });
    }

    /// Some of a response left.
    pub(super) fn progress(&mut self, now: Now, connection: ConnectionId, bytes: u64) {
        if let Some(client) = self.clients.get_mut(&connection) {
            client.session.progress(bytes, now.monotonic);
        }
    }

    /// Lets the next session that waits for its turn begin a request; whether there was one.
    pub(super) fn take_turn(&mut self, now: Now, effects: &mut Effects) -> bool {
        let Some(connection) = self.view.room.next_turn() else {
            return false;
        };
        self.with_session(now, connection, effects, &mut |session, context, actions| {
            session.take_turn(context, actions);
        });
        true
    }

    /// Where requests wait for room, closes the connection that keeps most of it for longest, if one does.
    pub(super) fn make_room(&mut self, now: Now, effects: &mut Effects) {
        if !self.view.room.is_stuck(now.monotonic) {
            return;
        }
        let burden =
            |(&connection, client): (&ConnectionId, &Client)| (client.session.burden(now.monotonic), connection);
        let Some((_, connection)) = self.clients.iter().map(burden).max().filter(|&(burden, _)| burden > 0) else {
            return;
        };
        self.with_session(now, connection, effects, &mut |session, _, actions| {
            session.evict(actions);
        });
    }

    /// An ask of this shard was answered.
    pub(super) fn answered(&mut self, now: Now, from: ShardId, (op, answer): (OpId, Answer), effects: &mut Effects) {
        let Pending::Ask { asker, watch } = self.ops.complete(op) else {
            panic!("{op:?} is not an ask, and was answered {answer:?}");
        };
        let watching = matches!(answer, Answer::Partitions { watching: true, .. } | Answer::Late);
        if let Some(watch) = watch.filter(|_| !watching) {
            self.ops.complete(watch);
        }
        let watch = watch.filter(|_| watching).map(|watch| (from, watch));
        match asker {
            Asker::Coordinator(id) => self.coordinator_answered(now, id, answer, effects),
            Asker::Session { connection, .. } if matches!(answer, Answer::Late) => {
                if self.clients.contains_key(&connection) || !bug!(LostCredit) {
                    self.mailbox.answered(from, effects);
                }
            }
            Asker::ProducerIds => {
                self.mailbox.answered(from, effects);
                self.producer_ids_reserved(answer, effects);
            }
            Asker::Session {
                connection,
                request,
                tag,
            } => {
                if self.clients.contains_key(&connection) || !bug!(LostCredit) {
                    self.mailbox.answered(from, effects);
                }
                let mut said = Some((answer, watch));
                let gone = !self.with_session(now, connection, effects, &mut |session, context, actions| {
                    let (answer, watch) = said.take().expect("an answer is handled once");
                    session.answer((request, tag), answer, watch, context, actions);
                });
                if gone && let Some((answer, watch)) = said {
                    let mut actions = Vec::new();
                    answer.discard(&mut actions);
                    actions.extend(watch.map(|(to, watch)| Action::Unwatch { to, watch }));
                    self.act(connection, &mut actions, effects);
                }
            }
        }
    }

    pub(super) fn watch_ended(&mut self, now: Now, watch: OpId, effects: &mut Effects) {
        let Pending::Watch { connection, request } = self.ops.complete(watch) else {
            panic!("{watch:?} is not a watch, and ended");
        };
        self.with_session(now, connection, effects, &mut |session, context, actions| {
            session.watch_ended(request, watch, context, actions);
        });
    }

    pub(super) fn session_deadline(&mut self, now: Now, connection: ConnectionId, effects: &mut Effects) {
        if let Some(client) = self.clients.get_mut(&connection) {
            client.deadline = None;
        }
        self.with_session(now, connection, effects, &mut |session, context, actions| {
            session.deadline(context, actions);
        });
    }

    /// A connection may have been idle for too long; if it was not, the timer waits for the rest.
    pub(super) fn idle(&mut self, now: Now, connection: ConnectionId, effects: &mut Effects) {
        let Some(client) = self.clients.get_mut(&connection) else {
            return;
        };
        let idle_at = client.session.idle_at(now.monotonic, &self.view.config);
        // A closed session is armed again too: its driver may still be sending what was asked for.
        client.idle = self
            .wheel
            .arm(idle_at.max(now.monotonic.plus_millis(1)), Timer::Idle(connection));
        if idle_at <= now.monotonic {
            self.with_session(now, connection, effects, &mut |session, _, actions| {
                session.close(CloseReason::Idle, actions);
            });
        }
    }

    /// Tells every session that the broker stops.
    pub(super) fn shut_down_sessions(&mut self, now: Now, effects: &mut Effects) {
        let connections: Vec<_> = self.clients.keys().copied().collect();
        for connection in connections {
            self.with_session(now, connection, effects, &mut |session, context, actions| {
                session.shut_down(context, actions);
            });
        }
    }

    /// Lets a session hear of something; false when it is gone.
    pub(super) fn with_session(
        &mut self,
        now: Now,
        connection: ConnectionId,
        effects: &mut Effects,
        event: Event<'_>,
    ) -> bool {
        let Some(client) = self.clients.get_mut(&connection) else {
            return false;
        };
        let mut actions = core::mem::take(&mut self.actions);
        event(&mut client.session, &mut self.view.context(now), &mut actions);
        if self.phase != Phase::Serving && !client.session.is_busy() {
            client.session.close(CloseReason::Shutdown, &mut actions);
        }
        self.act(connection, &mut actions, effects);
        self.actions = actions;
        true
    }

    fn act(&mut self, connection: ConnectionId, actions: &mut Vec<Action>, effects: &mut Effects) {
        for action in actions.drain(..) {
            match action {
                Action::Ask { request, tag, to, ask } => {
                    self.ask(
                        to,
                        Asker::Session {
                            connection,
                            request,
                            tag,
                        },
                        ask,
                        effects,
                    );
                }
                Action::Unwatch { to, watch } => self.mailbox.send(to, Mail::Unwatch { watch }, effects),
                Action::Lower { to, watch, bytes } => self.mailbox.send(to, Mail::Lower { watch, bytes }, effects),
                Action::SetDeadline(at) => self.set_deadline(connection, Some(at)),
                Action::ClearDeadline => self.set_deadline(connection, None),
                Action::Respond {
                    parts,
                    leases,
                    bytes,
                    length,
                } => {
                    let held = Held { leases, bytes, length };
                    let op = self.ops.begin(Pending::Response { connection, held });
                    effects.push(Effect::Respond { connection, op, parts });
                }
                Action::Release(leases) => self.release(leases, effects),
                Action::Grant(frames) => effects.push(Effect::Grant { connection, frames }),
                Action::Close(reason) => effects.push(Effect::Close { connection, reason }),
            }
        }
    }

    /// Puts an ask to a shard.
    pub(super) fn ask(&mut self, to: ShardId, asker: Asker, ask: Ask, effects: &mut Effects) {
        let watch = match (&ask, asker) {
            (
                Ask::Partitions {
                    watch_below: Some(_), ..
                },
                Asker::Session {
                    connection, request, ..
                },
            ) => Some(self.ops.begin(Pending::Watch { connection, request })),
            (
                Ask::Group { ask, .. },
                Asker::Session {
                    connection, request, ..
                },
            ) if ask.may_wait() => Some(self.ops.begin(Pending::Watch { connection, request })),
            _ => None,
        };
        let op = self.ops.begin(Pending::Ask { asker, watch });
        let seen = self.view.image.end();
        self.mailbox.ask(to, Mail::Ask { op, watch, seen, ask }, effects);
    }

    fn set_deadline(&mut self, connection: ConnectionId, at: Option<Monotonic>) {
        let Some(client) = self.clients.get_mut(&connection) else {
            return;
        };
        if let Some(before) = client.deadline.take() {
            self.wheel.cancel(before);
        }
        client.deadline = at.map(|at| self.wheel.arm(at, Timer::Deadline(connection)));
    }

    /// Gives leases back to the shards whose files they hold.
    pub(super) fn release(&mut self, leases: Vec<Lease>, effects: &mut Effects) {
        let mut away: Vec<(ShardId, Vec<Lease>)> = Vec::new();
        for lease in leases {
            let home = lease.file().shard();
            if home == self.view.id {
                self.storage.release(lease);
                continue;
            }
            match away.iter_mut().find(|(shard, _)| *shard == home) {
                Some((_, leases)) => leases.push(lease),
                None => away.push((home, Vec::from([lease]))),
            }
        }
        for (home, leases) in away {
            self.mailbox.send(home, Mail::Release(leases), effects);
        }
    }
}
