//! Notifications that admins send, what users prefer, and why somebody got one.

use std::time::Duration;

use callboard_actors::model::identity::{Role, User};
use chrono::{Timelike, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bed::{Answer, Bed, Client, Kind, on_both_databases};

on_both_databases!(
    what_an_admin_sends_reaches_whom_it_names_in_each_of_the_five_ways,
    who_is_disabled_gets_nothing,
    only_an_admin_sends_or_asks_why_and_what_is_wrong_is_said,
    above_the_limit_they_are_folded_and_when_all_are_nothing_is_stored,
    the_limit_counts_on_after_a_restart_and_a_panic_of_its_actor,
    preferences_are_kept_member_by_member_and_are_nobody_elses,
    muted_types_are_not_stored_by_either_list_and_the_own_limit_holds,
    in_quiet_hours_it_waits_and_turning_them_off_lets_it_go,
    what_became_of_an_event_is_explained_for_everybody,
    when_notifications_are_switched_off_nothing_is_sent_and_preferences_are_kept,
);

async fn somebody(bed: &Bed, role: Role) -> (User, Client) {
    let user = bed.user(role).await;
    let client = bed.anonymous().with_token(&bed.token(&user));
    (user, client)
}

async fn send(admin: &Client, to: Value) -> Answer {
    let mut body =
        json!({"type": "call_sheet", "title": "Day 3", "message": "06:30", "data": {"day": 3}});
    for (name, value) in to.as_object().unwrap() {
        body[name] = value.clone();
    }
    admin.post("notifications", body).await
}

async fn types(client: &Client) -> Vec<Value> {
    let rows = client.get("notifications?limit=100").await;
    let rows = rows.data().as_array().unwrap().clone();
    rows.into_iter().map(|row| row["type"].clone()).collect()
}

async fn explain(admin: &Client, seq: &Value, user: &User) -> Value {
    let path = format!("notifications/explain?event_seq={seq}&user_id={}", user.id);
    admin.get(&path).await.data().clone()
}

#[track_caller]
fn counts(answer: &Answer) -> [u64; 4] {
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.data()["complete"], true);
    ["created", "folded", "muted", "deferred"].map(|name| answer.data()[name].as_u64().unwrap())
}

async fn what_an_admin_sends_reaches_whom_it_names_in_each_of_the_five_ways(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (boss, admin) = somebody(&bed, Role::Admin).await;
    let (ed, editor) = somebody(&bed, Role::Editor).await;
    let (vi, viewer) = somebody(&bed, Role::Viewer).await;
    let to = |name: &str, value: Value| json!({ name: value });
    let patch = admin
        .patch(&format!("users/{}", ed.id), json!({"team": "north"}))
        .await;
    assert_eq!(patch.status, 200);

    let one = send(&admin, to("user_id", json!(vi.id))).await;
    assert_eq!(counts(&one), [1, 0, 0, 0]);
    let reached = &one.data()["recipients"];
    assert_eq!(
        (&reached[0]["user_id"], &reached[0]["result"]),
        (&json!(vi.id), &json!("sent"))
    );
    let row = viewer.get("notifications").await.data()[0].clone();
    assert_eq!(row["id"], reached[0]["notification_id"]);
    assert_eq!(
        (&row["type"], &row["title"], &row["message"]),
        (&json!("call_sheet"), &json!("Day 3"), &json!("06:30"))
    );
    assert_eq!(
        (&row["data"], &row["priority"]),
        (&json!({"day": 3}), &json!("normal"))
    );
    assert_eq!(row["event_seq"], one.data()["event_seq"]);

    let twice = json!([vi.id, ed.id, vi.id]);
    assert_eq!(
        counts(&send(&admin, to("user_ids", twice)).await),
        [2, 0, 0, 0]
    );
    assert_eq!(
        counts(&send(&admin, to("role", json!("editor"))).await),
        [1, 0, 0, 0]
    );
    assert_eq!(
        counts(&send(&admin, to("team", json!("north"))).await),
        [1, 0, 0, 0]
    );
    assert_eq!(
        counts(&send(&admin, to("team", json!("south"))).await),
        [0, 0, 0, 0]
    );
    // The first admin, made at the start, is one of all; so is the sender.
    assert_eq!(
        counts(&send(&admin, to("all", json!(true))).await),
        [4, 0, 0, 0]
    );
    assert_eq!(
        counts(&send(&admin, to("user_id", json!(boss.id))).await),
        [1, 0, 0, 0]
    );
    assert_eq!(types(&viewer).await.len(), 3);
    // The fourth is of the change of the team: no, of nothing but what was sent.
    assert_eq!(types(&editor).await.len(), 4);
}

