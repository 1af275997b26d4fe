//! Episodes: the rows, and with each change of one its entry on the Record.

use std::sync::Arc;

use callboard_actors::model::episode::{Episode, Fields, Status, changes};
use callboard_actors::model::event::Kind;
use callboard_actors::model::identity::{Origin, UserRef};
use callboard_actors::model::page::Page;
use callboard_actors::model::record::{Entry, NewEntry, Resource};
use callboard_actors::model::room::{Channel, Namespace};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::convert::{corrupt, json, micros, moment, moments, no_nul, parse, raw, word};
use super::page::{Key, Scope};
use super::{Conn, Result, Store, StoreError, Tx};

/// Which episodes a list shows. Nothing set: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub status: Option<Status>,
    pub season: Option<i64>,
    pub team: Option<String>,
    /// Somewhere in the title or the description, whatever the case.
    pub q: Option<String>,
}

/// Who changes an episode, from where, and which version they expect it to be at.
#[derive(Clone, Debug)]
pub struct Change {
    pub who: UserRef,
    pub origin: Origin,
    pub expected: Expected,
}

/// `If-Match`: which version a change is based on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever there is.
    Any,
    /// One of these, else [`StoreError::Precondition`].
    OneOf(Vec<i64>),
    /// It was not said, and must be: [`StoreError::PreconditionRequired`].
    Unstated,
}

impl Expected {
    /// Asked when the change is made and before it is committed: a conflict is heard first (409, 412, 428), and what
    /// was written is rolled back.
    fn allows(&self, current: i64) -> Result<()> {
        match self {
            Expected::Any => Ok(()),
            Expected::OneOf(versions) if versions.contains(&current) => Ok(()),
            Expected::OneOf(_) => Err(StoreError::Precondition { current }),
            Expected::Unstated => Err(StoreError::PreconditionRequired),
        }
    }
}

