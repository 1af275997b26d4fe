//! `Idempotency-Key`: done once, answered twice.

use std::time::Duration;

use callboard_actors::model::identity::Role;
use reqwest::Method;
use serde_json::{Value, json};

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
