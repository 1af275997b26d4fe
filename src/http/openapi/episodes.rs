//! Episodes.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::table::Answer::{Data, List};
use super::table::{BOTH, CHANGED, CURSOR, IF_MATCH, LIMIT, MADE, NONE, ONCE, READ, Operation};

const TAKEN: &[(u16, &str)] = &[(409, "episode_number_taken")];

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/episodes", id: "list_episodes", tag: "episodes", summary: "Episodes", role: Some("viewer"), query: &[LIMIT, CURSOR, ("status", "draft, in_production, published or archived"), ("season", "of this season"), ("team", "of this team"), ("q", "somewhere in title or description")], answer: (200, List("Episode")), refusals: READ, ..NONE },
    Operation { method: "post", path: "/api/v1/episodes", id: "create_episode", tag: "episodes", summary: "Make an episode", role: Some("editor"), headers: ONCE, body: Some("NewEpisode"), answer: (201, Data("Episode")), refusals: MADE, codes: TAKEN, ..NONE },
    Operation { method: "get", path: "/api/v1/episodes/{id}", id: "show_episode", tag: "episodes", summary: "One episode, and who is viewing it; the caller becomes a viewer", role: Some("viewer"), answer: (200, Data("ViewedEpisode")), refusals: READ, ..NONE },
    Operation { method: "put", path: "/api/v1/episodes/{id}", id: "replace_episode", tag: "episodes", summary: "Replace an episode; an optional field that is left out is cleared (the status stays)", role: Some("editor"), headers: IF_MATCH, body: Some("EpisodeBody"), answer: (200, Data("Episode")), refusals: CHANGED, codes: TAKEN, ..NONE },
    Operation { method: "patch", path: "/api/v1/episodes/{id}", id: "update_episode", tag: "episodes", summary: "Change what is given", role: Some("editor"), headers: IF_MATCH, body: Some("EpisodePatch"), answer: (200, Data("Episode")), refusals: CHANGED, codes: TAKEN, ..NONE },
    Operation { method: "delete", path: "/api/v1/episodes/{id}", id: "delete_episode", tag: "episodes", summary: "Delete an episode", role: Some("editor"), headers: IF_MATCH, answer: (200, Data("Deleted")), refusals: &[401, 403, 404, 412, 422, 428, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/episodes/{id}/publish", id: "publish_episode", tag: "episodes", summary: "Publish an episode", role: Some("editor"), headers: BOTH, body: Some("Empty"), body_optional: true, answer: (200, Data("Episode")), refusals: CHANGED, codes: &[(409, "already_published")], ..NONE },
];

schemas! { Status Episode ViewedEpisode NewEpisode EpisodeBody EpisodePatch Viewer }

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Status {
    Draft,
    InProduction,
    Published,
    Archived,
}

#[derive(ToSchema)]
pub struct Episode {
    id: Uuid,
    title: String,
    episode_number: i64,
    season: Option<i64>,
    description: Option<String>,
    air_date: Option<NaiveDate>,
    team: Option<String>,
    status: Status,
    metadata: Option<Map<String, Value>>,
    published_at: Option<DateTime<Utc>>,
    created_by: Uuid,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

#[derive(ToSchema)]
pub struct ViewedEpisode {
    #[serde(flatten)]
    episode: Episode,
    viewers: Vec<Viewer>,
}

#[derive(ToSchema)]
pub struct NewEpisode {
    #[schema(min_length = 1, max_length = 300)]
    title: String,
    #[schema(minimum = 0, maximum = 1000000)]
    episode_number: i64,
    #[schema(minimum = 0, maximum = 1000000)]
    season: Option<i64>,
    #[schema(max_length = 65536)]
    description: Option<String>,
    air_date: Option<NaiveDate>,
    #[schema(min_length = 1, max_length = 100)]
    team: Option<String>,
    metadata: Option<Map<String, Value>>,
}

#[derive(ToSchema)]
pub struct EpisodeBody {
    #[serde(flatten)]
    fields: NewEpisode,
    /// Left out, it stays.
    #[schema(nullable = false)]
    status: Option<Status>,
}

#[derive(ToSchema)]
pub struct EpisodePatch {
    #[schema(min_length = 1, max_length = 300, nullable = false)]
    title: Option<String>,
    #[schema(minimum = 0, maximum = 1000000, nullable = false)]
    episode_number: Option<i64>,
    #[schema(minimum = 0, maximum = 1000000)]
    season: Option<i64>,
    #[schema(max_length = 65536)]
    description: Option<String>,
    air_date: Option<NaiveDate>,
    #[schema(min_length = 1, max_length = 100)]
    team: Option<String>,
    #[schema(nullable = false)]
    status: Option<Status>,
    metadata: Option<Map<String, Value>>,
}

/// Somebody who is viewing.
#[derive(ToSchema)]
pub struct Viewer {
    id: Uuid,
    name: String,
    viewing_since: DateTime<Utc>,
}
