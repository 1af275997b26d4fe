//! `Idempotency-Key`: done once, answered twice.

use std::time::Duration;

use callboard::http::openapi::operations;
use callboard::store::idempotency::{self, Asked, Claimed, Scope};
use callboard_actors::model::episode::{Fields, Status};
use callboard_actors::model::identity::{Origin, Role, UserRef};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bed::{Answer, Bed, Client, answer, run};

async fn post(client: &Client, path: &str, key: &str, body: &Value) -> Answer {
    let request = client
        .request(Method::POST, path)
        .header("idempotency-key", key);
    answer(request.json(body)).await
}

#[test]
fn a_post_sent_twice_is_done_once_and_answered_in_the_same_words() {
    run(async {
        let bed = Bed::new().await;
        let user = bed.user(Role::Editor).await;
        let editor = bed.anonymous().with_token(&bed.token(&user));
        let body = json!({"title": "x", "episode_number": 1});
        let first = post(&editor, "episodes", "k-1", &body).await;
        let second = post(&editor, "episodes", "k-1", &body).await;
        assert_eq!((first.status, second.status), (201, 201));
        assert_eq!(first.body, second.body);
        for name in ["etag", "location", "content-type"] {
            assert_eq!(first.header(name), second.header(name));
        }
        assert_eq!(second.header("idempotent-replayed"), "true");
        assert!(first.headers.get("idempotent-replayed").is_none());
        assert_eq!(
            editor
                .get("episodes")
                .await
                .data()
                .as_array()
                .unwrap()
                .len(),
            1
        );

        let other = json!({"title": "y", "episode_number": 2});
        post(&editor, "episodes", "k-1", &other)
            .await
            .refused(422, "idempotency_key_reused");
        // Another user, another address, another day: another key.
        let someone = bed.editor().await;
        post(&someone, "episodes", "k-1", &other).await.data();
        let publish = format!("episodes/{}/publish", first.data()["id"].as_str().unwrap());
        post(&editor, &publish, "k-1", &json!({})).await.data();
        bed.clock.advance(Duration::from_secs(86_401));
        let editor = editor.with_token(&bed.token(&user));
        post(
            &editor,
            "episodes",
            "k-1",
            &json!({"title": "z", "episode_number": 3}),
        )
        .await
        .data();
    });
}

#[test]
fn a_refusal_is_repeated_under_the_new_request_id() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let wrong = json!({"title": ""});
        let first = post(&editor, "episodes", "k", &wrong).await;
        let second = post(&editor, "episodes", "k", &wrong).await;
        assert_eq!(first.wrong_fields(), second.wrong_fields());
        assert_eq!(second.header("idempotent-replayed"), "true");
        assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    });
}

#[test]
fn of_many_at_once_one_is_done_and_nobody_is_told_otherwise() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let body = json!({"title": "x", "episode_number": 1});
        let all = (0..20).map(|_| post(&editor, "episodes", "k", &body));
        let mut done = 0;
        for answer in futures_util::future::join_all(all).await {
            match answer.status {
                201 => done += 1,
                _ => answer.refused(409, "in_progress"),
            }
        }
        assert!(done >= 1);
        assert_eq!(
            editor
                .get("episodes")
                .await
                .data()
                .as_array()
                .unwrap()
                .len(),
            1
        );
    });
}

#[test]
fn a_key_that_is_none_is_refused() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let body = json!({"title": "x", "episode_number": 1});
        for key in ["", "two words", &"k".repeat(256)] {
            let refused = post(&editor, "episodes", key, &body).await;
            assert_eq!(refused.wrong_fields(), ["Idempotency-Key"]);
        }
        assert_eq!(editor.get("episodes").await.data(), &json!([]));
    });
}

/// A key is looked at when it is known that the caller may, and that there is what is asked for; and before anything is
/// done, at every address.
#[test]
fn a_key_that_is_none_is_refused_everywhere_and_last() {
    run(async {
        let bed = Bed::new().await;
        let (admin, viewer) = (bed.admin().await, bed.viewer().await);
        let before = callboard::store::record::span(bed.store()).await.unwrap();
        let mut asked = 0;
        for row in operations().iter().filter(|row| row.takes_key()) {
            let nothing = Uuid::now_v7().to_string();
            let path = row
                .path
                .replace("{id}", &nothing)
                .replace("{room}", "team:x")
                .replace("{socket_id}", &nothing);
            let refused = post(&admin, &path, "two words", &json!({})).await;
            match refused.status {
                404 => {}
                _ => assert_eq!(refused.wrong_fields(), ["Idempotency-Key"], "{}", row.id),
            }
            if row.role != Some("viewer") {
                let refused = post(&viewer, &path, "two words", &json!({})).await;
                refused.refused(403, "forbidden");
            }
            asked += 1;
        }
        assert!(asked > 10, "{asked}");
        let after = callboard::store::record::span(bed.store()).await.unwrap();
        assert_eq!(before, after);
    });
}

