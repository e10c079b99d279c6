//! How long to wait before something is tried again that failed: each time twice as long, up to a bound
//! ([`GroupConfig::retry_max_ms`]), so that what stays broken costs little, and what is mended is soon found to be.

use crate::config::GroupConfig;

/// How often something failed in a row.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It failed once more.
    pub(super) const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// It worked. How often it had failed before.
    pub(super) const fn worked(&mut self) -> u32 {
        core::mem::replace(&mut self.failures, 0)
    }

    /// Milliseconds to wait after so many failures, of which the first `free` cost no wait.
    pub(super) fn pause_ms(self, free: u32, config: &GroupConfig) -> u64 {
        let Some(doublings) = self.failures.checked_sub(free + 1) else {
            return 0;
        };
        let most = config.retry_max_ms.max(1);
        let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
        config.retry_ms.max(1).saturating_mul(factor).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew_after_a_success() {
        let config = GroupConfig {
            retry_ms: 10,
            retry_max_ms: 75,
            ..GroupConfig::default()
        };
        let mut backoff = Backoff::default();
        let mut next = |free| {
            backoff.failed();
            backoff.pause_ms(free, &config)
        };
        let pauses: Vec<_> = (0..6).map(|_| next(0)).collect();
        assert_eq!(pauses, [10, 20, 40, 75, 75, 75]);
        for _ in 0..200 {
            assert_eq!(next(0), 75);
        }
        assert_eq!(backoff.worked(), 206);
        backoff.failed();
        assert_eq!((backoff.pause_ms(1, &config), backoff.pause_ms(0, &config)), (0, 10));
        backoff.failed();
        assert_eq!(backoff.pause_ms(1, &config), 10);
    }
}
