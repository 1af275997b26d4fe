//! A user's own notifications: listed, counted, read, deleted; and nobody else's.

use std::time::Duration;

use callboard_actors::model::identity::Role;
use callboard_actors::model::notice::Audience;
use callboard_actors::ports::NotificationSink;
use callboard_actors::testing::{notice, store_notices};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::bed::{Bed, Client, Kind, on_both_databases};

on_both_databases!(
    one_is_read_once_and_by_its_user_alone,
    all_are_read_at_once,
    one_is_deleted_and_gone,
    the_list_has_its_filters_and_pages,
    what_is_read_on_one_device_shows_on_all,
);

/// A user with so many notifications, the newest first, of the types `a` and `b` in turn.
async fn somebody(bed: &Bed, role: Role, count: u64) -> (Client, Vec<Value>) {
    let user = bed.user(role).await;
    let client = bed.anonymous().with_token(&bed.token(&user));
    bed.flushed().await;
    let after = bed.store().position().await.unwrap().seq;
    let notices = (0..count).map(|number| {
        // Places that the Record has not come to: they are unlike those of any entry.
        let seq = 1_000_000 + u64::from(user.id.as_fields().2) * 1_000 + number;
        let at = bed.store().now() + chrono::TimeDelta::microseconds(number as i64);
        let (kind, to) = (["a", "b"][(number % 2) as usize], Audience::user(user.id));
        notice(seq, kind, format!("number {number}"), to, at)
    });
    let written = store_notices(bed.store(), after, after, notices.collect());
    assert_eq!(written.await.unwrap().1.len() as u64, count);
    let rows = client.get("notifications?limit=100").await;
    let rows = rows.data().as_array().unwrap().clone();
    assert_eq!(rows.len() as u64, count);
    (client, rows)
}

fn path(row: &Value, rest: &str) -> String {
    format!("notifications/{}{rest}", row["id"].as_str().unwrap())
}

async fn unread(client: &Client) -> Value {
    client.get("notifications/unread-count").await.data()["unread_count"].clone()
}

async fn one_is_read_once_and_by_its_user_alone(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (ada, rows) = somebody(&bed, Role::Viewer, 3).await;
    assert_eq!(unread(&ada).await, 3);
    let answer = ada.post(&path(&rows[0], "/read"), json!({})).await;
    assert_eq!(answer.status, 200);
    let read = answer.data().clone();
    assert_eq!(read["id"], rows[0]["id"]);
    assert!(read["read_at"].is_string());
    bed.clock.advance(Duration::from_secs(5));
    // With no body at all, too.
    let again = ada.request(reqwest::Method::POST, &path(&rows[0], "/read"));
    let again = crate::bed::answer(again).await;
    assert_eq!(again.data()["read_at"], read["read_at"]);
    assert_eq!(unread(&ada).await, 2);
    // Whoever else it is, and whatever else may be its role.
    for role in [Role::Viewer, Role::Editor, Role::Admin] {
        let other = bed.client(role).await;
        let read = other.post(&path(&rows[1], "/read"), json!({})).await;
        read.refused(404, "not_found");
        other
            .delete(&path(&rows[1], ""))
            .await
            .refused(404, "not_found");
    }
    assert_eq!(unread(&ada).await, 2);
    for wrong in [
        Uuid::now_v7().to_string(),
        "7".into(),
        Uuid::nil().to_string(),
    ] {
        let read = ada
            .post(&format!("notifications/{wrong}/read"), json!({}))
            .await;
        read.refused(404, "not_found");
    }
    let wrong = ada
        .post(&path(&rows[1], "/read"), json!({"at": "now"}))
        .await;
    assert_eq!(wrong.wrong_fields(), ["at"]);
    let wrong = ada.post(&path(&rows[1], "/read?when=now"), json!({})).await;
    assert_eq!(wrong.wrong_fields(), ["when"]);
    // 404 comes before 422.
    let wrong = format!("notifications/{}/read?when=now", Uuid::now_v7());
    ada.post(&wrong, json!({})).await.refused(404, "not_found");
    let nobody = bed.anonymous();
    let refused = nobody.post(&path(&rows[1], "/read"), json!({})).await;
    refused.refused(401, "token_missing");
    assert_eq!(unread(&ada).await, 2, "nothing of that changed anything");
}

async fn all_are_read_at_once(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (ada, _) = somebody(&bed, Role::Viewer, 5).await;
    let (bob, _) = somebody(&bed, Role::Admin, 2).await;
    let all = ada.post("notifications/read-all", json!({})).await;
    assert_eq!(all.status, 200);
    assert_eq!(all.data(), &json!({"updated": 5, "unread_count": 0}));
    let all = ada.post("notifications/read-all", json!({})).await;
    assert_eq!(all.data(), &json!({"updated": 0, "unread_count": 0}));
    let read = ada.get("notifications?read=true&limit=100").await;
    assert_eq!(read.data().as_array().unwrap().len(), 5);
    assert_eq!(unread(&bob).await, 2);
    let wrong = ada
        .post("notifications/read-all", json!({"type": "a"}))
        .await;
    assert_eq!(wrong.wrong_fields(), ["type"]);
    let nobody = bed
        .anonymous()
        .post("notifications/read-all", json!({}))
        .await;
    nobody.refused(401, "token_missing");
}

