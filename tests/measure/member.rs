//! Groups and their members, as consumers of the classic protocol are members: each on a connection of its own, since a
//! broker may take one request of a connection at a time, and a join waits. The versions are those of Java's clients.
//!
//! Invariant: every answer is looked at; a broker that is fast because it refuses, or assigns something else, fails.

use bytes::Bytes;
use klamm_core::types::ErrorCode;
use klamm_core::wire::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use klamm_core::wire::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use klamm_core::wire::message::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use klamm_core::wire::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use klamm_core::wire::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use klamm_core::wire::{Message, Text, frame};
use klamm_tests::frame::{Body, Connection, api};
use std::io::Write;

/// The topic that all of them read.
pub(crate) const TOPIC: &str = "measured";
/// As Java's consumer asks for by default.
const SESSION_TIMEOUT_MS: i32 = 45_000;
const REBALANCE_TIMEOUT_MS: i32 = 300_000;
const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL: &str = "range";

const JOIN_GROUP: i16 = 9;
const SYNC_GROUP: i16 = 5;
const HEARTBEAT: i16 = 4;
const LEAVE_GROUP: i16 = 5;
const OFFSET_COMMIT: i16 = 9;

/// A connection that speaks whole messages.
pub(crate) struct Line {
    connection: Connection,
    correlation: i32,
}

impl Line {
    /// Connects, and asks for the versions as every client does. Whoever opens the next connection without having been
    /// answered on this one overruns the queue in which Kafka lets them wait (`socket.listen.backlog.size`).
    pub(crate) fn open(address: &str) -> Self {
        let mut connection = Connection::open(address).expect("the broker accepts");
        let versions = connection.call(api::API_VERSIONS, 0, &[]);
        versions.expect("the broker tells its versions");
        Self {
            connection,
            correlation: 0,
        }
    }

    /// Sends a request and does not wait.
    pub(crate) fn send<Q: Message>(&mut self, request: &Q, version: i16) {
        self.correlation += 1;
        let client = Text::from("measure");
        let parts = frame::encode_request(self.correlation, Some(&client), request, version);
        let bytes = frame::join(&parts.expect("a request that this version carries"));
        let bytes = bytes.expect("nothing lies in a file");
        let sent = self.connection.stream().write_all(&bytes);
        sent.expect("the broker keeps the connection");
    }

    /// Waits for the answer to the last request.
    pub(crate) fn receive<R: Message>(&mut self, version: i16) -> R {
        let answer = self.connection.receive_frame().expect("the broker answers");
        let decoded = frame::decode_response(&Bytes::from(answer), version);
        let (correlation, answer) = decoded.expect("an answer of this version");
        assert_eq!(correlation, self.correlation, "the answer is that of the last request");
        answer
    }
}

/// A member of a group, or one that has left it.
pub(crate) struct Member {
    line: Line,
    id: Text,
}

impl Member {
    /// A member to be, connected.
    pub(crate) fn new(address: &str) -> Self {
        Self {
            line: Line::open(address),
            id: Text::EMPTY,
        }
    }

    fn ask_to_join(&mut self, group: &Text) {
        let mut subscription = Body::new();
        subscription.short(0).int(1).string(TOPIC).int(-1);
        let request = JoinGroupRequest {
            group_id: group.clone(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            member_id: self.id.clone(),
            protocol_type: Text::from(PROTOCOL_TYPE),
            protocols: vec![JoinGroupRequestProtocol {
                name: Text::from(PROTOCOL),
                metadata: subscription.0.into(),
            }],
            ..JoinGroupRequest::default()
        };
        self.line.send(&request, JOIN_GROUP);
    }

    /// What a new member is told: the id to come back with (KIP-394).
    fn learn_id(&mut self) {
        let told: JoinGroupResponse = self.line.receive(JOIN_GROUP);
        assert_eq!(told.error_code, ErrorCode::MemberIdRequired.code(), "{told:?}");
        self.id = told.member_id;
    }

    /// Asks for an id and joins with it; the answer comes with the next generation.
    fn join_first(&mut self, group: &Text) {
        self.id = Text::EMPTY;
        self.ask_to_join(group);
        self.learn_id();
        self.ask_to_join(group);
    }
}

/// A group, with those of its members that are in it.
pub(crate) struct Group {
    name: Text,
    members: Vec<Member>,
    generation: i32,
}

impl Group {
    /// A group of members to be.
    pub(crate) fn new(name: String, members: Vec<Member>) -> Self {
        Self {
            name: Text::from(name),
            members,
            generation: 0,
        }
    }

    /// Its members are new and join; returns once each has its part.
    pub(crate) fn form(&mut self) {
        for member in &mut self.members {
            member.ask_to_join(&self.name);
        }
        self.members.iter_mut().for_each(Member::learn_id);
        for member in &mut self.members {
            member.ask_to_join(&self.name);
        }
        self.complete();
    }

    /// The member that has been there longest leaves; returns it once each of the others has its new part.
    pub(crate) fn go_on_without_one(&mut self) -> Member {
        let mut leaver = self.members.remove(0);
        let identity = MemberIdentity {
            member_id: leaver.id.clone(),
            ..MemberIdentity::default()
        };
        let request = LeaveGroupRequest {
            group_id: self.name.clone(),
            members: vec![identity],
            ..LeaveGroupRequest::default()
        };
        leaver.line.send(&request, LEAVE_GROUP);
        let told: LeaveGroupResponse = leaver.line.receive(LEAVE_GROUP);
        assert!(
            told.error_code == 0 && told.members.iter().all(|it| it.error_code == 0),
            "{told:?}"
        );
        self.join_again();
        self.complete();
        leaver
    }

