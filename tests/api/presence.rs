//! Presence over REST. (Who hears what of it is in `tests/server`.)

use std::time::Duration;

use callboard_actors::model::identity::{Role, User};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use crate::bed::{Bed, Client, Kind, on_both_databases};

on_both_databases!(
    who_is_online_is_listed_newest_first_in_pages_and_admins_see_how_many_sockets,
    a_status_is_chosen_shown_and_filtered_by,
    a_wrong_status_is_refused_and_changes_nothing,
    who_wants_to_be_seen_offline_is_in_no_list_and_sees_itself,
    viewers_are_listed_with_their_presence_and_leave_when_they_say_so,
    what_cannot_be_viewed_is_not_found,
    who_views_by_rest_alone_is_gone_after_the_timeout,
    who_has_a_status_by_rest_alone_stays_as_long_as_it_makes_requests,
    figures_are_for_admins,
    where_presence_is_switched_off_its_addresses_say_so_and_everything_else_works,
    admins_see_when_a_user_was_last_there,
    a_user_that_is_renamed_or_locked_out_is_so_in_the_lists,
);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A plain socket that is let in; it keeps its user online.
async fn socket(bed: &Bed, user: &User, query: &str) -> Socket {
    let (url, token) = (bed.url.replace("http", "ws"), bed.token(user));
    let (mut socket, _) = connect_async(format!("{url}/ws?token={token}{query}"))
        .await
        .unwrap();
    let ready = socket.next().await.unwrap().unwrap();
    assert!(ready.into_text().unwrap().contains("ready"));
    socket
}

fn client(bed: &Bed, user: &User) -> Client {
    bed.anonymous().with_token(&bed.token(user))
}

async fn rows(client: &Client, path: &str) -> Vec<Value> {
    client.get(path).await.data().as_array().unwrap().clone()
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect()
}

async fn episode(client: &Client, number: u32) -> String {
    let new = json!({"title": "x", "episode_number": number});
    let made = client.post("episodes", new).await;
    made.data()["id"].as_str().unwrap().to_owned()
}

async fn who_is_online_is_listed_newest_first_in_pages_and_admins_see_how_many_sockets(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (mut users, mut sockets) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let user = bed.user(Role::Viewer).await;
        for _ in 0..2 {
            sockets.push(socket(&bed, &user, "").await);
        }
        users.push(user);
        bed.clock.advance(Duration::from_millis(10));
    }
    let expected: Vec<_> = users.iter().rev().map(|user| user.name.as_str()).collect();
    for role in [Role::Viewer, Role::Editor, Role::Admin] {
        let caller = bed.client(role).await;
        let all = rows(&caller, "presence/online-users").await;
        assert_eq!(names(&all), expected, "{role}");
        for row in &all {
            assert_eq!(row["status"], "online");
            assert_eq!(row["status_message"], Value::Null);
            assert!(row["last_activity"].is_string());
            let count = (role == Role::Admin).then_some(2);
            assert_eq!(row["socket_count"], json!(count), "{role}");
        }
    }
    let admin = bed.admin().await;
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("presence/online-users?limit=2{cursor}");
        let page = admin.get(&path).await;
        paged.extend(page.data().as_array().unwrap().clone());
        assert_eq!(page.body["meta"]["limit"], 2);
        match page.body["meta"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
        // Who comes meanwhile is no reason to show anybody twice.
        sockets.push(socket(&bed, &users[4], "").await);
    }
    assert_eq!(names(&paged), expected);
    for wrong in [
        "limit=0",
        "limit=101",
        "cursor=x",
        "status=offline",
        "status=gone",
        "statsu=away",
    ] {
        let refused = admin.get(&format!("presence/online-users?{wrong}")).await;
        refused.refused(422, "validation_failed");
    }
    // A cursor is good for the list that it was given for, and for no other filter.
    let page = admin.get("presence/online-users?limit=1").await;
    let cursor = page.body["meta"]["next_cursor"].as_str().unwrap();
    let other = format!("presence/online-users?status=online&cursor={cursor}");
    assert_eq!(admin.get(&other).await.wrong_fields(), ["cursor"]);
}