async fn who_is_disabled_gets_nothing(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (_, admin) = somebody(&bed, Role::Admin).await;
    let (vi, _) = somebody(&bed, Role::Viewer).await;
    let path = format!("users/{}", vi.id);
    assert_eq!(
        admin.patch(&path, json!({"disabled": true})).await.status,
        200
    );
    let sent = send(&admin, json!({"user_id": vi.id})).await;
    assert_eq!(counts(&sent), [0, 0, 0, 0]);
    let why = explain(&admin, &sent.data()["event_seq"], &vi).await;
    assert_eq!(
        (&why["result"], &why["rule"]),
        (&json!("not_recipient"), &json!("disabled"))
    );
}

async fn only_an_admin_sends_or_asks_why_and_what_is_wrong_is_said(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (_, admin) = somebody(&bed, Role::Admin).await;
    let (vi, viewer) = somebody(&bed, Role::Viewer).await;
    let (_, editor) = somebody(&bed, Role::Editor).await;
    for client in [&viewer, &editor] {
        send(client, json!({"all": true}))
            .await
            .refused(403, "forbidden");
        let path = format!("notifications/explain?event_seq=1&user_id={}", vi.id);
        client.get(&path).await.refused(403, "forbidden");
    }
    for (body, fields) in [
        (json!({}), vec!["user_id"]),
        (json!({"user_id": null, "all": null}), vec!["user_id"]),
        (json!({"user_id": vi.id, "all": true}), vec!["all"]),
        (
            json!({"team": "a", "role": "viewer", "all": true}),
            vec!["team", "all"],
        ),
        (json!({"all": false}), vec!["all"]),
        (json!({"role": "boss"}), vec!["role"]),
        (json!({"user_id": "x"}), vec!["user_id"]),
        (json!({"user_id": Uuid::now_v7()}), vec!["user_id"]),
        (json!({"user_ids": []}), vec!["user_ids"]),
        (
            json!({"user_ids": [vi.id, Uuid::now_v7()]}),
            vec!["user_ids"],
        ),
        (json!({"team": ""}), vec!["team"]),
        (json!({"team": "a\0"}), vec!["team"]),
        (json!({"all": true, "type": null}), vec!["type"]),
        (
            json!({"all": true, "type": "episode_created"}),
            vec!["type"],
        ),
        (json!({"all": true, "type": "role_changed"}), vec!["type"]),
        (json!({"all": true, "type": "folded"}), vec!["type"]),
        (json!({"all": true, "type": "Two words"}), vec!["type"]),
        (
            json!({"all": true, "priority": "extreme"}),
            vec!["priority"],
        ),
        (json!({"all": true, "data": []}), vec!["data"]),
        (
            json!({"all": true, "data": {"x": "y".repeat(17_000)}}),
            vec!["data"],
        ),
        (
            json!({"all": true, "title": "x".repeat(301)}),
            vec!["title"],
        ),
        (
            json!({"all": true, "expires_at": "tomorrow"}),
            vec!["expires_at"],
        ),
        (
            json!({"all": true, "expires_at": "2001-01-01T00:00:00Z"}),
            vec!["expires_at"],
        ),
        (json!({"all": true, "message": null}), vec!["message"]),
        (json!({"all": true, "message": ""}), vec!["message"]),
        (
            json!({"all": true, "message": "x".repeat(10_001)}),
            vec!["message"],
        ),
        (json!({"all": true, "colour": "red"}), vec!["colour"]),
    ] {
        assert_eq!(
            send(&admin, body.clone()).await.wrong_fields(),
            fields,
            "{body}"
        );
    }
    let without = json!({"all": true, "type": "call_sheet", "title": "Day 3"});
    let answer = admin.post("notifications", without).await;
    assert_eq!(answer.wrong_fields(), ["message"]);
    assert_eq!(types(&viewer).await, [""; 0]);
    for (path, fields) in [
        ("notifications/explain", vec!["event_seq"]),
        ("notifications/explain?event_seq=1", vec!["user_id"]),
        (
            "notifications/explain?event_seq=0&user_id=x",
            vec!["event_seq", "user_id"],
        ),
    ] {
        assert_eq!(admin.get(path).await.wrong_fields(), fields);
    }
    let path = format!(
        "notifications/explain?event_seq=1&user_id={}",
        Uuid::now_v7()
    );
    admin.get(&path).await.refused(404, "not_found");
    let path = format!("notifications/explain?event_seq=999999&user_id={}", vi.id);
    admin.get(&path).await.refused(404, "not_found");
}

