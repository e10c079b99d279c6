//! The APIs, one file each: from a request's bytes to asks, and from answers to a response's bytes.

mod alter_configs;
mod api_versions;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod fetch;
mod find_coordinator;
mod groups;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;

use super::{Action, Call, CloseReason, Event, Room};
use crate::storage::Lease;
use crate::types::Part;
use crate::wire::frame::encode_response;
use crate::wire::versions::{ApiKey, supported};
use crate::wire::{Message, Reader, Text};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// A request that waits for answers.
#[derive(Debug)]
pub(super) enum Work {
    Produce(produce::Produce),
    Fetch(fetch::Fetch),
    ListOffsets(list_offsets::ListOffsets),
    Metadata(metadata::Metadata),
    InitProducerId(init_producer_id::InitProducerId),
    DeleteGroups(delete_groups::DeleteGroups),
    DescribeGroups(describe_groups::DescribeGroups),
    FindCoordinator(find_coordinator::FindCoordinator),
    Heartbeat(heartbeat::Heartbeat),
    JoinGroup(join_group::JoinGroup),
    LeaveGroup(leave_group::LeaveGroup),
    ListGroups(list_groups::ListGroups),
    OffsetCommit(offset_commit::OffsetCommit),
    OffsetDelete(offset_delete::OffsetDelete),
    OffsetFetch(offset_fetch::OffsetFetch),
    SyncGroup(sync_group::SyncGroup),
    CreateTopics(create_topics::CreateTopics),
    DeleteTopics(delete_topics::DeleteTopics),
    DeleteRecords(delete_records::DeleteRecords),
    CreatePartitions(create_partitions::CreatePartitions),
    AlterConfigs(alter_configs::AlterConfigs),
    DescribeLogDirs(describe_log_dirs::DescribeLogDirs),
    DescribeProducers(describe_producers::DescribeProducers),
    OffsetForLeaderEpoch(offset_for_leader_epoch::OffsetForLeaderEpoch),
}

/// How far a request is.
#[derive(Debug)]
pub(super) enum Progress {
    /// It waits for answers.
    Working(Work),
    /// Its response can go.
    Ready {
        parts: Vec<Part>,
        leases: Vec<Lease>,
        /// Bytes of memory that nobody else holds.
        bytes: usize,
    },
    /// It is done and has no response.
    Silent,
    /// It ends the connection.
    Close(CloseReason),
}