macro_rules! columns {
    () => {
        "id, title, episode_number, season, description, air_date, team, status, metadata, published_at, created_by, \
         created_at, updated_at, version"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
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
    fn episode(self) -> Result<Episode> {
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

/// A page of episodes, newest first.
pub async fn list(
    store: &Store,
    filter: &Filter,
    limit: u32,
    cursor: Option<&str>,
) -> Result<Page<Episode>> {
    no_nul([("team", filter.team.as_deref()), ("q", filter.q.as_deref())])?;
    let scope = Scope::new("episodes", filter);
    let Key(at, id) = scope.start(cursor)?;
    let q = filter.q.as_ref().map(|q| q.to_lowercase());
    let mut conn = store.read().await?;
    let text = contains!(
        conn,
        [
            "SELECT ", columns!(), " FROM episodes
             WHERE ($1 IS NULL OR status = $1) AND ($2 IS NULL OR season = $2) AND ($3 IS NULL OR team = $3)
               AND ($4 IS NULL OR "
        ],
        "folded", "$4",
        [") AND (created_at, id) < ($5, $6) ORDER BY created_at DESC, id DESC LIMIT $7"]
    );
    let rows = sql!(
        &mut conn, text,
        filter.status.map(Status::as_str), filter.season, &filter.team, &q, at, id, i64::from(limit) + 1 => all Row
    )?;
    let rows = rows
        .into_iter()
        .map(Row::episode)
        .collect::<Result<Vec<_>>>()?;
    Ok(scope.page(rows, limit, |row| Key(micros(row.created_at), row.id)))
}

pub async fn find(store: &Store, id: Uuid) -> Result<Option<Episode>> {
    let mut conn = store.read().await?;
    select(&mut conn, id).await
}

pub async fn get(store: &Store, id: Uuid) -> Result<Episode> {
    find(store, id).await?.ok_or(StoreError::NotFound)
}

async fn select(conn: &mut Conn, id: Uuid) -> Result<Option<Episode>> {
    sql!(
        conn,
        concat!("SELECT ", columns!(), " FROM episodes WHERE id = $1"), id => optional Row
    )?
    .map(Row::episode)
    .transpose()
}

/// The row, locked until the transaction ends.
async fn lock(tx: &mut Tx, id: Uuid) -> Result<Episode> {
    let text = locked!(tx, "SELECT ", columns!(), " FROM episodes WHERE id = $1");
    let row = sql!(tx, text, id => optional Row)?;
    row.ok_or(StoreError::NotFound)?.episode()
}

pub async fn insert(
    store: &Store,
    fields: Fields,
    who: UserRef,
    origin: Origin,
) -> Result<(Episode, Arc<Entry>)> {
    check(&fields)?;
    let now = store.now();
    store
        .write(move |tx| {
            Box::pin(async move {
                let episode = Episode {
                    id: Uuid::now_v7(),
                    published_at: (fields.status == Status::Published).then_some(now),
                    fields,
                    created_by: who.id,
                    created_at: now,
                    updated_at: now,
                    version: 1,
                };
                put(
                    tx,
                    &episode,
                    concat!(
                        "INSERT INTO episodes (",
                        columns!(),
                        ", folded)
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
                    ),
                )
                .await?;
                let kind = Kind::EpisodeCreated;
                let entry = append(tx, kind, &episode, None, now, who, origin).await?;
                Ok((episode, entry))
            })
        })
        .await
}

/// PUT: every field is set; what is `None` is cleared.
pub async fn replace(
    store: &Store,
    id: Uuid,
    fields: Fields,
    change: Change,
) -> Result<(Episode, Option<Arc<Entry>>)> {
    update(store, id, change, |old| *old = fields).await
}

/// Changes fields by `edit`. One that changes nothing puts nothing on the Record and leaves the version as it is. Setting
/// the status to `published` is a publication, and recorded as one.
pub async fn update(
    store: &Store,
    id: Uuid,
    change: Change,
    edit: impl FnOnce(&mut Fields) + Send + 'static,
) -> Result<(Episode, Option<Arc<Entry>>)> {
    let now = store.now();
    store
        .write(move |tx| {
            Box::pin(async move {
                let old = lock(tx, id).await?;
                let mut fields = old.fields.clone();
                edit(&mut fields);
                let (expected, version) = (change.expected.clone(), old.version);
                let saved = save(tx, old, fields, change, now).await?;
                expected.allows(version)?;
                Ok(saved)
            })
        })
        .await
}

/// Sets the status to `published`; 409 `already_published` if it is.
pub async fn publish(store: &Store, id: Uuid, change: Change) -> Result<(Episode, Arc<Entry>)> {
    let now = store.now();
    store
        .write(move |tx| {
            Box::pin(async move {
                let published = StoreError::Conflict {
                    code: "already_published",
                };
                let old = lock(tx, id).await?;
                let mut fields = old.fields.clone();
                fields.status = Status::Published;
                let (expected, version) = (change.expected.clone(), old.version);
                let (episode, entry) = save(tx, old, fields, change, now).await?;
                // Nothing to record: it was published.
                let entry = entry.ok_or(published)?;
                expected.allows(version)?;
                Ok((episode, entry))
            })
        })
        .await
}

/// Gives the last state.
pub async fn delete(store: &Store, id: Uuid, change: Change) -> Result<(Episode, Arc<Entry>)> {
    let now = store.now();
    store
        .write(move |tx| {
            Box::pin(async move {
                let old = lock(tx, id).await?;
                change.expected.allows(old.version)?;
                sql!(tx, "DELETE FROM episodes WHERE id = $1", id => execute)?;
                let kind = Kind::EpisodeDeleted;
                let entry = append(tx, kind, &old, None, now, change.who, change.origin).await?;
                Ok((old, entry))
            })
        })
        .await
}

async fn save(
    tx: &mut Tx,
    old: Episode,
    fields: Fields,
    change: Change,
    now: DateTime<Utc>,
) -> Result<(Episode, Option<Arc<Entry>>)> {
    check(&fields)?;
    if fields == old.fields {
        return Ok((old, None));
    }
    let was = old.fields.status == Status::Published;
    let is = fields.status == Status::Published;
    let episode = Episode {
        fields,
        published_at: match (was, is) {
            (true, true) => old.published_at,
            (false, true) => Some(now),
            (_, false) => None,
        },
        updated_at: now,
        version: old.version + 1,
        ..old.clone()
    };
    put(
        tx,
        &episode,
        "UPDATE episodes
         SET title = $2, episode_number = $3, season = $4, description = $5, air_date = $6, team = $7, status = $8,
             metadata = $9, published_at = $10, created_by = $11, created_at = $12, updated_at = $13, version = $14,
             folded = $15
         WHERE id = $1",
    )
    .await?;
    let kind = match (was, is) {
        (false, true) => Kind::EpisodePublished,
        _ => Kind::EpisodeUpdated,
    };
    let (who, origin) = (change.who, change.origin);
    let entry = append(tx, kind, &episode, Some(&old), now, who, origin).await?;
    Ok((episode, Some(entry)))
}

/// Runs a statement that takes every column, in the order of `columns!`, and then `folded`.
async fn put(tx: &mut Tx, episode: &Episode, text: &'static str) -> Result<()> {
    let fields = &episode.fields;
    let metadata = fields.metadata.as_ref().map(json).transpose()?;
    let folded = [Some(&fields.title), fields.description.as_ref()]
        .into_iter()
        .flatten()
        .map(|text| text.to_lowercase())
        .collect::<Vec<_>>()
        .join("\n");
    sql!(
        tx, text,
        episode.id, &fields.title, fields.episode_number, fields.season, &fields.description,
        fields.air_date.map(|date| date.to_string()), &fields.team, fields.status.as_str(), &metadata,
        episode.published_at.map(micros), episode.created_by, micros(episode.created_at), micros(episode.updated_at),
        episode.version, &folded => execute
    )?;
    Ok(())
}

/// The entry of a change: the episode's fields, flat, and what changed since `old`.
async fn append(
    tx: &mut Tx,
    kind: Kind,
    episode: &Episode,
    old: Option<&Episode>,
    at: DateTime<Utc>,
    who: UserRef,
    origin: Origin,
) -> Result<Arc<Entry>> {
    let mut data = object(episode)?;
    if let Some(old) = old {
        let (old, new) = (object(old)?, Value::Object(data.clone()));
        let changes = changes(&Value::Object(old), &new);
        data.insert("changes".into(), Value::Object(changes));
    }
    tx.append(NewEntry {
        id: Uuid::now_v7(),
        at,
        event: kind.name().into(),
        actor: Some(who),
        resource: Some(Resource {
            kind: "episode".into(),
            id: episode.id.to_string(),
        }),
        audience: vec![
            Channel::all(Namespace::Episodes),
            Channel::all(Namespace::Root),
        ],
        data: raw(json(&data)?)?,
        origin,
    })
    .await
}

fn object(episode: &Episode) -> Result<Map<String, Value>> {
    match serde_json::to_value(episode) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(corrupt("object", "episode")),
    }
}

fn check(fields: &Fields) -> Result<()> {
    no_nul([
        ("title", Some(fields.title.as_str())),
        ("description", fields.description.as_deref()),
        ("team", fields.team.as_deref()),
    ])
}
