//! Quiet hours: from when to when a user is not to be disturbed, in its own time zone.
//!
//! A *window* begins at `start` on a day of the list and ends at the next `end` after it: one that goes across midnight
//! belongs to the day on which it begins. Equal times are a whole day. Both changes of daylight saving are taken as a
//! clock on the wall takes them, and in doubt it is quiet: a time that comes twice begins a window the first time and
//! ends it the second; one that is left out is the moment at which the clock is put forward.

use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc,
    Weekday,
};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Windows that follow each other without a pause are one quiet time, of so many windows at most: who has quiet hours
/// all round the clock is not kept waiting for ever.
const CHAIN: usize = 14;
/// No zone leaves out more than a day (Samoa did, in 2011).
const LONGEST_GAP: i64 = 25 * 60;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    pub start: TimeOfDay,
    pub end: TimeOfDay,
    pub time_zone: Zone,
    /// On which a window begins; in the order of the week, without repetition.
    #[serde(default = "every_day")]
    pub days: Vec<Day>,
}

impl QuietHours {
    /// When the quiet time ends in which `now` lies; `None`: it is not quiet.
    pub fn until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut end = self.window(now)?;
        for _ in 1..CHAIN {
            match self.window(end) {
                Some(later) => end = later,
                None => break,
            }
        }
        Some(end)
    }

    /// The end of the window in which `now` lies; of several the latest.
    fn window(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = now.with_timezone(&self.time_zone.0).date_naive();
        // The window of the day before may last until today.
        [today.pred_opt(), Some(today)]
            .into_iter()
            .flatten()
            .filter(|day| self.days.iter().any(|listed| listed.0 == day.weekday()))
            .filter_map(|day| self.window_of(day))
            .filter(|(start, end)| *start <= now && now < *end)
            .map(|(_, end)| end)
            .max()
    }

    /// The window that begins on this day.
    fn window_of(&self, day: NaiveDate) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let last = match self.end.0 > self.start.0 {
            true => day,
            false => day.checked_add_days(Days::new(1))?,
        };
        let start = self.time_zone.moment(day, self.start.0, Twice::First)?;
        let end = self.time_zone.moment(last, self.end.0, Twice::Second)?;
        Some((start, end))
    }
}

fn every_day() -> Vec<Day> {
    Day::ALL.to_vec()
}

/// `HH:MM`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay(NaiveTime);

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "must be a time like 22:00".to_owned();
        let digits = |text: &str| {
            (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| text.parse().ok())
                .flatten()
        };
        let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
        let (hour, minute) = digits(hour).zip(digits(minute)).ok_or_else(wrong)?;
        NaiveTime::from_hms_opt(hour, minute, 0)
            .map(TimeOfDay)
            .ok_or_else(wrong)
    }
}

impl std::fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.format("%H:%M"))
    }
}

/// A zone of the IANA database: `Europe/Berlin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(Tz);

/// Which moment is meant by a time that comes twice.
#[derive(Clone, Copy)]
enum Twice {
    First,
    Second,
}

impl Zone {
    fn moment(self, day: NaiveDate, time: NaiveTime, twice: Twice) -> Option<DateTime<Utc>> {
        let wall = day.and_time(time);
        // The clock is put forward by whole minutes.
        (0..=LONGEST_GAP).find_map(|minutes| {
            let wall = wall.checked_add_signed(TimeDelta::minutes(minutes))?;
            let moment = match (self.0.from_local_datetime(&wall), twice) {
                (MappedLocalTime::None, _) => return None,
                (MappedLocalTime::Single(moment), _) => moment,
                (MappedLocalTime::Ambiguous(first, _), Twice::First) => first,
                (MappedLocalTime::Ambiguous(_, second), Twice::Second) => second,
            };
            Some(moment.with_timezone(&Utc))
        })
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Zone)
            .map_err(|_| "must be a time zone of the IANA database, like Europe/Berlin".to_owned())
    }
}

impl std::fmt::Display for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

/// `mon` … `sun`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(Weekday);

impl Day {
    pub const ALL: [Day; 7] = [
        Day(Weekday::Mon),
        Day(Weekday::Tue),
        Day(Weekday::Wed),
        Day(Weekday::Thu),
        Day(Weekday::Fri),
        Day(Weekday::Sat),
        Day(Weekday::Sun),
    ];

