//! Where consumers write, in memory: rows and cursor change together or not at all.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use uuid::Uuid;

use super::record::Faults;
use crate::model::notification::{Notice, Notification};
use crate::model::presence::{Choice, Memo};
use crate::model::record::{Entry, Seq};
use crate::ports::{
    ActivitySink, Answer, Housekeeping, NotificationSink, PresenceMemory, Resumable, Resumes,
};

/// The activity table: the `seq` of each row, in the order in which the rows were written.
#[derive(Default)]
pub struct MemoryActivity {
    rows: Mutex<Vec<Seq>>,
    cursor: Mutex<Seq>,
    pub faults: Faults,
}

impl MemoryActivity {
    pub fn new() -> Arc<MemoryActivity> {
        Arc::default()
    }

    pub fn rows(&self) -> Vec<Seq> {
        self.rows.lock().clone()
    }

    /// Another node writes up to `seq`.
    pub fn overtake(&self, seq: Seq) {
        let mut cursor = self.cursor.lock();
        self.rows.lock().extend(*cursor + 1..=seq);
        *cursor = seq;
    }
}

impl ActivitySink for MemoryActivity {
    fn cursor(&self) -> Answer<'_, Seq> {
        Box::pin(async { self.faults.call(|| *self.cursor.lock()) })
    }

    fn write(&self, entries: Vec<Arc<Entry>>) -> Answer<'_, (Seq, bool)> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.faults.call(|| {
                let mut cursor = self.cursor.lock();
                let next = entries
                    .first()
                    .is_some_and(|first| first.seq == *cursor + 1);
                if next {
                    for entry in entries {
                        assert_eq!(entry.seq, *cursor + 1, "a batch without a gap");
                        self.rows.lock().push(entry.seq);
                        *cursor = entry.seq;
                    }
                }
                (*cursor, next)
            })
        })
    }
}

/// The notifications of two users, who are due every notice.
#[derive(Default)]
pub struct MemoryNotifications {
    pub users: Vec<Uuid>,
    rows: Mutex<Vec<Notification>>,
    cursor: Mutex<Seq>,
    pub faults: Faults,
}

impl MemoryNotifications {
    pub fn for_users(users: Vec<Uuid>) -> Arc<MemoryNotifications> {
        Arc::new(MemoryNotifications {
            users,
            ..Default::default()
        })
    }

    pub fn rows(&self) -> Vec<Notification> {
        self.rows.lock().clone()
    }

    pub fn position(&self) -> Seq {
        *self.cursor.lock()
    }

    fn store(&self, notice: &Notice) -> Vec<(Notification, u64)> {
        let mut rows = self.rows.lock();
        let mut stored = Vec::new();
        for &user_id in &self.users {
            let row = Notification {
                id: Uuid::now_v7(),
                user_id,
                kind: notice.kind.into(),
                title: Some(notice.title.clone()),
                message: notice.message.clone(),
                data: notice.data.clone(),
                priority: "normal".into(),
                event_seq: Some(notice.seq),
                created_at: notice.at,
                delivered_at: None,
                read_at: None,
                expires_at: None,
            };
            rows.push(row.clone());
            let unread = rows.iter().filter(|row| row.user_id == user_id).count();
            stored.push((row, unread as u64));
        }
        stored
    }
}

impl NotificationSink for MemoryNotifications {
    fn cursor(&self) -> Answer<'_, Seq> {
        Box::pin(async { self.faults.call(|| *self.cursor.lock()) })
    }

    fn write(
        &self,
        after: Seq,
        upto: Seq,
        notices: Vec<Notice>,
    ) -> Answer<'_, (Seq, Vec<(Notification, u64)>)> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.faults.call(|| {
                let mut cursor = self.cursor.lock();
                if *cursor != after {
                    return (*cursor, Vec::new());
                }
                *cursor = upto;
                let stored = notices.iter().flat_map(|notice| self.store(notice));
                (upto, stored.collect())
            })
        })
    }
}

