//! Where consumers write, in memory: rows and cursor change together or not at all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::record::Faults;
use crate::model::decision::{Decision, Outcome};
use crate::model::notice::Notice;
use crate::model::notification::{FOLDED, GROWTH, Hour, Notification, Priority};
use crate::model::preferences::Preferences;
use crate::model::presence::{Choice, Memo};
use crate::model::record::{Entry, Seq};
use crate::ports::{
    ActivitySink, Answer, Batch, Decided, Housekeeping, NotificationSink, Position, PresenceMemory,
    Recipient, Resumable, Resumes,
};
use crate::runtime::Clock;

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

/// The notifications of some users, who are due every notice.
#[derive(Default)]
pub struct MemoryNotifications {
    pub users: Vec<Uuid>,
    /// Without one nothing that waits is ever due.
    clock: Option<Clock>,
    state: Mutex<Notified>,
    /// The next batch is written, and nobody ever hears of it.
    pub silent: AtomicBool,
    pub faults: Faults,
}

#[derive(Default)]
struct Notified {
    preferences: HashMap<Uuid, Preferences>,
    rows: Vec<Notification>,
    /// What waits to be pushed, and until when.
    waiting: Vec<(DateTime<Utc>, Uuid)>,
    /// The hour that a fold stands for.
    folds: HashMap<Uuid, Hour>,
    decided: BTreeMap<(Seq, Uuid), (Decision, DateTime<Utc>)>,
    /// Batches that a test has counted by hand.
    before: Vec<(Uuid, DateTime<Utc>, u32)>,
    position: Position,
}

/// The time of a batch.
#[derive(Clone, Copy)]
struct When {
    lease: DateTime<Utc>,
    now: Option<DateTime<Utc>>,
}

impl MemoryNotifications {
    pub fn for_users(users: Vec<Uuid>) -> Arc<MemoryNotifications> {
        Arc::new(MemoryNotifications {
            users,
            ..Default::default()
        })
    }

    pub fn by_clock(mut users: Vec<Uuid>, clock: &Clock) -> Arc<MemoryNotifications> {
        users.sort_unstable();
        Arc::new(MemoryNotifications {
            users,
            clock: Some(clock.clone()),
            ..Default::default()
        })
    }

    pub fn rows(&self) -> Vec<Notification> {
        self.state.lock().rows.clone()
    }

    pub fn decisions(&self) -> BTreeMap<(Seq, Uuid), Decision> {
        let state = self.state.lock();
        let decided = state.decided.iter();
        decided
            .map(|(key, (decision, _))| (*key, *decision))
            .collect()
    }

    pub fn position(&self) -> Seq {
        self.state.lock().position.seq
    }

    pub fn prefer(&self, user: Uuid, preferences: Preferences) {
        self.state.lock().preferences.insert(user, preferences);
    }

    pub fn read(&self, id: Uuid) {
        for row in &mut self.state.lock().rows {
            if row.id == id {
                row.read_at = Some(row.created_at);
            }
        }
    }

    /// Until when the push of this one waits.
    pub fn waits(&self, id: Uuid) -> Option<DateTime<Utc>> {
        let state = self.state.lock();
        let mut waiting = state.waiting.iter();
        waiting.find(|(_, of)| *of == id).map(|(until, _)| *until)
    }

    /// The user has had so many at that time.
    pub fn decided(&self, user: Uuid, at: DateTime<Utc>, count: u32) {
        self.state.lock().before.push((user, at, count));
    }
}

impl Notified {
    fn unread(&self, user: Uuid) -> u64 {
        let of_user = |row: &&Notification| row.user_id == user && row.read_at.is_none();
        self.rows.iter().filter(of_user).count() as u64
    }

    /// Gives what is pushed now, under this lease.
    fn decide(&mut self, decided: Decided, when: When) -> Option<Notification> {
        let Decided {
            notice,
            user_id,
            decision,
        } = decided;
        let key = (notice.seq, user_id);
        if self.decided.contains_key(&key) {
            return None;
        }
        self.decided.insert(key, (decision, notice.at));
        let row = Notification {
            id: Uuid::now_v7(),
            user_id,
            kind: notice.draft.kind.clone(),
            title: notice.draft.title.clone(),
            message: notice.draft.message.clone(),
            data: Value::Object(notice.draft.data.clone()),
            priority: notice.draft.priority,
            event_seq: Some(notice.seq),
            created_at: notice.at,
            delivered_at: None,
            read_at: (decision.outcome == Outcome::Seen).then_some(notice.at),
            expires_at: notice.draft.expires_at,
        };
        match decision.outcome {
            Outcome::Muted | Outcome::Expired => return None,
            Outcome::Folded => return self.fold(row, decision, when),
            Outcome::Sent | Outcome::Seen | Outcome::Deferred => {}
        }
        self.rows.push(row.clone());
        let sent = decision.outcome == Outcome::Sent;
        let push_at = decision.until.or(sent.then_some(when.lease));
        self.waiting.extend(push_at.map(|until| (until, row.id)));
        sent.then_some(row)
    }

