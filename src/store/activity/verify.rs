//! Walking the history, to find what was changed, removed, put in or cut off behind the program's back.
//!
//! Page by page, so in constant memory and without a long transaction; a running server may write and remove rows
//! meanwhile. What is behind the end that was read first is not looked at, and of what retention removes under our feet the
//! place is read anew.

use callboard_actors::model::record::Seq;
use serde::Serialize;
use uuid::Uuid;

use super::chain::{EntryFacts, Hash, RowFacts, link};
use super::head::{Head, Place};
use super::signer::{Signer, Verdict};
use crate::store::convert::{column, seq};
use crate::store::{Conn, Result, Store};

/// Where the chain was, as was written down beside the database or elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub place: Place,
    /// Where that was written, for whoever reads of a difference.
    pub source: String,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub seq: Seq,
    pub why: String,
}

/// What a walk over the history found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Rows whose place on the chain was worked out anew.
    pub checked: u64,
    pub first: Seq,
    pub last: Seq,
    /// Rows that were compared with their entry, which the Record still has.
    pub compared: u64,
    /// Rows from before the chain. Nothing is known about them.
    pub before: u64,
    /// Entries on the Record that are not on the chain yet.
    pub waiting: u64,
    /// Numbers without a row that the chain has passed over rightly, first and last of each hole: the Record was pruned
    /// while the history was switched off. The first [`MOST`].
    pub passed_over: Vec<(Seq, Seq)>,
    /// Checkpoints that were compared.
    pub checkpoints: u64,
    /// The chain's end bears a good signature.
    pub signed: bool,
    /// It bears one, good or not.
    pub signed_by_somebody: bool,
    /// The chain's end, to be written down elsewhere: `seq:hash`.
    pub end: String,
    /// The first [`MOST`], in the order of `seq`.
    pub faults: Vec<Fault>,
    /// How many there are in all.
    pub fault_count: u64,
    /// What is worth knowing and wrong with nothing.
    pub notes: Vec<String>,
}

/// Faults, and holes, that a [`Verification`] names.
pub const MOST: usize = 100;

const PAGE: i64 = 500;

impl Verification {
    pub fn is_sound(&self) -> bool {
        self.fault_count == 0
    }

    pub fn note(&mut self, note: String) {
        if self.notes.len() < MOST {
            self.notes.push(note);
        }
    }

    pub fn fault(&mut self, seq: Seq, why: impl Into<String>) {
        self.fault_count += 1;
        if self.faults.len() < MOST {
            self.faults.push(Fault {
                seq,
                why: why.into(),
            });
        }
    }
}

/// A row with its entry, if the Record still has it.
#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    seq: i64,
    action: String,
    user_id: Option<Uuid>,
    user_name: Option<String>,
    resource_type: Option<String>,
    resource_id: Option<String>,
    resource_name: Option<String>,
    changes: Option<String>,
    metadata: Option<String>,
    ip: Option<String>,
    created_at: i64,
    seen_by: Option<Uuid>,
    record_digest: Option<Vec<u8>>,
    hash: Option<Vec<u8>>,
    /// The Record's first number.
    reaches: Option<i64>,
    e_id: Option<Uuid>,
    e_at: Option<i64>,
    e_event: Option<String>,
    e_actor_id: Option<Uuid>,
    e_actor_name: Option<String>,
    e_resource_type: Option<String>,
    e_resource_id: Option<String>,
    e_audience: Option<String>,
    e_data: Option<String>,
    e_request_id: Option<String>,
    e_ip: Option<String>,
    e_user_agent: Option<String>,
}

impl Row {
    fn digest(&self) -> Hash {
        let facts = RowFacts {
            id: self.id,
            seq: seq(self.seq),
            action: &self.action,
            user_id: self.user_id,
            user_name: self.user_name.as_deref(),
            resource_type: self.resource_type.as_deref(),
            resource_id: self.resource_id.as_deref(),
            resource_name: self.resource_name.as_deref(),
            changes: self.changes.as_deref(),
            metadata: self.metadata.as_deref(),
            ip: self.ip.as_deref(),
            created_at: self.created_at,
            seen_by: self.seen_by,
        };
        facts.digest()
    }

    /// `None`: the Record does not have it.
    fn entry(&self) -> Option<Hash> {
        let facts = EntryFacts {
            seq: seq(self.seq),
            id: self.e_id?,
            at: self.e_at?,
            event: self.e_event.as_deref()?,
            actor_id: self.e_actor_id,
            actor_name: self.e_actor_name.as_deref(),
            resource_type: self.e_resource_type.as_deref(),
            resource_id: self.e_resource_id.as_deref(),
            audience: self.e_audience.as_deref()?,
            data: self.e_data.as_deref()?,
            request_id: self.e_request_id.as_deref(),
            ip: self.e_ip.as_deref(),
            user_agent: self.e_user_agent.as_deref(),
        };
        Some(facts.digest())
    }
}

