//! What a search over everything finds: one list of things of several types.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

/// What is looked for. What is there comes before what happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Episode,
    Composition,
    File,
    Activity,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Episode, Kind::Composition, Kind::File, Kind::Activity];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Episode => "episode",
            Kind::Composition => "composition",
            Kind::File => "file",
            Kind::Activity => "activity",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Kind, ()> {
        let mut all = Kind::ALL.into_iter();
        all.find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    #[serde(rename = "type")]
    pub kind: Kind,
    pub id: Uuid,
    pub title: String,
    /// HTML: where what was looked for stands, within `<mark>`.
    pub snippet: String,
    /// Above 0, at most 1: each word as it was asked for, in the title of a thing.
    pub score: f64,
    pub updated_at: DateTime<Utc>,
}
