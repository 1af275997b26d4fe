//! The book of checkpoints: a file beside the database, one line for each. Whoever can write the database but not this
//! file cannot make the history end earlier than it did.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use callboard_actors::model::record::Seq;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::config::Database;
use crate::store::activity::chain::Hash;
use crate::store::activity::head::Place;
use crate::store::activity::signer::{Signature, Signer, Verdict};

/// Lines that are kept at most. Above it every other one of the older half goes: the farther back, the sparser.
const MOST: usize = 4096;

/// A line longer than this is none of ours.
const LONGEST: u64 = 4096;

const DOMAIN: &str = "callboard activity checkpoint 1";

#[derive(Clone)]
pub struct Book {
    path: PathBuf,
}

/// What the book says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Since the chain was last begun anew, in the order in which they were written.
    pub lines: Vec<Line>,
    /// Lines (from 1) that nobody with the key has written.
    pub spoilt: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub place: Place,
    pub at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct Text {
    at: String,
    seq: Seq,
    hash: String,
    /// The chain begins here; what the book says before it is of another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    begun: bool,
    key: String,
    tag: String,
}

impl Text {
    fn signed(&self, signer: &Signer) -> Signature {
        signer.sign(DOMAIN, &self.parts())
    }

    fn judge(&self, signer: &Signer) -> Option<Verdict> {
        let signature = Signature {
            key: self.key.clone(),
            tag: Hash::parse(&self.tag)?,
        };
        Some(signer.judge(DOMAIN, &self.parts(), &signature))
    }

    fn parts(&self) -> [&[u8]; 3] {
        let begun: &[u8] = if self.begun { b"begun" } else { b"" };
        // The sequence number is within the hash.
        [self.at.as_bytes(), self.hash.as_bytes(), begun]
    }
}

impl Book {
    pub fn of(database: &Database) -> Book {
        Book::at(&database.folder(), &database.name())
    }