/// One page: one statement, so that a row and its entry are of one moment.
async fn rows(conn: &mut Conn, after: Seq, upto: Seq) -> Result<Vec<Row>> {
    sql!(
        conn,
        "SELECT a.id, a.seq, a.action, a.user_id, a.user_name, a.resource_type, a.resource_id, a.resource_name, a.changes,
                a.metadata, a.ip, a.created_at, a.seen_by, a.record_digest, a.hash, (SELECT MIN(seq) FROM record) AS reaches,
                r.id AS e_id, r.at AS e_at, r.event AS e_event, r.actor_id AS e_actor_id, r.actor_name AS e_actor_name,
                r.resource_type AS e_resource_type, r.resource_id AS e_resource_id, r.audience AS e_audience,
                r.data AS e_data, r.request_id AS e_request_id, r.ip AS e_ip, r.user_agent AS e_user_agent
         FROM activity a LEFT JOIN record r ON r.seq = a.seq AND r.seq > $1
         WHERE a.seq > $1 AND a.seq <= $2 ORDER BY a.seq LIMIT +$3",
        column(after), column(upto), PAGE => all Row
    )
}

/// Walks the history from its first row to the end that the chain had when the walk began. `checkpoints` are of an
/// earlier time, in the order of `seq`. Without a `signer` no signature can be judged, and the caller says so.
pub async fn verify(
    store: &Store,
    signer: Option<&Signer>,
    checkpoints: &[Checkpoint],
) -> Result<Verification> {
    let mut conn = store.read().await?;
    let mut found = Verification::default();
    let Some(head) = Head::read(&mut conn).await? else {
        found.fault(
            0,
            "the row that says where the chain begins and ends is not there",
        );
        return Ok(found);
    };
    let mut walk = Walk {
        at: head.anchor,
        read: head.anchor.seq,
        sound: None,
        checkpoints,
        found,
    };
    drop(conn);
    walk.judge(&head, signer);
    walk.whole(store, &head).await?;
    walk.ends(store, &head).await?;
    let mut found = walk.found;
    found.end = format!("{}:{}", head.last.seq, head.last.hash);
    found.faults.sort_by_key(|fault| fault.seq);
    Ok(found)
}

struct Walk<'c> {
    /// The row of the chain that was looked at last, with the hash that it has.
    at: Place,
    /// Rows were read up to here; what was put in between is none of the chain.
    read: Seq,
    /// The last checkpoint that agreed.
    sound: Option<Seq>,
    checkpoints: &'c [Checkpoint],
    found: Verification,
}

