//! API 22: gives a producer the id and epoch that its batches carry, for idempotence and transactions.
//!
//! Versions: 2 flexible, 3 a producer keeps its id (KIP-360), 4 and 5 new errors, 6 two-phase commit (KIP-939), which is
//! not final in Kafka 4.4.

use crate::wire::notation::message;

message! {
    InitProducerIdRequest: request 22, versions 0-6, latest unstable, flexible 2+;

    /// Asks for an id, or for the next epoch of one.
    InitProducerIdRequest {
        /// Null unless the producer is transactional.
        transactional_id: string 0+, nullable 0+;
        /// For transactional producers only.
        transaction_timeout_ms: int32 0+;
        /// The id that the producer has, −1 for none.
        producer_id: int64 3+, default -1;
        producer_epoch: int16 3+, default -1;
        enable2_pc: bool 6+;
        keep_prepared_txn: bool 6+;
    }
}

message! {
    InitProducerIdResponse: response 22, versions 0-6, flexible 2+;

    /// The id and epoch to use.
    InitProducerIdResponse {
        throttle_time_ms: int32 0+, ignorable;
        error_code: int16 0+;
        producer_id: int64 0+, default -1;
        producer_epoch: int16 0+;
        ongoing_txn_producer_id: int64 6+, default -1;
        ongoing_txn_producer_epoch: int16 6+, default -1;
    }
}