/// Also at an address with an id that there is.
#[test]
fn a_wrong_key_or_one_of_another_body_does_nothing_to_what_is_there() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let body = json!({"title": "x", "episode_number": 1});
        let made = post(&editor, "episodes", "k", &body).await;
        let path = format!("episodes/{}", made.data()["id"].as_str().unwrap());
        let publish = format!("{path}/publish");
        let refused = post(&editor, &publish, "two words", &json!({})).await;
        assert_eq!(refused.wrong_fields(), ["Idempotency-Key"]);
        assert_eq!(editor.get(&path).await.data()["status"], "draft");
        post(&editor, &publish, "p", &json!({})).await.data();
        post(&editor, &publish, "p", &json!({"a": 1}))
            .await
            .refused(422, "idempotency_key_reused");
        editor.delete(&path).await.data();
        post(&editor, &publish, "p", &json!({"a": 1}))
            .await
            .refused(404, "not_found");
        assert_eq!(post(&editor, &publish, "p", &json!({})).await.status, 200);
    });
}

#[test]
fn whether_the_caller_may_is_decided_anew_when_its_role_has_changed() {
    run(async {
        let bed = Bed::new().await;
        let admin = bed.admin().await;
        let user = bed.user(Role::Viewer).await;
        let caller = bed.anonymous().with_token(&bed.token(&user));
        let become_ = async |role: &str| {
            let path = format!("users/{}", user.id);
            admin.patch(&path, json!({"role": role})).await.data();
        };
        let body = json!({"title": "x", "episode_number": 1});
        let make = || post(&caller, "episodes", "k", &body);
        make().await.refused(403, "forbidden");
        become_("editor").await;
        let made = make().await;
        assert_eq!(made.status, 201, "{}", made.body);
        become_("viewer").await;
        make().await.refused(403, "forbidden");
        become_("admin").await;
        assert_eq!(make().await.body, made.body);
        // What was not there may be there now.
        let nothing = Uuid::now_v7();
        let publish = format!("episodes/{nothing}/publish");
        for _ in 0..2 {
            let missing = post(&caller, &publish, "k", &json!({})).await;
            missing.refused(404, "not_found");
            assert!(missing.headers.get("idempotent-replayed").is_none());
        }
    });
}

#[test]
fn a_request_that_was_cut_off_is_told_what_it_did() {
    run(async {
        let bed = Bed::new().await;
        let user = bed.user(Role::Editor).await;
        let editor = bed.anonymous().with_token(&bed.token(&user));
        let body = json!({"title": "x", "episode_number": 1});
        // As far as a request comes that is cut off before its answer.
        let text = serde_json::to_vec(&body).unwrap();
        let asked = Asked {
            scope: Scope {
                user_id: user.id,
                method: "POST".into(),
                path: "/api/v1/episodes".into(),
                key: "k".into(),
            },
            role: Role::Editor,
            request_id: Some("r-1".into()),
        };
        let print = bed.state.auth.tokens.fingerprint(&text);
        let claimed = idempotency::claim(bed.store(), asked, &print).await;
        let Ok(Claimed::New(claim)) = claimed else {
            panic!("{claimed:?}")
        };
        let who = UserRef {
            id: user.id,
            name: user.name.clone(),
        };
        let origin = Origin {
            request_id: Some("r-1".into()),
            ..Origin::default()
        };
        let fields = Fields {
            title: "x".into(),
            episode_number: 1,
            season: None,
            description: None,
            air_date: None,
            team: None,
            status: Status::Draft,
            metadata: None,
        };
        let made = callboard::store::episodes::insert(bed.store(), fields, who, origin);
        let (episode, entry) = made.await.unwrap();
        idempotency::abandon(bed.store(), claim).await.unwrap();

        let lost = post(&editor, "episodes", "k", &body).await;
        lost.refused(409, "answer_lost");
        assert_eq!(lost.body["seq"], entry.seq);
        assert_eq!(lost.body["resource_type"], "episode");
        assert_eq!(lost.body["resource_id"], json!(episode.id));
        assert_eq!(
            editor
                .get("episodes")
                .await
                .data()
                .as_array()
                .unwrap()
                .len(),
            1
        );
    });
}