    /// Somebody joins; returns once each has its new part.
    pub(crate) fn go_on_with(&mut self, mut newcomer: Member) {
        newcomer.join_first(&self.name);
        self.join_again();
        self.members.push(newcomer);
        self.complete();
    }

    /// Every member hears from a heartbeat that it has to join again, and does.
    fn join_again(&mut self) {
        for member in &mut self.members {
            member
                .line
                .send(&heartbeat(&self.name, self.generation, &member.id), HEARTBEAT);
        }
        for member in &mut self.members {
            loop {
                let told: HeartbeatResponse = member.line.receive(HEARTBEAT);
                if told.error_code == ErrorCode::RebalanceInProgress.code() {
                    break;
                }
                // What begins the rebalance may still be on its way, on a connection of its own.
                assert_eq!(told.error_code, 0, "{told:?}");
                member
                    .line
                    .send(&heartbeat(&self.name, self.generation, &member.id), HEARTBEAT);
            }
            member.ask_to_join(&self.name);
        }
    }

    /// Every member has asked to join: the next generation begins, its leader assigns, and each gets its part.
    fn complete(&mut self) {
        let count = self.members.len();
        let mut leader = None;
        let mut generation = None;
        for (place, member) in self.members.iter_mut().enumerate() {
            let told: JoinGroupResponse = member.line.receive(JOIN_GROUP);
            assert_eq!((told.error_code, &told.member_id), (0, &member.id), "{told:?}");
            assert_eq!(*generation.get_or_insert(told.generation_id), told.generation_id);
            if told.leader == member.id {
                assert_eq!(told.members.len(), count, "the leader hears of all");
                leader = Some(place);
            }
        }
        let leader = leader.expect("one of them leads");
        let begun = generation.expect("a group has members");
        assert!(begun > self.generation, "generations never go back");
        self.generation = begun;
        let parts: Vec<Bytes> = (0..count as i32).map(part).collect();
        let ids = self.members.iter().map(|member| member.id.clone());
        let all: Vec<_> = ids
            .zip(parts.iter().cloned())
            .map(|(member_id, assignment)| SyncGroupRequestAssignment { member_id, assignment })
            .collect();
        for (place, member) in self.members.iter_mut().enumerate() {
            let request = SyncGroupRequest {
                group_id: self.name.clone(),
                generation_id: begun,
                member_id: member.id.clone(),
                protocol_type: Some(Text::from(PROTOCOL_TYPE)),
                protocol_name: Some(Text::from(PROTOCOL)),
                assignments: if place == leader { all.clone() } else { Vec::new() },
                ..SyncGroupRequest::default()
            };
            member.line.send(&request, SYNC_GROUP);
        }
        for (member, part) in self.members.iter_mut().zip(&parts) {
            let told: SyncGroupResponse = member.line.receive(SYNC_GROUP);
            assert_eq!((told.error_code, &told.assignment), (0, part), "{told:?}");
        }
    }

    /// Every member sends a heartbeat.
    pub(crate) fn beat(&mut self) {
        for member in &mut self.members {
            member
                .line
                .send(&heartbeat(&self.name, self.generation, &member.id), HEARTBEAT);
        }
        for member in &mut self.members {
            let told: HeartbeatResponse = member.line.receive(HEARTBEAT);
            assert_eq!(told.error_code, 0, "{told:?}");
        }
    }

    /// Every member commits an offset of its partition.
    pub(crate) fn commit(&mut self, offset: i64) {
        for (partition, member) in self.members.iter_mut().enumerate() {
            let partition = OffsetCommitRequestPartition {
                partition_index: partition as i32,
                committed_offset: offset,
                ..OffsetCommitRequestPartition::default()
            };
            let topic = OffsetCommitRequestTopic {
                name: Text::from(TOPIC),
                partitions: vec![partition],
                ..OffsetCommitRequestTopic::default()
            };
            let request = OffsetCommitRequest {
                group_id: self.name.clone(),
                generation_id_or_member_epoch: self.generation,
                member_id: member.id.clone(),
                topics: vec![topic],
                ..OffsetCommitRequest::default()
            };
            member.line.send(&request, OFFSET_COMMIT);
        }
        for member in &mut self.members {
            let told: OffsetCommitResponse = member.line.receive(OFFSET_COMMIT);
            let codes = told.topics.iter().flat_map(|topic| &topic.partitions);
            assert!(
                codes.clone().count() == 1 && codes.clone().all(|it| it.error_code == 0),
                "{told:?}"
            );
        }
    }
}

fn heartbeat(group: &Text, generation: i32, member: &Text) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: group.clone(),
        generation_id: generation,
        member_id: member.clone(),
        ..HeartbeatRequest::default()
    }
}

/// What a member is assigned: one partition.
fn part(partition: i32) -> Bytes {
    let mut part = Body::new();
    part.short(0).int(1).string(TOPIC).int(1).int(partition).int(-1);
    part.0.into()
}

/// Whether the broker coordinates the group: it does not while the topic of groups is made and read.
pub(crate) fn is_coordinated(line: &mut Line, group: &str) -> bool {
    let name = Text::from(group.to_owned());
    line.send(&heartbeat(&name, 1, &Text::from("nobody")), HEARTBEAT);
    let told: HeartbeatResponse = line.receive(HEARTBEAT);
    told.error_code == ErrorCode::UnknownMemberId.code()
}
