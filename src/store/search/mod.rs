//! Looking for words in everything: one list of things of several types, the best first.
//!
//! ```text
//! index.rs     the index that all types of things share: which were changed last, of those that match
//! episodes.rs  what an episode is found by; a file for each type of things
//! history.rs   what is found in the history, which has an index of its own
//! ```
//!
//! Of each kind the newest [`RANKED`] that match are ranked, and of things the newest that are called so besides; the list
//! ends behind them. How well something fits the program works out from its texts, so that one number is comparable
//! between types and the same on both databases. What is there counts twice as much as what happened to it: an episode
//! comes before the rows of its own history, which have its name.

pub mod episodes;
mod history;
mod index;

use std::cmp::Reverse;

use callboard_actors::model::page::Page;
use callboard_actors::model::search::{Hit, Kind};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::activity::Reader;
use super::convert::{micros, moment};
use super::page::Scope;
use super::words::{Document, Query, Texts, key, snippet};
use super::{Conn, Result, Store, StoreError};

/// How many of those that match are ranked.
pub const RANKED: usize = 200;

/// Something that can be found.
struct Thing {
    kind: Kind,
    id: Uuid,
    title: String,
    texts: Texts,
    updated_at: DateTime<Utc>,
}

/// Things of these types by their ids. To add a type is a file with what it is found by, and a line here and in [`derive`].
async fn read(conn: &mut Conn, kind: Kind, ids: &[Uuid]) -> Result<Vec<Thing>> {
    match kind {
        Kind::Episode => episodes::read(conn, ids).await,
        // Nothing writes any yet.
        Kind::Composition | Kind::File => Ok(Vec::new()),
        // Not in this index.
        Kind::Activity => Ok(Vec::new()),
    }
}

/// Makes the words of what a version of the program wrote that made none. Gives of how many rows.
pub async fn derive(store: &Store) -> Result<u64> {
    super::episodes::derive_words(store).await
}

/// As the index takes it in.
fn document(kind: Kind, texts: &Texts) -> Document {
    let mut document = Document::of(texts).and_names();
    document.key(key('t', kind.as_str()));
    document
}

/// Where something stands in the list: the highest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    points: u16,
    updated_at: DateTime<Utc>,
    kind: Reverse<Kind>,
    id: Uuid,
}

impl Place {
    fn seal(self, scope: &Scope) -> String {
        let kind = self.kind.0 as u8;
        let mut bytes = self.points.to_be_bytes().to_vec();
        bytes.extend(micros(self.updated_at).to_be_bytes());
        bytes.push(kind);
        bytes.extend(self.id.as_bytes());
        scope.seal(&bytes)
    }

    fn open(scope: &Scope, cursor: &str) -> Result<Place> {
        let place = scope.open(cursor).and_then(|bytes| {
            let (points, rest) = bytes.split_first_chunk::<2>()?;
            let (at, rest) = rest.split_first_chunk::<8>()?;
            let (kind, id) = rest.split_first()?;
            Some(Place {
                points: u16::from_be_bytes(*points),
                updated_at: moment(i64::from_be_bytes(*at)).ok()?,
                kind: Reverse(*Kind::ALL.get(usize::from(*kind))?),
                id: Uuid::from_slice(id).ok()?,
            })
        });
        place.ok_or(StoreError::Invalid {
            field: "cursor",
            reason: "is no cursor of this list with these filters",
        })
    }
}

/// What a thing's name and the words in it are worth, at most: see [`Query::score`].
const MOST: u16 = 2 * Texts::NAME;

/// What the reader may see, and what matches; of one type, or of all.
pub async fn search(
    store: &Store,
    query: &Query,
    kind: Option<Kind>,
    limit: u32,
    cursor: Option<&str>,
    reader: Reader,
) -> Result<Page<Hit>> {
    let scope = Scope::new("search", &(reader.id, query, kind));
    let after = cursor
        .map(|cursor| Place::open(&scope, cursor))
        .transpose()?;
    let mut conn = store.read().await?;
    let kinds = Kind::ALL
        .into_iter()
        .filter(|one| kind.is_none_or(|kind| kind == *one));
    let mut found = Found {
        query,
        hits: Vec::new(),
    };
    let (history, things): (Vec<_>, Vec<_>) = kinds.partition(|kind| *kind == Kind::Activity);
    if !things.is_empty() {
        index::look(&mut conn, &things, store.kind(), &mut found).await?;
    }
    if !history.is_empty() {
        history::look(&mut conn, store.kind(), reader, &mut found).await?;
    }
    let mut hits = found.hits;
    hits.retain(|(place, _)| after.is_none_or(|after| *place < after));
    hits.sort_unstable_by_key(|(place, _)| Reverse(*place));
    let more = hits.len() > limit as usize;
    hits.truncate(limit as usize);
    let next_cursor = hits
        .last()
        .filter(|_| more)
        .map(|(place, _)| place.seal(&scope));
    let rows = hits.into_iter().map(|(_, hit)| hit).collect();
    Ok(Page { rows, next_cursor })
}

/// What was found so far. Of each only what is shown is kept, not the texts: those of many may be large.
struct Found<'q> {
    query: &'q Query,
    hits: Vec<(Place, Hit)>,
}

impl Found<'_> {
    fn add(&mut self, thing: Thing) {
        let worth = if thing.kind == Kind::Activity { 1 } else { 2 };
        let points = self.query.score(&Document::of(&thing.texts)) * worth;
        let most = self.query.terms().len() as f64 * f64::from(2 * MOST);
        let place = Place {
            points,
            updated_at: thing.updated_at,
            kind: Reverse(thing.kind),
            id: thing.id,
        };
        let hit = Hit {
            kind: thing.kind,
            id: thing.id,
            snippet: snippet(self.query, &thing.texts),
            title: thing.title,
            score: f64::from(points) / most,
            updated_at: thing.updated_at,
        };
        self.hits.push((place, hit));
    }
}
