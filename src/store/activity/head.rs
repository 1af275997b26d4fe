//! The chain's ends: one row of `chain`, signed anew with every batch, in the transaction of the batch.

use std::sync::atomic::{AtomicBool, Ordering};

use callboard_actors::model::record::Seq;

use super::chain::{Hash, link};
use super::signer::{Signature, Signer, Verdict};
use crate::store::convert::{column, seq};
use crate::store::cursors::Consumer;
use crate::store::{Conn, Result, Store, Tx};

/// A row of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub seq: Seq,
    pub hash: Hash,
}

/// Where the chain begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Rows up to this one were there before the chain, and are not of it.
    pub begun_after: Seq,
    /// The row before the first one that is still there: the last that retention removed, else where the chain began.
    pub anchor: Place,
    pub last: Place,
    /// When this row was written, what was there did not bear our signature, or the cursor had gone back: whoever did
    /// that may have rewritten what is before. It stays until an operator has looked.
    pub doubt: Option<Seq>,
    pub signature: Option<Signature>,
}

/// What the store signs with.
pub struct Signing {
    pub signer: Signer,
    /// There is a checkpoint of this chain beside the database: it cannot be one that has just begun.
    witnessed: AtomicBool,
}

impl Signing {
    pub fn new(signer: Signer, witnessed: bool) -> Signing {
        Signing {
            signer,
            witnessed: AtomicBool::new(witnessed),
        }
    }

    /// There is a checkpoint now.
    pub fn witnessed(&self) {
        self.witnessed.store(true, Ordering::Relaxed);
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    begun_after: i64,
    anchor_seq: i64,
    anchor_hash: Vec<u8>,
    last_seq: i64,
    last_hash: Vec<u8>,
    doubt: Option<i64>,
    signed_by: Option<String>,
    signature: Option<Vec<u8>>,
}

impl Row {
    fn head(self) -> Option<Head> {
        let signature = match (self.signed_by, self.signature) {
            (Some(key), Some(tag)) => Some(Signature {
                key,
                tag: Hash::of_column(&tag)?,
            }),
            _ => None,
        };
        Some(Head {
            begun_after: seq(self.begun_after),
            anchor: Place {
                seq: seq(self.anchor_seq),
                hash: Hash::of_column(&self.anchor_hash)?,
            },
            last: Place {
                seq: seq(self.last_seq),
                hash: Hash::of_column(&self.last_hash)?,
            },
            doubt: self.doubt.map(seq),
            signature,
        })
    }
}

const DOMAIN: &str = "callboard activity head 1";

/// The row, and what follows in the text.
macro_rules! select {
    ($($more:literal)?) => {
        concat!(
            "SELECT begun_after, anchor_seq, anchor_hash, last_seq, last_hash, doubt, signed_by, signature FROM chain",
            $($more)?
        )
    };
}

impl Head {
    /// A chain that begins behind this row.
    pub fn behind(seq: Seq) -> Head {
        let start = Place {
            seq,
            hash: Hash::START,
        };
        Head {
            begun_after: seq,
            anchor: start,
            last: start,
            doubt: None,
            signature: None,
        }
    }

    /// As it stands. `None`: the row is not there, or it is none of ours.
    pub async fn read(conn: &mut Conn) -> Result<Option<Head>> {
        Ok(sql!(conn, select!() => optional Row)?.and_then(Row::head))
    }

    /// The same, locked until the transaction ends, and looked at before row `next` is written or removed.
    pub(super) async fn take(tx: &mut Tx, signing: Option<&Signing>, next: Seq) -> Result<Head> {
        let text = by_database!(tx, sqlite: select!(), postgres: select!(" FOR UPDATE"));
        let found = sql!(tx, text => optional Row)?.and_then(Row::head);
        let Some(mut head) = found else {
            tracing::error!(
                next,
                "the row that holds the ends of the activity chain was lost"
            );
            let mut head = Head::behind(next - 1);
            head.doubt = Some(next);
            return Ok(head);
        };
        let Some(signing) = signing else {
            return Ok(head);
        };
        let trusted = match head.judge(&signing.signer) {
            Some(verdict) => verdict == Verdict::Good,
            // The first row of all; whoever removes the signature to make it look so is told by the checkpoint.
            None => head.is_untouched() && !signing.witnessed.load(Ordering::Relaxed),
        };
        if !trusted {
            head.doubted(
                next,
                "the end of the activity chain is not signed with our key",
            );
        }
        Ok(head)
    }

    pub(super) fn doubted(&mut self, next: Seq, why: &str) {
        if self.doubt.is_none() {
            tracing::error!(
                next,
                last = self.last.seq,
                "{why}; run `callboard record verify`"
            );
            self.doubt = Some(next);
        }
    }

