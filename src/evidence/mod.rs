//! Evidence that the history is what was written: the key with which the end of its chain is signed, and the book of
//! checkpoints. Neither lies in the database. The chain itself is the store's ([`crate::store::activity`]).

mod book;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use callboard_actors::ports::Unavailable;
use chrono::SecondsFormat;
use parking_lot::Mutex;

use crate::auth::kept::{KeyError, kept_secret};
use crate::config::Config;
use crate::store::activity::chain::Hash;
use crate::store::activity::head::{self, Head, Place, Signing};
use crate::store::activity::signer::{Signer, Verdict};
use crate::store::activity::verify::{self, Checkpoint, Verification};
use crate::store::{Store, StoreError};

use book::{Book, Line};

/// Signs, and writes the book.
pub struct Evidence {
    store: Store,
    signing: Arc<Signing>,
    book: Book,
    /// One checkpoint at a time.
    writing: Arc<Mutex<()>>,
}

#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("{}: {error}", .path.display())]
    Book {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl From<EvidenceError> for Unavailable {
    fn from(error: EvidenceError) -> Unavailable {
        Unavailable(error.to_string())
    }
}

fn key_file(folder: &Path) -> PathBuf {
    folder.join("activity.key")
}

impl Evidence {
    /// Takes the key, makes one if there is none, and has the store sign with it.
    pub fn open(config: &Config, store: &Store) -> Result<Arc<Evidence>, EvidenceError> {
        let folder = config.database.folder();
        let key = match &config.activity.signing_key {
            Some(key) => key.reveal().as_bytes().to_vec(),
            None => kept_secret(
                &key_file(&folder),
                "the history is signed anew: see `record accept`",
            )?,
        };
        let signer = Signer::new(key);
        let book = Book::of(&config.database);
        let pages = read(&book, Some(&signer))?;
        let signing = Arc::new(Signing::new(signer, !pages.lines.is_empty()));
        store.sign_with(signing.clone());
        Ok(Arc::new(Evidence {
            store: store.clone(),
            signing,
            book,
            writing: Arc::default(),
        }))
    }

    /// Writes down where the chain ends, unless that is in the book already. An end that is not ours, or lies before
    /// what the book says, is no evidence of anything but that; it is left out and said in the log.
    pub async fn checkpoint(&self) -> Result<u64, EvidenceError> {
        let lines = {
            let (book, signing) = (self.book.clone(), self.signing.clone());
            blocking(move || read(&book, Some(&signing.signer)))
                .await?
                .lines
        };
        let mut conn = self.store.read().await?;
        let Some(head) = Head::read(&mut conn).await? else {
            tracing::error!(
                "the row that holds the ends of the activity chain is gone; run `callboard record verify`"
            );
            return Ok(0);
        };
        if head.is_untouched() && lines.is_empty() {
            return Ok(0);
        }
        if head.judge(&self.signing.signer) != Some(Verdict::Good) {
            tracing::error!(
                last = head.last.seq,
                "the end of the activity chain is not signed with our key; run `callboard record verify`"
            );
            return Ok(0);
        }
        if let Some(Line { place, .. }) = lines.last() {
            let there = head::place_of(&mut conn, &head, place.seq).await?;
            if head.last.seq < place.seq || there.is_some_and(|there| there.hash != place.hash) {
                tracing::error!(
                    last = head.last.seq,
                    checkpoint = place.seq,
                    "the activity history is not what the last checkpoint says; run `callboard record verify`"
                );
            }
            if head.last.seq <= place.seq {
                return Ok(0);
            }
        }
        drop(conn);
        self.write(head.last, false).await?;
        Ok(1)
    }

    async fn write(&self, place: Place, begun: bool) -> Result<(), EvidenceError> {
        let at = self.store.now();
        let (book, signing, writing) = (
            self.book.clone(),
            self.signing.clone(),
            self.writing.clone(),
        );
        blocking(move || {
            let _one = writing.lock();
            book.add(place, begun, at, &signing.signer)
                .map_err(|error| failed(&book, error))
        })
        .await?;
        self.signing.witnessed();
        tracing::info!(seq = place.seq, hash = %place.hash, "checkpoint of the activity history");
        Ok(())
    }

    /// Begins a new chain behind the last row, and says so in the book.
    pub async fn accept(&self) -> Result<Place, EvidenceError> {
        let place = head::renew(&self.store).await?;
        self.write(place, true).await?;
        Ok(place)
    }
}

/// Walks the history and compares it with the book, and with what was `noted` elsewhere.
pub async fn verify(
    config: &Config,
    store: &Store,
    noted: Option<Place>,
) -> Result<Verification, EvidenceError> {
    let folder = config.database.folder();
    let signer = match &config.activity.signing_key {
        Some(key) => Some(Signer::new(key.reveal().as_bytes())),
        // Verifying makes nothing: a key that is missing is a finding.
        None if key_file(&folder).exists() => {
            Some(Signer::new(kept_secret(&key_file(&folder), "")?))
        }
        None => None,
    };
    let book = Book::of(&config.database);
    // Before the chain's end is read: what the book says is of an earlier time.
    let pages = read(&book, signer.as_ref())?;
    let mut checkpoints: Vec<_> = pages
        .lines
        .iter()
        .map(|line| checkpoint(&book, line))
        .collect();
    checkpoints.extend(noted.map(|place| Checkpoint {
        place,
        source: "the checkpoint that was given".to_owned(),
    }));
    checkpoints.sort_by_key(|checkpoint| checkpoint.place.seq);
    let mut found = verify::verify(store, signer.as_ref(), &checkpoints).await?;
    for number in pages.spoilt {
        found.note(format!(
            "line {number} of {} cannot be read or was edited",
            book.path().display()
        ));
    }
    if signer.is_none() && found.signed_by_somebody {
        found.fault(
            found.last,
            format!(
                "the signature cannot be judged: there is no {}",
                key_file(&folder).display()
            ),
        );
    }
    Ok(found)
}

fn checkpoint(book: &Book, line: &Line) -> Checkpoint {
    let at = line.at.to_rfc3339_opts(SecondsFormat::Secs, true);
    Checkpoint {
        place: line.place,
        source: format!("the checkpoint of {at} in {}", book.path().display()),
    }
}

/// `1234:HASH`, as `record verify` prints it.
pub fn place(text: &str) -> Result<Place, String> {
    let parts = text.split_once(':').and_then(|(seq, hash)| {
        Some(Place {
            seq: seq.parse().ok()?,
            hash: Hash::parse(hash)?,
        })
    });
    parts.ok_or_else(|| {
        format!("`{text}` is no place; accepted: SEQ:HASH, as `record verify` prints it")
    })
}

fn read(book: &Book, signer: Option<&Signer>) -> Result<book::Pages, EvidenceError> {
    book.read(signer).map_err(|error| failed(book, error))
}

fn failed(book: &Book, error: std::io::Error) -> EvidenceError {
    EvidenceError::Book {
        path: book.path().to_owned(),
        error,
    }
}

/// Files are read and written elsewhere: no actor's thread waits for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EvidenceError> + Send + 'static,
) -> Result<T, EvidenceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::Unavailable(error.to_string()).into()),
    }
}
