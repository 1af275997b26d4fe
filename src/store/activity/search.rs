//! Looking for words in the history.
//!
//! The newest [`RANKED`] rows that match come first, by how well they do, and behind them the older ones, newest first.
//! That is one order that does not change while rows are added: a cursor says where the ranked ones begin and end. And
//! it costs the same however many rows match.

use callboard_actors::model::activity::Activity;
use callboard_actors::model::page::Page;

use super::matches::Matches;
use super::read::{Filter, Reader, Span, span};
use super::words::document;
use crate::store::convert::column;
use crate::store::page::Scope;
use crate::store::words::Query;
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

/// The newest rows that match, of those that the reader may see, in a database of this kind.
pub async fn newest(
    conn: &mut Conn,
    database: &str,
    query: &Query,
    reader: Reader,
    most: usize,
) -> Result<Vec<Activity>> {
    let (filter, span) = (Filter::default(), Span::ALL);
    let matches = Matches::of(query, &filter, span, reader, database);
    matches.newest(conn, i64::MIN, i64::MAX, most).await
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
    let scope = Scope::new("activity search", &(reader.id, query, filter));
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
    let matches = Matches::of(query, filter, span, reader, store.kind());
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
            let found = matches.newest(&mut conn, above, below, RANKED).await?;
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
                .map(|row| (query.score(&document(&row)), row))
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
        let behind = matches
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