async fn above_the_limit_they_are_folded_and_when_all_are_nothing_is_stored(kind: Kind) {
    let bed = Bed::of_with(kind, &[("NOTIFICATION_RATE_LIMIT", "3")]).await;
    let (_, admin) = somebody(&bed, Role::Admin).await;
    let (ada, one) = somebody(&bed, Role::Viewer).await;
    let (bob, two) = somebody(&bed, Role::Viewer).await;
    for _ in 0..3 {
        assert_eq!(
            counts(&send(&admin, json!({"user_id": ada.id})).await),
            [1, 0, 0, 0]
        );
    }
    let refused = send(&admin, json!({"user_id": ada.id})).await;
    refused.refused(429, "too_many_notifications");
    let wait: u32 = refused.header("retry-after").parse().unwrap();
    let now = bed.clock.now();
    let left = 3_600 - (now.minute() * 60 + now.second());
    assert!(wait.abs_diff(left) <= 1, "{wait} of {left}");
    assert_eq!(types(&one).await.len(), 3);

    let both = send(&admin, json!({"user_ids": [ada.id, bob.id]})).await;
    assert_eq!(counts(&both), [1, 1, 0, 0]);
    let rows = one.get("notifications").await;
    let fold = rows.data()[0].clone();
    assert_eq!(fold["type"], "folded");
    assert_eq!(fold["data"], json!({"count": 1, "types": ["call_sheet"]}));
    assert_eq!(fold["message"], "and 1 more");
    let why = explain(&admin, &both.data()["event_seq"], &ada).await;
    assert_eq!(
        (&why["result"], &why["rule"]),
        (&json!("folded"), &json!("rate_limit"))
    );
    assert_eq!(why["notification_id"], fold["id"]);

    let other = json!({"user_ids": [ada.id, bob.id], "type": "weather"});
    assert_eq!(counts(&send(&admin, other).await), [1, 1, 0, 0]);
    let fold = one.get("notifications?type=folded").await.data()[0].clone();
    assert_eq!(
        fold["data"],
        json!({"count": 2, "types": ["call_sheet", "weather"]})
    );
    // Read: what comes then begins another.
    let path = format!("notifications/{}/read", fold["id"].as_str().unwrap());
    assert_eq!(one.post(&path, json!({})).await.status, 200);
    assert_eq!(
        counts(&send(&admin, json!({"user_ids": [ada.id, bob.id]})).await),
        [1, 1, 0, 0]
    );
    let folds = one.get("notifications?type=folded").await;
    let folds: Vec<_> = folds
        .data()
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["data"]["count"].clone())
        .collect();
    assert_eq!(folds, [1, 2]);
    // Urgent ones are not held back, and take nobody's place.
    let urgent = json!({"user_id": ada.id, "priority": "urgent"});
    assert_eq!(counts(&send(&admin, urgent).await), [1, 0, 0, 0]);
    send(&admin, json!({"user_ids": [ada.id, bob.id]}))
        .await
        .refused(429, "too_many_notifications");
    assert_eq!(types(&two).await.len(), 3);

    // The tokens end with the hour.
    bed.clock.advance(Duration::from_secs(3_600));
    let (_, admin) = somebody(&bed, Role::Admin).await;
    assert_eq!(
        counts(&send(&admin, json!({"user_id": ada.id})).await),
        [1, 0, 0, 0]
    );
}

