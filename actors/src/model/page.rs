//! Pages of a list: `limit` and an opaque `cursor`, newest first.

use serde::Serialize;

/// Rows of one page and where the next begins.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// Opaque; `None` on the last page.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    pub fn empty() -> Page<T> {
        Page {
            rows: Vec::new(),
            next_cursor: None,
        }
    }
}

/// The `meta` of a list.
#[derive(Clone, Debug, Serialize)]
pub struct Meta {
    pub limit: u32,
    pub next_cursor: Option<String>,
    pub has_more: bool,
}