/// Begins the request that `reader` stands before.
pub(super) fn begin(reader: Reader, client_id: Option<&Text>, call: &mut Call<'_, '_>) -> Progress {
    let begun = match call.header.api {
        ApiKey::ApiVersions => api_versions::begin(reader, call),
        ApiKey::Produce => decode(reader, call).map(|request| produce::begin(request, call)),
        ApiKey::Fetch => decode(reader, call).map(|request| fetch::begin(request, call)),
        ApiKey::ListOffsets => decode(reader, call).map(|request| list_offsets::begin(request, call)),
        ApiKey::Metadata => decode(reader, call).map(|request| metadata::begin(request, call)),
        ApiKey::InitProducerId => decode(reader, call).map(|request| init_producer_id::begin(&request, call)),
        ApiKey::CreateTopics => decode(reader, call).map(|request| create_topics::begin(&request, call)),
        ApiKey::DeleteTopics => decode(reader, call).map(|request| delete_topics::begin(request, call)),
        ApiKey::DescribeConfigs => decode(reader, call).map(|request| describe_configs::answer(&request, call)),
        ApiKey::DescribeCluster => decode(reader, call).map(|request| describe_cluster::answer(&request, call)),
        ApiKey::DeleteRecords => decode(reader, call).map(|request| delete_records::begin(request, call)),
        ApiKey::CreatePartitions => decode(reader, call).map(|request| create_partitions::begin(&request, call)),
        ApiKey::AlterConfigs => decode(reader, call).map(|request| alter_configs::begin(request, call)),
        ApiKey::IncrementalAlterConfigs => {
            decode(reader, call).map(|request| alter_configs::begin_incremental(request, call))
        }
        ApiKey::DescribeLogDirs => decode(reader, call).map(|request| describe_log_dirs::begin(&request, call)),
        ApiKey::DescribeProducers => decode(reader, call).map(|request| describe_producers::begin(request, call)),
        ApiKey::OffsetForLeaderEpoch => {
            decode(reader, call).map(|request| offset_for_leader_epoch::begin(request, call))
        }
        ApiKey::DescribeTopicPartitions => {
            decode(reader, call).map(|request| describe_topic_partitions::answer(&request, call))
        }
        ApiKey::ListConfigResources => {
            decode(reader, call).map(|request| list_config_resources::answer(&request, call))
        }
        ApiKey::DeleteGroups => decode(reader, call).map(|request| delete_groups::begin(request, call)),
        ApiKey::DescribeGroups => decode(reader, call).map(|request| describe_groups::begin(request, call)),
        ApiKey::FindCoordinator => decode(reader, call).map(|request| find_coordinator::begin(request, call)),
        ApiKey::Heartbeat => decode(reader, call).map(|request| heartbeat::begin(&request, call)),
        ApiKey::JoinGroup => decode(reader, call).map(|request| join_group::begin(&request, client_id, call)),
        ApiKey::LeaveGroup => decode(reader, call).map(|request| leave_group::begin(request, call)),
        ApiKey::ListGroups => decode(reader, call).map(|request| list_groups::begin(request, call)),
        ApiKey::OffsetCommit => decode(reader, call).map(|request| offset_commit::begin(request, call)),
        ApiKey::OffsetDelete => decode(reader, call).map(|request| offset_delete::begin(request, call)),
        ApiKey::OffsetFetch => decode(reader, call).map(|request| offset_fetch::begin(request, call)),
        ApiKey::SyncGroup => decode(reader, call).map(|request| sync_group::begin(&request, call)),
        _ => Err(unsupported(call)),
    };
    begun.unwrap_or_else(Progress::Close)
}

fn unsupported(call: &Call<'_, '_>) -> CloseReason {
    CloseReason::UnsupportedRequest {
        api: call.header.api.code(),
        version: call.header.version,
    }
}

/// Reads a request of a version that is served. Kafka answers neither another version nor a malformed request: it closes
/// the connection.
fn decode<M: Message>(mut reader: Reader, call: &Call<'_, '_>) -> Result<M, CloseReason> {
    let served = supported(call.header.api);
    if !served.is_some_and(|(first, last)| (first..=last).contains(&call.header.version)) {
        return Err(unsupported(call));
    }
    M::decode(&mut reader, call.header.version).map_err(|error| CloseReason::MalformedRequest(error.to_string()))
}

