//! Records looked up by their timestamps: what is answered is what a scan of the log from its start finds, over the
//! records that had been promised when it was asked. Judged where records keep the timestamps that producers gave them.
//!
//! Where the record with the greatest timestamp is not readable yet, none is found, as in Kafka
//! (`Partition.fetchOffsetForTimestamp`); nothing follows from that. A record that retention, compaction or a client may
//! have removed since is not missed; one below the answer that stands and would have been the right one is.

use super::{Checker, Oracle, Place};
use crate::frame::{Listed, Request, Response};
use crate::stage::Nanos;

/// The timestamp that asks ListOffsets for the record with the greatest one (KIP-734).
const GREATEST: i64 = -3;

impl Oracle {
    /// A client heard which records have the timestamps that it had asked for at `begin`.
    pub(super) fn judge_times(&mut self, request: &Request, begin: Nanos, response: &Response) {
        let (Request::ListOffsets { topic, timestamp, .. }, Response::ListOffsets(listed)) = (request, response) else {
            return;
        };
        if *timestamp < 0 && *timestamp != GREATEST || self.stale || !self.keeps_timestamps {
            return;
        }
        for found in listed.iter().filter(|found| found.error == 0) {
            let place = Place::new(topic.id, found.partition);
            if self.is_damaged(place) {
                continue;
            }
            self.judging(Checker::TimeLookup);
            if let Some(problem) = self.wrong_time(place, *timestamp, begin, found) {
                let (offset, of) = (found.offset, found.timestamp);
                let text =
                    format!("{place}: asked for timestamp {timestamp}, offset {offset} with {of} was found: {problem}");
                self.violate(Checker::TimeLookup, text);
            }
        }
    }

    /// What a scan says against the record that was found.
    fn wrong_time(&self, place: Place, asked: i64, begin: Nanos, found: &Listed) -> Option<String> {
        let partition = self.partitions.get(&place)?;
        let is_found = found.offset >= 0;
        let greatest = asked == GREATEST;
        if greatest && !is_found {
            return None;
        }
        if is_found {
            let mut there = partition.known(found.offset, found.offset + 1);
            let of = there.next().map_or(found.timestamp, |(_, slot)| slot.timestamp);
            if of != found.timestamp {
                return Some(format!("that record is of {of}"));
            }
            if found.timestamp < asked {
                return Some("it is earlier".to_owned());
            }
        }
        let reached = partition.reached_before(begin);
        let upto = if is_found && !greatest {
            reached.min(found.offset)
        } else {
            reached
        };
        let rather = |timestamp: i64| {
            if greatest {
                timestamp > found.timestamp
            } else {
                timestamp >= asked
            }
        };
        let mut missed = partition.promised(partition.kept_from(), upto);
        let missed = missed.find(|&(offset, slot)| rather(slot.timestamp) && !self.may_be_removed(place, offset));
        missed.map(|(offset, slot)| format!("the record at {offset} is of {}, and was promised", slot.timestamp))
    }