async fn a_status_is_chosen_shown_and_filtered_by(kind: Kind) {
    let bed = Bed::of(kind).await;
    for role in [Role::Viewer, Role::Editor, Role::Admin] {
        let user = bed.user(role).await;
        let me = client(&bed, &user);
        let first = me.get("presence/status").await;
        let first = first.data();
        assert_eq!(first["status"], "offline", "nobody is there: {first}");
        assert_eq!(first["connected"], false);
        assert_eq!(first["chosen_status"], "online");
        let _socket = socket(&bed, &user, "").await;
        assert_eq!(me.get("presence/status").await.data()["status"], "online");
        for status in ["away", "busy", "dnd", "online"] {
            let say = json!({"status": status, "status_message": "  until four "});
            let said = me.post("presence/status", say).await;
            assert_eq!(said.data()["status"], status);
            let own = me.get("presence/status").await;
            assert_eq!(own.data(), said.data());
            assert_eq!(own.data()["status_message"], "until four");
            assert_eq!(own.data()["id"], user.id.to_string());
            let count = (role == Role::Admin).then_some(1);
            assert_eq!(own.data()["socket_count"], json!(count));
            let path = format!("presence/online-users?status={status}");
            let listed = rows(&me, &path).await;
            assert_eq!(names(&listed), [user.name.as_str()]);
            assert_eq!(listed[0]["status_message"], "until four");
        }
        let quiet = me.post("presence/status", json!({"status": "away"})).await;
        assert_eq!(
            quiet.data()["status_message"],
            Value::Null,
            "it was cleared"
        );
        let empty = json!({"status": "online", "status_message": ""});
        let quiet = me.post("presence/status", empty).await;
        assert_eq!(quiet.data()["status_message"], Value::Null);
        // Away from the others' turn.
        me.post("presence/status", json!({"status": "offline"}))
            .await
            .data();
    }
}

async fn a_wrong_status_is_refused_and_changes_nothing(kind: Kind) {
    let bed = Bed::of(kind).await;
    let me = bed.viewer().await;
    me.post("presence/status", json!({"status": "busy"}))
        .await
        .data();
    let before = me.get("presence/status").await.data().clone();
    for (wrong, field) in [
        (json!({}), "status"),
        (json!({"status": null}), "status"),
        (json!({"status": "Online"}), "status"),
        (json!({"status": 1}), "status"),
        (
            json!({"status": "away", "status_message": 7}),
            "status_message",
        ),
        (
            json!({"status": "away", "status_message": "x".repeat(201)}),
            "status_message",
        ),
        (
            json!({"status": "away", "status_message": "a\0b"}),
            "status_message",
        ),
        (json!({"status": "away", "message": "x"}), "message"),
    ] {
        let refused = me.post("presence/status", wrong.clone()).await;
        assert_eq!(refused.wrong_fields(), [field], "{wrong}");
    }
    let longest = json!({"status": "busy", "status_message": "é".repeat(200)});
    assert_eq!(
        me.post("presence/status?x=1", longest.clone())
            .await
            .wrong_fields(),
        ["x"]
    );
    assert_eq!(me.get("presence/status").await.data(), &before);
    me.post("presence/status", longest).await.data();
    let nobody = bed.anonymous();
    nobody
        .get("presence/status")
        .await
        .refused(401, "token_missing");
}

