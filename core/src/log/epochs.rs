//! Which leader epoch began at which offset (`LeaderEpochFileCache`).
//!
//! Invariant: epochs and start offsets ascend, strictly.

use crate::storage::codec::{DecodeError, Decoder, Encoder};
use crate::types::{LeaderEpoch, Offset};
use alloc::vec::Vec;

/// The leader epochs of a log and where each began.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct EpochHistory {
    starts: Vec<(LeaderEpoch, Offset)>,
}

impl EpochHistory {
    /// Each epoch and its first offset, ascending.
    pub fn starts(&self) -> &[(LeaderEpoch, Offset)] {
        &self.starts
    }

    /// The last epoch under which something was appended.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.starts.last().map(|&(epoch, _)| epoch)
    }

    /// A batch of `epoch` is appended at `offset`. Epochs never go back.
    pub fn assign(&mut self, epoch: LeaderEpoch, offset: Offset) {
        match self.starts.last_mut() {
            Some((latest, _)) if *latest == epoch => {}
            Some((latest, start)) => {
                assert!(*latest < epoch, "a leader epoch went back");
                if *start == offset {
                    *latest = epoch;
                } else {
                    self.starts.push((epoch, offset));
                }
            }
            None => self.starts.push((epoch, offset)),
        }
    }

    /// The epoch of the record at `offset`; `None` before the first.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let place = self.starts.partition_point(|&(_, start)| start <= offset);
        place.checked_sub(1).map(|place| self.starts[place].0)
    }

    /// The epochs of the records from `from` on, below `upto`, and where each began.
    pub fn within(&self, from: Offset, upto: Offset) -> Vec<(LeaderEpoch, Offset)> {
        let first = self
            .starts
            .partition_point(|&(_, start)| start <= from)
            .saturating_sub(1);
        let starts = self.starts[first..].iter().copied();
        starts.take_while(|&(_, start)| start < upto).collect()
    }

    /// The largest epoch not above `epoch`, and where it ended, as Kafka's offset-for-leader-epoch answers
    /// (KIP-320): `None` when `epoch` is later than all known ones. `end` is the log's end.
    pub fn end_offset_for(&self, epoch: LeaderEpoch, end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let above = self.starts.partition_point(|&(known, _)| known <= epoch);
        let floor = above.checked_sub(1).map(|place| self.starts[place].0);
        match (floor, self.starts.get(above)) {
            (Some(floor), None) => (floor == epoch).then_some((epoch, end)),
            (Some(floor), Some(&(_, next))) => Some((floor, next)),
            (None, Some(&(_, next))) => Some((epoch, next)),
            (None, None) => None,
        }
    }

    /// Records below `start` are gone.
    pub fn advance_start(&mut self, start: Offset) {
        let gone = self
            .starts
            .partition_point(|&(_, first)| first <= start)
            .saturating_sub(1);
        self.starts.drain(..gone);
        if let Some((_, first)) = self.starts.first_mut() {
            *first = (*first).max(start);
        }
    }

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.u32(self.starts.len() as u32);
        for (epoch, start) in &self.starts {
            out.i32(epoch.0);
            out.i64(start.0);
        }
    }

    pub(super) fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let count = from.count(12)?;
        let mut starts: Vec<(LeaderEpoch, Offset)> = Vec::with_capacity(count);
        for _ in 0..count {
            let next = (LeaderEpoch(from.i32()?), Offset(from.i64()?));
            if starts.last().is_some_and(|last| last.0 >= next.0 || last.1 >= next.1) {
                return Err(DecodeError::Value("leader epoch"));
            }
            starts.push(next);
        }
        Ok(Self { starts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(starts: &[(i32, i64)]) -> EpochHistory {
        let mut history = EpochHistory::default();
        for &(epoch, start) in starts {
            history.assign(LeaderEpoch(epoch), Offset(start));
        }
        history
    }

    #[test]
    fn an_epoch_ends_where_the_next_known_one_begins() {
        let history = history(&[(2, 10), (2, 15), (5, 20), (7, 30)]);
        let end = |epoch| history.end_offset_for(LeaderEpoch(epoch), Offset(40));
        let known = |epoch, offset| Some((LeaderEpoch(epoch), Offset(offset)));
        assert_eq!(end(1), known(1, 10));
        assert_eq!(end(2), known(2, 20));
        assert_eq!(end(4), known(2, 20));
        assert_eq!(end(5), known(5, 30));
        assert_eq!(end(7), known(7, 40));
        assert_eq!(end(8), None);
        assert_eq!(EpochHistory::default().end_offset_for(LeaderEpoch(0), Offset(0)), None);
    }

    #[test]
    fn an_offset_has_the_epoch_that_began_last_before_it() {
        let history = history(&[(2, 10), (5, 20)]);
        assert_eq!(history.epoch_of(Offset(9)), None);
        assert_eq!(history.epoch_of(Offset(10)), Some(LeaderEpoch(2)));
        assert_eq!(history.epoch_of(Offset(19)), Some(LeaderEpoch(2)));
        assert_eq!(history.epoch_of(Offset(20)), Some(LeaderEpoch(5)));
    }

    #[test]
    fn an_epoch_without_records_leaves_no_trace_and_a_start_cuts_the_front() {
        let mut history = history(&[(1, 0), (2, 10), (3, 10), (4, 20)]);
        assert_eq!(history.starts()[1], (LeaderEpoch(3), Offset(10)));
        history.advance_start(Offset(15));
        assert_eq!(
            history.starts(),
            [(LeaderEpoch(3), Offset(15)), (LeaderEpoch(4), Offset(20))]
        );
    }
}