    /// The timestamp of a record that was promised, as far from the end of the log as `back` says.
    pub(crate) fn some_timestamp(&self, place: Place, back: u64) -> Option<i64> {
        let partition = self.partitions.get(&place)?;
        let (start, end) = (partition.kept_from(), partition.promised_end());
        let from = end.saturating_sub(1 + i64::try_from(back).ok()?).max(start);
        let mut behind = partition.promised(from, end);
        behind.next().map(|(_, slot)| slot.timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ID, oracle, seen, topic};
    use super::super::{Checker, Oracle, Place};
    use super::GREATEST;
    use crate::batch::{NewRecord, ProducerTag, build};
    use crate::compress::Compression;
    use crate::frame::{Listed, Request, Response};
    use crate::value::{Mark, fold_topic};
    use bytes::Bytes;

    /// A log of acknowledged records with these timestamps; each is acknowledged ten nanoseconds after the one before.
    fn log(timestamps: &[i64]) -> Oracle {
        let mut oracle = oracle();
        for (&timestamp, sequence) in timestamps.iter().zip(0..) {
            acknowledge(&mut oracle, timestamp, sequence, 10 * (sequence + 1));
        }
        oracle
    }

    /// The record of this place in the log is acknowledged.
    fn acknowledge(oracle: &mut Oracle, timestamp: i64, sequence: u64, at: u64) {
        let place = Place::new(ID, 0);
        let mark = Mark {
            producer: 1,
            session: 1,
            sequence,
            partition: 0,
            topic: fold_topic(&ID),
        };
        let record = NewRecord {
            timestamp,
            key: None,
            value: mark.encode(60),
            headers: Vec::new(),
        };
        let bytes = Bytes::from(build(&[record], ProducerTag::NONE, Compression::None));
        oracle.sent(place, &[mark], &bytes);
        oracle.set_now(at);
        oracle.acked(place, sequence as i64, &bytes);
    }

    fn hear(oracle: &mut Oracle, asked: i64, begin: u64, offset: i64, timestamp: i64) -> Option<Checker> {
        let request = Request::ListOffsets {
            topic: topic(ID),
            partitions: vec![0],
            timestamp: asked,
        };
        let listed = Listed {
            partition: 0,
            error: 0,
            offset,
            timestamp,
            leader_epoch: 0,
        };
        oracle.heard(&request, begin, &Response::ListOffsets(vec![listed]));
        seen(oracle)
    }

    const WRONG: Option<Checker> = Some(Checker::TimeLookup);

    #[test]
    fn the_first_record_of_a_time_or_later_is_found() {
        let cases = [
            (50, 1, 70, None),
            (70, 1, 70, None),
            // Not the first, not that record's time, too early, none though there is one.
            (50, 3, 90, WRONG),
            (50, 1, 71, WRONG),
            (50, 0, 10, WRONG),
            (50, -1, -1, WRONG),
            (91, -1, -1, None),
            (GREATEST, 3, 90, None),
            (GREATEST, 1, 70, WRONG),
            (GREATEST, -1, -1, None),
        ];
        for (asked, offset, timestamp, expected) in cases {
            let mut oracle = log(&[10, 70, 20, 90]);
            let seen = hear(&mut oracle, asked, 100, offset, timestamp);
            assert_eq!(seen, expected, "{asked} {offset} {timestamp}");
        }
    }

    #[test]
    fn what_came_after_the_question_may_be_missed() {
        // The third is acknowledged at 30.
        for (begin, expected) in [(30, None), (31, WRONG)] {
            let mut oracle = log(&[10, 20, 90]);
            assert_eq!(hear(&mut oracle, 50, begin, -1, -1), expected, "{begin}");
        }
    }

    #[test]
    fn what_took_the_place_of_a_lost_record_was_not_there_before() {
        for (begin, expected) in [(50, None), (61, WRONG)] {
            let mut oracle = log(&[10, 20, 90]);
            let partition = oracle.partitions.get_mut(&Place::new(ID, 0)).expect("it has records");
            assert_eq!(partition.lose_from(2).count(), 1);
            acknowledge(&mut oracle, 95, 2, 60);
            assert_eq!(hear(&mut oracle, 50, begin, -1, -1), expected, "{begin}");
        }
    }

    #[test]
    fn what_retention_may_have_removed_is_not_missed() {
        for (kept, expected) in [(50, None), (5000, WRONG)] {
            let mut oracle = log(&[70, 200]);
            oracle.retention.ms = Some(kept);
            oracle.process_started(150);
            assert_eq!(hear(&mut oracle, 60, 100, 1, 200), expected, "{kept}");
        }
    }

    #[test]
    fn an_answer_of_a_process_that_ended_says_nothing() {
        let mut oracle = log(&[70]);
        oracle.set_stale(true);
        assert_eq!(hear(&mut oracle, 60, 100, -1, -1), None);
    }

    #[test]
    fn a_time_to_ask_for_is_that_of_a_record_or_nothing() {
        let oracle = log(&[10, 70, 20]);
        let place = Place::new(ID, 0);
        let times: Vec<_> = (0..5).map(|back| oracle.some_timestamp(place, back)).collect();
        assert_eq!(times, [Some(20), Some(70), Some(10), Some(10), Some(10)]);
        assert_eq!(oracle.some_timestamp(Place::new(ID, 1), 0), None);
    }
}