async fn who_wants_to_be_seen_offline_is_in_no_list_and_sees_itself(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (user, admin) = (bed.user(Role::Editor).await, bed.admin().await);
    let me = client(&bed, &user);
    let id = episode(&me, 1).await;
    let _socket = socket(&bed, &user, &format!("&rooms=episode:{id}")).await;
    let path = format!("presence/resource-viewers/episode/{id}");
    while rows(&admin, &path).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await; // it looks when it is let in
    }
    let hide = json!({"status": "offline", "status_message": "just me"});
    let own = me.post("presence/status", hide).await;
    assert_eq!(own.data()["status"], "offline");
    assert_eq!(own.data()["status_message"], "just me");
    assert_eq!(own.data()["connected"], true);
    for caller in [&me, &admin] {
        assert_eq!(
            rows(caller, "presence/online-users").await,
            [] as [Value; 0]
        );
        assert_eq!(rows(caller, &path).await, [] as [Value; 0]);
    }
    let shown = me.get(&format!("episodes/{id}")).await;
    assert_eq!(shown.data()["viewers"], json!([]), "not even by REST");
    let figures = admin.get("presence/stats").await.data().clone();
    assert_eq!(figures["online_users"], 0);
    assert_eq!(figures["hidden_users"], 1);
    me.post("presence/status", json!({"status": "online"}))
        .await
        .data();
    for list in ["presence/online-users", &path] {
        assert_eq!(names(&rows(&admin, list).await), [user.name.as_str()]);
    }
}

async fn viewers_are_listed_with_their_presence_and_leave_when_they_say_so(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (user, admin) = (bed.user(Role::Viewer).await, bed.admin().await);
    let (viewer, editor) = (client(&bed, &user), bed.editor().await);
    let id = episode(&editor, 1).await;
    let path = format!("presence/resource-viewers/episode/{id}");
    assert_eq!(rows(&viewer, &path).await, [] as [Value; 0]);
    viewer.get(&format!("episodes/{id}")).await.data();
    let alone = rows(&admin, &path).await;
    assert_eq!(names(&alone), [user.name.as_str()]);
    assert_eq!(alone[0]["status"], "offline", "by requests alone");
    assert_eq!(alone[0]["socket_count"], 0);
    assert!(alone[0]["viewing_since"].is_string());
    let _socket = socket(&bed, &user, "").await;
    let say = json!({"status": "dnd", "status_message": "on air"});
    viewer.post("presence/status", say).await.data();
    bed.clock.advance(Duration::from_millis(5));
    editor.get(&format!("episodes/{id}")).await.data();
    for caller in [&viewer, &editor, &admin] {
        let both = rows(caller, &path).await;
        assert_eq!(both.len(), 2, "looking at the list is not looking at it");
        assert_eq!(both[1]["name"], user.name, "newest first");
        assert_eq!(both[1]["status"], "dnd");
        assert_eq!(both[1]["status_message"], "on air");
    }
    let page = admin.get(&format!("{path}?limit=1")).await;
    let next = page.body["meta"]["next_cursor"].as_str().unwrap();
    let rest = rows(&admin, &format!("{path}?limit=1&cursor={next}")).await;
    assert_eq!(names(&rest), [user.name.as_str()]);

    let gone = viewer.delete(&path).await;
    assert_eq!(gone.data(), &json!({"id": id}));
    assert!(gone.body["message"].is_string());
    assert_eq!(rows(&admin, &path).await.len(), 1);
    viewer.delete(&path).await.data(); // once more does no harm
    for role in [Role::Editor, Role::Admin] {
        bed.client(role).await.delete(&path).await.data();
    }
}

