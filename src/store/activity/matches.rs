//! Where the rows are that match a query, newest first.
//!
//! SQLite's index gives them in that order. PostgreSQL's (GIN) gives them in none, however many there are, and each must
//! be looked up before it is known how new it is. So it is asked in steps, each of which costs little whatever the word:
//!
//! 1. The newest [`NEAR`] rows are looked at one by one. What is frequent is met there.
//! 2. The index is asked for all the others, up to [`FEW`]. What is rare is that.
//! 3. If there are more, it is asked for one [`WINDOW`] of rows after the other: each row has a key that says in which
//!    [`STRETCH`] of rows it is. Where even those are many, they stand close, and are met by looking.
//!
//! What everybody may see has an index of its own, since a word that is in many rows, none of which the reader may see,
//! would otherwise be looked up row by row. What is the reader's own, the key of who may see it brings down to little.

use callboard_actors::model::activity::Activity;
use callboard_actors::model::policy::SeenBy;

use super::read::{Filter, Reader, Row, Span};
use super::seen_by_id;
use super::words::{narrowed, seen_by};
use crate::store::convert::micros;
use crate::store::words::{Query, key};
use crate::store::{Conn, Result};

const NEAR: i64 = 5_000;
const FEW: i64 = 2_000;
/// Rows by which it is judged what is frequent.
const SAMPLE: i64 = 1_000;
/// Rows of a stretch, as a power of two. The index has it: it may not change.
const STRETCH: u32 = 14;
const WINDOW: i64 = 4 << STRETCH;

pub struct Matches<'a> {
    query: Query,
    filter: &'a Filter,
    span: Span,
    reader: Reader,
    sqlite: bool,
}

/// The key of the stretch that a row is in.
pub fn stretch(seq: i64) -> String {
    numbered(seq >> STRETCH)
}

fn numbered(stretch: i64) -> String {
    key('c', &stretch.to_string())
}

impl<'a> Matches<'a> {
    pub fn of(query: &Query, filter: &'a Filter, span: Span, reader: Reader, kind: &str) -> Self {
        Matches {
            query: narrowed(query, filter),
            filter,
            span,
            reader,
            sqlite: kind == "sqlite",
        }
    }

    /// The newest rows between two places, both excluded.
    pub async fn newest(
        &self,
        conn: &mut Conn,
        above: i64,
        below: i64,
        most: usize,
    ) -> Result<Vec<Activity>> {
        let (above, below) = (above.max(self.span.above), below.min(self.span.below));
        if self.sqlite {
            return self.look(conn, above, below, most).await;
        }
        let (last,) = sql!(
            conn,
            "SELECT COALESCE(MAX(seq), 0) FROM activity_search" => one (i64,)
        )?;
        let above = above.max(0);
        let below = below.min(last.saturating_add(1));
        let near = above.max(below.saturating_sub(NEAR));
        let mut found = self.look(conn, near, below, most).await?;
        if found.len() == most || near == above {
            return Ok(found);
        }
        let below = near + 1;
        if let Some(seqs) = self.few(conn, above, below, None).await? {
            found.extend(self.rows(conn, &seqs, most - found.len()).await?);
            return Ok(found);
        }
        let mut below = below;
        while found.len() < most && below > above + 1 {
            // Windows begin where stretches do.
            let first = ((below - 1) / WINDOW * WINDOW).max(above + 1);
            let stretches = (first >> STRETCH)..=((below - 1) >> STRETCH);
            let stretches = Some(stretches.map(numbered).collect());
            let rest = most - found.len();
            let rows = match self.few(conn, first - 1, below, stretches).await? {
                Some(seqs) => self.rows(conn, &seqs, rest).await?,
                None => self.look(conn, first - 1, below, rest).await?,
            };
            found.extend(rows);
            below = first;
        }
        Ok(found)
    }

    /// By looking at one row after the other. (SQLite's index does that.)
    async fn look(
        &self,
        conn: &mut Conn,
        above: i64,
        below: i64,
        most: usize,
    ) -> Result<Vec<Activity>> {
        let (filter, all) = (self.filter, self.reader.sees_all());
        let mut query = self.query.clone();
        // Of one thing there are few rows, and nearly everybody sees most of them.
        if !all && filter.resource_id.is_none() {
            query.with_key([SeenBy::Everybody, SeenBy::User(self.reader.id)].map(seen_by));
        }
        let text = by_database!(
            conn,
            sqlite: concat!(
                "SELECT ", columns!(), " FROM activity_search s CROSS JOIN activity a ON a.seq = s.rowid
                 WHERE s.words MATCH $13 AND s.rowid < $2 AND s.rowid > $3 AND ", filtered!(), "
                   AND ($10 OR a.seen_by = $11 OR a.seen_by = $12)
                 ORDER BY s.rowid DESC LIMIT +$1"
            ),
            // The planner is not to know the words, nor to look into the query from outside: it would go by what it
            // takes them to be worth.
            postgres: concat!(
                "SELECT ", columns!(), "
                 FROM (SELECT seq, words FROM activity_search WHERE seq < $2 AND seq > $3
                       ORDER BY seq DESC OFFSET 0) AS s
                 JOIN activity a ON a.seq = s.seq
                 WHERE s.words @@ (SELECT $13::tsquery) AND ", filtered!(), "
                   AND ($10 OR a.seen_by = $11 OR a.seen_by = $12)
                 ORDER BY s.seq DESC LIMIT +$1"
            ),
        );
        let kind = if self.sqlite { "sqlite" } else { "postgres" };
        let rows = sql!(
            conn, text, limit(most), below, above, &filter.action, &filter.resource_type, &filter.resource_id,
            filter.user_id, filter.from.map(micros), filter.to.map(micros), all, seen_by_id(SeenBy::Everybody),
            (!all).then_some(self.reader.id), query.spelt_for(kind) => all Row
        )?;
        self.shown(rows)
    }

