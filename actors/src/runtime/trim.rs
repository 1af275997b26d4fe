//! Tables that a herd has filled are made smaller when it has left: by itself none ever is.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};

/// To be called after each removal: at a quarter of what it holds a table is halved, so that it costs nothing on average.
pub trait Trim {
    fn trim(&mut self);
}

impl<K: Eq + Hash, V, S: BuildHasher> Trim for HashMap<K, V, S> {
    fn trim(&mut self) {
        if self.len() < self.capacity() / 4 {
            self.shrink_to(2 * self.len());
        }
    }
}

impl<T: Eq + Hash, S: BuildHasher> Trim for HashSet<T, S> {
    fn trim(&mut self) {
        if self.len() < self.capacity() / 4 {
            self.shrink_to(2 * self.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gives_back_what_a_herd_took_and_is_not_made_anew_for_each_that_leaves() {
        let mut table: HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
        let mut changes = 0;
        for n in 0..10_000 {
            table.remove(&n);
            let before = table.capacity();
            table.trim();
            changes += usize::from(table.capacity() != before);
        }
        assert!(table.capacity() < 16, "{}", table.capacity());
        assert!(changes < 20, "{changes} times");
    }
}
