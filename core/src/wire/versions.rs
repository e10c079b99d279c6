//! Which APIs there are, and which of their versions this broker serves.

use super::schema::Versions;

macro_rules! api_keys {
    ($($name:ident $code:literal, flexible $($flexible:literal +)? $(none)?;)*) => {
        /// The APIs of Kafka 4.4, by the names of their schemas.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        #[allow(missing_docs, reason = "the names are Kafka's")]
        pub enum ApiKey { $($name = $code,)* }

        impl ApiKey {
            /// Every API, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The API of a number on the wire; `None` for one that Kafka 4.4 does not have.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// The name of the API's schema, without `Request`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The versions whose requests and responses are flexible (KIP-482), known for all APIs because the form of
            /// the header depends on it.
            pub const fn flexible(self) -> Versions {
                match self { $(Self::$name => $crate::wire::notation::notation!(@from $($flexible)?),)* }
            }
        }
    };
}

api_keys! {
    Produce 0, flexible 9+;
    Fetch 1, flexible 12+;
    ListOffsets 2, flexible 6+;
    Metadata 3, flexible 9+;
    OffsetCommit 8, flexible 8+;
    OffsetFetch 9, flexible 6+;
    FindCoordinator 10, flexible 3+;
    JoinGroup 11, flexible 6+;
    Heartbeat 12, flexible 4+;
    LeaveGroup 13, flexible 4+;
    SyncGroup 14, flexible 4+;
    DescribeGroups 15, flexible 5+;
    ListGroups 16, flexible 3+;
    SaslHandshake 17, flexible none;
    ApiVersions 18, flexible 3+;
    CreateTopics 19, flexible 5+;
    DeleteTopics 20, flexible 4+;
    DeleteRecords 21, flexible 2+;
    InitProducerId 22, flexible 2+;
    OffsetForLeaderEpoch 23, flexible 4+;
    AddPartitionsToTxn 24, flexible 3+;
    AddOffsetsToTxn 25, flexible 3+;
    EndTxn 26, flexible 3+;
    WriteTxnMarkers 27, flexible 1+;
    TxnOffsetCommit 28, flexible 3+;
    DescribeAcls 29, flexible 2+;
    CreateAcls 30, flexible 2+;
    DeleteAcls 31, flexible 2+;
    DescribeConfigs 32, flexible 4+;
    AlterConfigs 33, flexible 2+;
    AlterReplicaLogDirs 34, flexible 2+;
    DescribeLogDirs 35, flexible 2+;
    SaslAuthenticate 36, flexible 2+;
    CreatePartitions 37, flexible 2+;
    CreateDelegationToken 38, flexible 2+;
    RenewDelegationToken 39, flexible 2+;
    ExpireDelegationToken 40, flexible 2+;
    DescribeDelegationToken 41, flexible 2+;
    DeleteGroups 42, flexible 2+;
    ElectLeaders 43, flexible 2+;
    IncrementalAlterConfigs 44, flexible 1+;
    AlterPartitionReassignments 45, flexible 0+;
    ListPartitionReassignments 46, flexible 0+;
    OffsetDelete 47, flexible none;
    DescribeClientQuotas 48, flexible 1+;
    AlterClientQuotas 49, flexible 1+;
    DescribeUserScramCredentials 50, flexible 0+;
    AlterUserScramCredentials 51, flexible 0+;
    Vote 52, flexible 0+;
    BeginQuorumEpoch 53, flexible 1+;
    EndQuorumEpoch 54, flexible 1+;
    DescribeQuorum 55, flexible 0+;
    AlterPartition 56, flexible 0+;
    UpdateFeatures 57, flexible 0+;
    Envelope 58, flexible 0+;
    FetchSnapshot 59, flexible 0+;
    DescribeCluster 60, flexible 0+;
    DescribeProducers 61, flexible 0+;
    BrokerRegistration 62, flexible 0+;
    BrokerHeartbeat 63, flexible 0+;
    UnregisterBroker 64, flexible 0+;
    DescribeTransactions 65, flexible 0+;
    ListTransactions 66, flexible 0+;
    AllocateProducerIds 67, flexible 0+;
    ConsumerGroupHeartbeat 68, flexible 0+;
    ConsumerGroupDescribe 69, flexible 0+;
    ControllerRegistration 70, flexible 0+;
    GetTelemetrySubscriptions 71, flexible 0+;
    PushTelemetry 72, flexible 0+;
    AssignReplicasToDirs 73, flexible 0+;
    ListConfigResources 74, flexible 0+;
    DescribeTopicPartitions 75, flexible 0+;
    ShareGroupHeartbeat 76, flexible 0+;
    ShareGroupDescribe 77, flexible 0+;
    ShareFetch 78, flexible 0+;
    ShareAcknowledge 79, flexible 0+;
    AddRaftVoter 80, flexible 0+;
    RemoveRaftVoter 81, flexible 0+;
    UpdateRaftVoter 82, flexible 0+;
    InitializeShareGroupState 83, flexible 0+;
    ReadShareGroupState 84, flexible 0+;
    WriteShareGroupState 85, flexible 0+;
    DeleteShareGroupState 86, flexible 0+;
    ReadShareGroupStateSummary 87, flexible 0+;
    StreamsGroupHeartbeat 88, flexible 0+;
    StreamsGroupDescribe 89, flexible 0+;
    DescribeShareGroupOffsets 90, flexible 0+;
    AlterShareGroupOffsets 91, flexible 0+;
    DeleteShareGroupOffsets 92, flexible 0+;
    StreamsGroupTopologyDescriptionUpdate 93, flexible 0+;
    UnregisterController 94, flexible 0+;
}

