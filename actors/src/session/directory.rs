//! Every connection of one engine, by its Engine.IO session id. In shards, because every long poll looks here.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use super::line::Line;
use crate::runtime::Trim;

const SHARDS: usize = 16;

pub(super) struct Directory {
    shards: [Shard; SHARDS],
}

type Shard = Mutex<HashMap<Sid, Arc<Line>>>;

/// An Engine.IO session id: 120 bits that nobody guesses, 20 characters to the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sid([u8; 15]);

impl Sid {
    pub fn random() -> Sid {
        Sid(rand::random())
    }

    /// `None`: no session has such an id.
    fn parse(text: &str) -> Option<Sid> {
        let mut bytes = [0; 15];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(15) => Some(Sid(bytes)),
            _ => None,
        }
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl Directory {
    pub fn new() -> Directory {
        Directory {
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    pub fn insert(&self, line: Arc<Line>) {
        self.shard(line.sid).lock().insert(line.sid, line);
    }

    pub fn find(&self, sid: &str) -> Option<Arc<Line>> {
        let sid = Sid::parse(sid)?;
        self.shard(sid).lock().get(&sid).cloned()
    }

    pub fn remove(&self, sid: Sid) -> Option<Arc<Line>> {
        let mut shard = self.shard(sid).lock();
        let line = shard.remove(&sid);
        shard.trim();
        line
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

    fn shard(&self, sid: Sid) -> &Shard {
        // Those that are in it are all our own, and random.
        &self.shards[usize::from(sid.0[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_as_it_was_told_and_in_no_other_spelling() {
        let sid = Sid([0xff; 15]);
        let told = sid.to_string();
        assert_eq!(told, "____________________");
        assert!(Sid::parse(&told) == Some(sid));
        for other in [
            "",
            "___________________",
            "_____________________",
            "/___________________",
        ] {
            assert!(Sid::parse(other).is_none(), "{other}");
        }
    }
}
