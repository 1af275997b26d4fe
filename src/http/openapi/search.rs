//! Looking for words in everything.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;
use uuid::Uuid;

use super::table::Answer::List;
use super::table::{CURSOR, LIMIT, NONE, Operation};

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/search", id: "search", tag: "search", summary: "What has all these words in it, the best first: `word`, `beginning*`, `\"words that follow each other\"`. Of each type the newest 200 that match are ranked, and of things the newest 200 that are called so", role: Some("viewer"), query: &[("q", "in an episode's title, description, team, season, number (`S02E07`) and metadata, and in the activity that you may see; whatever the case and diacritics"), ("type", "of this type only; compositions and files are not there yet"), LIMIT, CURSOR], answer: (200, List("Hit")), ..NONE },
];

schemas! { Hit HitType }

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum HitType {
    Episode,
    Composition,
    File,
    Activity,
}

#[derive(ToSchema)]
pub struct Hit {
    r#type: HitType,
    id: Uuid,
    /// Of an activity: the name of what it happened to, or else the action.
    title: String,
    /// HTML, from the text in which most was found: what was looked for is within `<mark>`, all else is escaped.
    #[schema(example = "The <mark>Pilot</mark>")]
    snippet: String,
    /// 1: each word as it was asked for, in the title of a thing. What only begins so counts half, and so does the history.
    #[schema(exclusive_minimum = 0.0, maximum = 1.0)]
    score: f64,
    /// Of an activity: when it happened.
    updated_at: DateTime<Utc>,
}