/// Resumable sockets by `sid`.
#[derive(Default)]
pub struct MemoryResumes {
    rows: Mutex<HashMap<String, Resumable>>,
    touched: Mutex<Vec<Vec<String>>>,
    pub faults: Faults,
}

impl MemoryResumes {
    pub fn new() -> Arc<MemoryResumes> {
        Arc::default()
    }

    /// The `sid`s of each touch so far.
    pub fn touched(&self) -> Vec<Vec<String>> {
        self.touched.lock().clone()
    }
}

impl Resumes for MemoryResumes {
    fn find(&self, sid: String) -> Answer<'_, Option<Resumable>> {
        Box::pin(async move { self.faults.call(|| self.rows.lock().get(&sid).cloned()) })
    }

    fn save(&self, resumable: Resumable) -> Answer<'_, ()> {
        Box::pin(async move {
            self.faults.call(|| {
                self.rows.lock().insert(resumable.sid.clone(), resumable);
            })
        })
    }

    fn save_if(&self, resumable: Resumable, _: Uuid) -> Answer<'_, bool> {
        Box::pin(async move { self.save(resumable).await.map(|()| true) })
    }

    fn touch(&self, sids: Vec<String>) -> Answer<'_, ()> {
        Box::pin(async move { self.faults.call(|| self.touched.lock().push(sids)) })
    }
}

/// Keeps the moments at which it was told to prune.
#[derive(Default)]
pub struct MemoryHousekeeping {
    pruned: Mutex<Vec<DateTime<Utc>>>,
    activity_pruned: Mutex<Vec<DateTime<Utc>>>,
    checkpoints: Mutex<u64>,
    pub faults: Faults,
}

impl MemoryHousekeeping {
    pub fn new() -> Arc<MemoryHousekeeping> {
        Arc::default()
    }

    pub fn pruned(&self) -> Vec<DateTime<Utc>> {
        self.pruned.lock().clone()
    }

    pub fn activity_pruned(&self) -> Vec<DateTime<Utc>> {
        self.activity_pruned.lock().clone()
    }

    pub fn checkpoints(&self) -> u64 {
        *self.checkpoints.lock()
    }
}

impl Housekeeping for MemoryHousekeeping {
    fn prune(&self, now: DateTime<Utc>) -> Answer<'_, u64> {
        Box::pin(async move {
            self.faults.call(|| {
                self.pruned.lock().push(now);
                0
            })
        })
    }

    fn prune_activity(&self, now: DateTime<Utc>) -> Answer<'_, u64> {
        Box::pin(async move {
            self.activity_pruned.lock().push(now);
            Ok(0)
        })
    }

    fn checkpoint(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            *self.checkpoints.lock() += 1;
            Ok(1)
        })
    }
}

/// Of each user what was last written, and how many each write was of.
#[derive(Default)]
pub struct MemoryPresence {
    rows: Mutex<HashMap<Uuid, Memo>>,
    batches: Mutex<Vec<usize>>,
    pub faults: Faults,
}

impl MemoryPresence {
    pub fn new() -> Arc<MemoryPresence> {
        Arc::default()
    }

    pub fn rows(&self) -> HashMap<Uuid, Memo> {
        self.rows.lock().clone()
    }

    pub fn batches(&self) -> Vec<usize> {
        self.batches.lock().clone()
    }
}

impl PresenceMemory for MemoryPresence {
    fn choices(&self) -> Answer<'_, Vec<(Uuid, Choice)>> {
        Box::pin(async move {
            self.faults.call(|| {
                let rows = self.rows.lock();
                let chosen = rows
                    .values()
                    .filter_map(|memo| Some((memo.user, memo.choice.clone()?)));
                chosen.collect()
            })
        })
    }

    fn remember(&self, memos: Vec<Memo>) -> Answer<'_, ()> {
        Box::pin(async move {
            self.faults.call(|| {
                self.batches.lock().push(memos.len());
                let mut rows = self.rows.lock();
                for memo in memos {
                    let earlier = rows.remove(&memo.user).and_then(|row| row.choice);
                    let choice = memo.choice.or(earlier);
                    rows.insert(memo.user, Memo { choice, ..memo });
                }
            })
        })
    }
}
