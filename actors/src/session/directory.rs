//! Every connection of one engine, by its Engine.IO session id. In shards, because every long poll looks here.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;

use super::line::Line;

const SHARDS: usize = 16;

pub(super) struct Directory {
    hasher: RandomState,
    shards: [Mutex<HashMap<Arc<str>, Arc<Line>>>; SHARDS],
}

impl Directory {
    pub fn new() -> Directory {
        Directory {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    pub fn insert(&self, line: Arc<Line>) {
        let key = Arc::clone(&line.sid);
        self.shard(&key).lock().insert(key, line);
    }

    pub fn find(&self, sid: &str) -> Option<Arc<Line>> {
        self.shard(sid).lock().get(sid).cloned()
    }

    pub fn remove(&self, sid: &str) -> Option<Arc<Line>> {
        self.shard(sid).lock().remove(sid)
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// All of them, as they are now; shard by shard, so that nobody waits for long.
    pub fn all(&self) -> Vec<Arc<Line>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.lock().values().cloned());
        }
        all
    }

    fn shard(&self, sid: &str) -> &Mutex<HashMap<Arc<str>, Arc<Line>>> {
        &self.shards[self.hasher.hash_one(sid) as usize % SHARDS]
    }
}
