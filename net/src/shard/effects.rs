//! Carrying out effects.

use super::Machine;
use super::turn::Driver;
use crate::connection::{Outlet, Response};
use crate::counters::CloseKind;
use crate::disk::Disk;
use crate::event::Event;
use klamm_core::shard::{CloseReason, Effect, Input, Report};
use klamm_core::types::{ConnectionId, OpId, Part};

impl<M: Machine, D: Disk, O: Outlet> Driver<M, D, O> {
    /// Carries out one effect, or readies it for the end of the turn.
    pub(super) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Io { op, io } => self.strands.submit(op, io),
            Effect::Task { op, task } => self.strands.submit_task(op, task),
            Effect::Respond { connection, op, parts } => self.respond(connection, op, parts),
            Effect::Mail { to, mail } => {
                let from = self.links.id;
                self.outboxes[usize::from(to.0)].push(Event::Mail { from, mail });
            }
            Effect::Grant { connection, frames } => {
                if let Some(connection) = self.connections.get(connection) {
                    connection.grant(frames);
                }
            }
            Effect::Close { connection, reason } => self.close(connection, &reason),
            Effect::Serve => self.links.lifecycle.serves(),
            Effect::Connections(bounds) => self.links.census.bound(*bounds),
            Effect::Report(Report::Info(text)) => tracing::info!(shard = self.links.id.0, "{text}"),
            Effect::Report(Report::Warning(text)) => tracing::warn!(shard = self.links.id.0, "{text}"),
            Effect::Halt(halt) => {
                self.halted = true;
                self.links.lifecycle.halted(&halt);
            }
        }
    }

    fn respond(&mut self, id: ConnectionId, op: OpId, parts: Vec<Part>) {
        match self.connections.get(id) {
            Some(connection) if connection.closing.is_none() => {
                connection.outgoing.push(Response::new(op, parts), self.now.monotonic);
                self.send_soon(id);
            }
            // Nothing follows a close.
            _ => self.inputs.push_back(Input::Sent { op }),
        }
    }

    fn close(&mut self, id: ConnectionId, reason: &CloseReason) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        if let CloseReason::UnsupportedRequest { api, version } = reason {
            self.shared.counters.unsupported_request(*api, *version);
        }
        match reason {
            // What it does not take is what is to go.
            CloseReason::Unread(_) => {
                self.shared
                    .grumble
                    .closing(self.shared.now, id, &connection.peer, reason);
                return self.disconnect(id, CloseKind::of(reason));
            }
            CloseReason::UnsupportedRequest { .. } | CloseReason::MalformedRequest(_) | CloseReason::Unsendable(_) => {
                self.shared
                    .grumble
                    .closing(self.shared.now, id, &connection.peer, reason);
            }
            CloseReason::FailedWithoutAcks(_) | CloseReason::Idle | CloseReason::Shutdown => {
                tracing::debug!(connection = id.0, peer = &*connection.peer, %reason, "closing a connection");
            }
        }
        connection.closing.get_or_insert(CloseKind::of(reason));
        self.send_soon(id);
    }
}