impl ApiKey {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }
}

impl core::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// The versions that are served, first and last, in the order of the numbers.
const SERVED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 13),
    (ApiKey::Fetch, 4, 18),
    (ApiKey::ListOffsets, 1, 11),
    (ApiKey::Metadata, 0, 13),
    (ApiKey::OffsetCommit, 2, 10),
    (ApiKey::OffsetFetch, 1, 10),
    (ApiKey::FindCoordinator, 0, 6),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 5),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::DescribeLogDirs, 1, 5),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 3),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 2),
    (ApiKey::DescribeProducers, 0, 0),
    (ApiKey::ListConfigResources, 0, 1),
    (ApiKey::DescribeTopicPartitions, 0, 0),
];

/// The first and last version of `api` that are served; `None` where none is.
pub fn supported(api: ApiKey) -> Option<(i16, i16)> {
    SERVED
        .iter()
        .find(|(key, _, _)| *key == api)
        .map(|&(_, first, last)| (first, last))
}

/// What `ApiVersions` answers: each served API with its first and last version. Produce is offered from version 0 on,
/// though 3 is the first that is served: older librdkafka otherwise switches compression off (KAFKA-18659).
pub fn advertised() -> impl Iterator<Item = (ApiKey, i16, i16)> {
    SERVED
        .iter()
        .map(|&(key, first, last)| (key, if key == ApiKey::Produce { 0 } else { first }, last))
}

#[cfg(test)]
mod tests {
    use super::{ApiKey, advertised, supported};

    #[test]
    fn an_api_reads_back_from_its_number() {
        for &key in ApiKey::ALL {
            assert_eq!(ApiKey::from_code(key.code()), Some(key));
        }
        assert_eq!(ApiKey::from_code(4), None);
        assert_eq!(ApiKey::from_code(-1), None);
    }

    #[test]
    fn produce_is_advertised_from_0_and_served_from_3() {
        assert_eq!(supported(ApiKey::Produce), Some((3, 13)));
        assert_eq!(advertised().next(), Some((ApiKey::Produce, 0, 13)));
        assert_eq!(supported(ApiKey::Vote), None);
        assert!(advertised().map(|(key, _, _)| key).is_sorted());
    }
}
