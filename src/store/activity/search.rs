//! Looking for words in the history.
//!
//! The newest [`RANKED`] rows that match come first, by how well they do, and behind them the older ones, newest first.
//! That is one order that does not change while rows are added: a cursor says where the ranked ones begin and end. And
//! it costs the same however many rows match.

use callboard_actors::model::activity::Activity;
use callboard_actors::model::page::Page;
use callboard_actors::model::policy::SeenBy;

use super::read::{Filter, Reader, Row, Span, span};
use super::seen_by_id;
pub use super::words::Query;
use crate::store::convert::{column, micros};
use crate::store::page::Scope;
use crate::store::{Conn, Result, Store, StoreError};

/// How many of those that match are ranked.
pub const RANKED: usize = 200;

/// Where a page ends: at a row among the ranked ones, or behind them (its score is 0).
#[derive(Clone, Copy)]
struct Place {
    score: u16,
    seq: i64,
    /// The newest of the ranked ones.
    head: i64,
    /// The oldest of them; 0: there are none behind it.
    floor: i64,
}

impl Place {
    fn seal(self, scope: &Scope) -> String {
        let numbers = [self.score.into(), self.seq, self.head, self.floor];
        scope.seal(&numbers.map(i64::to_be_bytes).concat())
    }

    fn open(scope: &Scope, cursor: &str) -> Result<Place> {
        let numbers = scope.open(cursor).and_then(|bytes| {
            let (numbers, rest) = bytes.as_chunks::<8>();
            let numbers: [_; 4] = numbers.try_into().ok()?;
            rest.is_empty().then(|| numbers.map(i64::from_be_bytes))
        });
        let place = numbers.and_then(|[score, seq, head, floor]| {
            Some(Place {
                score: score.try_into().ok()?,
                seq,
                head,
                floor,
            })
        });
        place.ok_or(StoreError::Invalid {
            field: "cursor",
            reason: "is no cursor of this list with these filters",
        })
    }
}

/// What the reader may see, and what matches.
pub async fn search(
    store: &Store,
    query: &Query,
    filter: &Filter,
    limit: u32,
    cursor: Option<&str>,
    reader: Reader,
) -> Result<Page<Activity>> {
    filter.check()?;
    let scope = Scope::new("activity search", &(query, filter));
    let after = cursor
        .map(|cursor| Place::open(&scope, cursor))
        .transpose()?;
    let mut conn = store.read().await?;
    let Some(span) = span(&mut conn, filter, i64::MAX).await? else {
        return Ok(Page {
            rows: Vec::new(),
            next_cursor: None,
        });
    };
    let search = Search {
        query: narrowed(query, filter, reader).spelt_for(store.kind()),
        sqlite: store.kind() == "sqlite",
        filter,
        span,
        reader,
    };
    let most = limit as usize + 1;
    let (mut rows, head, floor) = match after {
        Some(Place {
            score: 0,
            head,
            floor,
            ..
        }) => (Vec::new(), head, floor),
        _ => {
            let (above, below) = after.map_or((i64::MIN, i64::MAX), |after| {
                (after.floor - 1, after.head.saturating_add(1))
            });
            let found = search.newest(&mut conn, above, below, RANKED).await?;
            let seqs = || found.iter().map(|row| column(row.seq));
            let head = after.map_or_else(|| seqs().max().unwrap_or(0), |after| after.head);
            // Fewer are all there are.
            let floor = after.map_or_else(
                || {
                    if found.len() < RANKED {
                        0
                    } else {
                        seqs().min().unwrap_or(0)
                    }
                },
                |after| after.floor,
            );
            let mut ranked: Vec<_> = found
                .into_iter()
                .map(|row| (query.score(&row), row))
                .filter(|(score, row)| {
                    after.is_none_or(|after| (*score, column(row.seq)) < (after.score, after.seq))
                })
                .collect();
            ranked.sort_by_key(|(score, row)| std::cmp::Reverse((*score, row.seq)));
            ranked.truncate(most);
            (ranked, head, floor)
        }
    };
    if rows.len() < most && floor > 0 {
        let below = match after {
            Some(Place { score: 0, seq, .. }) => seq,
            _ => floor,
        };
        let behind = search
            .newest(&mut conn, i64::MIN, below, most - rows.len())
            .await?;
        rows.extend(behind.into_iter().map(|row| (0, row)));
    }
    let more = rows.len() == most;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| more).map(|(score, last)| {
        let place = Place {
            score: *score,
            seq: column(last.seq),
            head,
            floor,
        };
        place.seal(&scope)
    });
    let rows = rows.into_iter().map(|(_, row)| row).collect();
    Ok(Page { rows, next_cursor })
}

