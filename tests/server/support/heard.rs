//! What a client heard, in order, as JSON reports: one form for every kind of client.
//!
//! `{"on":"connect","sid":…,"recovered":…}`, `{"on":"event","name":…,"args":[…]}` (a plain client's or a stream's event is
//! its one argument), `{"on":"disconnect","reason":…}`, `{"on":"connect_error",…}`, `{"on":"closed","code":…}`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{SOON, described};

#[derive(Clone, Default)]
pub struct Heard(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Events are kept by name and `seq` alone: for tests that hear very many.
    brief: bool,
    /// What is heard is not held against our document.
    another: bool,
    reports: Mutex<Reports>,
    news: Notify,
}

#[derive(Default)]
struct Reports {
    all: Vec<(Instant, Value)>,
    /// Where the next `wait` begins: a test reads forward.
    cursor: usize,
}

impl Heard {
    /// One that forgets what is in recorded events, all but their name and `seq`.
    pub fn brief() -> Heard {
        Heard(Arc::new(Inner {
            brief: true,
            ..Inner::default()
        }))
    }

    /// One of another server, which sends what it likes.
    pub fn of_another_server() -> Heard {
        Heard(Arc::new(Inner {
            another: true,
            ..Inner::default()
        }))
    }

    pub fn is_brief(&self) -> bool {
        self.0.brief
    }

    pub fn push(&self, mut report: Value) {
        if let Some(seq) = seq(&report).filter(|_| self.0.brief && report["args"].is_array()) {
            report = json!({"on": "event", "name": report["name"], "seq": seq});
        }
        if !self.0.another {
            described::hold(&report);
        }
        self.0.reports.lock().all.push((Instant::now(), report));
        self.0.news.notify_waiters();
    }

    /// The next report that `wanted` takes, after the last one that was waited for. Those between are passed over.
    pub async fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_within(SOON, what, wanted).await
    }

    pub async fn wait_within(
        &self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut looked_at = 0;
        let found = tokio::time::timeout(limit, async {
            loop {
                let news = self.0.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if let Some(report) = self.take(&wanted, &mut looked_at) {
                    return report;
                }
                news.await;
            }
        });
        match found.await {
            Ok(report) => report,
            Err(_) => {
                let reports = self.0.reports.lock();
                let tail: Vec<String> = reports
                    .all
                    .iter()
                    .rev()
                    .take(12)
                    .rev()
                    .map(|(_, report)| report.to_string())
                    .collect();
                panic!(
                    "not heard within {limit:?}: {what}; the last of {}:\n{}",
                    reports.all.len(),
                    tail.join("\n")
                );
            }
        }
    }

    fn take(&self, wanted: &impl Fn(&Value) -> bool, looked_at: &mut usize) -> Option<Value> {
        let mut reports = self.0.reports.lock();
        let from = reports.cursor.max(*looked_at);
        *looked_at = reports.all.len();
        let at = reports.all[from..]
            .iter()
            .position(|(_, report)| wanted(report))?;
        reports.cursor = from + at + 1;
        Some(reports.all[from + at].1.clone())
    }

    /// The next report of this sort: `connect`, `disconnect`, …
    pub async fn on(&self, sort: &str) -> Value {
        self.wait(sort, |report| report["on"] == sort).await
    }

    /// The next event of this name.
    pub async fn event(&self, name: &str) -> Value {
        self.wait(&format!("event {name}"), |report| {
            report["on"] == "event" && report["name"] == name
        })
        .await
    }

    pub fn all(&self) -> Vec<Value> {
        self.0
            .reports
            .lock()
            .all
            .iter()
            .map(|(_, report)| report.clone())
            .collect()
    }

    pub fn all_timed(&self) -> Vec<(Instant, Value)> {
        self.0.reports.lock().all.clone()
    }

    pub fn count(&self, wanted: impl Fn(&Value) -> bool) -> usize {
        self.0
            .reports
            .lock()
            .all
            .iter()
            .filter(|(_, report)| wanted(report))
            .count()
    }

    /// The `seq` of every recorded event that was heard, in the order of hearing.
    pub fn seqs(&self) -> Vec<u64> {
        self.0
            .reports
            .lock()
            .all
            .iter()
            .filter_map(|(_, report)| seq(report))
            .collect()
    }

    pub fn last_seq(&self) -> Option<u64> {
        self.0
            .reports
            .lock()
            .all
            .iter()
            .rev()
            .find_map(|(_, report)| seq(report))
    }

    /// Waits until an event with this `seq` was heard, wherever the cursor is.
    pub async fn reached(&self, wanted: u64, within: Duration) -> bool {
        let waiting = async {
            loop {
                let news = self.0.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if self.last_seq().is_some_and(|seq| seq >= wanted) {
                    return;
                }
                news.await;
            }
        };
        tokio::time::timeout(within, waiting).await.is_ok()
    }
}

/// The `seq` of an event's report; `None` for what was never recorded.
pub fn seq(report: &Value) -> Option<u64> {
    // An acknowledgement of `join` speaks of a `seq` too.
    if report["on"] != "event" {
        return None;
    }
    report["seq"]
        .as_u64()
        .or_else(|| report["args"][0]["seq"].as_u64())
}
