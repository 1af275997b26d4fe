//! How soon a failed actor may start again. Pure: it is told the time.
//!
//! Five restarts within ten seconds happen at once. After that the actor waits: one second, doubling to thirty. An actor
//! that has waited is on trial for ten seconds; failing on trial doubles the wait, holding for that long clears the slate.

use std::collections::VecDeque;
use std::time::Duration;

/// Restarts within [`WINDOW`] that happen at once.
pub const AT_ONCE: usize = 5;
/// The time over which restarts are counted, and for which an actor must hold to be off trial.
pub const WINDOW: Duration = Duration::from_secs(10);
/// The first wait.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The restarts of one actor.
#[derive(Debug, Default)]
pub(super) struct Intensity {
    recent: VecDeque<Duration>,
    trial: Option<Trial>,
}

#[derive(Debug)]
struct Trial {
    wait: Duration,
    over_at: Duration,
}

impl Intensity {
    /// A failure at `now`: how long to wait before the restart.
    pub fn failed(&mut self, now: Duration) -> Duration {
        while self.recent.front().is_some_and(|&at| at + WINDOW <= now) {
            self.recent.pop_front();
        }
        if self.recent.len() <= AT_ONCE {
            self.recent.push_back(now);
        }
        let wait = match &self.trial {
            Some(trial) if now < trial.over_at => (trial.wait * 2).min(LONGEST_WAIT),
            _ if self.recent.len() > AT_ONCE => FIRST_WAIT,
            _ => {
                self.trial = None;
                return Duration::ZERO;
            }
        };
        self.trial = Some(Trial {
            wait,
            over_at: now + wait + WINDOW,
        });
        wait
    }

    /// When the actor, if it does not fail again, is known to hold.
    pub fn holds_from(&self) -> Duration {
        self.trial
            .as_ref()
            .map_or(Duration::ZERO, |trial| trial.over_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn five_restarts_are_at_once_and_the_sixth_waits() {
        let mut intensity = Intensity::default();
        for _ in 0..5 {
            assert_eq!(intensity.failed(s(1)), s(0));
        }
        assert_eq!(intensity.failed(s(1)), s(1));
        assert_eq!(intensity.holds_from(), s(12));
    }

    #[test]
    fn the_wait_doubles_to_thirty_seconds_while_it_keeps_failing() {
        let mut intensity = Intensity::default();
        let mut now = s(0);
        let mut waits = Vec::new();
        for _ in 0..13 {
            let wait = intensity.failed(now);
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn holding_for_ten_seconds_clears_the_slate() {
        let mut intensity = Intensity::default();
        for _ in 0..8 {
            intensity.failed(s(0));
        }
        let held = intensity.holds_from();
        assert_eq!(held, s(4 + 10));
        assert_eq!(intensity.failed(held), s(0));
        assert_eq!(intensity.holds_from(), s(0));
    }

    #[test]
    fn slow_failures_never_wait() {
        let mut intensity = Intensity::default();
        for n in 0..100 {
            assert_eq!(intensity.failed(s(2 * n)), s(0), "failure {n}");
        }
    }
}
