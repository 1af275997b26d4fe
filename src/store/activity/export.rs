//! Reading the whole history out, oldest first, page by page.
//!
//! Between two pages nothing is held, neither a connection nor a transaction: whoever reads slowly is in nobody's way. A
//! page also ends where it has looked at many rows and found few, so that no statement takes long, whatever the filter.

use callboard_actors::model::activity::Activity;
use callboard_actors::model::record::Seq;

use super::read::{Filter, Reader, Row};
use super::seen_by_id;
use crate::store::convert::{column, micros, seq};
use crate::store::{Result, Store};
use callboard_actors::model::policy::SeenBy;

/// Rows of a page.
const PAGE: i64 = 500;

/// Rows that a page looks at.
const SIGHT: i64 = 20_000;

/// An export that goes on from page to page.
pub struct Export {
    store: Store,
    filter: Filter,
    reader: Reader,
    after: Seq,
    /// The end, as it was when the export began: an export ends, however much is written meanwhile.
    upto: Seq,
}

impl Export {
    /// Of the rows behind `after`.
    pub async fn begin(
        store: &Store,
        filter: Filter,
        reader: Reader,
        after: Seq,
    ) -> Result<Export> {
        filter.check()?;
        let (last,) = sql!(
            &mut store.read().await?,
            "SELECT MAX(seq) FROM activity" => one (Option<i64>,)
        )?;
        Ok(Export {
            store: store.clone(),
            filter,
            reader,
            after,
            upto: last.map_or(0, seq),
        })
    }

    /// Everything up to here was given.
    pub fn after(&self) -> Seq {
        self.after
    }

    /// What comes next, in the order of `seq`; may be nothing, and yet more follows. `None`: that was all.
    pub async fn next(&mut self) -> Result<Option<Vec<Activity>>> {
        if self.after >= self.upto {
            return Ok(None);
        }
        let mut conn = self.store.read().await?;
        // Not beyond so many rows; where retention has been, numbers are missing.
        let (edge,) = sql!(
            &mut conn,
            "SELECT MAX(seq) FROM (SELECT seq FROM activity WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT +$3) AS sight",
            column(self.after), column(self.upto), SIGHT => one (Option<i64>,)
        )?;
        let Some(edge) = edge else {
            self.after = self.upto;
            return Ok(None);
        };
        let rows = sql!(
            &mut conn,
            concat!(
                "SELECT ", columns!(), " FROM activity a
                 WHERE a.seq > $1 AND a.seq <= $2 AND ($3 IS NULL OR a.action = $3)
                   AND ($4 IS NULL OR a.resource_type = $4) AND ($5 IS NULL OR a.resource_id = $5)
                   AND ($6 IS NULL OR a.user_id = $6) AND ($7 IS NULL OR a.created_at >= $7)
                   AND ($8 IS NULL OR a.created_at <= $8) AND ($9 OR a.seen_by = $10 OR a.seen_by = $11)
                 ORDER BY a.seq LIMIT +$12"
            ),
            column(self.after), edge, &self.filter.action, &self.filter.resource_type, &self.filter.resource_id,
            self.filter.user_id, self.filter.from.map(micros), self.filter.to.map(micros), self.reader.sees_all(),
            seen_by_id(SeenBy::Everybody), seen_by_id(SeenBy::User(self.reader.id)), PAGE => all Row
        )?;
        drop(conn);
        let rows = rows
            .into_iter()
            .map(|row| row.shown_to(self.reader))
            .collect::<Result<Vec<_>>>()?;
        self.after = match rows.last() {
            Some(last) if rows.len() as i64 == PAGE => last.seq,
            _ => seq(edge),
        };
        Ok(Some(rows))
    }
}
