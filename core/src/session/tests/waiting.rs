//! What a fetch that waits has its homes do.

use super::*;

/// A fetch of one partition on each shard that has waited since they answered with so many bytes.
fn waiting(min_bytes: i32, there: [&'static [u8]; 2]) -> Harness {
    let mut harness = Harness::new();
    let mut request = fetch(min_bytes);
    let partition = |shard| FetchPartition {
        partition: partition_on(shard),
        ..request.topics[0].partitions[0].clone()
    };
    request.topics[0].partitions = vec![partition(0), partition(1)];
    harness.request(1, &request, 12);
    for records in there {
        harness.answer(0, fetched(records, true));
    }
    assert_eq!(harness.sent.len(), 0, "it waits");
    harness
}

#[test]
fn homes_that_wait_for_their_part_of_what_is_missing_are_told_once() {
    let harness = waiting(10, [b"1234", b""]);
    assert_eq!(harness.lowered, [(watch(0), 3), (watch(1), 3)]);
}

#[test]
fn a_home_that_waits_for_no_more_than_its_part_is_told_nothing() {
    assert_eq!(waiting(1, [b"", b""]).lowered, []);
    assert_eq!(waiting(2, [b"1", b""]).lowered, [(watch(1), 1)]);
}
