//! When an alarm is raised, and when it is over. Pure: it is told what there is and what time it is.
//!
//! | alert | raised | cleared |
//! | --- | --- | --- |
//! | `database_unavailable` | two looks in a row failed | it answers |
//! | `actors_backing_off` | an actor waits for its restart, or is on trial after one | all hold |
//! | `connections_near_limit` | 90 % of `MAX_SOCKET_CONNECTIONS` | below 80 % |
//! | `slow_consumers` | ten closed within a minute | none within one |
//! | `messages_refused` | a full mailbox refused one | none for a minute |
//!
//! The same alarm is raised once a minute at most, however it flaps.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::model::envelope::timestamp;

const MINUTE: TimeDelta = TimeDelta::minutes(1);
/// Slow consumers within a minute.
const SLOW: u64 = 10;

/// What an admin is warned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    Database,
    Actors,
    Connections,
    SlowConsumers,
    Refused,
}

impl Alarm {
    pub const ALL: [Alarm; 5] = [
        Alarm::Database,
        Alarm::Actors,
        Alarm::Connections,
        Alarm::SlowConsumers,
        Alarm::Refused,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Alarm::Database => "database_unavailable",
            Alarm::Actors => "actors_backing_off",
            Alarm::Connections => "connections_near_limit",
            Alarm::SlowConsumers => "slow_consumers",
            Alarm::Refused => "messages_refused",
        }
    }
}

/// How it is.
pub(super) struct Look {
    pub database: Result<(), String>,
    /// Actors that do not hold.
    pub down: Vec<&'static str>,
    pub connections: usize,
    pub limit: usize,
    /// Closed as slow consumers, since the start.
    pub slow: u64,
    /// Messages that full mailboxes refused, since the start.
    pub refused: u64,
}

#[derive(Default)]
pub(super) struct Alarms {
    raised: BTreeMap<Alarm, Raised>,
    /// When each was raised last.
    last: BTreeMap<Alarm, DateTime<Utc>>,
    /// Looks in a row at which the database did not answer.
    failures: u32,
    slow: Minute,
    refused: Minute,
}

struct Raised {
    since: DateTime<Utc>,
    message: String,
}

/// What a count rose by within a minute.
#[derive(Default)]
struct Minute(VecDeque<(DateTime<Utc>, u64)>);

impl Minute {
    fn risen(&mut self, now: DateTime<Utc>, count: u64) -> u64 {
        self.0.push_back((now, count));
        // The newest that is a minute old is what it rose from; before there is one: nothing was there at the start.
        while self.0.get(1).is_some_and(|(at, _)| *at + MINUTE <= now) {
            self.0.pop_front();
        }
        let from = match self.0.front() {
            Some((at, count)) if *at + MINUTE <= now => *count,
            _ => 0,
        };
        count.saturating_sub(from)
    }
}

impl Alarms {
    /// What is to be told after this look.
    pub fn judge(&mut self, look: &Look, now: DateTime<Utc>) -> Vec<Value> {
        self.failures = match look.database {
            Ok(()) => 0,
            Err(_) => self.failures + 1,
        };
        let (slow, refused) = (
            self.slow.risen(now, look.slow),
            self.refused.risen(now, look.refused),
        );
        let share = look.connections as f64 / look.limit.max(1) as f64;
        let database = look.database.as_ref().err();
        let mut told = Vec::new();
        // What raises each, and what keeps it up.
        for (alarm, raise, keep, message) in [
            (
                Alarm::Database,
                self.failures >= 2,
                self.failures > 0,
                format!(
                    "the database does not answer: {}",
                    database.map_or("", |error| error)
                ),
            ),
            (
                Alarm::Actors,
                !look.down.is_empty(),
                !look.down.is_empty(),
                format!("restarted too often: {}", look.down.join(", ")),
            ),
            (
                Alarm::Connections,
                share >= 0.9,
                share >= 0.8,
                format!(
                    "{} of {} connections are open",
                    look.connections, look.limit
                ),
            ),
            (
                Alarm::SlowConsumers,
                slow >= SLOW,
                slow > 0,
                format!("{slow} clients within a minute did not read what they were sent"),
            ),
            (
                Alarm::Refused,
                refused > 0,
                refused > 0,
                format!("full mailboxes refused {refused} messages within a minute"),
            ),
        ] {
            match self.raised.get(&alarm) {
                None if raise && self.may_raise(alarm, now) => {
                    told.push(alert(alarm, "raised", now, &message));
                    self.last.insert(alarm, now);
                    self.raised.insert(
                        alarm,
                        Raised {
                            since: now,
                            message,
                        },
                    );
                }
                Some(raised) if !keep => {
                    told.push(alert(alarm, "cleared", raised.since, "it is over"));
                    self.raised.remove(&alarm);
                }
                _ => {}
            }
        }
        told
    }

