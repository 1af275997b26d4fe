//! The chain of the history: each row's hash goes over the hash of the row before it. Pure functions.
//!
//! ```text
//! hash(n) = SHA-256(domain, hash(n - 1), digest(row n), digest(entry n))
//! ```
//!
//! So whoever knows one hash knows that every row up to it, and every entry of the Record that these were made of, is
//! still what it was. Of a digest each column is named by a number, and one that holds nothing leaves no trace: a
//! column that is added later changes the hash of no row that was there before.

use std::fmt;

use callboard_actors::model::record::{Entry, Seq};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::store::Result;
use crate::store::convert::{json, micros};

/// The length of a hash.
pub const LENGTH: usize = 32;

/// A hash: of a row, or of the chain up to a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; LENGTH]);

impl Hash {
    /// What stands before the first row of a chain.
    pub const START: Hash = Hash([0; LENGTH]);

    /// As a column holds it. `None`: it holds something else.
    pub fn of_column(bytes: &[u8]) -> Option<Hash> {
        bytes.try_into().ok().map(Hash)
    }

    pub fn parse(text: &str) -> Option<Hash> {
        if text.len() != 2 * LENGTH || !text.is_ascii() {
            return None;
        }
        let mut hash = [0; LENGTH];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Hash(hash))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The hash of the row that follows the one with the hash `before`.
pub fn link(before: Hash, row: Hash, entry: Hash) -> Hash {
    let mut hash = Sha256::new_with_prefix(b"callboard activity chain 1\0");
    hash.update(before.0);
    hash.update(row.0);
    hash.update(entry.0);
    Hash(hash.finalize().into())
}

/// The columns of a row of the history that its hash covers, as they are in the table. (Not the words to search by,
/// which are made of the others.)
#[derive(Clone, Copy)]
pub struct RowFacts<'a> {
    pub id: Uuid,
    pub seq: Seq,
    pub action: &'a str,
    pub user_id: Option<Uuid>,
    pub user_name: Option<&'a str>,
    pub resource_type: Option<&'a str>,
    pub resource_id: Option<&'a str>,
    pub resource_name: Option<&'a str>,
    pub changes: Option<&'a str>,
    pub metadata: Option<&'a str>,
    pub ip: Option<&'a str>,
    pub created_at: i64,
    /// Who may see it.
    pub seen_by: Option<Uuid>,
}

impl RowFacts<'_> {
    pub fn digest(self) -> Hash {
        let mut facts = Facts::new(b"callboard activity row 1\0");
        facts.bytes(1, self.id.as_bytes());
        facts.number(2, self.seq);
        facts.text(3, Some(self.action));
        facts.id(4, self.user_id);
        facts.text(5, self.user_name);
        facts.text(6, self.resource_type);
        facts.text(7, self.resource_id);
        facts.text(8, self.resource_name);
        facts.text(9, self.changes);
        facts.text(10, self.metadata);
        facts.text(11, self.ip);
        facts.bytes(12, &self.created_at.to_be_bytes());
        facts.id(13, self.seen_by);
        facts.finish()
    }
}

/// An entry of the Record, as it is in the table.
#[derive(Clone, Copy)]
pub struct EntryFacts<'a> {
    pub seq: Seq,
    pub id: Uuid,
    pub at: i64,
    pub event: &'a str,
    pub actor_id: Option<Uuid>,
    pub actor_name: Option<&'a str>,
    pub resource_type: Option<&'a str>,
    pub resource_id: Option<&'a str>,
    pub audience: &'a str,
    pub data: &'a str,
    pub request_id: Option<&'a str>,
    pub ip: Option<&'a str>,
    pub user_agent: Option<&'a str>,
}

impl EntryFacts<'_> {
    pub fn digest(self) -> Hash {
        let mut facts = Facts::new(b"callboard record entry 1\0");
        facts.number(1, self.seq);
        facts.bytes(2, self.id.as_bytes());
        facts.bytes(3, &self.at.to_be_bytes());
        facts.text(4, Some(self.event));
        facts.id(5, self.actor_id);
        facts.text(6, self.actor_name);
        facts.text(7, self.resource_type);
        facts.text(8, self.resource_id);
        facts.text(9, Some(self.audience));
        facts.text(10, Some(self.data));
        facts.text(11, self.request_id);
        facts.text(12, self.ip);
        facts.text(13, self.user_agent);
        facts.finish()
    }
}