async fn one_is_deleted_and_gone(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (ada, rows) = somebody(&bed, Role::Viewer, 3).await;
    let deleted = ada.delete(&path(&rows[1], "")).await;
    assert_eq!(deleted.status, 200);
    assert_eq!(deleted.data(), &json!({"id": rows[1]["id"]}));
    assert!(deleted.body["message"].is_string());
    assert_eq!(unread(&ada).await, 2);
    ada.delete(&path(&rows[1], ""))
        .await
        .refused(404, "not_found");
    let read = ada.post(&path(&rows[1], "/read"), json!({})).await;
    read.refused(404, "not_found");
    let wrong = ada.delete(&path(&rows[0], "?hard=true")).await;
    assert_eq!(wrong.wrong_fields(), ["hard"]);
    let left = ada
        .get("notifications")
        .await
        .data()
        .as_array()
        .unwrap()
        .len();
    assert_eq!(left, 2);
}

async fn the_list_has_its_filters_and_pages(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (ada, rows) = somebody(&bed, Role::Viewer, 6).await;
    ada.post(&path(&rows[0], "/read"), json!({})).await.data();
    ada.post(&path(&rows[1], "/read"), json!({})).await.data();
    let ids = async |query: &str| {
        let answer = ada.get(&format!("notifications?{query}")).await;
        let rows = answer.data().as_array().unwrap().clone();
        let ids: Vec<_> = rows.iter().map(|row| row["id"].clone()).collect();
        (ids, answer.body["meta"].clone())
    };
    let of = |numbers: &[usize]| -> Vec<Value> {
        numbers
            .iter()
            .map(|number| rows[*number]["id"].clone())
            .collect()
    };
    assert_eq!(ids("read=true").await.0, of(&[0, 1]));
    assert_eq!(ids("read=false").await.0, of(&[2, 3, 4, 5]));
    assert_eq!(ids("type=a&read=false").await.0, of(&[3, 5]));
    assert_eq!(ids("type=nothing").await.0, of(&[]));
    let (first, meta) = ids("limit=4").await;
    assert_eq!(first, of(&[0, 1, 2, 3]));
    assert_eq!(
        (&meta["limit"], &meta["has_more"]),
        (&json!(4), &json!(true))
    );
    let cursor = meta["next_cursor"].as_str().unwrap();
    let (second, meta) = ids(&format!("limit=4&cursor={cursor}")).await;
    assert_eq!((second, &meta["has_more"]), (of(&[4, 5]), &json!(false)));
    for wrong in ["limit=0", "limit=101", "read=yes", "cursor=x", "kind=a"] {
        let answer = ada.get(&format!("notifications?{wrong}")).await;
        answer.refused(422, "validation_failed");
    }
    // A cursor of another list.
    let other = ada
        .get(&format!("notifications?type=a&cursor={cursor}"))
        .await;
    other.refused(422, "validation_failed");
}

async fn what_is_read_on_one_device_shows_on_all(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (ada, rows) = somebody(&bed, Role::Viewer, 4).await;
    let token = ada.token().to_owned();
    let address = bed.url.replacen("http", "ws", 1);
    let url = format!("{address}/ws?namespaces=feed&token={token}");
    let (mut device, _) = connect_async(url).await.unwrap();
    let mut next = async || loop {
        let message = device.next().await.unwrap().unwrap();
        if let Message::Text(text) = message {
            let event: Value = serde_json::from_str(&text).unwrap();
            if event["event"] == "notification_read" {
                return event;
            }
        }
    };
    ada.post(&path(&rows[0], "/read"), json!({})).await.data();
    let event = next().await;
    assert_eq!(
        event["data"],
        json!({"action": "read", "id": rows[0]["id"], "unread_count": 3})
    );
    assert!(event.get("seq").is_none());
    // What changes nothing is not told.
    ada.post(&path(&rows[0], "/read"), json!({})).await.data();
    ada.delete(&path(&rows[0], "")).await.data();
    ada.delete(&path(&rows[1], "")).await.data();
    let event = next().await;
    assert_eq!(
        event["data"],
        json!({"action": "deleted", "id": rows[1]["id"], "unread_count": 2})
    );
    ada.post("notifications/read-all", json!({})).await.data();
    let event = next().await;
    assert_eq!(
        event["data"],
        json!({"action": "read_all", "id": null, "unread_count": 0})
    );
    ada.post("notifications/read-all", json!({})).await.data();
    // Somebody else's are nobody's business.
    let (bob, others) = somebody(&bed, Role::Admin, 1).await;
    bob.post(&path(&others[0], "/read"), json!({})).await.data();
    let quiet = tokio::time::timeout(Duration::from_millis(100), next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}