    fn at(folder: &Path, name: &str) -> Book {
        Book {
            path: folder.join(format!("{name}.checkpoints")),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says; nothing, if it is not there. Without a signer every line counts.
    pub fn read(&self, signer: Option<&Signer>) -> std::io::Result<Pages> {
        let mut pages = Pages::default();
        for (number, text) in (1..).zip(self.texts()?) {
            match text.and_then(|text| understood(text, signer)) {
                Some((line, begun)) => {
                    if begun {
                        pages.lines.clear();
                    }
                    pages.lines.push(line);
                }
                None => pages.spoilt.push(number),
            }
        }
        Ok(pages)
    }

    /// Each line; `None`: it cannot be read.
    fn texts(&self) -> std::io::Result<Vec<Option<Text>>> {
        let mut whole = String::new();
        match File::open(&self.path) {
            Ok(file) => file
                .take(LONGEST * 2 * MOST as u64)
                .read_to_string(&mut whole)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let lines = whole.lines().filter(|line| !line.trim().is_empty());
        Ok(lines.map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Adds a line and has it on the disk.
    pub fn add(
        &self,
        place: Place,
        begun: bool,
        at: DateTime<Utc>,
        signer: &Signer,
    ) -> std::io::Result<()> {
        let mut text = Text {
            at: at.to_rfc3339_opts(SecondsFormat::Micros, true),
            seq: place.seq,
            hash: place.hash.to_string(),
            begun,
            key: String::new(),
            tag: String::new(),
        };
        let signature = text.signed(signer);
        text.key = signature.key;
        text.tag = signature.tag.to_string();
        let mut line = serde_json::to_string(&text)?;
        line.push('\n');
        let mut file =
            private(OpenOptions::new().read(true).append(true).create(true)).open(&self.path)?;
        if !ends_a_line(&mut file)? {
            // Whoever wrote last was stopped half-way.
            line.insert(0, '\n');
        }
        file.write_all(line.as_bytes())?;
        file.sync_data()?;
        self.thin_out()
    }

    fn thin_out(&self) -> std::io::Result<()> {
        let whole = fs::read_to_string(&self.path)?;
        let lines: Vec<_> = whole.lines().collect();
        if lines.len() <= MOST {
            return Ok(());
        }
        let half = lines.len() / 2;
        let kept = lines.iter().enumerate().filter(|(at, line)| {
            let begun = || serde_json::from_str::<Text>(line).is_ok_and(|text| text.begun);
            *at >= half || at % 2 == 0 || begun()
        });
        let kept: String = kept.map(|(_, line)| format!("{line}\n")).collect();
        let draft = self.path.with_extension("checkpoints.tmp");
        let mut file =
            private(OpenOptions::new().write(true).create(true).truncate(true)).open(&draft)?;
        file.write_all(kept.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)
    }
}

fn understood(text: Text, signer: Option<&Signer>) -> Option<(Line, bool)> {
    let verdict = signer.map_or(Some(Verdict::Foreign), |signer| text.judge(signer))?;
    if verdict == Verdict::Bad {
        return None;
    }
    // Of another key of ours, before it was changed: that it lies here is what it is worth.
    let place = Place {
        seq: text.seq,
        hash: Hash::parse(&text.hash)?,
    };
    let at = DateTime::parse_from_rfc3339(&text.at).ok()?.to_utc();
    Some((Line { place, at }, text.begun))
}

fn ends_a_line(file: &mut File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            let path =
                std::env::temp_dir().join(format!("callboard-book-{}", uuid::Uuid::now_v7()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn place(seq: Seq) -> Place {
        Place {
            seq,
            hash: Hash([seq as u8; 32]),
        }
    }

    fn seqs(book: &Book, signer: &Signer) -> (Vec<Seq>, Vec<usize>) {
        let pages = book.read(Some(signer)).unwrap();
        (
            pages.lines.iter().map(|line| line.place.seq).collect(),
            pages.spoilt,
        )
    }

    #[test]
    fn what_was_added_is_read_and_what_was_edited_is_noticed() {
        let folder = Folder::new();
        let (book, signer) = (Book::at(&folder.0, "x.db"), Signer::new([1; 32]));
        assert_eq!(seqs(&book, &signer), (vec![], vec![]));
        for seq in 1..=3 {
            book.add(place(seq), false, DateTime::UNIX_EPOCH, &signer)
                .unwrap();
        }
        assert_eq!(seqs(&book, &signer), (vec![1, 2, 3], vec![]));
        // Stopped half-way through a line; the next one is whole.
        let mut whole = fs::read_to_string(book.path()).unwrap();
        whole.push_str("{\"at\":");
        fs::write(book.path(), &whole).unwrap();
        book.add(place(4), false, DateTime::UNIX_EPOCH, &signer)
            .unwrap();
        assert_eq!(seqs(&book, &signer), (vec![1, 2, 3, 4], vec![4]));
        let other = Hash([9; 32]).to_string();
        let edited = fs::read_to_string(book.path())
            .unwrap()
            .replace(&place(2).hash.to_string(), &other);
        fs::write(book.path(), edited).unwrap();
        assert_eq!(seqs(&book, &signer), (vec![1, 3, 4], vec![2, 4]));
        // A key that was changed: its lines count, since they lie here.
        assert_eq!(
            seqs(&book, &Signer::new([2; 32])),
            (vec![1, 2, 3, 4], vec![4])
        );
        // The chain was begun anew.
        book.add(place(9), true, DateTime::UNIX_EPOCH, &signer)
            .unwrap();
        assert_eq!(seqs(&book, &signer).0, [9]);
    }

    #[test]
    fn it_stays_small_and_remembers_far_back() {
        let folder = Folder::new();
        let (book, signer) = (Book::at(&folder.0, "x.db"), Signer::new([1; 32]));
        book.add(place(0), true, DateTime::UNIX_EPOCH, &signer)
            .unwrap();
        let line = fs::read_to_string(book.path()).unwrap();
        let many = line.repeat(MOST).replace(",\"begun\":true", "");
        fs::write(book.path(), many).unwrap();
        for seq in 1..=3 {
            book.add(place(seq), false, DateTime::UNIX_EPOCH, &signer)
                .unwrap();
        }
        let kept = fs::read_to_string(book.path()).unwrap();
        assert!(kept.lines().count() < MOST * 4 / 5);
        assert!(kept.lines().next().unwrap().contains("\"seq\":0"));
        let pages = book.read(None).unwrap();
        assert_eq!(pages.lines.last().unwrap().place.seq, 3);
    }
}
