//! Episodes, and with each change of one its entry on the Record.

use std::sync::Arc;

use callboard_actors::model::episode::{Episode, Fields, Status};
use callboard_actors::model::event::Kind;
use callboard_actors::model::identity::{Origin, UserRef};
use callboard_actors::model::page::Page;
use callboard_actors::model::record::{Entry, NewEntry, Resource};
use callboard_actors::model::room::{Channel, Namespace};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use self::rows::{INSERT, NewRow, Row, UPDATE, columns};
pub(super) use self::words::derive_words;
use super::convert::{json, micros, no_nul, raw};
use super::page::{Key, Scope};
use super::tx::array;
use super::{Conn, Result, Store, StoreError, Tx, lately};

mod rows;
mod words;

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
        [") AND (created_at, id) < ($5, $6) ORDER BY created_at DESC, id DESC LIMIT +$7"]
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
    let lately = store.0.episodes.as_ref();
    let ticket = match lately.map(|lately| lately.ask(&id)) {
        Some(Ok(known)) => return Ok(Some(Episode::clone(&known))),
        Some(Err(ticket)) => ticket,
        None => None,
    };
    let mut conn = store.read().await?;
    let row = select(&mut conn, id).await?;
    let small = row.as_ref().is_some_and(Row::is_small);
    let episode = row.map(Row::episode).transpose()?;
    if let (Some(lately), Some(ticket), Some(episode), true) = (lately, ticket, &episode, small) {
        lately.keep(ticket, &id, episode.clone());
    }
    Ok(episode)
}

pub async fn exists(store: &Store, id: Uuid) -> Result<bool> {
    let mut conn = store.read().await?;
    let found = sql!(&mut conn, "SELECT 1 FROM episodes WHERE id = $1", id => optional (i32,))?;
    Ok(found.is_some())
}

pub async fn get(store: &Store, id: Uuid) -> Result<Episode> {
    find(store, id).await?.ok_or(StoreError::NotFound)
}

