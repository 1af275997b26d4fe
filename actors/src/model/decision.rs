//! What becomes of a notice for one of its recipients, and by which rule.
//!
//! The rules in their order; the first that applies decides:
//!
//! 1. a muted type is not stored, however urgent;
//! 2. what has expired before it could be delivered is not stored;
//! 3. `urgent` is pushed at once: nothing below holds for it, and it takes nobody's place under the limit;
//! 4. who looks at what it is about has seen it: stored as read, not pushed, not counted;
//! 5. above the limit of the hour it is folded;
//! 6. in quiet hours it is stored, and pushed when they end;
//! 7. else it is stored and pushed.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::notice::Draft;
use super::notification::Priority;
use super::preferences::Preferences;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Sent,
    Seen,
    Muted,
    Expired,
    Deferred,
    Folded,
}

/// Which rule said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// None of the others applied.
    Default,
    Urgent,
    Viewing,
    MutedTypes,
    Types,
    /// It had expired before it could be delivered.
    Expired,
    QuietHours,
    /// The server's limit.
    RateLimit,
    /// The user's own.
    HourlyLimit,
}

macro_rules! words {
    ($kind:ident: $($variant:ident $word:literal)*) => {
        impl $kind {
            pub const ALL: &[$kind] = &[$($kind::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $($kind::$variant => $word),*
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $kind {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut all = Self::ALL.iter().copied();
                all.find(|one| one.as_str() == text).ok_or_else(|| format!("`{text}` is none"))
            }
        }
    };
}

words! { Outcome: Sent "sent" Seen "seen" Muted "muted" Expired "expired" Deferred "deferred" Folded "folded" }
words! { Rule: Default "default" Urgent "urgent" Viewing "viewing" MutedTypes "muted_types" Types "types"
Expired "expired" QuietHours "quiet_hours" RateLimit "rate_limit" HourlyLimit "hourly_limit" }

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub outcome: Outcome,
    pub rule: Rule,
    /// Whether it takes a place under the limit of its hour.
    pub counted: bool,
    /// Until when its push waits; of a folded one, that of the fold.
    pub until: Option<DateTime<Utc>>,
}

/// Whether the limit of the hour lets one more through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    Granted,
    Refused,
}

/// What is decided without the limit, at `now`: muted, expired, urgent, seen. `None`: a permit is needed.
pub fn before_limit(
    draft: &Draft,
    preferences: &Preferences,
    viewing: bool,
    now: DateTime<Utc>,
) -> Option<Decision> {
    let decided = |outcome, rule| {
        Some(Decision {
            outcome,
            rule,
            counted: false,
            until: None,
        })
    };
    if preferences.muted_types.contains(&draft.kind) {
        return decided(Outcome::Muted, Rule::MutedTypes);
    }
    if preferences.types.get(&draft.kind) == Some(&false) {
        return decided(Outcome::Muted, Rule::Types);
    }
    if draft.expires_at.is_some_and(|end| end <= now) {
        return decided(Outcome::Expired, Rule::Expired);
    }
    if draft.priority == Priority::Urgent {
        return decided(Outcome::Sent, Rule::Urgent);
    }
    if viewing {
        return decided(Outcome::Seen, Rule::Viewing);
    }
    None
}