/// The query with the filters for which rows have keys.
fn narrowed(query: &Query, filter: &Filter, reader: Reader) -> Query {
    let mut query = query.clone();
    if !reader.sees_all() {
        query.seen_by(&[SeenBy::Everybody, SeenBy::User(reader.id)]);
    }
    if let Some(action) = &filter.action {
        query.action(action);
    }
    if let Some(kind) = &filter.resource_type {
        query.resource_type(kind);
    }
    if let Some(user) = filter.user_id {
        query.user(user);
    }
    query
}

/// Rows that are looked at one by one, on PostgreSQL.
const NEAR: i64 = 5_000;

struct Search<'a> {
    /// As the database is asked.
    query: String,
    sqlite: bool,
    filter: &'a Filter,
    span: Span,
    reader: Reader,
}

impl Search<'_> {
    /// The newest rows that match between two places, both excluded.
    async fn newest(
        &self,
        conn: &mut Conn,
        above: i64,
        below: i64,
        most: usize,
    ) -> Result<Vec<Activity>> {
        let (above, below) = (above.max(self.span.above), below.min(self.span.below));
        if self.sqlite {
            return self.between(conn, above, below, most).await;
        }
        // PostgreSQL's index gives what matches in no order, however much that is. What is frequent is met soon when the
        // rows themselves are looked at; what is not, is few.
        let (last,) = sql!(
            conn,
            "SELECT COALESCE(MAX(seq), 0) FROM activity_search" => one (i64,)
        )?;
        let near = above.max(below.min(last.saturating_add(1)).saturating_sub(NEAR));
        let mut found = self.between(conn, near, below, most).await?;
        if found.len() < most && near > above {
            let rest = most - found.len();
            let far = near.saturating_add(1);
            found.extend(self.between(conn, above, far, rest).await?);
        }
        Ok(found)
    }

    async fn between(
        &self,
        conn: &mut Conn,
        above: i64,
        below: i64,
        most: usize,
    ) -> Result<Vec<Activity>> {
        let (filter, all) = (self.filter, self.reader.sees_all());
        let text = by_database!(
            conn,
            sqlite: concat!(
                "SELECT ", columns!(), " FROM activity_search s CROSS JOIN activity a ON a.seq = s.rowid
                 WHERE s.words MATCH $13 AND s.rowid < $2 AND s.rowid > $3 AND ", filtered!(), "
                   AND ($10 OR a.seen_by = $11 OR a.seen_by = $12)
                 ORDER BY s.rowid DESC LIMIT $1"
            ),
            postgres: concat!(
                "SELECT ", columns!(), " FROM activity_search s JOIN activity a ON a.seq = s.seq
                 WHERE s.words @@ $13::tsquery AND s.seq < $2 AND s.seq > $3 AND ", filtered!(), "
                   AND ($10 OR a.seen_by = $11 OR a.seen_by = $12)
                 ORDER BY s.seq DESC LIMIT $1"
            ),
        );
        let rows = sql!(
            conn, text, i64::try_from(most).unwrap_or(i64::MAX), below, above, &filter.action, &filter.resource_type,
            &filter.resource_id, filter.user_id, filter.from.map(micros), filter.to.map(micros), all,
            seen_by_id(SeenBy::Everybody), (!all).then_some(self.reader.id), &self.query => all Row
        )?;
        rows.into_iter()
            .map(|row| row.shown_to(self.reader))
            .collect()
    }
}