async fn the_limit_counts_on_after_a_restart_and_a_panic_of_its_actor(kind: Kind) {
    let bed = Bed::of_with(
        kind,
        &[("NOTIFICATION_RATE_LIMIT", "2"), ("CALLBOARD_FAULTS", "1")],
    )
    .await;
    let (_, admin) = somebody(&bed, Role::Admin).await;
    let (ada, one) = somebody(&bed, Role::Viewer).await;
    let (bob, _) = somebody(&bed, Role::Viewer).await;
    assert_eq!(
        counts(&send(&admin, json!({"user_id": ada.id})).await),
        [1, 0, 0, 0]
    );
    let poked = admin.post("actors/RateLimiter/panic", json!({})).await;
    assert!(poked.status < 300, "{}", poked.body);
    assert_eq!(
        counts(&send(&admin, json!({"user_id": ada.id})).await),
        [1, 0, 0, 0]
    );
    let both = send(&admin, json!({"user_ids": [ada.id, bob.id]})).await;
    assert_eq!(counts(&both), [1, 1, 0, 0]);
    assert_eq!(types(&one).await, ["folded", "call_sheet", "call_sheet"]);
}

async fn preferences_are_kept_member_by_member_and_are_nobody_elses(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (_, admin) = somebody(&bed, Role::Admin).await;
    let (ada, one) = somebody(&bed, Role::Viewer).await;
    let path = "notifications/preferences";
    let none = json!({"muted_types": [], "types": {}, "quiet_hours": null, "hourly_limit": null});
    assert_eq!(one.get(path).await.data(), &none);
    let first = json!({
        "muted_types": ["b", "a"],
        "types": {"x": false, "y": true},
        "quiet_hours": {"start": "22:00", "end": "07:00", "time_zone": "Europe/Berlin"},
        "hourly_limit": 5,
    });
    let mut held = none.clone();
    held["muted_types"] = json!(["a", "b"]);
    held["types"] = first["types"].clone();
    held["hourly_limit"] = json!(5);
    held["quiet_hours"] = first["quiet_hours"].clone();
    held["quiet_hours"]["days"] = json!(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]);
    let answer = one.post(path, first).await;
    assert_eq!((answer.status, answer.data()), (200, &held));
    assert_eq!(one.post(path, json!({})).await.data(), &held);
    let change = json!({"types": {"x": null, "z": false}, "hourly_limit": null, "quiet_hours": {"days": ["sun", "sat"]}});
    held["types"] = json!({"y": true, "z": false});
    held["hourly_limit"] = Value::Null;
    held["quiet_hours"]["days"] = json!(["sat", "sun"]);
    assert_eq!(one.post(path, change).await.data(), &held);
    assert_eq!(one.get(path).await.data(), &held);
    assert_eq!(admin.get(path).await.data(), &none);
    let clear = json!({"muted_types": null, "types": null, "quiet_hours": null});
    assert_eq!(one.post(path, clear).await.data(), &none);

    for (body, fields) in [
        (json!({"mutedTypes": []}), vec!["mutedTypes"]),
        (
            json!({"muted_types": "a", "types": [], "quiet_hours": 1, "hourly_limit": 0}),
            vec!["muted_types", "types", "hourly_limit", "quiet_hours"],
        ),
        (json!({"muted_types": ["Two words"]}), vec!["muted_types"]),
        (json!({"muted_types": ["folded"]}), vec!["muted_types"]),
        (json!({"types": {"a": 1}}), vec!["types"]),
        (json!({"hourly_limit": -1}), vec!["hourly_limit"]),
        (json!({"hourly_limit": 1.5}), vec!["hourly_limit"]),
        (
            json!({"quiet_hours": {"start": "22:00", "end": "07:00"}}),
            vec!["quiet_hours"],
        ),
        (
            json!({"quiet_hours": {"start": "22:00", "end": "07:00", "time_zone": "Mars/Base"}}),
            vec!["quiet_hours.time_zone"],
        ),
        (
            json!({"quiet_hours": {"start": "25:00", "end": "7:00", "time_zone": "UTC"}}),
            vec!["quiet_hours.start", "quiet_hours.end"],
        ),
        (
            json!({"quiet_hours": {"days": ["monday"]}}),
            vec!["quiet_hours.days"],
        ),
        (
            json!({"quiet_hours": {"days": []}}),
            vec!["quiet_hours.days"],
        ),
        (
            json!({"quiet_hours": {"zone": "UTC"}}),
            vec!["quiet_hours.zone"],
        ),
        (
            json!({"quiet_hours": {"start": null}}),
            vec!["quiet_hours.start"],
        ),
    ] {
        let mut found = one.post(path, body.clone()).await.wrong_fields();
        found.sort();
        let mut fields = fields;
        fields.sort_unstable();
        assert_eq!(found, fields, "{body}");
    }
    assert_eq!(one.get(path).await.data(), &none);
    bed.anonymous()
        .get(path)
        .await
        .refused(401, "token_missing");
    // Three changes changed something: three entries, for this user alone.
    let entries = callboard::store::record::after(bed.store(), 0, 100)
        .await
        .unwrap();
    let mine: Vec<_> = entries
        .iter()
        .filter(|entry| entry.event == "preferences_updated")
        .collect();
    assert_eq!(mine.len(), 3);
    assert_eq!(mine[0].audience.len(), 1);
    assert!(mine[0].data.get().contains(&ada.id.to_string()));
}