impl Walk<'_> {
    fn judge(&mut self, head: &Head, signer: Option<&Signer>) {
        if let Some(doubt) = head.doubt {
            self.found.fault(
                doubt,
                "when this row was written, the chain before it did not end as this server had signed it",
            );
        }
        self.found.signed_by_somebody = head.signature.is_some();
        let Some(signer) = signer else { return };
        match head.judge(signer) {
            Some(Verdict::Good) => self.found.signed = true,
            Some(Verdict::Bad) => self.found.fault(
                head.last.seq,
                "the signature at the chain's end is not good: what it goes over was rewritten",
            ),
            Some(Verdict::Foreign) => self
                .found
                .fault(head.last.seq, "the chain's end is signed with another key"),
            None if head.is_untouched() => {}
            None => self
                .found
                .fault(head.last.seq, "the chain's end is not signed"),
        }
    }

    async fn whole(&mut self, store: &Store, head: &Head) -> Result<()> {
        let end = head.last.seq;
        self.meet_checkpoints(head.anchor);
        loop {
            // Taken anew for each page: nobody waits for us.
            let mut conn = store.read().await?;
            let page = rows(&mut conn, self.read, end).await?;
            let begins = page.first().map_or(end + 1, |row| seq(row.seq));
            if begins > self.read + 1 {
                // Retention may have been faster.
                let now = Head::read(&mut conn).await?;
                if let Some(now) = now.filter(|now| now.anchor.seq > self.read) {
                    self.at = now.anchor;
                    self.read = now.anchor.seq;
                    continue;
                }
            }
            for row in &page {
                self.step(&mut conn, row).await?;
                self.read = seq(row.seq);
            }
            if page.is_empty() {
                break;
            }
        }
        if self.at.seq < end {
            self.found.fault(
                self.at.seq + 1,
                format!("the rows from here to {end} were cut off"),
            );
        } else if self.at.hash != head.last.hash {
            self.found.fault(
                end,
                "the chain does not end in the hash that was noted for this row",
            );
        }
        Ok(())
    }

    async fn step(&mut self, conn: &mut Conn, row: &Row) -> Result<()> {
        let number = seq(row.seq);
        let before = self.at;
        let entry = row.record_digest.as_deref().and_then(Hash::of_column);
        let hash = row.hash.as_deref().and_then(Hash::of_column);
        let (Some(entry), Some(hash)) = (entry, hash) else {
            self.found
                .fault(number, "this row was put in: it has no hash");
            return Ok(());
        };
        let good = link(before.hash, row.digest(), entry) == hash;
        if number > before.seq + 1 {
            self.hole(conn, before.seq + 1, number - 1, good).await?;
        } else if !good {
            self.found.fault(
                number,
                "this row is not the one that was written, or does not follow the one before it",
            );
        }
        match row.entry() {
            Some(digest) if digest == entry => self.found.compared += 1,
            Some(_) => {
                self.found.compared += 1;
                self.found.fault(
                    number,
                    "the entry on the Record is not the one that this row was made of",
                );
            }
            None if row.reaches.is_some_and(|first| first <= row.seq) => self
                .found
                .fault(number, "the entry of this row was removed from the Record"),
            None => {}
        }
        if self.found.checked == 0 {
            self.found.first = number;
        }
        self.found.checked += 1;
        self.found.last = number;
        // Whatever the row should be: the next one follows what it is.
        self.at = Place { seq: number, hash };
        self.meet_checkpoints(self.at);
        Ok(())
    }

    /// Numbers without a row. `good`: the chain passes over them.
    async fn hole(&mut self, conn: &mut Conn, from: Seq, to: Seq, good: bool) -> Result<()> {
        let (there,) = sql!(
            conn,
            "SELECT COUNT(*) FROM record WHERE seq >= $1 AND seq <= $2",
            column(from), column(to) => one (i64,)
        )?;
        if !good {
            let upto = if from == to {
                String::new()
            } else {
                format!(" to {to}")
            };
            self.found
                .fault(from, format!("removed: the rows from here{upto}"));
        } else if there > 0 {
            self.found.fault(
                from,
                format!("the Record has {there} of the entries {from} to {to}, and the history has no row for them"),
            );
        } else if self.found.passed_over.len() < MOST {
            self.found.passed_over.push((from, to));
        }
        Ok(())
    }

    /// Compares with the checkpoints up to this place.
    fn meet_checkpoints(&mut self, at: Place) {
        while let Some((next, rest)) = self.checkpoints.split_first()
            && next.place.seq <= at.seq
        {
            self.checkpoints = rest;
            if next.place.seq < at.seq {
                // Older than what is kept, or its row is gone, which is a fault of its own.
                continue;
            }
            self.found.checkpoints += 1;
            if next.place.hash == at.hash {
                self.sound = Some(at.seq);
                continue;
            }
            let since = match self.sound {
                Some(sound) => format!("after {sound}, where the last one agrees"),
                None => "before here".to_owned(),
            };
            self.found.fault(
                at.seq,
                format!(
                    "{} has another hash of this row: rows {since} were rewritten",
                    next.source
                ),
            );
        }
    }

    /// What should not be there beyond both ends, and what should be.
    async fn ends(&mut self, store: &Store, head: &Head) -> Result<()> {
        if let Some(last) = self
            .checkpoints
            .last()
            .filter(|last| last.place.seq > head.last.seq)
        {
            self.found.fault(
                head.last.seq + 1,
                format!(
                    "cut off: {} says that the history went on to {}",
                    last.source, last.place.seq
                ),
            );
        }
        let mut conn = store.read().await?;
        let (before, put_back, last, chained, given) = sql!(
            &mut conn,
            "SELECT (SELECT COUNT(*) FROM activity WHERE seq <= begun_after),
                    (SELECT COUNT(*) FROM activity WHERE seq > begun_after AND seq <= anchor_seq),
                    (SELECT MAX(seq) FROM activity), last_seq, (SELECT last FROM record_head)
             FROM chain" => one (i64, i64, Option<i64>, i64, i64)
        )?;
        self.found.before = seq(before);
        self.found.waiting = seq(given).saturating_sub(seq(chained));
        if put_back > 0 {
            self.found.fault(
                head.begun_after + 1,
                format!("{put_back} rows are there that retention had removed"),
            );
        }
        if let Some(last) = last.filter(|last| *last > chained) {
            self.found.fault(
                seq(last),
                "this row was put in: it is behind the chain's end",
            );
        }
        if seq(chained) < head.last.seq {
            self.found.fault(
                seq(chained) + 1,
                "the chain's end went back during the walk",
            );
        }
        if given < chained {
            self.found.fault(
                seq(given) + 1,
                "the Record ends before the history does: its end was cut off",
            );
        }
        Ok(())
    }
}