    /// Signs it and writes it down.
    pub(super) async fn put(mut self, tx: &mut Tx, signing: Option<&Signing>) -> Result<()> {
        self.signature = signing.map(|signing| signing.signer.sign(DOMAIN, &[&self.message()]));
        let (key, tag) = match &self.signature {
            Some(signature) => (
                Some(signature.key.as_str()),
                Some(signature.tag.0.as_slice()),
            ),
            None => (None, None),
        };
        sql!(
            tx,
            "INSERT INTO chain (one, begun_after, anchor_seq, anchor_hash, last_seq, last_hash, doubt, signed_by, signature)
             VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (one) DO UPDATE SET
                 begun_after = EXCLUDED.begun_after, anchor_seq = EXCLUDED.anchor_seq,
                 anchor_hash = EXCLUDED.anchor_hash, last_seq = EXCLUDED.last_seq, last_hash = EXCLUDED.last_hash,
                 doubt = EXCLUDED.doubt, signed_by = EXCLUDED.signed_by, signature = EXCLUDED.signature",
            column(self.begun_after), column(self.anchor.seq), self.anchor.hash.0.as_slice(), column(self.last.seq),
            self.last.hash.0.as_slice(), self.doubt.map(column), key, tag => execute
        )?;
        Ok(())
    }

    /// What its signature is worth. `None`: it has none.
    pub fn judge(&self, signer: &Signer) -> Option<Verdict> {
        let signature = self.signature.as_ref()?;
        Some(signer.judge(DOMAIN, &[&self.message()], signature))
    }

    /// Nothing was ever chained.
    pub fn is_untouched(&self) -> bool {
        self.last.seq == self.begun_after && self.signature.is_none()
    }

    fn message(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(96);
        message.extend(self.begun_after.to_be_bytes());
        for place in [self.anchor, self.last] {
            message.extend(place.seq.to_be_bytes());
            message.extend(place.hash.0);
        }
        // No row has the number 0.
        message.extend(self.doubt.unwrap_or(0).to_be_bytes());
        message
    }
}

/// Two digests of each row that comes next: of the row, and of its entry.
pub(super) type Links = Vec<(Hash, Hash)>;

/// Puts the rows behind `from` on the chain. Gives their hashes, one after the other.
pub(super) async fn extend(
    tx: &mut Tx,
    signing: Option<&Signing>,
    from: Seq,
    links: &Links,
) -> Result<Vec<u8>> {
    let mut head = Head::take(tx, signing, from + 1).await?;
    if head.is_untouched() && head.doubt.is_none() {
        head = Head::behind(from);
    }
    if head.last.seq > from {
        head.doubted(from + 1, "the cursor of the activity history has gone back");
        head.last = last_kept(tx, &head, from).await?;
    }
    let mut hashes = Vec::with_capacity(links.len() * head.last.hash.0.len());
    for (row, entry) in links {
        head.last.hash = link(head.last.hash, *row, *entry);
        hashes.extend(head.last.hash.0);
    }
    head.last.seq = from + links.len() as u64;
    head.put(tx, signing).await?;
    Ok(hashes)
}

/// The last row of the chain that is not behind `from`.
async fn last_kept(tx: &mut Tx, head: &Head, from: Seq) -> Result<Place> {
    let found = sql!(
        tx,
        "SELECT seq, hash FROM activity WHERE seq <= $1 AND hash IS NOT NULL ORDER BY seq DESC LIMIT 1",
        column(from) => optional (i64, Vec<u8>)
    )?;
    let kept = found.and_then(|(at, hash)| {
        Some(Place {
            seq: seq(at),
            hash: Hash::of_column(&hash)?,
        })
    });
    Ok(kept.unwrap_or(head.anchor))
}

/// The hash of this row, if it is still there.
pub async fn place_of(conn: &mut Conn, head: &Head, at: Seq) -> Result<Option<Place>> {
    let at = match at {
        at if at == head.anchor.seq => return Ok(Some(head.anchor)),
        at => column(at),
    };
    let found = sql!(
        conn,
        "SELECT hash FROM activity WHERE seq = $1 AND hash IS NOT NULL", at => optional (Vec<u8>,)
    )?;
    Ok(found
        .and_then(|(hash,)| Hash::of_column(&hash))
        .map(|hash| Place { seq: seq(at), hash }))
}

/// Begins a new chain behind the last row: nothing is known any more about what is before, and nothing is in doubt. For
/// an operator who has looked. Gives where it begins.
pub async fn renew(store: &Store) -> Result<Place> {
    let signing = store.signing();
    store
        .write(move |tx| {
            Box::pin(async move {
                // The cursor is the lock of those who write.
                let upto = Consumer::Activity.hold(tx).await?;
                let (last,) = sql!(
                    tx,
                    "SELECT COALESCE(MAX(seq), 0) FROM activity" => one (i64,)
                )?;
                let head = Head::behind(upto.max(seq(last)));
                let place = head.last;
                head.put(tx, signing.as_deref()).await?;
                Ok(place)
            })
        })
        .await
}
