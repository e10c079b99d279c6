//! What went wrong: Kafka's error codes for clients, [`Fault`] for disks. Bugs are assertions.

use alloc::string::String;
use core::fmt;

macro_rules! error_codes {
    ($($name:ident = $code:literal $text:literal)*) => {
        /// Kafka's error codes (`org.apache.kafka.common.protocol.Errors`), by Kafka's names.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        #[allow(missing_docs, reason = "the names are the documentation, and they are Kafka's")]
        pub enum ErrorCode { $($name = $code,)* }

        impl ErrorCode {
            /// Every code, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Kafka's own name, as its tools print it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The code's variant; `None` for a code that is not in the table.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

error_codes! {
    UnknownServerError = -1 "UNKNOWN_SERVER_ERROR"
    None = 0 "NONE"
    OffsetOutOfRange = 1 "OFFSET_OUT_OF_RANGE"
    CorruptMessage = 2 "CORRUPT_MESSAGE"
    UnknownTopicOrPartition = 3 "UNKNOWN_TOPIC_OR_PARTITION"
    InvalidFetchSize = 4 "INVALID_FETCH_SIZE"
    LeaderNotAvailable = 5 "LEADER_NOT_AVAILABLE"
    NotLeaderOrFollower = 6 "NOT_LEADER_OR_FOLLOWER"
    RequestTimedOut = 7 "REQUEST_TIMED_OUT"
    BrokerNotAvailable = 8 "BROKER_NOT_AVAILABLE"
    ReplicaNotAvailable = 9 "REPLICA_NOT_AVAILABLE"
    MessageTooLarge = 10 "MESSAGE_TOO_LARGE"
    StaleControllerEpoch = 11 "STALE_CONTROLLER_EPOCH"
    OffsetMetadataTooLarge = 12 "OFFSET_METADATA_TOO_LARGE"
    NetworkException = 13 "NETWORK_EXCEPTION"
    CoordinatorLoadInProgress = 14 "COORDINATOR_LOAD_IN_PROGRESS"
    CoordinatorNotAvailable = 15 "COORDINATOR_NOT_AVAILABLE"
    NotCoordinator = 16 "NOT_COORDINATOR"
    InvalidTopicException = 17 "INVALID_TOPIC_EXCEPTION"
    RecordListTooLarge = 18 "RECORD_LIST_TOO_LARGE"
    NotEnoughReplicas = 19 "NOT_ENOUGH_REPLICAS"
    NotEnoughReplicasAfterAppend = 20 "NOT_ENOUGH_REPLICAS_AFTER_APPEND"
    InvalidRequiredAcks = 21 "INVALID_REQUIRED_ACKS"
    IllegalGeneration = 22 "ILLEGAL_GENERATION"
    InconsistentGroupProtocol = 23 "INCONSISTENT_GROUP_PROTOCOL"
    InvalidGroupId = 24 "INVALID_GROUP_ID"
    UnknownMemberId = 25 "UNKNOWN_MEMBER_ID"
    InvalidSessionTimeout = 26 "INVALID_SESSION_TIMEOUT"
    RebalanceInProgress = 27 "REBALANCE_IN_PROGRESS"
    InvalidCommitOffsetSize = 28 "INVALID_COMMIT_OFFSET_SIZE"
    TopicAuthorizationFailed = 29 "TOPIC_AUTHORIZATION_FAILED"
    GroupAuthorizationFailed = 30 "GROUP_AUTHORIZATION_FAILED"
    ClusterAuthorizationFailed = 31 "CLUSTER_AUTHORIZATION_FAILED"
    InvalidTimestamp = 32 "INVALID_TIMESTAMP"
    UnsupportedSaslMechanism = 33 "UNSUPPORTED_SASL_MECHANISM"
    IllegalSaslState = 34 "ILLEGAL_SASL_STATE"
    UnsupportedVersion = 35 "UNSUPPORTED_VERSION"
    TopicAlreadyExists = 36 "TOPIC_ALREADY_EXISTS"
    InvalidPartitions = 37 "INVALID_PARTITIONS"
    InvalidReplicationFactor = 38 "INVALID_REPLICATION_FACTOR"
    InvalidReplicaAssignment = 39 "INVALID_REPLICA_ASSIGNMENT"
    InvalidConfig = 40 "INVALID_CONFIG"
    NotController = 41 "NOT_CONTROLLER"
    InvalidRequest = 42 "INVALID_REQUEST"
    UnsupportedForMessageFormat = 43 "UNSUPPORTED_FOR_MESSAGE_FORMAT"
    PolicyViolation = 44 "POLICY_VIOLATION"
    OutOfOrderSequenceNumber = 45 "OUT_OF_ORDER_SEQUENCE_NUMBER"
    DuplicateSequenceNumber = 46 "DUPLICATE_SEQUENCE_NUMBER"
    InvalidProducerEpoch = 47 "INVALID_PRODUCER_EPOCH"
    InvalidTxnState = 48 "INVALID_TXN_STATE"
    InvalidProducerIdMapping = 49 "INVALID_PRODUCER_ID_MAPPING"
    InvalidTransactionTimeout = 50 "INVALID_TRANSACTION_TIMEOUT"
    ConcurrentTransactions = 51 "CONCURRENT_TRANSACTIONS"
    TransactionCoordinatorFenced = 52 "TRANSACTION_COORDINATOR_FENCED"
    TransactionalIdAuthorizationFailed = 53 "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
    SecurityDisabled = 54 "SECURITY_DISABLED"
    OperationNotAttempted = 55 "OPERATION_NOT_ATTEMPTED"
    KafkaStorageError = 56 "KAFKA_STORAGE_ERROR"
    LogDirNotFound = 57 "LOG_DIR_NOT_FOUND"
    SaslAuthenticationFailed = 58 "SASL_AUTHENTICATION_FAILED"
    UnknownProducerId = 59 "UNKNOWN_PRODUCER_ID"
    ReassignmentInProgress = 60 "REASSIGNMENT_IN_PROGRESS"
    NonEmptyGroup = 68 "NON_EMPTY_GROUP"
    GroupIdNotFound = 69 "GROUP_ID_NOT_FOUND"
    FetchSessionIdNotFound = 70 "FETCH_SESSION_ID_NOT_FOUND"
    InvalidFetchSessionEpoch = 71 "INVALID_FETCH_SESSION_EPOCH"
    ListenerNotFound = 72 "LISTENER_NOT_FOUND"
    TopicDeletionDisabled = 73 "TOPIC_DELETION_DISABLED"
    FencedLeaderEpoch = 74 "FENCED_LEADER_EPOCH"
    UnknownLeaderEpoch = 75 "UNKNOWN_LEADER_EPOCH"
    UnsupportedCompressionType = 76 "UNSUPPORTED_COMPRESSION_TYPE"
    StaleBrokerEpoch = 77 "STALE_BROKER_EPOCH"
    OffsetNotAvailable = 78 "OFFSET_NOT_AVAILABLE"
    MemberIdRequired = 79 "MEMBER_ID_REQUIRED"
    PreferredLeaderNotAvailable = 80 "PREFERRED_LEADER_NOT_AVAILABLE"
    GroupMaxSizeReached = 81 "GROUP_MAX_SIZE_REACHED"
    FencedInstanceId = 82 "FENCED_INSTANCE_ID"
    EligibleLeadersNotAvailable = 83 "ELIGIBLE_LEADERS_NOT_AVAILABLE"
    ElectionNotNeeded = 84 "ELECTION_NOT_NEEDED"
    NoReassignmentInProgress = 85 "NO_REASSIGNMENT_IN_PROGRESS"
    GroupSubscribedToTopic = 86 "GROUP_SUBSCRIBED_TO_TOPIC"
    InvalidRecord = 87 "INVALID_RECORD"
    UnstableOffsetCommit = 88 "UNSTABLE_OFFSET_COMMIT"
    ThrottlingQuotaExceeded = 89 "THROTTLING_QUOTA_EXCEEDED"
    ProducerFenced = 90 "PRODUCER_FENCED"
    ResourceNotFound = 91 "RESOURCE_NOT_FOUND"
    InvalidUpdateVersion = 95 "INVALID_UPDATE_VERSION"
    FeatureUpdateFailed = 96 "FEATURE_UPDATE_FAILED"
    SnapshotNotFound = 98 "SNAPSHOT_NOT_FOUND"
    UnknownTopicId = 100 "UNKNOWN_TOPIC_ID"
    DuplicateBrokerRegistration = 101 "DUPLICATE_BROKER_REGISTRATION"
    BrokerIdNotRegistered = 102 "BROKER_ID_NOT_REGISTERED"
    InconsistentTopicId = 103 "INCONSISTENT_TOPIC_ID"
    InconsistentClusterId = 104 "INCONSISTENT_CLUSTER_ID"
    TransactionalIdNotFound = 105 "TRANSACTIONAL_ID_NOT_FOUND"
    FetchSessionTopicIdError = 106 "FETCH_SESSION_TOPIC_ID_ERROR"
    IneligibleReplica = 107 "INELIGIBLE_REPLICA"
    NewLeaderElected = 108 "NEW_LEADER_ELECTED"
    MismatchedEndpointType = 114 "MISMATCHED_ENDPOINT_TYPE"
    UnsupportedEndpointType = 115 "UNSUPPORTED_ENDPOINT_TYPE"
    RebootstrapRequired = 129 "REBOOTSTRAP_REQUIRED"
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether this is no error at all.
    pub const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a client's request is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// What is wrong and what is allowed, for those APIs that carry a text.
    pub message: Option<String>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None }
    }
}

/// What a disk did to us. A fault takes a log or a log directory offline; clients see `KAFKA_STORAGE_ERROR`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The device is full. It clears once there is room again.
    NoSpace,
    /// The process has too many open files. It clears once others are closed.
    NoDescriptors,
    /// The device refused to read, write or sync; the text is the system's own.
    Device(String),
    /// A sync failed, and what it was to cover may never reach the device: the system says so once, and a second try would
    /// succeed without.
    Unsynced(String),
    /// Bytes known to have been synced are gone or changed; the text says which and where.
    Corruption(String),
}