    fn may_raise(&self, alarm: Alarm, now: DateTime<Utc>) -> bool {
        let last = self.last.get(&alarm);
        last.is_none_or(|last| *last + MINUTE <= now)
    }

    /// Those that are up.
    pub fn raised(&self) -> Vec<Value> {
        let alert = |(alarm, it): (&Alarm, &Raised)| alert(*alarm, "raised", it.since, &it.message);
        self.raised.iter().map(alert).collect()
    }
}

fn alert(alarm: Alarm, state: &str, since: DateTime<Utc>, message: &str) -> Value {
    json!({
        "alert": alarm.name(),
        "state": state,
        "since": timestamp(since),
        "message": message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noon;

    fn well() -> Look {
        Look {
            database: Ok(()),
            down: Vec::new(),
            connections: 10,
            limit: 100,
            slow: 0,
            refused: 0,
        }
    }

    /// A look every five seconds.
    struct Rounds(Alarms, DateTime<Utc>);

    impl Rounds {
        fn new() -> Rounds {
            Rounds(Alarms::default(), noon())
        }

        fn next(&mut self, look: &Look) -> Vec<String> {
            self.1 += TimeDelta::seconds(5);
            let word = |alert: &Value| {
                let word = |name: &str| alert[name].as_str().unwrap().to_owned();
                format!("{} {}", word("alert"), word("state"))
            };
            self.0.judge(look, self.1).iter().map(word).collect()
        }
    }

    #[test]
    fn a_database_is_missed_at_the_second_look_and_welcomed_at_the_first() {
        let mut rounds = Rounds::new();
        let away = Look {
            database: Err("gone".into()),
            ..well()
        };
        assert!(rounds.next(&away).is_empty(), "it may be one slow answer");
        assert_eq!(rounds.next(&away), ["database_unavailable raised"]);
        assert!(rounds.next(&away).is_empty(), "told once");
        assert_eq!(rounds.0.raised().len(), 1);
        assert_eq!(rounds.next(&well()), ["database_unavailable cleared"]);
        assert!(rounds.0.raised().is_empty());
    }

    #[test]
    fn an_alarm_that_flaps_is_raised_once_a_minute() {
        let mut rounds = Rounds::new();
        let down = Look {
            down: vec!["Notifier"],
            ..well()
        };
        let mut raised = 0;
        for _ in 0..24 {
            raised += rounds.next(&down).len();
            rounds.next(&well());
        }
        assert!((3..=5).contains(&raised), "in four minutes: {raised}");
    }

    #[test]
    fn connections_near_the_limit_are_told_at_nine_tenths_and_are_over_below_eight() {
        let mut rounds = Rounds::new();
        let mut at = |connections| {
            rounds.next(&Look {
                connections,
                ..well()
            })
        };
        assert!(at(89).is_empty());
        assert_eq!(at(90), ["connections_near_limit raised"]);
        assert!(at(80).is_empty());
        assert_eq!(at(79), ["connections_near_limit cleared"]);
    }

    #[test]
    fn ten_slow_consumers_within_a_minute_are_told_and_ten_over_an_hour_are_not() {
        let mut rounds = Rounds::new();
        for slow in 1..=20 {
            for _ in 0..36 {
                assert!(rounds.next(&Look { slow, ..well() }).is_empty());
            }
        }
        let burst = Look { slow: 30, ..well() };
        assert_eq!(rounds.next(&burst), ["slow_consumers raised"]);
        for _ in 0..11 {
            assert!(rounds.next(&burst).is_empty(), "within the minute");
        }
        assert_eq!(rounds.next(&burst), ["slow_consumers cleared"]);
    }

    #[test]
    fn a_refused_message_is_told_and_over_a_minute_after_the_last() {
        let mut rounds = Rounds::new();
        let refused = |refused| Look { refused, ..well() };
        assert!(rounds.next(&refused(0)).is_empty());
        assert_eq!(rounds.next(&refused(3)), ["messages_refused raised"]);
        for _ in 0..11 {
            assert!(rounds.next(&refused(3)).is_empty());
        }
        assert_eq!(rounds.next(&refused(3)), ["messages_refused cleared"]);
    }
}
