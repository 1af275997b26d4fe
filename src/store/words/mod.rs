//! The words that things are found by, and the query that looks for them. Pure functions: the program makes the words,
//! and both databases index them as they are, so that both find the same.
//!
//! ```text
//! fold.rs      the words of a text, and where in it they stand
//! texts.rs     the texts of a thing, the most telling first, as far as they are read
//! document.rs  their words as the databases index them
//! query.rs     what is asked for, and how well a document fits
//! snippet.rs   the piece of a text that shows why it was found
//! ```

mod document;
mod fold;
mod query;
mod snippet;
mod texts;

pub use self::document::Document;
pub use self::query::Query;
pub use self::snippet::snippet;
pub use self::texts::{Room, Texts};

/// Begins what is indexed beside the words, and stands where one text ends and another begins. No letter, so it is in no
/// word; no ASCII, so the index of SQLite takes it for a part of one.
const MARK: char = '·';

/// A key: what a document is found by beside its words, such as its type. No word begins as a key does. Two texts may have
/// one key: it narrows a search, and the row decides.
pub fn key(kind: char, text: &str) -> String {
    let plain = |char: char| if char.is_alphanumeric() { char } else { MARK };
    let mut key = String::with_capacity(MARK.len_utf8() + 1 + text.len().min(fold::LONGEST));
    key.extend([MARK, kind]);
    key.extend(text.chars().take(fold::LONGEST).map(plain));
    key
}

/// A word of a document's name, indexed a second time, so that what is called so is found apart from what only mentions it.
fn in_name(word: &str) -> String {
    format!("{MARK}n{word}")
}

/// Two words that follow each other, as PostgreSQL indexes them: its index knows no places, so that it would have to look
/// at each row that has both. In few letters, for there are as many of them as words; two pairs may have the same.
fn pair(first: &str, second: &str) -> String {
    // FNV-1a. It is in the index for good: it may not change.
    let bytes = first.bytes().chain([0]).chain(second.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("{MARK}p{:06x}", hash >> 8)
}