async fn what_cannot_be_viewed_is_not_found(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (viewer, none) = (bed.viewer().await, Uuid::now_v7());
    for path in [
        format!("presence/resource-viewers/episode/{none}"),
        format!("presence/resource-viewers/user/{none}"),
        format!("presence/resource-viewers/Episode/{none}"),
        "presence/resource-viewers/episode/7".into(),
        format!("presence/resource-viewers/job/{}", none.simple()),
        "presence/resource-viewers/file/%00".into(),
        "presence/resource-viewers/episode".into(),
    ] {
        viewer.get(&path).await.refused(404, "not_found");
        viewer.delete(&path).await.refused(404, "not_found");
    }
    // 404 comes before 422.
    let path = format!("presence/resource-viewers/episode/{none}?limti=1");
    viewer.get(&path).await.refused(404, "not_found");
    let id = episode(&bed.editor().await, 1).await;
    let path = format!("presence/resource-viewers/episode/{id}");
    for wrong in ["limit=0", "limti=1", "cursor=x"] {
        let refused = viewer.get(&format!("{path}?{wrong}")).await;
        refused.refused(422, "validation_failed");
    }
    let refused = viewer.delete(&format!("{path}?limit=1")).await;
    refused.refused(422, "validation_failed");
    bed.anonymous()
        .delete(&path)
        .await
        .refused(401, "token_missing");
}

async fn who_views_by_rest_alone_is_gone_after_the_timeout(kind: Kind) {
    let bed = Bed::of_with(kind, &[("PRESENCE_TIMEOUT", "20000")]).await;
    let (editor, viewer) = (bed.editor().await, bed.viewer().await);
    let id = episode(&editor, 1).await;
    let path = format!("presence/resource-viewers/episode/{id}");
    let look = async || viewer.get(&format!("episodes/{id}")).await.data()["viewers"].clone();
    let wait = |seconds| bed.clock.advance(Duration::from_secs(seconds));
    for _ in 0..10 {
        // Whoever looks again and again stays, also where the answer needs no message.
        assert_eq!(look().await.as_array().unwrap().len(), 1);
        wait(1);
    }
    wait(18);
    assert_eq!(rows(&editor, &path).await.len(), 1);
    assert_eq!(look().await.as_array().unwrap().len(), 1);
    wait(20);
    assert_eq!(rows(&editor, &path).await, [] as [Value; 0]);
    look().await;
    wait(25);
    let others = editor.get(&format!("episodes/{id}")).await;
    assert_eq!(
        others.data()["viewers"].as_array().unwrap().len(),
        1,
        "the editor alone"
    );
}

async fn who_has_a_status_by_rest_alone_stays_as_long_as_it_makes_requests(kind: Kind) {
    let bed = Bed::of_with(kind, &[("PRESENCE_TIMEOUT", "20000")]).await;
    let (viewer, admin) = (bed.viewer().await, bed.admin().await);
    let list = "presence/online-users";
    assert_eq!(rows(&admin, list).await, [] as [Value; 0]);
    viewer
        .post("presence/status", json!({"status": "busy"}))
        .await
        .data();
    let first = rows(&admin, list).await;
    assert_eq!(first[0]["status"], "busy");
    assert_eq!(first[0]["socket_count"], 0);
    for _ in 0..5 {
        bed.clock.advance(Duration::from_secs(15));
        viewer.get("episodes").await.data();
        let row = &rows(&admin, list).await[0];
        assert_ne!(row["last_activity"], first[0]["last_activity"]);
    }
    bed.clock.advance(Duration::from_secs(20));
    assert_eq!(rows(&admin, list).await, [] as [Value; 0]);
}

async fn figures_are_for_admins(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (admin, user) = (bed.admin().await, bed.user(Role::Editor).await);
    for role in [Role::Viewer, Role::Editor] {
        let refused = bed.client(role).await.get("presence/stats").await;
        refused.refused(403, "forbidden");
    }
    let editor = client(&bed, &user);
    let id = episode(&editor, 1).await;
    let _sockets = [socket(&bed, &user, "").await, socket(&bed, &user, "").await];
    editor
        .post("presence/status", json!({"status": "away"}))
        .await
        .data();
    editor.get(&format!("episodes/{id}")).await.data();
    let figures = admin.get("presence/stats").await.data().clone();
    assert_eq!(figures["online_users"], 1);
    assert_eq!(
        figures["by_status"],
        json!({"online": 0, "away": 1, "busy": 0, "dnd": 0})
    );
    assert_eq!(figures["sockets"], 2);
    assert_eq!(figures["viewed_resources"], 1);
    assert_eq!(figures["viewers"], 1);
    admin
        .get("presence/stats?x=1")
        .await
        .refused(422, "validation_failed");
}