/// The digest of an entry, as it will be of its row in the table.
pub fn digest_of(entry: &Entry) -> Result<Hash> {
    let (actor, resource) = (entry.actor.as_ref(), entry.resource.as_ref());
    let facts = EntryFacts {
        seq: entry.seq,
        id: entry.id,
        at: micros(entry.at),
        event: &entry.event,
        actor_id: actor.map(|actor| actor.id),
        actor_name: actor.map(|actor| actor.name.as_str()),
        resource_type: resource.map(|resource| resource.kind.as_str()),
        resource_id: resource.map(|resource| resource.id.as_str()),
        audience: &json(&entry.audience)?,
        data: entry.data.get(),
        request_id: entry.origin.request_id.as_deref(),
        ip: entry.origin.ip.as_deref(),
        user_agent: entry.origin.user_agent.as_deref(),
    };
    Ok(facts.digest())
}

/// Columns on their way into a digest: number, length, bytes.
struct Facts(Sha256);

impl Facts {
    fn new(domain: &[u8]) -> Facts {
        Facts(Sha256::new_with_prefix(domain))
    }

    fn bytes(&mut self, number: u8, bytes: &[u8]) {
        self.0.update([number]);
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn number(&mut self, number: u8, value: u64) {
        self.bytes(number, &value.to_be_bytes());
    }

    fn text(&mut self, number: u8, text: Option<&str>) {
        if let Some(text) = text {
            self.bytes(number, text.as_bytes());
        }
    }

    fn id(&mut self, number: u8, id: Option<Uuid>) {
        if let Some(id) = id {
            self.bytes(number, id.as_bytes());
        }
    }

    fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> RowFacts<'static> {
        RowFacts {
            id: Uuid::nil(),
            seq: 1,
            action: "a",
            user_id: None,
            user_name: None,
            resource_type: Some("episode"),
            resource_id: Some("1"),
            resource_name: None,
            changes: None,
            metadata: None,
            ip: None,
            created_at: 0,
            seen_by: None,
        }
    }

    #[test]
    fn a_digest_depends_on_every_column_and_on_which_column_it_is() {
        let plain = row().digest();
        let changed = [
            RowFacts {
                id: Uuid::max(),
                ..row()
            },
            RowFacts { seq: 2, ..row() },
            RowFacts {
                action: "b",
                ..row()
            },
            RowFacts {
                user_id: Some(Uuid::nil()),
                ..row()
            },
            RowFacts {
                user_name: Some("x"),
                ..row()
            },
            RowFacts {
                resource_type: Some("job"),
                ..row()
            },
            RowFacts {
                resource_id: Some("2"),
                ..row()
            },
            RowFacts {
                resource_name: Some("x"),
                ..row()
            },
            RowFacts {
                changes: Some("x"),
                ..row()
            },
            RowFacts {
                metadata: Some("x"),
                ..row()
            },
            RowFacts {
                ip: Some("x"),
                ..row()
            },
            RowFacts {
                ip: Some(""),
                ..row()
            },
            RowFacts {
                created_at: 1,
                ..row()
            },
            RowFacts {
                seen_by: Some(Uuid::nil()),
                ..row()
            },
            // The same bytes, parted elsewhere.
            RowFacts {
                resource_type: Some("episode1"),
                resource_id: Some(""),
                ..row()
            },
        ];
        let mut digests: Vec<_> = changed.iter().map(|facts| facts.digest().0).collect();
        digests.push(plain.0);
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), changed.len() + 1);
    }

    #[test]
    fn a_link_depends_on_all_it_goes_over() {
        let (a, b) = (Hash([1; 32]), Hash([2; 32]));
        let all = [link(a, a, a), link(b, a, a), link(a, b, a), link(a, a, b)];
        for (at, hash) in all.iter().enumerate() {
            assert!(!all[..at].contains(hash));
        }
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = link(Hash::START, Hash::START, Hash::START);
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        assert_eq!(Hash::of_column(&hash.0), Some(hash));
        for wrong in ["", "00", &"0".repeat(63), &"é".repeat(32), &"g".repeat(64)] {
            assert_eq!(Hash::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Hash::of_column(&[0; 31]), None);
    }
}
