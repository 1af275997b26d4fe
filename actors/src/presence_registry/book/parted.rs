//! What sockets looked at that have gone, for as long as their going is no departure: one that comes back under its `sid`
//! looks at it again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::model::presence::Subject;
use crate::runtime::Trim;

/// Sockets that have gone within one grace; of more the first are forgotten.
const MOST: usize = 20_000;

#[derive(Default)]
pub(super) struct Parted {
    of: HashMap<Arc<str>, Gone>,
    /// In the order of their going, and so of their ends.
    ends: VecDeque<(Duration, Arc<str>)>,
}

struct Gone {
    user: Uuid,
    subjects: Vec<Arc<Subject>>,
    until: Duration,
}

impl Parted {
    pub fn keep(
        &mut self,
        sid: Arc<str>,
        user: Uuid,
        subjects: Vec<Arc<Subject>>,
        until: Duration,
    ) {
        if subjects.is_empty() {
            return;
        }
        if self.ends.len() >= MOST {
            self.forget_first();
        }
        self.ends.push_back((until, sid.clone()));
        let gone = Gone {
            user,
            subjects,
            until,
        };
        self.of.insert(sid, gone);
    }

    /// What it looked at, if it was this user's.
    pub fn take(&mut self, sid: &str, user: Uuid) -> Vec<Arc<Subject>> {
        match self.of.remove(sid) {
            Some(gone) if gone.user == user => gone.subjects,
            _ => Vec::new(),
        }
    }

    /// The user has turned away from it with all it has.
    pub fn turn_away(&mut self, user: Uuid, subject: &Subject) {
        for gone in self.of.values_mut().filter(|gone| gone.user == user) {
            gone.subjects.retain(|it| **it != *subject);
        }
    }

    pub fn expire(&mut self, now: Duration) {
        while self.ends.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((until, sid)) = self.ends.pop_front() else {
            return;
        };
        // It may have come back, and gone again.
        if self.of.get(&sid).is_some_and(|gone| gone.until == until) {
            self.of.remove(&sid);
        }
        self.of.trim();
        if self.ends.is_empty() {
            self.ends = VecDeque::new();
        }
    }
}