async fn where_presence_is_switched_off_its_addresses_say_so_and_everything_else_works(kind: Kind) {
    let bed = Bed::of_with(kind, &[("PRESENCE_TRACKING_ENABLED", "false")]).await;
    let (user, admin) = (bed.user(Role::Editor).await, bed.admin().await);
    let editor = client(&bed, &user);
    let id = episode(&editor, 1).await;
    let viewers = format!("presence/resource-viewers/episode/{id}");
    for path in ["presence/online-users", "presence/status", &viewers] {
        editor.get(path).await.refused(503, "switched_off");
        bed.anonymous()
            .get(path)
            .await
            .refused(401, "token_missing");
    }
    editor.delete(&viewers).await.refused(503, "switched_off");
    let say = json!({"status": "busy"});
    editor
        .post("presence/status", say)
        .await
        .refused(503, "switched_off");
    editor.get("presence/stats").await.refused(403, "forbidden");
    admin
        .get("presence/stats")
        .await
        .refused(503, "switched_off");
    let shown = editor.get(&format!("episodes/{id}")).await;
    assert_eq!(shown.data()["viewers"], json!([]));
    let _socket = socket(&bed, &user, &format!("&rooms=episode:{id}")).await;
    assert_eq!(admin.get("/health/ready").await.status, 200);
}

async fn admins_see_when_a_user_was_last_there(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (admin, user) = (bed.admin().await, bed.user(Role::Viewer).await);
    let path = format!("users/{}", user.id);
    assert_eq!(admin.get(&path).await.data()["last_seen_at"], Value::Null);
    let before = bed.clock.now();
    client(&bed, &user).get("episodes").await.data();
    let seen = loop {
        // Written behind the request, on the clock.
        bed.clock.advance(Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(5)).await;
        match admin.get(&path).await.data()["last_seen_at"].as_str() {
            Some(at) => break at.to_owned(),
            None => continue,
        }
    };
    let at: chrono::DateTime<chrono::Utc> = seen.parse().unwrap();
    // The registry hears of it beside the request, perhaps when the clock has gone on.
    let most = before + Duration::from_secs(4);
    assert!(
        before.timestamp_micros() <= at.timestamp_micros() && at <= most,
        "{at}"
    );
    let listed = rows(&admin, "users?limit=100").await;
    let row = listed.iter().find(|row| row["id"] == user.id.to_string());
    assert_eq!(row.unwrap()["last_seen_at"], seen);
}

async fn a_user_that_is_renamed_or_locked_out_is_so_in_the_lists(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (admin, user) = (bed.admin().await, bed.user(Role::Editor).await);
    let me = client(&bed, &user);
    let id = episode(&me, 1).await;
    me.post("presence/status", json!({"status": "busy"}))
        .await
        .data();
    me.get(&format!("episodes/{id}")).await.data();
    let lists = [
        "presence/online-users".to_owned(),
        format!("presence/resource-viewers/episode/{id}"),
    ];
    let path = format!("users/{}", user.id);
    admin.patch(&path, json!({"name": "Ada"})).await.data();
    // Told behind the request, in the order of the Record, of which the bed's own users were told to nobody: such a
    // gap is looked up after a while on the clock.
    let wait = async || {
        bed.clock.advance(Duration::from_millis(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    for list in &lists {
        while names(&rows(&admin, list).await) != ["Ada"] {
            wait().await;
        }
    }
    admin.patch(&path, json!({"disabled": true})).await.data();
    for list in &lists {
        while !rows(&admin, list).await.is_empty() {
            wait().await;
        }
    }
}
