//! The cursors of lists: opaque to clients, bound to the list and the filters they were given for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callboard_actors::model::page::Page;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Result, StoreError};

/// Where a page ends: the sort key of its last row. Lists are in falling order of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub i64, pub Uuid);

impl Key {
    /// Before every row: where the first page begins.
    pub const START: Key = Key(i64::MAX, Uuid::max());
}

const BINDING: usize = 8;

/// A list with its filters, as far as a cursor is bound to it.
pub struct Scope([u8; BINDING]);

impl Scope {
    /// `filters` is spelt by the caller so that different filters are spelt differently.
    pub fn new(list: &str, filters: &impl std::fmt::Debug) -> Scope {
        let hash = Sha256::digest(format!("{list} {filters:?}"));
        let mut binding = [0; BINDING];
        binding.copy_from_slice(&hash[..BINDING]);
        Scope(binding)
    }

    /// Where the page begins that the cursor asks for.
    pub fn start(&self, cursor: Option<&str>) -> Result<Key> {
        match cursor {
            None => Ok(Key::START),
            Some(cursor) => self.decode(cursor).ok_or(StoreError::Invalid {
                field: "cursor",
                reason: "is no cursor of this list with these filters",
            }),
        }
    }

    fn decode(&self, cursor: &str) -> Option<Key> {
        let key = self.open(cursor)?;
        let (at, id) = key.split_first_chunk::<8>()?;
        let id = Uuid::from_slice(id).ok()?;
        Some(Key(i64::from_be_bytes(*at), id))
    }

    fn encode(&self, key: Key) -> String {
        let mut bytes = key.0.to_be_bytes().to_vec();
        bytes.extend(key.1.as_bytes());
        self.seal(&bytes)
    }

    /// A cursor of this list that says `place`.
    pub fn seal(&self, place: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([&self.0, place].concat())
    }

    /// What [`Scope::seal`] was given for this list.
    pub fn open(&self, cursor: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (binding, place) = bytes.split_first_chunk::<BINDING>()?;
        (*binding == self.0).then(|| place.to_vec())
    }

    /// A page of `rows`, of which one more than `limit` was asked for, to see whether there is more.
    pub fn page<T>(&self, mut rows: Vec<T>, limit: u32, key: impl Fn(&T) -> Key) -> Page<T> {
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next_cursor = rows
            .last()
            .filter(|_| more)
            .map(|last| self.encode(key(last)));
        Page { rows, next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_by_its_own_list_with_its_own_filters_only() {
        let scope = Scope::new("episodes", &("draft", 1));
        let key = Key(-5, Uuid::now_v7());
        let cursor = scope.encode(key);
        assert_eq!(scope.start(Some(&cursor)), Ok(key));
        assert!(
            Scope::new("episodes", &("draft", 2))
                .start(Some(&cursor))
                .is_err()
        );
        assert!(
            Scope::new("users", &("draft", 1))
                .start(Some(&cursor))
                .is_err()
        );
    }

    #[test]
    fn garbage_is_no_cursor() {
        let scope = Scope::new("episodes", &());
        let cursor = scope.encode(Key::START);
        for garbage in ["", "x", "====", &cursor[1..], &format!("{cursor}AA"), "ÄÖ"] {
            assert!(scope.start(Some(garbage)).is_err(), "{garbage}");
        }
    }

    #[test]
    fn only_a_page_with_more_behind_it_has_a_next_cursor() {
        let scope = Scope::new("x", &());
        let key = |row: &i64| Key(*row, Uuid::nil());
        assert!(scope.page(vec![3, 2], 2, key).next_cursor.is_none());
        let page = scope.page(vec![3, 2, 1], 2, key);
        assert_eq!(page.rows, [3, 2]);
        let next = page.next_cursor.unwrap();
        assert_eq!(scope.start(Some(&next)), Ok(Key(2, Uuid::nil())));
    }
}
