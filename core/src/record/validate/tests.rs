//! Validation against every lie that a header or a record can tell, every flipped bit, and whatever a builder builds.

use super::*;
use crate::record::{Attributes, BatchBuilder, CodecError, HEADER_LEN, Producer, RecordDefect};
use crate::types::{ErrorCode, LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const BOUND: usize = 1 << 20;
const IDEMPOTENT: Producer = Producer::Idempotent {
    id: ProducerId(9),
    epoch: ProducerEpoch(0),
    base_sequence: Sequence(5),
};

fn rules() -> ProduceRules {
    ProduceRules {
        max_message_bytes: 1_048_588,
        keys: Keys::Optional,
        timestamp_type: TimestampType::CreateTime,
        now: NOW,
        before_max_ms: i64::MAX as u64,
        after_max_ms: 3_600_000,
    }
}

fn batch(compression: Compression) -> Batch {
    let mut builder = BatchBuilder::new(compression, Level::Default, IDEMPOTENT);
    for i in 0..5 {
        builder.append(
            Timestamp(NOW.0 - i),
            Some(b"key"),
            Some(&[7; 50]),
            &[("h", Some(b"1")), ("h", None)],
        );
    }
    builder.build().expect("five small records fit")
}

/// Both steps, as a leader takes them.
fn validate(batch: &Batch, rules: &ProduceRules) -> Result<Restamp, Rejection> {
    match validate_produce(batch, rules)? {
        Validation::Valid(restamp) => Ok(restamp),
        Validation::NeedsDecompression => validate_opened(batch, rules, BOUND, None).map(|(same, restamp)| {
            assert_eq!(same, *batch);
            restamp
        }),
    }
}

/// What is wrong with a batch that nobody would take.
fn defect_of(batch: &Batch, rules: &ProduceRules) -> BatchError {
    match validate(batch, rules) {
        Err(Rejection::Batch(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn with_header(change: impl FnOnce(&mut BatchHeader)) -> BatchError {
    let batch = batch(Compression::None);
    let mut header = batch.header();
    change(&mut header);
    defect_of(&Batch::assemble(header, batch.body().clone()), &rules())
}

#[test]
fn a_good_batch_passes_under_every_codec() {
    for compression in Compression::ALL {
        for keys in [Keys::Optional, Keys::Required] {
            let rules = ProduceRules { keys, ..rules() };
            assert_eq!(
                validate(&batch(compression), &rules),
                Ok(Restamp::Keep),
                "{compression}"
            );
        }
    }
}

/// A change to a good header, and what it is refused for.
type Lie = (fn(&mut BatchHeader), BatchError);

#[test]
fn what_a_producer_may_not_say_is_invalid() {
    let cases: [Lie; 12] = [
        (
            |h| h.base_offset = Offset(1),
            BatchError::BaseOffset { base_offset: Offset(1) },
        ),
        (
            |h| h.base_offset = Offset(-1),
            BatchError::BaseOffset {
                base_offset: Offset(-1),
            },
        ),
        (|h| h.record_count = 0, BatchError::EmptyBatch { count: 0 }),
        (|h| h.record_count = -5, BatchError::EmptyBatch { count: -5 }),
        (
            |h| h.record_count = i32::MIN,
            BatchError::EmptyBatch { count: i32::MIN },
        ),
        (
            |h| h.last_offset_delta = 5,
            BatchError::OffsetRange {
                count: 5,
                last_offset_delta: 5,
            },
        ),
        (
            |h| h.last_offset_delta = -1,
            BatchError::OffsetRange {
                count: 5,
                last_offset_delta: -1,
            },
        ),
        (
            |h| h.record_count = i32::MAX,
            BatchError::OffsetRange {
                count: i32::MAX,
                last_offset_delta: 4,
            },
        ),
        (|h| h.attributes = h.attributes.control(), BatchError::Control),
        (|h| h.attributes = Attributes(0x40), BatchError::DeleteHorizon),
        (
            |h| h.base_sequence = Sequence(-1),
            BatchError::BaseSequence {
                producer_id: ProducerId(9),
                base_sequence: Sequence(-1),
            },
        ),
        (
            |h| {
                h.record_count = 4;
                h.last_offset_delta = 3;
            },
            BatchError::CountMismatch { declared: 4 },
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(with_header(change), expected);
        assert_eq!(expected.error_code(), ErrorCode::InvalidRecord, "{expected}");
    }
}

#[test]
fn a_negative_epoch_of_a_producer_is_an_epoch_that_it_has_not() {
    let error = with_header(|h| h.producer_epoch = ProducerEpoch(-1));
    let expected = BatchError::NegativeEpoch {
        producer_id: ProducerId(9),
        producer_epoch: ProducerEpoch(-1),
    };
    assert_eq!(error, expected);
    assert_eq!(error.error_code(), ErrorCode::InvalidProducerEpoch);
}

#[test]
fn a_count_that_is_not_that_of_the_records_is_invalid_inside_every_codec() {
    for compression in Compression::ALL {
        for declared in [1, 4, 6, 1_000_000] {
            let batch = batch(compression);
            let mut header = batch.header();
            header.record_count = declared;
            header.last_offset_delta = declared - 1;
            let lying = Batch::assemble(header, batch.body().clone());
            let expected = BatchError::CountMismatch { declared };
            assert_eq!(defect_of(&lying, &rules()), expected, "{compression}");
        }
    }
}

#[test]
fn codecs_that_do_not_exist_are_refused_by_kafkas_error() {
    for id in 5..8 {
        let error = with_header(|h| h.attributes = Attributes(id));
        assert_eq!(error, BatchError::UnknownCodec { id: id as u8 });
        assert_eq!(error.error_code(), ErrorCode::UnsupportedCompressionType);
    }
}

#[test]
fn records_that_are_no_compressed_data_are_invalid_and_too_many_are_too_large() {
    for compression in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let mut header = batch(Compression::None).header();
        header.attributes = Attributes::default().with_compression(compression);
        let broken = Batch::assemble(header, Bytes::from_static(&[0xFF; 40]));
        let error = defect_of(&broken, &rules());
        assert_eq!(error, BatchError::Codec(CodecError::Corrupt(compression)));
        assert_eq!(error.error_code(), ErrorCode::InvalidRecord);

        let error = validate_opened(&batch(compression), &rules(), 100, None).expect_err("five records take more");
        assert_eq!(error, BatchError::Codec(CodecError::TooLarge { bound: 100 }).into());
        assert_eq!(error.error_code(), ErrorCode::MessageTooLarge);
    }
}

#[test]
fn the_size_limit_counts_the_whole_batch() {
    let batch = batch(Compression::None);
    let exact = ProduceRules {
        max_message_bytes: batch.len(),
        ..rules()
    };
    assert_eq!(validate(&batch, &exact), Ok(Restamp::Keep));
    let error = defect_of(
        &batch,
        &ProduceRules {
            max_message_bytes: batch.len() - 1,
            ..exact
        },
    );
    assert_eq!(
        error,
        BatchError::TooLarge {
            size: batch.len(),
            max: batch.len() - 1
        }
    );
    assert_eq!(error.error_code(), ErrorCode::MessageTooLarge);
    assert!(error.to_string().contains("max.message.bytes"));
}

fn at_fault(batch: &Batch, rules: &ProduceRules) -> (ErrorCode, Vec<RecordError>) {
    let rejection = validate(batch, rules).expect_err("some records are at fault");
    (rejection.error_code(), rejection.records().to_vec())
}

#[test]
fn compacted_topics_need_keys_and_name_the_records_without() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression, Level::Default, Producer::Plain);
        for key in [Some(&b""[..]), None, Some(b"k"), None] {
            builder.append(NOW, key, Some(b"v"), &[]);
        }
        let batch = builder.build().expect("four records fit");
        assert_eq!(validate(&batch, &rules()), Ok(Restamp::Keep));
        let compacted = ProduceRules {
            keys: Keys::Required,
            ..rules()
        };
        let fault = RecordFault::NullKey;
        let expected = [1, 3].map(|index| RecordError { index, fault });
        assert_eq!(
            at_fault(&batch, &compacted),
            (ErrorCode::InvalidRecord, expected.to_vec()),
            "{compression}"
        );
    }
}

#[test]
fn the_records_that_are_named_are_bounded() {
    let mut builder = BatchBuilder::new(Compression::Zstd, Level::Default, Producer::Plain);
    for _ in 0..5000 {
        builder.append(NOW, None, None, &[]);
    }
    let compacted = ProduceRules {
        keys: Keys::Required,
        ..rules()
    };
    let (_, named) = at_fault(&builder.build().expect("5,000 empty records fit"), &compacted);
    assert!(named.iter().map(|record| record.index).eq(0..NAMED_RECORDS as i32));
}

#[test]
fn offset_deltas_are_the_places_of_the_records() {
    let mut body = batch(Compression::None).body().to_vec();
    // The second record's offset delta: behind its two bytes of length, attributes, and one byte of timestamp delta.
    let at = body.len() / 5 + 4;
    assert_eq!(body[at], 2);
    body[at] = 4;
    let damaged = Batch::assemble(batch(Compression::None).header(), body.into());
    assert_eq!(
        defect_of(&damaged, &rules()),
        BatchError::OffsetDelta { index: 1, found: 2 }
    );
}

fn at(compression: Compression, timestamps: &[i64]) -> Batch {
    let mut builder = BatchBuilder::new(compression, Level::Default, Producer::Plain);
    for &timestamp in timestamps {
        builder.append(Timestamp(timestamp), None, None, &[]);
    }
    builder.build().expect("a few records fit")
}

#[test]
fn timestamps_stay_within_the_topics_range() {
    let rules = ProduceRules {
        before_max_ms: 1000,
        after_max_ms: 10,
        ..rules()
    };
    let (earliest, latest) = (Timestamp(NOW.0 - 1000), Timestamp(NOW.0 + 10));
    for compression in Compression::ALL {
        let fine = at(compression, &[NOW.0, earliest.0, latest.0, -1]);
        assert_eq!(validate(&fine, &rules), Ok(Restamp::Keep), "{compression}");
        for timestamp in [earliest.0 - 1, latest.0 + 1, -2, i64::MIN, i64::MAX] {
            let fault = RecordFault::Timestamp {
                timestamp: Timestamp(timestamp),
                earliest,
                latest,
            };
            let expected = [1, 3].map(|index| RecordError { index, fault });
            assert_eq!(
                at_fault(&at(compression, &[NOW.0, timestamp, -1, timestamp]), &rules),
                (ErrorCode::InvalidTimestamp, expected.to_vec())
            );
        }
    }
}

#[test]
fn one_bad_timestamp_decides_on_the_error_of_all_records() {
    let compacted = ProduceRules {
        keys: Keys::Required,
        ..rules()
    };
    let mut builder = BatchBuilder::new(Compression::Lz4, Level::Default, Producer::Plain);
    builder
        .append(NOW, None, None, &[])
        .append(Timestamp(i64::MAX), Some(b"k"), None, &[]);
    let (code, named) = at_fault(&builder.build().expect("two records fit"), &compacted);
    assert_eq!(code, ErrorCode::InvalidTimestamp);
    assert_eq!(named.iter().map(|record| record.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(named[0].fault, RecordFault::NullKey);
}

#[test]
fn a_wrong_claim_about_the_greatest_timestamp_is_put_right() {
    for compression in Compression::ALL {
        let mut header = at(compression, &[5, 80, 7]).header();
        header.max_timestamp = Timestamp(1000);
        let mut batch = Batch::assemble(header, at(compression, &[5, 80, 7]).body().clone());
        let rules = rules();
        let restamp = validate(&batch, &rules).expect("Kafka takes it");
        assert_eq!(restamp, Restamp::MaxTimestamp(Timestamp(80)), "{compression}");
        batch.restamp(restamp);
        assert_eq!(batch.header().max_timestamp, Timestamp(80));
        assert_eq!(validate(&batch, &rules), Ok(Restamp::Keep));
    }
}

#[test]
fn log_append_time_overrides_every_timestamp() {
    let rules = ProduceRules {
        timestamp_type: TimestampType::LogAppendTime,
        before_max_ms: 0,
        after_max_ms: 0,
        ..rules()
    };
    for compression in Compression::ALL {
        let mut batch = at(compression, &[1, i64::MAX]);
        let restamp = validate(&batch, &rules).expect("the producer's clock does not count");
        assert_eq!(restamp, Restamp::LogAppendTime(NOW));
        batch.restamp(restamp);
        assert_eq!(batch.check_crc(), Ok(()));
        let opened = batch.open(BOUND).expect("it was just built");
        for record in opened.records() {
            assert_eq!(opened.timestamp(&record.expect("both are whole")), NOW);
        }
        let fault = RecordFault::LogAppendTime;
        let named = [0, 1].map(|index| RecordError { index, fault }).to_vec();
        assert_eq!(
            at_fault(&batch, &rules),
            (ErrorCode::InvalidTimestamp, named),
            "only a leader may say so"
        );
    }
}

#[test]
fn one_batch_a_partition() {
    let one = batch(Compression::None).to_bytes();
    let two = Bytes::from([&one[..], &one[..]].concat());
    let cut = two.slice(..two.len() - 1);
    assert_eq!(single_batch(&one), Ok(batch(Compression::None)));
    for (records, expected) in [
        (Bytes::new(), BatchError::Missing),
        (two, BatchError::MoreThanOne),
        (
            cut,
            BatchError::Truncated {
                have: one.len() - 1,
                need: one.len(),
            },
        ),
    ] {
        assert_eq!(single_batch(&records), Err(expected));
        assert_eq!(expected.error_code(), ErrorCode::InvalidRecord);
    }
}

#[test]
fn a_flipped_bit_is_noticed_everywhere_but_in_the_epoch_that_the_leader_overwrites() {
    for compression in Compression::ALL {
        let whole = batch(compression).to_bytes();
        let mut unnoticed = Vec::new();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let split = single_batch(&bytes.into()).map_err(Rejection::from);
            let result = split.and_then(|batch| validate(&batch, &rules()));
            if result.is_ok() {
                unnoticed.push(bit);
            }
        }
        assert_eq!(unnoticed, (12 * 8..16 * 8).collect::<Vec<_>>(), "{compression}");
    }
}

#[test]
fn the_crc_error_says_both_sums() {
    let mut bytes = batch(Compression::None).to_bytes().to_vec();
    bytes[HEADER_LEN] ^= 1;
    let batch = single_batch(&bytes.into()).expect("its lengths are right");
    let error = defect_of(&batch, &rules());
    assert_eq!(error.error_code(), ErrorCode::CorruptMessage);
    let BatchError::Crc { stored, computed } = error else {
        panic!("{error}")
    };
    assert_eq!((stored, computed), (batch.header().crc, batch.compute_crc()));
}

#[test]
fn recoding_keeps_the_records_and_everything_the_header_says_of_them() {
    for from in Compression::ALL {
        for to in Compression::ALL {
            let mut source = batch(from);
            source.stamp(Offset(77), LeaderEpoch(3));
            let to_level = Some((to, Level::Default));
            let (recoded, restamp) = validate_opened(&source, &rules(), BOUND, to_level).expect("it was just built");
            assert_eq!(restamp, Restamp::Keep);
            assert_eq!(recoded.check_crc(), Ok(()));
            let expected = BatchHeader {
                batch_length: recoded.header().batch_length,
                crc: recoded.header().crc,
                attributes: source.header().attributes.with_compression(to),
                ..source.header()
            };
            assert_eq!(recoded.header(), expected);
            let records = |batch: &Batch| batch.open(BOUND).expect("it was just built").bytes().clone();
            assert_eq!(records(&recoded), records(&source));
        }
    }
}

#[test]
fn a_malformed_record_is_named() {
    let body = batch(Compression::None).body().clone();
    let cut = Batch::assemble(batch(Compression::None).header(), body.slice(..body.len() - 1));
    let error = defect_of(&cut, &rules());
    assert_eq!(
        error,
        BatchError::Malformed {
            index: 4,
            defect: RecordDefect::LengthBeyondEnd
        }
    );
    assert_eq!(
        error.to_string(),
        "record 4 is malformed: its length reaches past the end of the batch"
    );
}

/// A record as a test draws it: timestamp, key, value, headers.
type Drawn = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80));
    let headers = proptest::collection::vec(("[a-c]{0,2}", bytes()), 0..4);
    let timestamp = prop_oneof![any::<i64>(), -1..NOW.0];
    proptest::collection::vec((timestamp, bytes(), bytes(), headers), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_built_is_split_validated_and_read_back(records in drawn(), codec in 0_usize..5) {
        let compression = Compression::ALL[codec];
        let mut builder = BatchBuilder::new(compression, Level::Default, IDEMPOTENT);
        for (timestamp, key, value, headers) in &records {
            let headers: Vec<_> = headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
            builder.append(Timestamp(*timestamp), key.as_deref(), value.as_deref(), &headers);
        }
        let uncompressed_len = builder.uncompressed_len();
        let built = builder.build().expect("few small records fit");
        let batch = single_batch(&built.to_bytes()).expect("one batch was built");
        prop_assert_eq!(&batch, &built);
        prop_assert_eq!(batch.header().last_sequence(), Some(Sequence(5 + records.len() as i32 - 1)));

        let any_time = ProduceRules { before_max_ms: u64::MAX, after_max_ms: u64::MAX, ..rules() };
        let greatest = records.iter().map(|record| record.0).max().expect("there is one").max(-1);
        let expected = if greatest == batch.header().max_timestamp.0 {
            Restamp::Keep
        } else {
            Restamp::MaxTimestamp(Timestamp(greatest))
        };
        prop_assert_eq!(validate(&batch, &any_time), Ok(expected));

        let opened = batch.open(BOUND).expect("few small records fit");
        prop_assert_eq!(opened.bytes().len() + HEADER_LEN, uncompressed_len);
        let read: Result<Vec<Drawn>, BatchError> = opened.records().map(|record| record.map(|record| {
            let headers = record.headers.clone().map(|(key, value)| {
                (String::from_utf8_lossy(key).into_owned(), value.map(<[u8]>::to_vec))
            });
            (opened.timestamp(&record).0, record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec), headers.collect())
        })).collect();
        prop_assert_eq!(read, Ok(records));
    }

    #[test]
    fn arbitrary_headers_and_bodies_never_panic(
        header in proptest::array::uniform::<_, HEADER_LEN>(any::<u8>()),
        body in proptest::collection::vec(any::<u8>(), 0..200),
        codec in 0_i16..8,
    ) {
        let mut header = BatchHeader::parse(&header);
        // As far past each check as bytes can get: the right length and CRC, and nothing that the header alone betrays.
        header.attributes = Attributes(codec);
        header.base_offset = Offset::ZERO;
        header.record_count = header.record_count.saturating_abs().max(1);
        header.last_offset_delta = header.record_count - 1;
        let batch = Batch::assemble(header, body.into());
        let rules = ProduceRules { keys: Keys::Required, ..rules() };
        prop_assert!(validate(&batch, &rules).is_err(), "chance does not make keyed records");
    }
}

#[test]
fn what_grows_beyond_the_largest_batch_when_it_is_compressed_anew_is_too_large() {
    let packed = batch(Compression::Zstd);
    let limit = packed.len();
    let rules = ProduceRules {
        max_message_bytes: limit,
        ..rules()
    };
    let to = Some((Compression::None, Level::Default));
    let error = validate_opened(&packed, &rules, BOUND, to).expect_err("its records are larger");
    assert!(
        matches!(error, Rejection::Batch(BatchError::TooLarge { max, .. }) if max == limit),
        "{error}"
    );
}