/// What is decided with it, at `now`, where the server's limit is `general`.
pub fn after_limit(
    preferences: &Preferences,
    permit: Permit,
    general: u32,
    now: DateTime<Utc>,
) -> Decision {
    let until = preferences
        .quiet_hours
        .as_ref()
        .and_then(|quiet| quiet.until(now));
    let (outcome, rule) = match (permit, until) {
        (Permit::Refused, _) if preferences.limit(general) < general => {
            (Outcome::Folded, Rule::HourlyLimit)
        }
        (Permit::Refused, _) => (Outcome::Folded, Rule::RateLimit),
        (Permit::Granted, Some(_)) => (Outcome::Deferred, Rule::QuietHours),
        (Permit::Granted, None) => (Outcome::Sent, Rule::Default),
    };
    Decision {
        outcome,
        rule,
        counted: permit == Permit::Granted,
        until,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::testing::noon;

    fn draft(priority: Priority) -> Draft {
        Draft {
            kind: "call_sheet".into(),
            title: None,
            message: String::new(),
            data: Map::new(),
            priority,
            expires_at: None,
        }
    }

    fn muted() -> Preferences {
        Preferences {
            muted_types: ["call_sheet".to_owned()].into(),
            ..Preferences::default()
        }
    }

    fn quiet() -> Preferences {
        let hours = r#"{"start":"00:00","end":"23:00","time_zone":"UTC"}"#;
        Preferences {
            quiet_hours: serde_json::from_str(hours).unwrap(),
            ..Preferences::default()
        }
    }

    /// What and by which rule, with as many permits as are asked for.
    fn decide(
        priority: Priority,
        preferences: &Preferences,
        viewing: bool,
        permit: Permit,
    ) -> (Outcome, Rule) {
        let decision = before_limit(&draft(priority), preferences, viewing, noon())
            .unwrap_or_else(|| after_limit(preferences, permit, 50, noon()));
        (decision.outcome, decision.rule)
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        use Permit::{Granted, Refused};
        use Priority::{High, Normal, Urgent};
        let none = Preferences::default();
        let off = Preferences {
            types: [("call_sheet".to_owned(), false)].into(),
            ..quiet()
        };
        let on_and_muted = Preferences {
            types: [("call_sheet".to_owned(), true)].into(),
            ..muted()
        };
        let own = Preferences {
            hourly_limit: Some(3),
            ..Preferences::default()
        };
        let generous = Preferences {
            hourly_limit: Some(300),
            ..Preferences::default()
        };
        let sent = (Outcome::Sent, Rule::Default);
        for (priority, preferences, viewing, permit, expected) in [
            (Normal, &none, false, Granted, sent),
            (Normal, &generous, false, Granted, sent),
            (
                Urgent,
                &muted(),
                true,
                Refused,
                (Outcome::Muted, Rule::MutedTypes),
            ),
            (
                Normal,
                &on_and_muted,
                false,
                Granted,
                (Outcome::Muted, Rule::MutedTypes),
            ),
            (Urgent, &off, true, Refused, (Outcome::Muted, Rule::Types)),
            (
                Urgent,
                &quiet(),
                true,
                Refused,
                (Outcome::Sent, Rule::Urgent),
            ),
            (
                High,
                &quiet(),
                true,
                Refused,
                (Outcome::Seen, Rule::Viewing),
            ),
            (
                High,
                &quiet(),
                false,
                Refused,
                (Outcome::Folded, Rule::RateLimit),
            ),
            (
                High,
                &quiet(),
                false,
                Granted,
                (Outcome::Deferred, Rule::QuietHours),
            ),
            (
                Normal,
                &own,
                false,
                Refused,
                (Outcome::Folded, Rule::HourlyLimit),
            ),
            (
                Normal,
                &generous,
                false,
                Refused,
                (Outcome::Folded, Rule::RateLimit),
            ),
        ] {
            assert_eq!(decide(priority, preferences, viewing, permit), expected);
        }
    }

    #[test]
    fn what_took_a_place_under_the_limit_is_counted_and_nothing_else() {
        let none = Preferences::default();
        assert!(after_limit(&none, Permit::Granted, 50, noon()).counted);
        assert!(after_limit(&quiet(), Permit::Granted, 50, noon()).counted);
        assert!(!after_limit(&quiet(), Permit::Refused, 50, noon()).counted);
        for decision in [
            before_limit(&draft(Priority::Urgent), &none, false, noon()),
            before_limit(&draft(Priority::Normal), &none, true, noon()),
            before_limit(&draft(Priority::Normal), &muted(), false, noon()),
        ] {
            assert!(!decision.unwrap().counted);
        }
        assert_eq!(
            before_limit(&draft(Priority::Normal), &none, false, noon()),
            None
        );
    }

    #[test]
    fn what_has_expired_is_decided_before_the_limit_and_not_stored_however_urgent() {
        let none = Preferences::default();
        for priority in [Priority::Normal, Priority::Urgent] {
            let mut late = draft(priority);
            late.expires_at = Some(noon());
            let decision = before_limit(&late, &none, true, noon()).unwrap();
            let expected = (Outcome::Expired, Rule::Expired, false);
            assert_eq!(
                (decision.outcome, decision.rule, decision.counted),
                expected
            );
            let muted = before_limit(&late, &muted(), false, noon()).unwrap();
            assert_eq!(muted.rule, Rule::MutedTypes);
            let before = noon() - chrono::TimeDelta::microseconds(1);
            let in_time = before_limit(&late, &none, false, before);
            assert_ne!(in_time.map(|it| it.outcome), Some(Outcome::Expired));
        }
    }

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for one in Outcome::ALL {
            assert_eq!(one.as_str().parse(), Ok(*one));
        }
        for one in Rule::ALL {
            assert_eq!(one.as_str().parse(), Ok(*one));
        }
        assert!("lost".parse::<Outcome>().is_err());
    }
}
