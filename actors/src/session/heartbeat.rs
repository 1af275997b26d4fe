//! When a client is pinged and when it is dead. Pure: it is told the time.
//!
//! Pings stay on a grid of `interval` from the connection's start, however late a pong comes; the client has
//! `timeout` for each. Both are compared with deadlines, never added up from timers. A client that got its ping
//! late is given the time that it lost: that is the line's deadline, which is never before the one here.

use std::time::Duration;

#[derive(Debug)]
pub struct Heartbeat {
    /// Milliseconds, as on the wire; so is `timeout`.
    interval: u32,
    timeout: u32,
    /// When the next ping is due; with `awaiting`, when the last one was. Microseconds.
    ping_at: u64,
    awaiting: bool,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum Beat {
    Nothing,
    Ping,
    Dead,
}

impl Heartbeat {
    pub fn new(now: Duration, interval: Duration, timeout: Duration) -> Heartbeat {
        let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        Heartbeat {
            interval: millis(interval),
            timeout: millis(timeout),
            ping_at: micros(now + interval),
            awaiting: false,
        }
    }

    /// Asks what to do; a ping counts as sent from here on.
    pub fn beat(&mut self, now: Duration) -> Beat {
        if self.awaiting && now >= self.deadline() {
            return Beat::Dead;
        }
        if !self.awaiting && now >= self.ping_at() {
            self.awaiting = true;
            return Beat::Ping;
        }
        Beat::Nothing
    }

    /// The client answered. An answer that nobody asked for changes nothing.
    pub fn pong(&mut self, now: Duration) {
        if self.awaiting {
            self.awaiting = false;
            let next = self.ping_at() + Duration::from_millis(self.interval.into());
            self.ping_at = micros(next.max(now));
        }
    }

    /// When the client is dead unless it says something before.
    pub fn deadline(&self) -> Duration {
        self.ping_at() + Duration::from_millis(self.timeout.into())
    }

    /// When [`Heartbeat::beat`] has something to say again.
    pub fn next(&self) -> Duration {
        if self.awaiting {
            self.deadline()
        } else {
            self.ping_at()
        }
    }

    fn ping_at(&self) -> Duration {
        Duration::from_micros(self.ping_at)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn heartbeat() -> Heartbeat {
        Heartbeat::new(ms(1000), ms(300), ms(200))
    }

    #[test]
    fn no_ping_before_the_first_interval_and_one_after_it() {
        let mut heartbeat = heartbeat();
        assert_eq!(heartbeat.beat(ms(1299)), Beat::Nothing);
        assert_eq!(heartbeat.beat(ms(1310)), Beat::Ping);
        assert_eq!(heartbeat.beat(ms(1311)), Beat::Nothing);
    }

    #[test]
    fn pings_stay_on_their_grid_however_late_a_pong_comes() {
        let mut heartbeat = heartbeat();
        assert_eq!(heartbeat.beat(ms(1340)), Beat::Ping);
        heartbeat.pong(ms(1390));
        assert_eq!(heartbeat.next(), ms(1600));
        assert_eq!(heartbeat.beat(ms(1600)), Beat::Ping);
    }

    #[test]
    fn a_client_that_does_not_answer_is_dead_at_interval_and_timeout() {
        let mut heartbeat = heartbeat();
        assert_eq!(heartbeat.beat(ms(1300)), Beat::Ping);
        assert_eq!(heartbeat.beat(ms(1499)), Beat::Nothing);
        assert_eq!(heartbeat.beat(ms(1500)), Beat::Dead);
    }

    #[test]
    fn nobody_is_dead_who_was_not_pinged_because_our_own_timer_was_late() {
        let mut heartbeat = heartbeat();
        assert_eq!(heartbeat.beat(ms(1600)), Beat::Ping);
        assert_eq!(heartbeat.deadline(), ms(1500));
    }

    #[test]
    fn an_answer_that_nobody_asked_for_prolongs_nothing() {
        let mut heartbeat = heartbeat();
        heartbeat.pong(ms(1100));
        heartbeat.pong(ms(1200));
        assert_eq!(heartbeat.deadline(), ms(1500));
    }
}