/// Those of these that are there, in any order.
pub(super) async fn these(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<Episode>> {
    let text = by_database!(
        conn,
        sqlite: concat!("SELECT ", columns!(), " FROM episodes WHERE id IN (SELECT unhex(value) FROM json_each($1))"),
        postgres: concat!(
            "SELECT ", columns!(), " FROM episodes
             WHERE id IN (SELECT value::uuid FROM json_array_elements_text($1::json) AS value)"
        ),
    );
    let ids: Vec<_> = ids.iter().map(|id| id.simple().to_string()).collect();
    let rows = sql!(conn, text, json(&ids)? => all Row)?;
    rows.into_iter().map(Row::episode).collect()
}

async fn select(conn: &mut Conn, id: Uuid) -> Result<Option<Row>> {
    sql!(
        conn,
        concat!("SELECT ", columns!(), " FROM episodes WHERE id = $1"), id => optional Row
    )
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
    let episode = Episode {
        id: Uuid::now_v7(),
        published_at: (fields.status == Status::Published).then_some(now),
        fields,
        created_by: who.id,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    let new = entry(Kind::EpisodeCreated, &episode, None, now, who, origin)?;
    let row = json(&NewRow::of(&episode, store.kind())?)?;
    if let Some(entry) = store.put(INSERT, row.clone(), new.clone(), None).await? {
        return Ok((episode, entry));
    }
    // Somebody is about to take its number, or to fail to.
    let appended = store
        .write(move |tx| {
            Box::pin(async move {
                tx.put(INSERT, array([row.as_str()])).await?;
                tx.append(new)
            })
        })
        .await?;
    Ok((episode, appended.entry()))
}

/// Changes fields by `edit`, which may be asked twice. One that changes nothing puts nothing on the Record and leaves the
/// version as it is. Setting the status to `published` is a publication, and recorded as one.
///
/// `seen` is the episode as the caller read it, and what is written is worked out from that, before it is the writer's
/// turn. Should somebody else have changed it since, it is read again, within the transaction.
pub async fn update(
    store: &Store,
    seen: Episode,
    change: Change,
    edit: impl Fn(&mut Fields) + Send + 'static,
) -> Result<(Episode, Option<Arc<Entry>>)> {
    revise(store, seen, change, Ok(()), edit).await
}

/// Sets the status to `published`; 409 `already_published` if it is.
pub async fn publish(
    store: &Store,
    seen: Episode,
    change: Change,
) -> Result<(Episode, Arc<Entry>)> {
    let published = StoreError::Conflict {
        code: "already_published",
    };
    let unchanged = Err(published.clone());
    let publish = |fields: &mut Fields| fields.status = Status::Published;
    let (episode, entry) = revise(store, seen, change, unchanged, publish).await?;
    Ok((episode, entry.ok_or(published)?))
}

/// `unchanged`: what is said to an edit that changes nothing.
async fn revise(
    store: &Store,
    seen: Episode,
    change: Change,
    unchanged: Result<()>,
    edit: impl Fn(&mut Fields) + Send + 'static,
) -> Result<(Episode, Option<Arc<Entry>>)> {
    let now = store.now();
    let Some(new) = Revision::of(&seen, &change, now, store, &edit)? else {
        unchanged?;
        change.expected.allows(seen.version)?;
        return Ok((seen, None));
    };
    if change.expected.allows(seen.version).is_ok()
        && let Some(entry) = store.put(UPDATE, new.row, new.entry, new.known).await?
    {
        return Ok((new.episode, Some(entry)));
    }
    // It is not as it was seen, or not as it is expected: what is there now decides.
    let here = store.clone();
    let write = store.write(move |tx| {
        Box::pin(async move {
            let old = lock(tx, seen.id).await?;
            let Some(new) = Revision::of(&old, &change, now, &here, &edit)? else {
                unchanged?;
                change.expected.allows(old.version)?;
                return Ok((old, None));
            };
            tx.put(UPDATE, array([new.row.as_str()])).await?;
            change.expected.allows(old.version)?;
            tx.change(new.known);
            Ok((new.episode, Some(tx.append(new.entry)?)))
        })
    });
    let (episode, appended) = Box::pin(write).await?;
    Ok((episode, appended.map(|appended| appended.entry())))
}

/// Gives the last state.
pub async fn delete(store: &Store, id: Uuid, change: Change) -> Result<(Episode, Arc<Entry>)> {
    let now = store.now();
    let gone = store.0.episodes.as_ref().map(|it| it.change(id, None));
    let (last, appended) = store
        .write(move |tx| {
            Box::pin(async move {
                let old = lock(tx, id).await?;
                change.expected.allows(old.version)?;
                sql!(tx, "DELETE FROM episodes WHERE id = $1", id => execute)?;
                tx.change(gone);
                let kind = Kind::EpisodeDeleted;
                let new = entry(kind, &old, None, now, change.who, change.origin)?;
                Ok((old, tx.append(new)?))
            })
        })
        .await?;
    Ok((last, appended.entry()))
}

/// An episode's next version, and what the Record is told of it.
struct Revision {
    episode: Episode,
    row: String,
    entry: NewEntry,
    /// To whoever looks at it next.
    known: Option<Box<dyn lately::Change>>,
}

impl Revision {
    /// `None`: nothing changes.
    fn of(
        old: &Episode,
        change: &Change,
        now: DateTime<Utc>,
        store: &Store,
        edit: &impl Fn(&mut Fields),
    ) -> Result<Option<Revision>> {
        let mut fields = old.fields.clone();
        edit(&mut fields);
        check(&fields)?;
        if fields == old.fields {
            return Ok(None);
        }
        let was = old.fields.status == Status::Published;
        let is = fields.status == Status::Published;
        let episode = Episode {
            id: old.id,
            fields,
            published_at: match (was, is) {
                (true, true) => old.published_at,
                (false, true) => Some(now),
                (_, false) => None,
            },
            created_by: old.created_by,
            created_at: old.created_at,
            updated_at: now,
            version: old.version + 1,
        };
        let kind = match (was, is) {
            (false, true) => Kind::EpisodePublished,
            _ => Kind::EpisodeUpdated,
        };
        let (who, origin) = (change.who.clone(), change.origin.clone());
        let entry = entry(kind, &episode, Some(old), now, who, origin)?;
        let row = NewRow::of(&episode, store.kind())?;
        let value = row.is_small().then(|| episode.clone());
        let lately = store.0.episodes.as_ref();
        Ok(Some(Revision {
            row: json(&row)?,
            known: lately.map(|it| it.change(episode.id, value)),
            episode,
            entry,
        }))
    }
}

/// The entry of a change: the episode's fields, flat, and what changed since `old`.
fn entry(
    kind: Kind,
    episode: &Episode,
    old: Option<&Episode>,
    at: DateTime<Utc>,
    who: UserRef,
    origin: Origin,
) -> Result<NewEntry> {
    #[derive(Serialize)]
    struct Data<'a> {
        #[serde(flatten)]
        episode: &'a Episode,
        #[serde(skip_serializing_if = "Option::is_none")]
        changes: Option<Map<String, Value>>,
    }
    let changes = old.map(|old| episode.changes_since(old));
    let data = json(&Data { episode, changes })?;
    Ok(NewEntry {
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
        data: raw(data)?,
        origin,
    })
}

fn check(fields: &Fields) -> Result<()> {
    no_nul([
        ("title", Some(fields.title.as_str())),
        ("description", fields.description.as_deref()),
        ("team", fields.team.as_deref()),
    ])
}