    fn fold(&mut self, one: Notification, decision: Decision, when: When) -> Option<Notification> {
        let hour = Hour::of(one.created_at);
        let folds = &self.folds;
        let held = self.rows.iter_mut().find(|row| {
            row.user_id == one.user_id && row.read_at.is_none() && folds.get(&row.id) == Some(&hour)
        });
        if let Some(fold) = held {
            let count = fold.data["count"].as_u64().unwrap_or(0) + 1;
            fold.data["count"] = count.into();
            let (id, grown) = (fold.id, when.now.unwrap_or(one.created_at) + GROWTH);
            let held = self.waiting.iter().position(|(_, of)| *of == id);
            let held = held.map(|place| self.waiting.remove(place).0);
            let push_at = decision.until.unwrap_or_else(|| {
                // Not what somebody is pushing under a lease: that is noted as pushed without what came now.
                let sooner = held.map(|held| held - TimeDelta::microseconds(1));
                sooner.map_or(grown, |held| held.min(grown))
            });
            self.waiting.push((push_at, id));
            return None;
        }
        let fold = Notification {
            kind: FOLDED.into(),
            data: json!({ "count": 1, "types": [one.kind] }),
            event_seq: None,
            ..one
        };
        self.folds.insert(fold.id, hour);
        self.rows.push(fold.clone());
        self.waiting
            .push((decision.until.unwrap_or(when.lease), fold.id));
        decision.until.is_none().then_some(fold)
    }

    /// Until when a push waits that is due now: it is quiet for its user.
    fn quiet(&self, id: Uuid, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let row = self.rows.iter().find(|row| row.id == id)?;
        let quiet = self.preferences.get(&row.user_id)?.quiet_hours.as_ref()?;
        quiet
            .until(now)
            .filter(|_| row.priority != Priority::Urgent)
    }
}

impl NotificationSink for MemoryNotifications {
    fn position(&self) -> Answer<'_, Position> {
        Box::pin(async { self.faults.call(|| self.state.lock().position) })
    }

    fn recipients(
        &self,
        notice: Arc<Notice>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Answer<'_, Vec<Recipient>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.faults.call(|| {
                let state = self.state.lock();
                let due = self.users.iter().copied().filter(|id| {
                    after.is_none_or(|after| *id > after) && notice.except != Some(*id)
                });
                due.take(limit)
                    .map(|user_id| Recipient {
                        user_id,
                        preferences: state.preferences.get(&user_id).cloned().unwrap_or_default(),
                    })
                    .collect()
            })
        })
    }

    fn counts(&self, hour: Hour, users: Vec<Uuid>) -> Answer<'_, Vec<(Uuid, u32)>> {
        Box::pin(async move {
            self.faults.call(|| {
                let state = self.state.lock();
                let count = |user: Uuid| {
                    let rows = state.decided.iter().filter(|((_, id), (decision, at))| {
                        *id == user && decision.counted && Hour::of(*at) == hour
                    });
                    let before = state
                        .before
                        .iter()
                        .filter(|(id, at, _)| *id == user && Hour::of(*at) == hour);
                    rows.count() as u32 + before.map(|(_, _, count)| count).sum::<u32>()
                };
                users.into_iter().map(|user| (user, count(user))).collect()
            })
        })
    }

    fn write(&self, batch: Batch) -> Answer<'_, Option<Vec<Notification>>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let sent = self.faults.call(|| {
                let mut state = self.state.lock();
                if state.position != batch.from {
                    return None;
                }
                state.position = batch.to;
                let when = When {
                    lease: batch.lease,
                    now: self.clock.as_ref().map(Clock::now),
                };
                let decided = batch.decided.into_iter();
                let sent = decided.filter_map(|one| state.decide(one, when));
                Some(sent.collect())
            })?;
            if self.silent.swap(false, Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            Ok(sent)
        })
    }

    fn due(&self, limit: usize, lease: DateTime<Utc>) -> Answer<'_, Vec<Notification>> {
        Box::pin(async move {
            self.faults.call(|| {
                let Some(clock) = &self.clock else {
                    return Vec::new();
                };
                let (now, mut state) = (clock.now(), self.state.lock());
                let mut due = Vec::new();
                for (until, id) in std::mem::take(&mut state.waiting) {
                    let is_due = until <= now && due.len() < limit;
                    let row = state.rows.iter().find(|row| row.id == id);
                    let gone = row.is_none_or(|row| {
                        row.read_at.is_some() || row.expires_at.is_some_and(|end| end <= now)
                    });
                    match (is_due, state.quiet(id, now)) {
                        (false, _) => state.waiting.push((until, id)),
                        (true, _) if gone => {}
                        (true, Some(quiet)) => state.waiting.push((quiet, id)),
                        (true, None) => {
                            state.waiting.push((lease, id));
                            due.push(id);
                        }
                    }
                }
                let rows = state.rows.iter().filter(|row| due.contains(&row.id));
                rows.cloned().collect()
            })
        })
    }

    fn pushed(&self, ids: Vec<Uuid>, lease: DateTime<Utc>) -> Answer<'_, ()> {
        Box::pin(async move {
            self.faults.call(|| {
                let waiting = &mut self.state.lock().waiting;
                waiting.retain(|(until, id)| *until != lease || !ids.contains(id));
            })
        })
    }

    fn unread(&self, users: Vec<Uuid>) -> Answer<'_, Vec<(Uuid, u64)>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.faults.call(|| {
                let state = self.state.lock();
                let count = |user: Uuid| (user, state.unread(user));
                users.into_iter().map(count).collect()
            })
        })
    }

    fn next_due(&self) -> Answer<'_, Option<DateTime<Utc>>> {
        Box::pin(async {
            self.faults.call(|| {
                let state = self.state.lock();
                state.waiting.iter().map(|(until, _)| *until).min()
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
