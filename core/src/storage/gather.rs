//! When the next commit round begins: at once, or when more has gathered.
//!
//! A round costs the same whatever it covers, and clients that keep a number of requests under way send the next ones as
//! soon as they hear of the last. If a round began as soon as the one before it ended, what the answers call forth would
//! always come too late for it, and rounds would cover half of what is under way in turns. So a round waits until as many
//! appends have gathered as the last one covered and found waiting at its end: all that is under way, if it is as before.
//!
//! Invariants:
//! - a round waits no longer after the end of the last than rounds take, nor than the given limit: without waiting, the
//!   appends that come meanwhile would have had to wait for that long;
//! - enough bytes, whose round is cheap for each of them, never wait;
//! - where waiting was in vain, it is tried again after ever more rounds only.

use crate::marks::mark;
use crate::types::Monotonic;

/// Bytes whose round does not wait for more.
const ENOUGH_BYTES: u64 = 256 << 10;

/// Rounds without waiting after waiting was in vain again and again, as a power of two.
const MOST_VAIN: u32 = 7;

/// Appends that wait for a round.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Waiting {
    pub(super) appends: u64,
    pub(super) bytes: u64,
}

/// What is known of the rounds so far.
#[derive(Debug)]
pub(super) struct Gather {
    /// The longest wait, in nanoseconds.
    longest: u64,
    /// What a round takes, in nanoseconds, smoothed.
    usual: u64,
    stage: Stage,
    /// How often waiting was in vain since it last was not.
    vain: u32,
    /// Rounds that will not wait.
    hasty: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// No round ran yet.
    Fresh,
    /// A round runs since `began`, for `covers` appends.
    Runs { began: Monotonic, covers: u64 },
    /// The last round ended. The next begins with as many appends as `expected`, or at `deadline`; `waits` says that it
    /// was asked for before.
    Ended {
        expected: u64,
        deadline: Monotonic,
        waits: bool,
    },
}

impl Gather {
    /// Rounds wait for `longest` nanoseconds at most.
    pub(super) fn new(longest: u64) -> Self {
        Self {
            longest,
            usual: 0,
            stage: Stage::Fresh,
            vain: 0,
            hasty: 0,
        }
    }

    /// The round that ran has ended, `waiting` for the next one; it may be said more than once.
    pub(super) fn ended(&mut self, now: Monotonic, waiting: Waiting) {
        let Stage::Runs { began, covers } = self.stage else {
            return;
        };
        let took = now.0.saturating_sub(began.0);
        self.usual = if self.usual == 0 {
            took
        } else {
            (self.usual * 3 + took) / 4
        };
        self.stage = Stage::Ended {
            expected: covers + waiting.appends,
            deadline: Monotonic(now.0.saturating_add(self.usual.min(self.longest))),
            waits: false,
        };
    }

    /// Whether a round for what waits may begin now.
    pub(super) fn may_begin(&mut self, now: Monotonic, waiting: Waiting) -> bool {
        let Stage::Ended {
            expected,
            deadline,
            waits,
        } = &mut self.stage
        else {
            return true;
        };
        let all = waiting.appends == 0 || waiting.appends >= *expected;
        if self.hasty > 0 || all || waiting.bytes >= ENOUGH_BYTES || now >= *deadline {
            return true;
        }
        mark!(RoundGathered);
        *waits = true;
        false
    }

    /// A round for what waits begins.
    pub(super) fn began(&mut self, now: Monotonic, waiting: Waiting) {
        self.hasty = self.hasty.saturating_sub(1);
        if let Stage::Ended {
            expected, waits: true, ..
        } = self.stage
        {
            if waiting.appends >= expected || waiting.bytes >= ENOUGH_BYTES {
                self.vain = 0;
            } else {
                self.vain = (self.vain + 1).min(MOST_VAIN);
                self.hasty = 1 << self.vain;
            }
        }
        self.stage = Stage::Runs {
            began: now,
            covers: waiting.appends,
        };
    }

    /// When the round that waits begins at the latest.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        match self.stage {
            Stage::Ended {
                deadline, waits: true, ..
            } => Some(deadline),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gather, MOST_VAIN, Waiting};
    use crate::types::Monotonic;

    const LONGEST: u64 = 1_000_000;
    const ROUND: u64 = 200;

    fn appends(appends: u64) -> Waiting {
        Waiting {
            appends,
            bytes: appends * 100,
        }
    }

    /// A round from `at` for `covered` appends, at whose end `waiting` wait.
    fn round(gather: &mut Gather, at: u64, covered: u64, waiting: u64) {
        gather.began(Monotonic(at), appends(covered));
        gather.ended(Monotonic(at + ROUND), appends(waiting));
    }

    #[test]
    fn a_round_waits_for_what_the_last_answers_call_forth() {
        let mut gather = Gather::new(LONGEST);
        assert!(gather.may_begin(Monotonic(0), appends(1)), "nothing is known yet");
        round(&mut gather, 0, 1, 4);
        assert!(!gather.may_begin(Monotonic(ROUND), appends(4)));
        assert_eq!(gather.next_deadline(), Some(Monotonic(2 * ROUND)));
        assert!(
            gather.may_begin(Monotonic(ROUND + 1), appends(5)),
            "all that is under way"
        );
        round(&mut gather, ROUND + 1, 5, 0);
        assert!(!gather.may_begin(Monotonic(2 * ROUND + 2), appends(3)));
        assert!(gather.may_begin(Monotonic(2 * ROUND + 3), appends(5)));
        assert_eq!(gather.vain, 0);
    }

    #[test]
    fn one_request_at_a_time_never_waits() {
        let mut gather = Gather::new(LONGEST);
        for at in (0..10).map(|i| i * 2 * ROUND) {
            round(&mut gather, at, 1, 0);
            assert!(gather.may_begin(Monotonic(at + ROUND + 1), appends(1)));
            assert_eq!(gather.next_deadline(), None);
        }
    }

    #[test]
    fn enough_bytes_and_requests_for_a_sync_do_not_wait() {
        let mut gather = Gather::new(LONGEST);
        round(&mut gather, 0, 5, 0);
        let large = Waiting {
            appends: 1,
            bytes: super::ENOUGH_BYTES,
        };
        assert!(gather.may_begin(Monotonic(ROUND), large));
        assert!(gather.may_begin(Monotonic(ROUND), appends(0)));
    }

    #[test]
    fn waiting_ends_and_what_is_in_vain_becomes_rare() {
        let mut gather = Gather::new(LONGEST);
        let (mut at, mut waits) = (0, 0);
        for _ in 0..1000 {
            round(&mut gather, at, 3, 1);
            at += ROUND;
            if !gather.may_begin(Monotonic(at), appends(1)) {
                waits += 1;
                at += ROUND;
                assert_eq!(
                    gather.next_deadline(),
                    Some(Monotonic(at)),
                    "no longer than rounds take"
                );
                assert!(gather.may_begin(Monotonic(at), appends(1)));
            }
        }
        let least = 1000 >> MOST_VAIN;
        assert!((least..least + 2 * u64::from(MOST_VAIN)).contains(&waits), "{waits}");
    }

    #[test]
    fn the_limit_holds_where_rounds_take_long() {
        let mut gather = Gather::new(10);
        round(&mut gather, 0, 5, 1);
        assert!(!gather.may_begin(Monotonic(ROUND + 9), appends(1)));
        assert!(gather.may_begin(Monotonic(ROUND + 10), appends(1)));
        let mut never = Gather::new(0);
        round(&mut never, 0, 5, 1);
        assert!(never.may_begin(Monotonic(ROUND), appends(1)));
    }
}
