//! A transaction in which one change is made, or several, each of which can be undone by itself.
//!
//! [`Tx::begin`], then for each job its statements and [`Tx::keep`] or [`Tx::undo`], then [`Tx::commit`]. What begins the
//! transaction and parts its jobs costs SQLite nothing of its own: it goes ahead of the next statement; see
//! [`super::connection`].

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use callboard_actors::model::record::{Entry, NewEntry};

use super::connection::{Link, run_ahead};
use super::lately::Change;
use super::{Conn, Result, StoreError, record};

/// A transaction in which a change is made; see [`super::Store::write`].
pub struct Tx {
    conn: Conn,
    /// What is put on the Record at the commit.
    entries: Vec<(NewEntry, Arc<OnceLock<Arc<Entry>>>)>,
    /// What of that may be known to who reads.
    changes: Vec<Box<dyn Change>>,
    /// How many of both are from jobs that were kept.
    kept: (usize, usize),
    /// What began the transaction.
    begin: &'static str,
    /// A job that was kept has run statements, so that the one at hand runs within a savepoint.
    parted: bool,
}

/// A statement that writes rows, which it gets as one JSON array: any number of them at once. The columns' types are those
/// of the table; ids are in hexadecimal, without hyphens, which both databases read. (SQLite makes the value of a row of
/// `json_each` anew each time that it is named, and spells it out: so it is named once, and taken from `jsonb_each`.)
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

/// The array of such rows.
pub(super) fn array<'r>(rows: impl IntoIterator<Item = &'r str>) -> String {
    let mut array = String::from("[");
    for row in rows {
        if array.len() > 1 {
            array.push(',');
        }
        array.push_str(row);
    }
    array.push(']');
    array
}

/// An entry that a write puts on the Record. Until the commit it has no `seq`.
pub struct Appended(Arc<OnceLock<Arc<Entry>>>);

impl Appended {
    /// The entry. Only after the write that appended it was answered.
    pub fn entry(&self) -> Arc<Entry> {
        let entry = self.0.get().cloned();
        entry.expect("a write is answered after its commit, which gives each entry its seq")
    }
}

const BEGIN_SQLITE: &str = "BEGIN IMMEDIATE";
/// Whoever shares a transaction does not wait for a row that another one holds: two that wait for each other would stand
/// still, with all that share them. For the Record's head, which is held for a moment only, everybody waits; see
/// [`record::commit`].
const SHARED_POSTGRES: &str = "BEGIN; SET LOCAL lock_timeout = '20ms'";
const BEGIN_POSTGRES: &str = "BEGIN";
/// A transaction's first job needs no savepoint, since all of the transaction is undone with it; and most have one job.
const SECOND: &str = "SAVEPOINT job";
const NEXT: &str = "RELEASE job; SAVEPOINT job";

impl Tx {
    pub(super) fn new(conn: Conn) -> Tx {
        Tx {
            conn,
            entries: Vec::new(),
            changes: Vec::new(),
            kept: (0, 0),
            begin: BEGIN_SQLITE,
            parted: false,
        }
    }

    /// Begins a transaction, of one job or `shared` by several. PostgreSQL is asked at once: the connection may be dead,
    /// which no job shall pay for.
    pub(super) async fn begin(&mut self, shared: bool) -> Result<()> {
        self.begin = match (&self.conn.link, shared) {
            (Link::Sqlite(_), _) => BEGIN_SQLITE,
            (Link::Postgres(_), true) => SHARED_POSTGRES,
            (Link::Postgres(_), false) => BEGIN_POSTGRES,
        };
        self.begin_again().await
    }

    async fn begin_again(&mut self) -> Result<()> {
        self.parted = false;
        let begun = match &mut self.conn.link {
            Link::Sqlite(_) => {
                self.conn.ahead = Some(self.begin);
                return Ok(());
            }
            Link::Postgres(link) => run_ahead(link, Some(self.begin)).await,
        };
        self.conn.note(begun)
    }

