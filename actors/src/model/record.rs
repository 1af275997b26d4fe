//! The Record's rows: one change each, in commit order.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::identity::{Origin, UserRef};
use super::room::Channel;
use super::trace::Trace;

/// A place on the Record: 1, 2, 3 … in commit order, without a gap. 0 is before the first.
pub type Seq = u64;

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// `episode`, `user`, …
    #[serde(rename = "resource_type")]
    pub kind: String,
    #[serde(rename = "resource_id")]
    pub id: String,
}

/// An entry as it is put on the Record; the store gives it its `seq`.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// UUIDv7.
    pub id: Uuid,
    pub at: DateTime<Utc>,
    /// The event's wire name.
    pub event: String,
    pub actor: Option<UserRef>,
    pub resource: Option<Resource>,
    pub audience: Vec<Channel>,
    /// A JSON object: the resource after the change, and for an update `changes`:
    /// `{field: {"old": …, "new": …}}`.
    pub data: Box<RawValue>,
    pub origin: Origin,
}

/// An entry of the Record.
#[derive(Clone, Debug)]
pub struct Entry {
    pub seq: Seq,
    pub new: NewEntry,
    /// Of the request that made it, if that was here.
    pub trace: Trace,
}

impl Entry {
    pub fn new(seq: Seq, new: NewEntry) -> Entry {
        Entry {
            seq,
            new,
            trace: Trace::default(),
        }
    }
}

impl std::ops::Deref for Entry {
    type Target = NewEntry;

    fn deref(&self) -> &NewEntry {
        &self.new
    }
}

/// What the Record holds now: `first` is the oldest entry still kept (0 and 0 when there is none).
/// `last` stays when retention has removed the entries themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    pub first: Seq,
    pub last: Seq,
}

impl Span {
    /// Whether everything after `seq` is still there.
    pub fn reaches(self, seq: Seq) -> bool {
        seq <= self.last && (seq == self.last || self.first != 0 && self.first <= seq + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_knows_how_far_back_it_reaches() {
        let span = Span { first: 5, last: 9 };
        assert!(!span.reaches(3));
        assert!(span.reaches(4));
        assert!(span.reaches(9));
        assert!(!span.reaches(10), "a place that was never given");
        assert!(Span { first: 0, last: 0 }.reaches(0));
        assert!(Span { first: 0, last: 9 }.reaches(9));
        assert!(!Span { first: 0, last: 9 }.reaches(8));
    }
}
