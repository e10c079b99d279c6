//! What members and others are told of a group.

use super::group::{Group, State};
use super::member::Member;
use crate::group::ask::{Described, DescribedMember, Joined, JoinedMember, Listed, Synced};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Debug;

impl<T: Copy + Debug> Group<T> {
    /// What a member hears of the present generation.
    pub(super) fn joined(&self, id: &Arc<str>, as_leader: bool) -> Joined {
        let describe = |member: &Member<T>| JoinedMember {
            id: Arc::clone(&member.id),
            instance: member.instance.clone(),
            metadata: self.protocol.as_ref().map_or_else(Bytes::new, |it| member.metadata(it)),
        };
        let members = if as_leader {
            self.members.values().map(describe).collect()
        } else {
            Vec::new()
        };
        Joined {
            member: Arc::clone(id),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_else(|| Arc::from("")),
            skip_assignment: false,
            members,
        }
    }

    pub(super) fn synced(&self, id: &str) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(id).map_or_else(Bytes::new, |it| it.assignment.clone()),
        }
    }

    pub(in crate::group) fn listed(&self) -> Listed {
        Listed {
            group: Arc::clone(&self.name),
            protocol_type: self.protocol_type.clone(),
            state: self.shown(),
        }
    }

    pub(in crate::group) fn described(&self) -> Described {
        let stable = self.protocol.as_ref().filter(|_| self.state == State::Stable);
        let member = |member: &Member<T>| DescribedMember {
            id: Arc::clone(&member.id),
            instance: member.instance.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            metadata: stable.map_or_else(Bytes::new, |it| member.metadata(it)),
            assignment: member.assignment.clone(),
        };
        Described {
            state: self.state_name(),
            protocol_type: self.protocol_type.clone(),
            protocol: stable.cloned(),
            members: self.members.values().map(member).collect(),
        }
    }
}