    /// Puts the change on the Record, when the transaction is committed; see [`record`].
    pub fn append(&mut self, new: NewEntry) -> Result<Appended> {
        record::check(&new)?;
        let place = Arc::new(OnceLock::new());
        self.entries.push((new, place.clone()));
        Ok(Appended(place))
    }

    /// Who reads shall know of this change when it is committed.
    pub(super) fn change(&mut self, change: Option<Box<dyn Change>>) {
        self.changes.extend(change);
    }

    /// Runs a statement as it stands.
    #[doc(hidden)]
    pub async fn execute(&mut self, text: &'static str) -> Result<u64> {
        sql!(&mut self.conn, text => execute)
    }

    /// Writes rows. Gives how many the statement concerned.
    pub(super) async fn put(&mut self, statement: Rows, rows: String) -> Result<u64> {
        let text = by_database!(self.conn, sqlite: statement.sqlite, postgres: statement.postgres);
        sql!(&mut self.conn, text, &rows => execute)
    }

    /// What the job did is part of the transaction. The next one begins.
    pub(super) fn keep(&mut self) {
        self.kept = (self.entries.len(), self.changes.len());
        // If it ran no statement, the next one begins where it began.
        if self.conn.ahead.is_none() {
            let parted = std::mem::replace(&mut self.parted, true);
            self.conn.ahead = Some(if parted { NEXT } else { SECOND });
        }
    }

    /// The job did nothing. The next one begins. An error is the whole transaction's: SQLite ends it by itself when its
    /// disk is full or fails.
    pub(super) async fn undo(&mut self) -> Result<()> {
        self.entries.truncate(self.kept.0);
        self.changes.truncate(self.kept.1);
        self.conn.take_failure();
        if self.conn.ahead.is_some() {
            return Ok(());
        }
        if self.parted {
            return sql!(&mut self.conn, "ROLLBACK TO job" => execute).map(|_| ());
        }
        sql!(&mut self.conn, "ROLLBACK" => execute)?;
        self.begin_again().await
    }

    /// Gives the entries of the jobs that were kept their numbers, and commits.
    pub(super) async fn commit(&mut self) -> Result<()> {
        self.kept = (0, 0);
        let mut changes = std::mem::take(&mut self.changes);
        changes.iter_mut().for_each(|change| change.begin());
        self.commit_entries().await?;
        changes.iter_mut().for_each(|change| change.committed());
        Ok(())
    }

    async fn commit_entries(&mut self) -> Result<()> {
        let entries = std::mem::take(&mut self.entries);
        // No other job comes, so it needs no savepoint.
        self.conn.ahead.take_if(|ahead| *ahead != BEGIN_SQLITE);
        if entries.is_empty() {
            return match self.conn.ahead.take() {
                // Nobody ran a statement.
                Some(BEGIN_SQLITE) => Ok(()),
                _ => sql!(&mut self.conn, "COMMIT" => execute).map(|_| ()),
            };
        }
        let first = record::commit(&mut self.conn, entries.iter().map(|(new, _)| new)).await?;
        for (seq, (new, place)) in (first..).zip(entries) {
            // It is set here only, once.
            let _ = place.set(Arc::new(Entry::new(seq, new)));
        }
        Ok(())
    }

    pub(super) async fn rollback(&mut self) -> Result<()> {
        self.entries.clear();
        self.changes.clear();
        self.kept = (0, 0);
        self.conn.take_failure();
        sql!(&mut self.conn, "ROLLBACK" => execute).map(|_| ())
    }

    /// The failure of a statement since the last call. From then on statements are run again.
    pub(super) fn failure(&mut self) -> Option<StoreError> {
        self.conn.take_failure()
    }

    /// Closes the connection instead of giving it back to its pool.
    pub(super) fn discard(self) {
        self.conn.discard();
    }
}

impl Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}