impl Work {
    /// Goes on with what was heard.
    pub(super) fn resume(self, event: Event, call: &mut Call<'_, '_>) -> Progress {
        match (self, event) {
            (Self::Fetch(work), event) => work.resume(event, call),
            (Self::Produce(work), Event::Answer { tag, answer, .. }) => work.resume(tag, answer, call),
            (Self::ListOffsets(work), Event::Answer { tag, answer, .. }) => work.resume(tag, answer, call),
            (Self::Metadata(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::InitProducerId(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::CreateTopics(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::DeleteTopics(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::DeleteRecords(work), Event::Answer { tag, answer, .. }) => work.resume(tag, answer, call),
            (Self::CreatePartitions(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::AlterConfigs(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::DescribeLogDirs(work), Event::Answer { tag, answer, .. }) => work.resume(tag, answer, call),
            (Self::DescribeProducers(work), Event::Answer { tag, answer, .. }) => work.resume(tag, answer, call),
            (Self::OffsetForLeaderEpoch(work), Event::Answer { tag, answer, .. }) => work.resume(tag, answer, call),
            (Self::DeleteGroups(work), Event::Answer { tag, answer, .. }) => work.resume(tag, answer, call),
            (Self::DescribeGroups(work), Event::Answer { tag, answer, .. }) => work.resume(tag, answer, call),
            (Self::FindCoordinator(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::Heartbeat(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::JoinGroup(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::LeaveGroup(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::ListGroups(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::OffsetCommit(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::OffsetDelete(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            (Self::OffsetFetch(work), Event::Answer { tag, answer, .. }) => work.resume(tag, answer, call),
            (Self::SyncGroup(work), Event::Answer { answer, .. }) => work.resume(answer, call),
            // Only a fetch waits for time or news.
            (work, Event::Deadline | Event::WatchEnded(_)) => Progress::Working(work),
        }
    }

    /// Nobody waits for the response any more.
    pub(super) fn abandon(self, room: &mut Room, actions: &mut Vec<Action>) {
        if let Self::Fetch(work) = self {
            work.abandon(room, actions);
        }
    }
}

/// The elements without those that are the same as one before, in the order they came. Their places alone are sorted: a set
/// of elements would take as much memory again as a request's arrays do.
fn each_once<T>(mut elements: Vec<T>, order: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let repeated = repeated(&elements, order);
    let mut repeated = repeated.into_iter().peekable();
    let mut place = 0..;
    elements.retain(|_| repeated.next_if_eq(&place.next().unwrap_or(u32::MAX)).is_none());
    elements
}

/// The places of elements that are the same as one before, ascending.
fn repeated<T>(elements: &[T], order: impl Fn(&T, &T) -> Ordering) -> Vec<u32> {
    let order = |one: u32, other: u32| order(&elements[one as usize], &elements[other as usize]);
    let mut places: Vec<u32> = (0..).take(elements.len()).collect();
    places.sort_unstable_by(|&one, &other| order(one, other).then(one.cmp(&other)));
    let same = |pair: &&[u32]| order(pair[0], pair[1]) == Ordering::Equal;
    let mut repeated: Vec<u32> = places.windows(2).filter(same).map(|pair| pair[1]).collect();
    repeated.sort_unstable();
    repeated
}

/// Bytes of these parts that lie in memory.
fn bytes_in_memory(parts: &[Part]) -> usize {
    let inline = |part: &Part| match part {
        Part::Inline(bytes) => bytes.len(),
        Part::Range(..) => 0,
    };
    parts.iter().map(inline).sum()
}

impl Call<'_, '_> {
    fn respond<M: Message>(&self, message: &M) -> Progress {
        match encode_response(self.header.correlation_id, message, self.header.version) {
            Ok(parts) => {
                let bytes = bytes_in_memory(&parts);
                let leases = Vec::new();
                Progress::Ready { parts, leases, bytes }
            }
            Err(error) => Progress::Close(CloseReason::Unsendable(error.to_string())),
        }
    }

    /// Responds with parts that pin files until they are sent, and `shared` bytes of memory that others hold as well.
    fn respond_with<M: Message>(&mut self, message: &M, leases: Vec<Lease>, shared: usize) -> Progress {
        match self.respond(message) {
            Progress::Ready { parts, bytes, .. } => Progress::Ready {
                parts,
                leases,
                bytes: bytes.saturating_sub(shared),
            },
            refused => {
                self.actions.push(Action::Release(leases));
                refused
            }
        }
    }

    /// Puts the request's only ask.
    fn ask(&mut self, to: crate::types::ShardId, ask: super::Ask) {
        self.actions.push(Action::Ask {
            request: self.request,
            tag: 0,
            to,
            ask,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{each_once, repeated};
    use alloc::vec::Vec;

    #[test]
    fn what_comes_again_is_left_out_and_the_rest_keeps_its_order() {
        assert_eq!(repeated(&[3, 1, 3, 2, 1, 3], Ord::cmp), [2, 4, 5]);
        assert_eq!(each_once(Vec::from([3, 1, 3, 2, 1, 3]), Ord::cmp), [3, 1, 2]);
        assert!(repeated::<i32>(&[], Ord::cmp).is_empty());
        assert_eq!(each_once(Vec::from([2, 1]), Ord::cmp), [2, 1]);
    }
}
