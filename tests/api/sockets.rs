//! Actors and sockets as admins see them. (What needs a socket is in `tests/server`.)

use callboard::store::record;
use callboard_actors::model::identity::Role;
use futures_util::StreamExt;
use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::bed::{Bed, run};

/// What the Record says of the actions of this name, oldest first; waits for the first.
async fn admin_action(bed: &Bed, name: &str) -> Vec<serde_json::Value> {
    loop {
        let entries = record::after(bed.store(), 0, 1_000).await.unwrap();
        let entries = entries.iter().filter(|it| it.event == "admin_action");
        let found: Vec<serde_json::Value> = entries
            .map(|entry| serde_json::from_str(entry.data.get()).unwrap())
            .filter(|data: &serde_json::Value| data["action"] == name)
            .collect();
        if !found.is_empty() {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_an_admin_looks_at_is_on_the_record_each_time() {
    run(async {
        let bed = Bed::new().await;
        let user = bed.user(Role::Admin).await;
        let admin = bed.anonymous().with_token(&bed.token(&user));
        for _ in 0..12 {
            admin.get("socket/stats").await.data();
        }
        let stats = vec![json!({"action": "socket/stats"}); 12];
        assert_eq!(admin_action(&bed, "socket/stats").await, stats);
        for query in ["", "?limit=7", "?namespace=feed"] {
            admin
                .get(&format!("socket/connections{query}"))
                .await
                .data();
        }
        let of_all = json!({"action": "socket/connections"});
        let of_feed = json!({"namespace": "/feed", "action": "socket/connections"});
        assert_eq!(
            admin_action(&bed, "socket/connections").await,
            [of_all.clone(), of_all, of_feed]
        );
        // Nobody else sees it, and who may not look leaves nothing.
        let before = record::span(bed.store()).await.unwrap().last;
        bed.editor()
            .await
            .get("socket/stats")
            .await
            .refused(403, "forbidden");
        admin
            .get("socket/connections?limit=0")
            .await
            .refused(422, "validation_failed");
        admin.post("users", json!({})).await.wrong_fields();
        assert_eq!(
            record::span(bed.store()).await.unwrap().last,
            before + 1,
            "the editor"
        );
    });
}

#[test]
fn a_cursor_of_connections_is_bound_to_its_filters() {
    run(async {
        let bed = Bed::new().await;
        let admin = bed.admin().await;
        let mut sockets = Vec::new();
        for _ in 0..3 {
            let token = bed.token(&bed.user(Role::Viewer).await);
            let url = format!("{}/ws?token={token}", bed.url.replace("http", "ws"));
            let (mut socket, _) = connect_async(url).await.unwrap();
            socket.next().await.unwrap().unwrap();
            sockets.push(socket);
        }
        let page = admin
            .get("socket/connections?limit=1&namespace=episodes")
            .await;
        let cursor = page.body["meta"]["next_cursor"]
            .as_str()
            .unwrap()
            .to_owned();
        let with = async |filters: &str| {
            admin
                .get(&format!("socket/connections?cursor={cursor}&{filters}"))
                .await
        };
        assert_eq!(
            with("namespace=/episodes")
                .await
                .data()
                .as_array()
                .unwrap()
                .len(),
            2
        );
        for other in ["", "namespace=/jobs", "namespace=/episodes&room=team:x"] {
            assert_eq!(with(other).await.wrong_fields(), ["cursor"], "{other}");
        }
        let row = &page.data()[0];
        let mut fields: Vec<_> = row
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        fields.sort_unstable();
        let mut exact = [
            "id",
            "sids",
            "user",
            "transport",
            "namespaces",
            "rooms",
            "connected_at",
            "last_activity",
            "ip",
            "user_agent",
            "queued_bytes",
        ];
        exact.sort_unstable();
        assert_eq!(fields, exact);
    });
}

#[test]
fn only_an_admin_sees_actors_and_sockets() {
    run(async {
        let bed = Bed::new().await;
        let (admin, editor) = (bed.admin().await, bed.editor().await);
        for path in ["actors", "socket/connections", "socket/stats"] {
            editor.get(path).await.refused(403, "forbidden");
            admin.get(path).await.data();
        }
        editor
            .post("socket/disconnect/x", json!({}))
            .await
            .refused(403, "forbidden");
        admin
            .post("socket/disconnect/x", json!({}))
            .await
            .refused(404, "not_found");
        for wrong in ["namespace=/nowhere", "user_id=7", "cursor=x", "limit=0"] {
            admin
                .get(&format!("socket/connections?{wrong}"))
                .await
                .refused(422, "validation_failed");
        }
        assert_eq!(
            admin
                .get("socket/connections?namespace=/admin")
                .await
                .data(),
            &json!([])
        );
    });
}

#[test]
fn every_actor_is_listed_with_its_figures() {
    run(async {
        let bed = Bed::new().await;
        let rows = bed.admin().await.get("actors").await.data().clone();
        let rows = rows.as_array().unwrap();
        for name in [
            "Broadcaster",
            "ActivityLogger",
            "Notifier",
            "SocketRegistry",
        ] {
            let row = rows
                .iter()
                .find(|row| row["name"] == name)
                .unwrap_or_else(|| panic!("{name}: {rows:?}"));
            for figure in [
                "instances",
                "mailbox_depth",
                "mailbox_capacity",
                "handled",
                "rejected",
                "lost",
                "restarts",
                "busy_ms",
            ] {
                assert!(row[figure].is_u64(), "{figure}: {row}");
            }
        }
    });
}

#[test]
fn a_row_of_the_actors_has_these_members_and_no_more() {
    run(async {
        let bed = Bed::with(&[("CALLBOARD_FAULTS", "1")]).await;
        let admin = bed.admin().await;
        let mut exact = [
            "name",
            "instances",
            "mailbox_depth",
            "mailbox_capacity",
            "handled",
            "rejected",
            "lost",
            "restarts",
            "last_panic",
            "busy_ms",
        ];
        exact.sort_unstable();
        let names = |row: &serde_json::Value| {
            let mut names: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
            names.sort_unstable();
            names
        };
        for row in admin.get("actors").await.data().as_array().unwrap() {
            assert_eq!(names(row), exact);
            assert_eq!(row["last_panic"], json!(null), "{row}");
        }
        admin.post("actors/Notifier/panic", json!({})).await.data();
        let row = loop {
            let rows = admin.get("actors").await.data().clone();
            let mut rows = rows.as_array().unwrap().clone().into_iter();
            let row = rows.find(|row| row["name"] == "Notifier").unwrap();
            if !row["last_panic"].is_null() {
                break row;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(names(&row), exact);
        assert_eq!(names(&row["last_panic"]), ["at", "message", "text"]);
        let at = row["last_panic"]["at"].as_str().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(at).is_ok(), "{at}");
        assert!(row["last_panic"]["message"].is_string());
        assert!(row["last_panic"]["text"].is_string());
    });
}

#[test]
fn an_actor_can_be_told_to_panic_only_where_faults_are_allowed() {
    run(async {
        let earnest = Bed::new().await;
        let refused = earnest
            .admin()
            .await
            .post("actors/Notifier/panic", json!({}))
            .await;
        refused.refused(404, "not_found");
        let bed = Bed::with(&[("CALLBOARD_FAULTS", "1")]).await;
        let admin = bed.admin().await;
        assert_eq!(
            admin
                .post("actors/Notifier/panic", json!({"how": "in_future"}))
                .await
                .data()["told"],
            1
        );
        admin
            .post("actors/Nobody/panic", json!({}))
            .await
            .refused(404, "not_found");
        admin
            .post("actors/Notifier/panic", json!({"how": "x"}))
            .await
            .refused(422, "validation_failed");
        let editor = bed.editor().await;
        editor
            .post("actors/Notifier/panic", json!({}))
            .await
            .refused(403, "forbidden");
        editor
            .post("episodes", json!({"title": "x", "episode_number": 1}))
            .await
            .data();
    });
}

#[test]
fn a_change_shows_in_the_activity_and_in_the_admins_notifications() {
    run(async {
        let bed = Bed::new().await;
        let (admin, editor) = (bed.admin().await, bed.editor().await);
        let made = editor
            .post("episodes", json!({"title": "x", "episode_number": 1}))
            .await;
        let id = made.data()["id"].as_str().unwrap().to_owned();
        editor
            .patch(&format!("episodes/{id}"), json!({"title": "y"}))
            .await
            .data();
        bed.flushed().await;
        let rows = editor.get(&format!("activity/resource/episode/{id}")).await;
        let rows = rows.data().as_array().unwrap().clone();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0]["action"], "episode_updated");
        assert_eq!(rows[0]["changes"]["title"], json!({"old": "x", "new": "y"}));
        assert_eq!(rows[1]["action"], "episode_created");
        let notes = admin.get("notifications?type=episode_created").await;
        assert_eq!(notes.data().as_array().unwrap().len(), 1);
        assert_eq!(
            admin.get("notifications?read=true").await.data(),
            &json!([])
        );
        assert_eq!(
            admin.get("notifications/unread-count").await.data()["unread_count"],
            1
        );
        assert_eq!(editor.get("notifications").await.data(), &json!([]));
    });
}

#[test]
fn who_looks_at_an_episode_is_listed_as_its_viewer() {
    run(async {
        let bed = Bed::new().await;
        let (editor, viewer) = (bed.editor().await, bed.viewer().await);
        let made = editor
            .post("episodes", json!({"title": "x", "episode_number": 1}))
            .await;
        let path = format!("episodes/{}", made.data()["id"].as_str().unwrap());
        let first = editor.get(&path).await.data()["viewers"].clone();
        let me = editor.get("auth/me").await.data()["id"].clone();
        assert_eq!(first.as_array().unwrap().len(), 1, "{first}");
        assert_eq!(first[0]["id"], me);
        assert!(first[0]["name"].is_string());
        let both = viewer.get(&path).await.data()["viewers"].clone();
        assert_eq!(both.as_array().unwrap().len(), 2, "{both}");

        let off = Bed::with(&[("PRESENCE_TRACKING_ENABLED", "false")]).await;
        let editor = off.editor().await;
        let made = editor
            .post("episodes", json!({"title": "x", "episode_number": 1}))
            .await;
        let path = format!("episodes/{}", made.data()["id"].as_str().unwrap());
        assert_eq!(editor.get(&path).await.data()["viewers"], json!([]));
    });
}

#[test]
fn a_socket_is_listed_and_forced_off_and_the_record_tells_of_it() {
    run(async {
        let bed = Bed::new().await;
        let admin = bed.admin().await;
        let mut sockets = Vec::new();
        let mut users = Vec::new();
        for _ in 0..3 {
            let user = bed.user(Role::Viewer).await;
            let url = format!(
                "{}/ws?token={}",
                bed.url.replace("http", "ws"),
                bed.token(&user)
            );
            let (mut socket, _) = connect_async(url).await.unwrap();
            // `ready` comes when it is listed.
            let ready = socket.next().await.unwrap().unwrap();
            assert!(ready.into_text().unwrap().contains("ready"));
            sockets.push(socket);
            users.push(user);
        }
        let all = admin.get("socket/connections?limit=2").await;
        assert_eq!(all.data().as_array().unwrap().len(), 2);
        let next = all.body["meta"]["next_cursor"].as_str().unwrap();
        let rest = admin
            .get(&format!("socket/connections?limit=2&cursor={next}"))
            .await;
        assert_eq!(rest.data().as_array().unwrap().len(), 1);
        assert_eq!(rest.body["meta"]["has_more"], false);

        let of_one = format!(
            "socket/connections?user_id={}&namespace=/episodes",
            users[0].id
        );
        let rows = admin.get(&of_one).await.data().clone();
        assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
        assert_eq!(rows[0]["transport"], "plain");
        let id = rows[0]["id"].as_str().unwrap();
        assert_eq!(admin.get("socket/stats").await.data()["connections"], 3);

        let path = format!("socket/disconnect/{id}");
        admin
            .post(&path, json!({"raeson": "x"}))
            .await
            .refused(422, "validation_failed");
        let done = admin.post(&path, json!({"reason": "enough"})).await;
        assert_eq!(done.data()["socket_id"], id);
        let code = loop {
            match sockets[0].next().await {
                Some(Ok(Message::Close(Some(frame)))) => break u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("no close: {other:?}"),
            }
        };
        assert_eq!(code, 4001);
        let data = admin_action(&bed, "socket/disconnect").await.remove(0);
        assert_eq!(data["action"], "socket/disconnect");
        assert_eq!(data["reason"], "enough");
        assert_eq!(data["user"]["id"], users[0].id.to_string());
    });
}

#[test]
fn a_socket_is_not_forced_off_without_the_record_and_may_be_looked_at() {
    run(async {
        let bed = Bed::new().await;
        let admin = bed.admin().await;
        let token = bed.token(&bed.user(Role::Viewer).await);
        let url = format!("{}/ws?token={token}", bed.url.replace("http", "ws"));
        let (mut socket, _) = connect_async(url).await.unwrap();
        socket.next().await.unwrap().unwrap();
        let rows = admin.get("socket/connections").await.data().clone();
        let path = format!("socket/disconnect/{}", rows[0]["id"].as_str().unwrap());
        let rename = async |text: &'static str| {
            let renamed = bed.store().write(move |tx| Box::pin(tx.execute(text)));
            renamed.await.unwrap();
        };
        rename("ALTER TABLE record RENAME TO elsewhere").await;
        admin
            .post(&path, json!({}))
            .await
            .refused(503, "unavailable");
        let rows = admin.get("socket/connections").await.data().clone();
        assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
        rename("ALTER TABLE elsewhere RENAME TO record").await;
        admin.post(&path, json!({})).await.data();
        let rows = admin.get("socket/connections").await.data().clone();
        assert_eq!(rows, json!([]));
        assert_eq!(admin_action(&bed, "socket/disconnect").await.len(), 1);
    });
}