/// What a [`Fault`] is without its text, for counters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs, reason = "the variants are those of `Fault`")]
pub enum FaultKind {
    NoSpace,
    NoDescriptors,
    Device,
    Unsynced,
    Corruption,
}

impl FaultKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::NoSpace,
        Self::NoDescriptors,
        Self::Device,
        Self::Unsynced,
        Self::Corruption,
    ];

    /// A word for labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSpace => "no_space",
            Self::NoDescriptors => "no_descriptors",
            Self::Device => "device",
            Self::Unsynced => "sync",
            Self::Corruption => "damage",
        }
    }
}

impl Fault {
    /// Which kind it is.
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::NoSpace => FaultKind::NoSpace,
            Self::NoDescriptors => FaultKind::NoDescriptors,
            Self::Device(_) => FaultKind::Device,
            Self::Unsynced(_) => FaultKind::Unsynced,
            Self::Corruption(_) => FaultKind::Corruption,
        }
    }

    /// Whether something is short that will be there again, and the device is well.
    pub const fn is_shortage(&self) -> bool {
        matches!(self, Self::NoSpace | Self::NoDescriptors)
    }

    /// Whether bytes are gone or changed that were synced.
    pub const fn is_corruption(&self) -> bool {
        matches!(self, Self::Corruption(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace => f.write_str("no space left on the device"),
            Self::NoDescriptors => f.write_str("too many open files"),
            Self::Device(text) => write!(f, "the device failed: {text}"),
            Self::Unsynced(text) => write!(f, "a sync failed: {text}"),
            Self::Corruption(text) => write!(f, "corruption: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn a_code_reads_back_as_its_variant() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_code(code.code()), Some(code));
        }
        assert_eq!(ErrorCode::from_code(32_000), None);
    }
}
