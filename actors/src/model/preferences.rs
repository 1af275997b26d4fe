//! What a user wants to be told of, and when.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::quiet_hours::{Day, QuietHours, TimeOfDay, Zone};

/// Types that a user's lists name, at most, in each of the two.
pub const MOST_TYPES: usize = 200;

/// As the API shows them. Nobody has to have any: the default is to be told of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    pub muted_types: BTreeSet<String>,
    /// Type by type; `false` mutes it.
    pub types: BTreeMap<String, bool>,
    pub quiet_hours: Option<QuietHours>,
    /// A limit of the user's own, where the server's is higher.
    pub hourly_limit: Option<u32>,
}

impl Preferences {
    /// The limit that holds for this user, where the server's is `general`.
    pub fn limit(&self, general: u32) -> u32 {
        self.hourly_limit.map_or(general, |own| own.min(general))
    }
}

/// What a change says; `None` leaves a member as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PreferencesPatch {
    pub muted_types: Option<BTreeSet<String>>,
    /// `None` within clears them all; else type by type, `None` taking it out.
    pub types: Option<Option<BTreeMap<String, Option<bool>>>>,
    pub quiet_hours: Option<Option<QuietPatch>>,
    pub hourly_limit: Option<Option<u32>>,
}

/// A change of quiet hours. Where there are none yet, all but the days must be given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuietPatch {
    pub start: Option<TimeOfDay>,
    pub end: Option<TimeOfDay>,
    pub time_zone: Option<Zone>,
    /// `None` within: every day.
    pub days: Option<Option<Vec<Day>>>,
}

/// Quiet hours that would lack a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete;

impl QuietPatch {
    fn apply(self, held: Option<QuietHours>) -> Result<QuietHours, Incomplete> {
        let member = |held: &Option<QuietHours>| held.clone().ok_or(Incomplete);
        Ok(QuietHours {
            start: self
                .start
                .map_or_else(|| member(&held).map(|held| held.start), Ok)?,
            end: self
                .end
                .map_or_else(|| member(&held).map(|held| held.end), Ok)?,
            time_zone: self
                .time_zone
                .map_or_else(|| member(&held).map(|held| held.time_zone), Ok)?,
            days: match (self.days, held) {
                (Some(Some(days)), _) => Day::in_order(&days),
                (None, Some(held)) => held.days,
                (Some(None), _) | (None, None) => Day::ALL.to_vec(),
            },
        })
    }
}

impl PreferencesPatch {
    pub fn apply(self, preferences: &mut Preferences) -> Result<(), Incomplete> {
        if let Some(muted) = self.muted_types {
            preferences.muted_types = muted;
        }
        match self.types {
            None => {}
            Some(None) => preferences.types.clear(),
            Some(Some(types)) => {
                for (name, wanted) in types {
                    match wanted {
                        Some(wanted) => {
                            preferences.types.insert(name, wanted);
                        }
                        None => {
                            preferences.types.remove(&name);
                        }
                    }
                }
            }
        }
        match self.quiet_hours {
            None => {}
            Some(None) => preferences.quiet_hours = None,
            Some(Some(patch)) => {
                preferences.quiet_hours = Some(patch.apply(preferences.quiet_hours.take())?);
            }
        }
        if let Some(limit) = self.hourly_limit {
            preferences.hourly_limit = limit;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name_and_clears_what_it_names_null() {
        let mut held = Preferences {
            muted_types: words(&["a"]),
            types: BTreeMap::from([("b".into(), false), ("c".into(), true)]),
            quiet_hours: None,
            hourly_limit: Some(5),
        };
        PreferencesPatch::default().apply(&mut held).unwrap();
        assert_eq!(held.hourly_limit, Some(5));
        let patch = PreferencesPatch {
            types: Some(Some(BTreeMap::from([
                ("b".into(), None),
                ("d".into(), Some(false)),
            ]))),
            hourly_limit: Some(None),
            ..PreferencesPatch::default()
        };
        patch.apply(&mut held).unwrap();
        let types = BTreeMap::from([("c".into(), true), ("d".into(), false)]);
        assert_eq!((held.types.clone(), held.hourly_limit), (types, None));
        assert_eq!(held.muted_types, words(&["a"]));
        let patch = PreferencesPatch {
            types: Some(None),
            muted_types: Some(BTreeSet::new()),
            ..PreferencesPatch::default()
        };
        patch.apply(&mut held).unwrap();
        assert_eq!(held, Preferences::default());
    }

    #[test]
    fn quiet_hours_are_changed_member_by_member_and_begin_complete() {
        let mut held = Preferences::default();
        let quiet = |patch| PreferencesPatch {
            quiet_hours: Some(patch),
            ..PreferencesPatch::default()
        };
        let end = QuietPatch {
            end: Some("08:00".parse().unwrap()),
            ..QuietPatch::default()
        };
        let half = quiet(Some(end.clone())).apply(&mut held);
        assert_eq!(half, Err(Incomplete));
        let whole = QuietPatch {
            start: Some("22:00".parse().unwrap()),
            time_zone: Some("Europe/Berlin".parse().unwrap()),
            days: Some(Some(vec!["sun".parse().unwrap(), "mon".parse().unwrap()])),
            ..end.clone()
        };
        quiet(Some(whole)).apply(&mut held).unwrap();
        let later = QuietPatch {
            end: Some("09:30".parse().unwrap()),
            ..QuietPatch::default()
        };
        quiet(Some(later)).apply(&mut held).unwrap();
        let text = serde_json::to_string(&held.quiet_hours).unwrap();
        assert_eq!(
            text,
            r#"{"start":"22:00","end":"09:30","time_zone":"Europe/Berlin","days":["mon","sun"]}"#
        );
        quiet(None).apply(&mut held).unwrap();
        assert_eq!(held, Preferences::default());
    }

    #[test]
    fn a_users_own_limit_can_only_be_lower() {
        let with = |hourly_limit| Preferences {
            hourly_limit,
            ..Preferences::default()
        };
        assert_eq!(with(None).limit(50), 50);
        assert_eq!(with(Some(5)).limit(50), 5);
        assert_eq!(with(Some(500)).limit(50), 50);
    }
}
