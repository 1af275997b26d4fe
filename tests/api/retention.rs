//! Retention of the history and of the notifications, as the server keeps it.

use std::time::Duration;

use callboard_actors::model::identity::Role;
use serde_json::json;

use crate::bed::{Bed, Kind, on_both_databases};

on_both_databases!(
    what_is_too_old_goes_with_all_that_was_made_of_it,
    for_ever_is_for_ever,
    notifications_go_when_they_are_old_and_so_does_why_somebody_got_them,
);

const DAY: Duration = Duration::from_secs(86_400);

/// Rows of the history, matches of a search in it, and what its figures count.
async fn there(bed: &Bed) -> (usize, usize, u64) {
    // A token that is good now, whatever the time.
    let admin = bed.admin().await;
    let rows = admin.get("activity/feed?resource_type=episode").await;
    let found = admin.get("activity/search?q=pilot").await;
    let figures = admin
        .get("activity/stats?resource_type=episode&from=2020-01-01T00:00:00Z")
        .await;
    (
        rows.data().as_array().unwrap().len(),
        found.data().as_array().unwrap().len(),
        figures.data()["total"].as_u64().unwrap(),
    )
}

async fn made(kind: Kind, days: &str) -> Bed {
    let settings = [
        ("ACTIVITY_RETENTION_DAYS", days),
        ("ACTIVITY_INDEX_CLEANUP_INTERVAL", "3600000"),
    ];
    let bed = Bed::of_with(kind, &settings).await;
    let editor = bed.editor().await;
    for number in 0..3 {
        let body = json!({"title": "Pilot", "episode_number": number});
        editor.post("episodes", body).await.data();
    }
    bed.flushed().await;
    assert_eq!(there(&bed).await, (3, 3, 3));
    bed
}

async fn what_is_too_old_goes_with_all_that_was_made_of_it(kind: Kind) {
    let bed = made(kind, "30").await;
    bed.clock.advance(29 * DAY);
    bed.flushed().await;
    assert_eq!(there(&bed).await, (3, 3, 3), "not yet");
    bed.clock.advance(2 * DAY);
    // The Janitor has a thread of its own, and nothing tells when it is done.
    let mut left = (3, 3, 3);
    for _ in 0..400 {
        left = there(&bed).await;
        if left == (0, 0, 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{left:?} are still there");
}

async fn for_ever_is_for_ever(kind: Kind) {
    let bed = made(kind, "0").await;
    bed.clock.advance(400 * DAY);
    bed.flushed().await;
    assert_eq!(there(&bed).await, (3, 3, 3));
}

async fn notifications_go_when_they_are_old_and_so_does_why_somebody_got_them(kind: Kind) {
    let settings = [
        ("NOTIFICATION_RETENTION_DAYS", "2"),
        ("RECORD_RETENTION_HOURS", "1000"),
    ];
    let bed = Bed::of_with(kind, &settings).await;
    let ada = bed.user(Role::Viewer).await;
    let body = json!({"user_id": ada.id, "type": "call_sheet", "message": "06:30"});
    let sent = bed.admin().await.post("notifications", body).await;
    let seq = sent.data()["event_seq"].clone();
    let there = async || {
        let mine = bed.anonymous().with_token(&bed.token(&ada));
        let rows = mine.get("notifications").await;
        rows.data().as_array().unwrap().len()
    };
    let why = async || {
        let path = format!("notifications/explain?event_seq={seq}&user_id={}", ada.id);
        let why = bed.admin().await.get(&path).await.data().clone();
        (why["result"].clone(), why["rule"].clone())
    };
    bed.clock.advance(DAY + DAY / 2);
    bed.flushed().await;
    assert_eq!(there().await, 1, "not yet");
    assert_eq!(why().await, (json!("sent"), json!("default")));
    bed.clock.advance(DAY);
    // The Janitor has a thread of its own, and nothing tells when it is done.
    let forgotten = (json!("forgotten"), json!("retention"));
    for _ in 0..400 {
        if there().await == 0 && why().await == forgotten {
            return;
        }
        // It may have been at it when the day was over, and comes again ten minutes later.
        bed.clock.advance(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} is still there, {:?}", there().await, why().await);
}