    /// The places of the rows that may match, newest first, unless there are many. PostgreSQL only.
    async fn few(
        &self,
        conn: &mut Conn,
        above: i64,
        below: i64,
        stretches: Option<Vec<String>>,
    ) -> Result<Option<Vec<i64>>> {
        let mut query = self.query.clone();
        if let Some(stretches) = stretches {
            query.with_key(stretches);
        }
        let asked = index_query(conn, &query, below).await?;
        let wanted = query.spelt_for("postgres");
        // What the index gives is looked at once more, since it may have been asked for less. `+ 0`: it is not the bounds
        // that find the rows.
        let mut seqs = if self.reader.sees_all() {
            sql!(
                conn,
                "SELECT seq
                 FROM (SELECT seq, words FROM activity_search
                       WHERE words @@ (SELECT $1::tsquery) AND seq + 0 < $3 AND seq + 0 > $4 OFFSET 0) AS s
                 WHERE words @@ (SELECT $2::tsquery) LIMIT +$5",
                asked, wanted, below, above, FEW + 1 => all (i64,)
            )?
        } else {
            query.with_key([seen_by(SeenBy::User(self.reader.id))]);
            let own_asked = index_query(conn, &query, below).await?;
            let own = query.spelt_for("postgres");
            sql!(
                conn,
                "(SELECT seq
                  FROM (SELECT seq, words FROM activity_search
                        WHERE public AND words @@ (SELECT $1::tsquery) AND seq + 0 < $3 AND seq + 0 > $4 OFFSET 0) AS s
                  WHERE words @@ (SELECT $2::tsquery) LIMIT +$5)
                 UNION ALL
                 (SELECT seq
                  FROM (SELECT seq, words FROM activity_search
                        WHERE words @@ (SELECT $6::tsquery) AND seq + 0 < $3 AND seq + 0 > $4 OFFSET 0) AS s
                  WHERE words @@ (SELECT $7::tsquery) LIMIT +$5)",
                asked, wanted, below, above, FEW + 1, own_asked, own => all (i64,)
            )?
        };
        if seqs.len() as i64 > FEW {
            return Ok(None);
        }
        seqs.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Some(seqs.into_iter().map(|(seq,)| seq).collect()))
    }

    /// Of these places, those that the filters leave. PostgreSQL only.
    async fn rows(&self, conn: &mut Conn, seqs: &[i64], most: usize) -> Result<Vec<Activity>> {
        let (filter, all) = (self.filter, self.reader.sees_all());
        let mut found = Vec::new();
        // Nearly all of them are.
        for seqs in seqs.chunks(most.max(100)) {
            let seqs: Vec<_> = seqs.iter().map(i64::to_string).collect();
            let rows = sql!(
                conn,
                concat!(
                    "SELECT ", columns!(), " FROM unnest($13::text::bigint[]) AS s (seq)
                     JOIN activity a ON a.seq = s.seq
                     WHERE ", filtered!(), " AND ($10 OR a.seen_by = $11 OR a.seen_by = $12)
                     ORDER BY a.seq DESC LIMIT +$1"
                ),
                limit(most - found.len()), i64::MAX, i64::MIN, &filter.action, &filter.resource_type,
                &filter.resource_id, filter.user_id, filter.from.map(micros), filter.to.map(micros), all,
                seen_by_id(SeenBy::Everybody), (!all).then_some(self.reader.id),
                format!("{{{}}}", seqs.join(",")) => all Row
            )?;
            found.extend(self.shown(rows)?);
            if found.len() == most {
                break;
            }
        }
        Ok(found)
    }

    fn shown(&self, rows: Vec<Row>) -> Result<Vec<Activity>> {
        rows.into_iter()
            .map(|row| row.shown_to(self.reader))
            .collect()
    }
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

/// What the index is asked for, of a query for rows before `below`: without the beginnings, if of some rows many have them
/// and few the rest. The index would gather every row of each word that begins so.
async fn index_query(conn: &mut Conn, query: &Query, below: i64) -> Result<String> {
    let whole = query.spelt_for("postgres");
    let Some((beginnings, rest)) = query.parted() else {
        return Ok(whole);
    };
    let rest = rest.spelt_for("postgres");
    let (many, few) = sql!(
        conn,
        "SELECT COUNT(*) FILTER (WHERE words @@ (SELECT $1::tsquery)),
                COUNT(*) FILTER (WHERE words @@ (SELECT $2::tsquery))
         FROM (SELECT words FROM activity_search WHERE seq < $3 ORDER BY seq DESC LIMIT +$4) AS sample",
        beginnings.spelt_for("postgres"), &rest, below, SAMPLE => one (i64, i64)
    )?;
    let left_out = many > SAMPLE / 10 && few < SAMPLE / 100;
    Ok(if left_out { rest } else { whole })
}