async fn muted_types_are_not_stored_by_either_list_and_the_own_limit_holds(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (_, admin) = somebody(&bed, Role::Admin).await;
    let (ada, one) = somebody(&bed, Role::Viewer).await;
    let prefer = async |held: Value| {
        let answer = one.post("notifications/preferences", held).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    prefer(json!({"muted_types": ["call_sheet"], "types": {"weather": false}})).await;
    for kind in ["call_sheet", "weather"] {
        let urgent = json!({"user_id": ada.id, "type": kind, "priority": "urgent"});
        let sent = send(&admin, urgent).await;
        assert_eq!(counts(&sent), [0, 0, 1, 0]);
        assert_eq!(
            sent.data()["recipients"],
            json!([{"user_id": ada.id, "result": "muted"}])
        );
    }
    assert_eq!(types(&one).await, [""; 0]);
    prefer(json!({"muted_types": null, "types": null, "hourly_limit": 1})).await;
    assert_eq!(
        counts(&send(&admin, json!({"user_id": ada.id})).await),
        [1, 0, 0, 0]
    );
    send(&admin, json!({"user_id": ada.id}))
        .await
        .refused(429, "too_many_notifications");
    // Whoever mutes it is nobody whom a limit holds back.
    prefer(json!({"muted_types": ["call_sheet"]})).await;
    assert_eq!(
        counts(&send(&admin, json!({"user_id": ada.id})).await),
        [0, 0, 1, 0]
    );
}

async fn in_quiet_hours_it_waits_and_turning_them_off_lets_it_go(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (_, admin) = somebody(&bed, Role::Admin).await;
    let (ada, one) = somebody(&bed, Role::Viewer).await;
    let now = bed.clock.now().with_timezone(&Utc);
    let at = |hours: i64| {
        (now + chrono::TimeDelta::hours(hours))
            .format("%H:%M")
            .to_string()
    };
    let quiet = json!({"quiet_hours": {"start": at(-1), "end": at(2), "time_zone": "UTC"}});
    assert_eq!(
        one.post("notifications/preferences", quiet).await.status,
        200
    );
    let sent = send(&admin, json!({"user_id": ada.id})).await;
    assert_eq!(counts(&sent), [0, 0, 0, 1]);
    assert_eq!(types(&one).await, ["call_sheet"], "stored at once");
    let why = explain(&admin, &sent.data()["event_seq"], &ada).await;
    assert_eq!(
        (&why["result"], &why["rule"]),
        (&json!("deferred"), &json!("quiet_hours"))
    );
    assert!(why["until"].as_str().unwrap().contains(&at(2)));
    let urgent = send(&admin, json!({"user_id": ada.id, "priority": "urgent"})).await;
    assert_eq!(counts(&urgent), [1, 0, 0, 0]);
    let waiting = async || {
        let next = callboard_actors::ports::NotificationSink::next_due(bed.store()).await;
        next.unwrap()
    };
    assert!(waiting().await.unwrap() > bed.clock.now());
    let off = json!({"quiet_hours": null});
    assert_eq!(one.post("notifications/preferences", off).await.status, 200);
    assert!(waiting().await.unwrap() <= bed.clock.now());
    for _ in 0..2_000 {
        if waiting().await.is_none() {
            break;
        }
        bed.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(waiting().await, None, "pushed");
}

async fn what_became_of_an_event_is_explained_for_everybody(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (boss, admin) = somebody(&bed, Role::Admin).await;
    let (alan, _) = somebody(&bed, Role::Admin).await;
    let (ada, _) = somebody(&bed, Role::Viewer).await;
    let made = admin
        .post("episodes", json!({"title": "Pilot", "episode_number": 1}))
        .await;
    assert_eq!(made.status, 201);
    bed.flushed().await;
    let seq = callboard::store::record::span(bed.store())
        .await
        .unwrap()
        .last;
    let seq = json!(seq);
    let why = async |user: &User, seq: &Value| {
        let why = explain(&admin, seq, user).await;
        (
            why["result"].as_str().unwrap().to_owned(),
            why["rule"].as_str().unwrap().to_owned(),
        )
    };
    let said = |result: &str, rule: &str| (result.to_owned(), rule.to_owned());
    assert_eq!(why(&alan, &seq).await, said("sent", "default"));
    assert_eq!(why(&boss, &seq).await, said("not_recipient", "own_action"));
    assert_eq!(
        why(&ada, &seq).await,
        said("not_recipient", "not_addressed")
    );
    let (late, _) = somebody(&bed, Role::Admin).await;
    assert_eq!(why(&late, &seq).await, said("not_recipient", "too_late"));
    assert_eq!(
        why(&ada, &json!(1)).await,
        said("not_recipient", "no_notice")
    );
    let path = format!("users/{}", ada.id);
    assert_eq!(
        admin.patch(&path, json!({"role": "editor"})).await.status,
        200
    );
    bed.flushed().await;
    let span = callboard::store::record::span(bed.store()).await.unwrap();
    assert_eq!(why(&ada, &json!(span.last)).await, said("sent", "default"));
}

async fn when_notifications_are_switched_off_nothing_is_sent_and_preferences_are_kept(kind: Kind) {
    let bed = Bed::of_with(kind, &[("NOTIFICATION_ENABLED", "false")]).await;
    let (_, admin) = somebody(&bed, Role::Admin).await;
    send(&admin, json!({"all": true}))
        .await
        .refused(503, "switched_off");
    let held = admin
        .post("notifications/preferences", json!({"hourly_limit": 3}))
        .await;
    assert_eq!(held.data()["hourly_limit"], 3);
}
