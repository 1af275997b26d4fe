//! What was read since anything was last committed, so that what many look at is read once.
//!
//! For SQLite alone, whose file one process writes: the writer says when a commit begins and when it is over, and what was
//! read between two of them stays true until the next one begins. A reader therefore never gets what is older than a
//! change that was answered. (Commands such as `callboard user add` write from another process; what they write is not kept
//! here, and nothing is kept for longer than [`FRESH`].)

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use callboard_actors::runtime::Clock;
use parking_lot::Mutex;

/// How long something is kept at most.
const FRESH: Duration = Duration::from_millis(250);
/// Above it everything is forgotten.
const MOST: usize = 256;

/// Counts up when a commit begins, and when it is over: odd while one is under way.
#[derive(Clone, Default)]
pub(super) struct Commits(Arc<AtomicU64>);

/// A commit, until it is dropped.
pub(super) struct Committing(Commits);

impl Commits {
    /// Before the database is told. There is one writer, so one at a time.
    pub fn begin(&self) -> Committing {
        self.0.fetch_add(1, Ordering::SeqCst);
        Committing(self.clone())
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Those that are over.
    #[cfg(test)]
    pub fn count(&self) -> u64 {
        self.now() / 2
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// See the module's page.
pub(super) struct Lately<K, T> {
    commits: Commits,
    clock: Clock,
    kept: Mutex<HashMap<K, Kept<T>>>,
}

struct Kept<T> {
    asked: Asked,
    value: Arc<T>,
}

/// When something was asked for that was not known.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    commits: u64,
    at: Duration,
}

impl<K: Hash + Eq, T> Lately<K, T> {
    pub fn new(commits: Commits, clock: Clock) -> Lately<K, T> {
        Lately {
            commits,
            clock,
            kept: Mutex::default(),
        }
    }

    /// What is known; `Err`, to be given back with what is read now: nothing is.
    pub fn ask(&self, key: &K) -> Result<Arc<T>, Asked> {
        let asked = Asked {
            commits: self.commits.now(),
            at: self.clock.monotonic(),
        };
        match self.kept.lock().get(key) {
            Some(kept) if kept.asked.covers(asked) => Ok(Arc::clone(&kept.value)),
            _ => Err(asked),
        }
    }

    /// What was read after it was asked for; kept unless something was committed meanwhile, so that it may be older.
    pub fn keep(&self, asked: Asked, key: K, value: T) {
        if asked.commits % 2 == 1 || asked.commits != self.commits.now() {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.len() >= MOST {
            kept.clear();
        }
        let value = Arc::new(value);
        kept.insert(key, Kept { asked, value });
    }
}

impl Asked {
    /// Whether what was read then is what would be read now.
    fn covers(self, now: Asked) -> bool {
        self.commits == now.commits && now.at.saturating_sub(self.at) < FRESH
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn lately() -> (Lately<u8, &'static str>, Commits, Clock) {
        let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let commits = Commits::default();
        (Lately::new(commits.clone(), clock.clone()), commits, clock)
    }

    fn unknown(lately: &Lately<u8, &'static str>, key: u8) -> Asked {
        lately.ask(&key).expect_err("it is not known")
    }

    #[test]
    fn what_was_read_is_known_until_a_commit_begins() {
        let (lately, commits, _) = lately();
        lately.keep(unknown(&lately, 1), 1, "one");
        assert_eq!(lately.ask(&1).ok().as_deref(), Some(&"one"));
        unknown(&lately, 2);
        let commit = commits.begin();
        unknown(&lately, 1);
        drop(commit);
        unknown(&lately, 1);
    }

    #[test]
    fn what_was_read_beside_a_commit_is_not_kept() {
        let (lately, commits, _) = lately();
        let before = unknown(&lately, 1);
        let commit = commits.begin();
        lately.keep(before, 1, "read as it began");
        let during = unknown(&lately, 1);
        lately.keep(during, 1, "read meanwhile");
        drop(commit);
        lately.keep(before, 1, "of before");
        lately.keep(during, 1, "of meanwhile");
        unknown(&lately, 1);
    }

    #[test]
    fn nothing_is_known_for_long_nor_without_end() {
        let (lately, _, clock) = lately();
        lately.keep(unknown(&lately, 1), 1, "one");
        clock.advance(FRESH);
        unknown(&lately, 1);
        for key in 0..=u8::MAX {
            lately.keep(unknown(&lately, key), key, "some");
        }
        assert_eq!(lately.kept.lock().len(), MOST);
        clock.advance(FRESH);
        lately.keep(unknown(&lately, 0), 0, "some");
        assert!(lately.kept.lock().len() <= MOST);
    }
}
