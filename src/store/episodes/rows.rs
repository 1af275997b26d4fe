//! An episode as a row: as it is read, and as it is handed to the database.

use callboard_actors::model::episode::{Episode, Fields};
use serde::Serialize;
use uuid::Uuid;

use crate::store::Result;
use crate::store::convert::{corrupt, json, micros, moment, moments, parse, word};
use crate::store::search;
use crate::store::tx::Rows;

macro_rules! columns {
    () => {
        "id, title, episode_number, season, description, air_date, team, status, metadata, published_at, created_by, \
         created_at, updated_at, version"
    };
}

pub(super) use columns;

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    title: String,
    episode_number: i64,
    season: Option<i64>,
    description: Option<String>,
    air_date: Option<String>,
    team: Option<String>,
    status: String,
    metadata: Option<String>,
    published_at: Option<i64>,
    created_by: Uuid,
    created_at: i64,
    updated_at: i64,
    version: i64,
}

impl Row {
    pub fn is_small(&self) -> bool {
        let (description, metadata) = (self.description.as_deref(), self.metadata.as_deref());
        are_small([Some(self.title.as_str()), description, metadata])
    }

    pub fn episode(self) -> Result<Episode> {
        let air_date = self
            .air_date
            .map(|date| date.parse().map_err(|_| corrupt("date", &date)));
        Ok(Episode {
            id: self.id,
            fields: Fields {
                title: self.title,
                episode_number: self.episode_number,
                season: self.season,
                description: self.description,
                air_date: air_date.transpose()?,
                team: self.team,
                status: word(&self.status)?,
                metadata: self.metadata.as_deref().map(parse).transpose()?,
            },
            published_at: moments(self.published_at)?,
            created_by: self.created_by,
            created_at: moment(self.created_at)?,
            updated_at: moment(self.updated_at)?,
            version: self.version,
        })
    }
}

/// Bytes of an episode's texts, up to which it is kept for who looks at it next.
const REMEMBERED: usize = 16 * 1024;

fn are_small(texts: [Option<&str>; 3]) -> bool {
    texts.into_iter().flatten().map(str::len).sum::<usize>() <= REMEMBERED
}

/// A row as it is handed to the database; see [`Rows`].
#[derive(Serialize)]
pub(super) struct NewRow<'a> {
    id: String,
    title: &'a str,
    episode_number: i64,
    season: Option<i64>,
    description: Option<&'a str>,
    air_date: Option<String>,
    team: Option<&'a str>,
    status: &'a str,
    metadata: Option<String>,
    published_at: Option<i64>,
    created_by: String,
    created_at: i64,
    updated_at: i64,
    version: i64,
    folded: String,
    words: String,
}

impl NewRow<'_> {
    pub fn is_small(&self) -> bool {
        are_small([Some(self.title), self.description, self.metadata.as_deref()])
    }

    /// For a database of this kind.
    pub fn of<'e>(episode: &'e Episode, database: &str) -> Result<NewRow<'e>> {
        let fields = &episode.fields;
        let mut folded = fields.title.to_lowercase();
        if let Some(description) = &fields.description {
            folded.push('\n');
            folded.push_str(&description.to_lowercase());
        }
        Ok(NewRow {
            id: episode.id.simple().to_string(),
            title: &fields.title,
            episode_number: fields.episode_number,
            season: fields.season,
            description: fields.description.as_deref(),
            air_date: fields.air_date.map(|date| date.to_string()),
            team: fields.team.as_deref(),
            status: fields.status.as_str(),
            metadata: fields.metadata.as_ref().map(json).transpose()?,
            published_at: episode.published_at.map(micros),
            created_by: episode.created_by.simple().to_string(),
            created_at: micros(episode.created_at),
            updated_at: micros(episode.updated_at),
            version: episode.version,
            folded,
            words: search::episodes::document(fields).spelt_for(database),
        })
    }
}

/// The rows that were handed over, on PostgreSQL.
macro_rules! new {
    () => {
        "json_to_recordset($1::json) AS new
             (id uuid, title text, episode_number bigint, season bigint, description text, air_date text, team text,
              status text, metadata text, published_at bigint, created_by uuid, created_at bigint, updated_at bigint,
              version bigint, folded text, words tsvector)"
    };
}

pub(super) const INSERT: Rows = Rows {
    sqlite: concat!(
        "WITH new (row) AS MATERIALIZED (SELECT value FROM jsonb_each($1))
         INSERT INTO episodes (", columns!(), ", folded, words)
         SELECT unhex(row->>'id'), row->>'title', row->>'episode_number', row->>'season',
                row->>'description', row->>'air_date', row->>'team', row->>'status', row->>'metadata',
                row->>'published_at', unhex(row->>'created_by'), row->>'created_at', row->>'updated_at',
                row->>'version', row->>'folded', row->>'words'
         FROM new"
    ),
    postgres: concat!(
        "INSERT INTO episodes (", columns!(), ", folded, words)
         SELECT ", columns!(), ", folded, words FROM ", new!()
    ),
};

/// Only if it is at the version before.
pub(super) const UPDATE: Rows = Rows {
    sqlite: "WITH new (row) AS MATERIALIZED (SELECT value FROM jsonb_each($1))
             UPDATE episodes
             SET title = row->>'title', episode_number = row->>'episode_number', season = row->>'season',
                 description = row->>'description', air_date = row->>'air_date', team = row->>'team',
                 status = row->>'status', metadata = row->>'metadata', published_at = row->>'published_at',
                 updated_at = row->>'updated_at', version = row->>'version', folded = row->>'folded',
                 words = row->>'words'
             FROM new
             WHERE episodes.id = unhex(row->>'id') AND episodes.version = (row->>'version') - 1",
    postgres: concat!(
        "UPDATE episodes
         SET title = new.title, episode_number = new.episode_number, season = new.season,
             description = new.description, air_date = new.air_date, team = new.team, status = new.status,
             metadata = new.metadata, published_at = new.published_at, updated_at = new.updated_at,
             version = new.version, folded = new.folded, words = new.words
         FROM ", new!(), " WHERE episodes.id = new.id AND episodes.version = new.version - 1"
    ),
};