    /// In the order of the week, each once.
    pub fn in_order(days: &[Day]) -> Vec<Day> {
        let listed = |day: &Day| days.contains(day);
        Day::ALL.into_iter().filter(listed).collect()
    }

    fn as_str(self) -> &'static str {
        ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][self.0.num_days_from_monday() as usize]
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Day::ALL
            .into_iter()
            .find(|day| day.as_str() == text)
            .ok_or_else(|| "must be a list of mon, tue, wed, thu, fri, sat, sun".to_owned())
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// In JSON each is its text.
macro_rules! as_text {
    ($($kind:ident)*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text! { TimeOfDay Zone Day }

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(start: &str, end: &str, zone: &str) -> QuietHours {
        on(start, end, zone, &Day::ALL)
    }

    fn on(start: &str, end: &str, zone: &str, days: &[Day]) -> QuietHours {
        QuietHours {
            start: start.parse().unwrap(),
            end: end.parse().unwrap(),
            time_zone: zone.parse().unwrap(),
            days: days.to_vec(),
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// At each moment, until when it is quiet; an empty text: it is not.
    #[track_caller]
    fn expect(hours: &QuietHours, cases: &[(&str, &str)]) {
        for (now, until) in cases {
            let expected = (!until.is_empty()).then(|| at(until));
            assert_eq!(hours.until(at(now)), expected, "at {now}");
        }
    }

    #[test]
    fn a_window_has_its_first_moment_and_not_its_last() {
        let hours = quiet("12:00", "13:30", "Europe/Berlin");
        expect(
            &hours,
            &[
                ("2026-01-15T10:59:59.999999Z", ""),
                ("2026-01-15T11:00:00Z", "2026-01-15T12:30:00Z"),
                ("2026-01-15T12:29:59.999999Z", "2026-01-15T12:30:00Z"),
                ("2026-01-15T12:30:00Z", ""),
                // In summer an hour earlier by the sun.
                ("2026-07-15T09:59:59Z", ""),
                ("2026-07-15T10:00:00Z", "2026-07-15T11:30:00Z"),
                ("2026-07-15T11:30:00Z", ""),
            ],
        );
    }

    #[test]
    fn a_window_across_midnight_belongs_to_the_day_on_which_it_begins() {
        // 2026-11-20 is a Friday.
        let friday = on(
            "22:00",
            "07:00",
            "America/New_York",
            &["fri".parse().unwrap()],
        );
        expect(
            &friday,
            &[
                ("2026-11-21T02:59:00Z", ""), // Friday 21:59
                ("2026-11-21T03:00:00Z", "2026-11-21T12:00:00Z"),
                ("2026-11-21T11:59:00Z", "2026-11-21T12:00:00Z"), // Saturday 06:59
                ("2026-11-21T12:00:00Z", ""),
                ("2026-11-22T04:00:00Z", ""), // Saturday 23:00
                ("2026-11-20T08:00:00Z", ""), // Friday 03:00 would be Thursday's
            ],
        );
    }

    #[test]
    fn in_spring_in_berlin_a_night_is_an_hour_shorter_and_what_is_left_out_is_no_time() {
        // 2026-03-29: 02:00 becomes 03:00, at 01:00 UTC.
        let night = quiet("22:00", "07:00", "Europe/Berlin");
        expect(
            &night,
            &[
                ("2026-03-28T20:59:59Z", ""),
                ("2026-03-28T21:00:00Z", "2026-03-29T05:00:00Z"),
                ("2026-03-29T04:59:59Z", "2026-03-29T05:00:00Z"),
                ("2026-03-29T05:00:00Z", ""),
                ("2026-03-29T19:59:59Z", ""),
                ("2026-03-29T20:00:00Z", "2026-03-30T05:00:00Z"),
            ],
        );
        let ends_in_the_gap = quiet("23:00", "02:30", "Europe/Berlin");
        expect(
            &ends_in_the_gap,
            &[
                ("2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z"),
                ("2026-03-29T01:00:00Z", ""),
                ("2026-03-30T00:29:59Z", "2026-03-30T00:30:00Z"),
            ],
        );
        let begins_in_the_gap = quiet("02:30", "04:00", "Europe/Berlin");
        expect(
            &begins_in_the_gap,
            &[
                ("2026-03-29T00:59:59Z", ""),
                ("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
            ],
        );
        let within_the_gap = quiet("02:10", "02:50", "Europe/Berlin");
        expect(
            &within_the_gap,
            &[("2026-03-29T00:59:59Z", ""), ("2026-03-29T01:00:00Z", "")],
        );
    }

    #[test]
    fn in_autumn_in_berlin_a_night_is_an_hour_longer_and_what_comes_twice_is_quiet_twice() {
        // 2026-10-25: 03:00 becomes 02:00, at 01:00 UTC.
        let night = quiet("22:00", "07:00", "Europe/Berlin");
        expect(
            &night,
            &[
                ("2026-10-24T20:00:00Z", "2026-10-25T06:00:00Z"),
                ("2026-10-25T05:59:59Z", "2026-10-25T06:00:00Z"),
                ("2026-10-25T06:00:00Z", ""),
            ],
        );
        let ends_twice = quiet("23:00", "02:30", "Europe/Berlin");
        expect(
            &ends_twice,
            &[
                ("2026-10-25T00:29:59Z", "2026-10-25T01:30:00Z"), // the first 02:29
                ("2026-10-25T00:45:00Z", "2026-10-25T01:30:00Z"), // the first 02:45
                ("2026-10-25T01:29:59Z", "2026-10-25T01:30:00Z"),
                ("2026-10-25T01:30:00Z", ""),
            ],
        );
        let begins_twice = quiet("02:30", "04:00", "Europe/Berlin");
        expect(
            &begins_twice,
            &[
                ("2026-10-25T00:29:59Z", ""),
                ("2026-10-25T00:30:00Z", "2026-10-25T03:00:00Z"),
                ("2026-10-25T01:15:00Z", "2026-10-25T03:00:00Z"), // the second 02:15
                ("2026-10-25T03:00:00Z", ""),
            ],
        );
    }

    #[test]
    fn both_changes_in_new_york() {
        // 2026-03-08: 02:00 becomes 03:00, at 07:00 UTC. 2026-11-01: 02:00 becomes 01:00, at 06:00 UTC.
        let night = quiet("22:00", "07:00", "America/New_York");
        expect(
            &night,
            &[
                ("2026-03-08T02:59:59Z", ""),
                ("2026-03-08T03:00:00Z", "2026-03-08T11:00:00Z"),
                ("2026-03-08T11:00:00Z", ""),
                ("2026-10-31T23:59:59Z", ""),
                ("2026-11-01T02:00:00Z", "2026-11-01T12:00:00Z"),
                ("2026-11-01T11:59:59Z", "2026-11-01T12:00:00Z"),
                ("2026-11-01T12:00:00Z", ""),
            ],
        );
        expect(
            &quiet("00:00", "02:15", "America/New_York"),
            &[
                ("2026-03-08T06:59:59Z", "2026-03-08T07:00:00Z"),
                ("2026-03-08T07:00:00Z", ""),
            ],
        );
        expect(
            &quiet("01:30", "01:45", "America/New_York"),
            &[
                ("2026-11-01T05:29:59Z", ""),
                ("2026-11-01T05:30:00Z", "2026-11-01T06:45:00Z"),
                ("2026-11-01T06:00:00Z", "2026-11-01T06:45:00Z"), // between the two
                ("2026-11-01T06:45:00Z", ""),
            ],
        );
    }

    #[test]
    fn on_lord_howe_the_clock_is_moved_by_half_an_hour() {
        // +10:30, in summer +11. 2026-10-04: 02:00 becomes 02:30, at 15:30 UTC on the 3rd.
        // 2026-04-05: 02:00 becomes 01:30, at 15:00 UTC on the 4th.
        let night = quiet("22:00", "07:00", "Australia/Lord_Howe");
        expect(
            &night,
            &[
                ("2026-10-03T11:29:59Z", ""),
                ("2026-10-03T11:30:00Z", "2026-10-03T20:00:00Z"),
                ("2026-10-03T20:00:00Z", ""),
                ("2026-04-04T10:59:59Z", ""),
                ("2026-04-04T11:00:00Z", "2026-04-04T20:30:00Z"),
                ("2026-04-04T20:30:00Z", ""),
            ],
        );
        expect(
            &quiet("23:00", "02:15", "Australia/Lord_Howe"),
            &[
                ("2026-10-03T15:29:59Z", "2026-10-03T15:30:00Z"),
                ("2026-10-03T15:30:00Z", ""),
            ],
        );
        expect(
            &quiet("23:00", "01:45", "Australia/Lord_Howe"),
            &[
                ("2026-04-04T14:44:00Z", "2026-04-04T15:15:00Z"), // the first 01:44
                ("2026-04-04T14:50:00Z", "2026-04-04T15:15:00Z"),
                ("2026-04-04T15:14:59Z", "2026-04-04T15:15:00Z"),
                ("2026-04-04T15:15:00Z", ""),
            ],
        );
    }

    #[test]
    fn a_day_that_a_zone_left_out_harms_nobody() {
        // In Samoa 2011-12-29 was followed by the 31st, at 10:00 UTC.
        expect(
            &quiet("23:00", "07:00", "Pacific/Apia"),
            &[
                ("2011-12-30T09:30:00Z", "2011-12-30T17:00:00Z"),
                ("2011-12-30T11:00:00Z", "2011-12-30T17:00:00Z"),
            ],
        );
    }

    #[test]
    fn windows_that_touch_are_one_quiet_time_and_one_that_never_ends_ends_all_the_same() {
        let weekend = on(
            "00:00",
            "00:00",
            "UTC",
            &["sat".parse().unwrap(), "sun".parse().unwrap()],
        );
        expect(
            &weekend,
            &[
                ("2026-11-20T23:59:59Z", ""),
                ("2026-11-21T00:00:00Z", "2026-11-23T00:00:00Z"),
                ("2026-11-22T12:00:00Z", "2026-11-23T00:00:00Z"),
                ("2026-11-23T00:00:00Z", ""),
            ],
        );
        let always = quiet("09:00", "09:00", "Europe/Berlin");
        let now = at("2026-11-20T12:00:00Z");
        let until = always.until(now).unwrap();
        assert!(until - now > TimeDelta::days(12) && until - now < TimeDelta::days(15));
    }

    /// The definition in other words: minute by minute, what a clock on the wall shows.
    #[test]
    fn away_from_changes_of_the_clock_it_is_quiet_when_the_wall_says_so() {
        let zone: Tz = "Asia/Kathmandu".parse().unwrap();
        for (start, end) in [("22:00", "07:00"), ("07:00", "22:00"), ("00:00", "00:01")] {
            let hours = on(
                start,
                end,
                "Asia/Kathmandu",
                &["tue".parse().unwrap(), "sun".parse().unwrap()],
            );
            let (start, end) = (hours.start.0, hours.end.0);
            let mut now = at("2026-06-01T00:00:30Z");
            for _ in 0..8 * 24 * 60 {
                let wall = now.with_timezone(&zone);
                let (time, day) = (wall.time(), wall.weekday());
                let listed = |day: Weekday| matches!(day, Weekday::Tue | Weekday::Sun);
                let expected = match start < end {
                    true => listed(day) && start <= time && time < end,
                    false => listed(day) && time >= start || listed(day.pred()) && time < end,
                };
                assert_eq!(hours.until(now).is_some(), expected, "{wall}");
                now += TimeDelta::minutes(1);
            }
        }
    }

    #[test]
    fn what_is_no_time_zone_or_day_is_refused() {
        for wrong in [
            "", "24:00", "7:00", "07:60", "07:00:00", "+7:00", "0700", "a:b", "７:00",
        ] {
            assert!(wrong.parse::<TimeOfDay>().is_err(), "{wrong}");
        }
        for wrong in ["", "Europe/Bonn", "europe/berlin ", "+01:00"] {
            assert!(wrong.parse::<Zone>().is_err(), "{wrong}");
        }
        assert!("Mon".parse::<Day>().is_err());
        let text = r#"{"start":"22:00","end":"07:00","time_zone":"Europe/Berlin"}"#;
        let read: QuietHours = serde_json::from_str(text).unwrap();
        assert_eq!(read.days, Day::ALL);
        let written = serde_json::to_string(&read).unwrap();
        assert!(written.ends_with(r#""days":["mon","tue","wed","thu","fri","sat","sun"]}"#));
        assert_eq!(serde_json::from_str::<QuietHours>(&written).unwrap(), read);
    }
}
