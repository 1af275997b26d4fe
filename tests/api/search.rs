//! Looking for words in everything: what each role finds, and each refusal.

use callboard_actors::model::identity::Role;
use serde_json::{Value, json};

use crate::bed::{Bed, Client, Kind, on_both_databases};

on_both_databases!(
    every_role_finds_episodes_and_their_history,
    a_snippet_is_html_in_which_only_the_marks_are_markup,
    pages_follow_each_other,
    what_is_private_is_found_by_its_user_and_the_admins,
    a_type_that_is_not_there_yet_finds_nothing,
    who_is_nobody_is_refused_and_so_is_what_is_misspelt,
);

async fn episode(client: &Client, title: &str, description: &str, number: i64) -> String {
    let body = json!({"title": title, "description": description, "episode_number": number});
    let made = client.post("episodes", body).await;
    made.data()["id"].as_str().unwrap().to_owned()
}

async fn rows(client: &Client, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("search?{query}")).await;
    answer.data().as_array().unwrap().clone()
}

async fn every_role_finds_episodes_and_their_history(kind: Kind) {
    let bed = Bed::of(kind).await;
    let editor = bed.editor().await;
    let id = episode(&editor, "The Crème", "of the crop", 7).await;
    bed.flushed().await;
    for client in [editor, bed.viewer().await, bed.admin().await] {
        let found = rows(&client, "q=CREME").await;
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            (&found[0]["type"], &found[0]["id"]),
            (&json!("episode"), &json!(id))
        );
        assert_eq!(found[0]["title"], "The Crème");
        assert_eq!(found[0]["snippet"], "The <mark>Crème</mark>");
        assert_eq!(found[0]["score"], 1.0);
        assert!(found[0]["updated_at"].is_string());
        assert_eq!(
            (&found[1]["type"], &found[1]["score"]),
            (&json!("activity"), &json!(0.5))
        );
        let narrowed = rows(&client, "q=creme&type=episode").await;
        assert_eq!(narrowed, found[..1]);
        assert_eq!(rows(&client, "q=creme&type=activity").await, found[1..]);
        for (q, is_found) in [
            ("cr*", true),
            ("cr", false),
            ("%22of+the+crop%22", true),
            ("%22crop+of%22", false),
            ("e07+creme", true),
            ("creme+pilot", false),
        ] {
            let found = rows(&client, &format!("q={q}&type=episode")).await;
            assert_eq!(!found.is_empty(), is_found, "{q}");
        }
    }
}

async fn a_snippet_is_html_in_which_only_the_marks_are_markup(kind: Kind) {
    let bed = Bed::of(kind).await;
    let editor = bed.editor().await;
    episode(&editor, "Pilot", "<script>alert('a & b')</script>", 1).await;
    let found = rows(&editor, "q=alert&type=episode").await;
    assert_eq!(
        found[0]["snippet"],
        "&lt;script&gt;<mark>alert</mark>(&#39;a &amp; b&#39;)&lt;/script&gt;"
    );
}

async fn pages_follow_each_other(kind: Kind) {
    let bed = Bed::of(kind).await;
    let editor = bed.editor().await;
    for number in 1..=5 {
        episode(&editor, &format!("Pilot {number}"), "", number).await;
    }
    let whole = rows(&editor, "q=pilot&type=episode").await;
    assert_eq!(whole.len(), 5);
    let first = editor.get("search?q=pilot&type=episode&limit=2").await;
    let meta = &first.body["meta"];
    assert_eq!(
        (&meta["limit"], &meta["has_more"]),
        (&json!(2), &json!(true))
    );
    let cursor = meta["next_cursor"].as_str().unwrap();
    let next = rows(
        &editor,
        &format!("q=pilot&type=episode&limit=3&cursor={cursor}"),
    )
    .await;
    assert_eq!(next, whole[2..]);
    let last = editor.get("search?q=pilot&type=episode&limit=5").await;
    assert_eq!(last.body["meta"]["next_cursor"], Value::Null);
    // It is bound to what was asked.
    for other in ["q=pilots&type=episode", "q=pilot", "q=pilot&type=activity"] {
        let refused = editor.get(&format!("search?{other}&cursor={cursor}")).await;
        assert_eq!(refused.wrong_fields(), ["cursor"], "{other}");
    }
}

async fn what_is_private_is_found_by_its_user_and_the_admins(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (ann, bob) = (bed.user(Role::Editor).await, bed.user(Role::Editor).await);
    let client = |user| bed.anonymous().with_token(&bed.token(user));
    let admin = bed.admin().await;
    let path = format!("users/{}", ann.id);
    admin.patch(&path, json!({"team": "zanzibar"})).await.data();
    bed.flushed().await;
    assert_eq!(rows(&client(&ann), "q=zanzibar").await.len(), 1);
    assert_eq!(rows(&admin, "q=zanzibar").await.len(), 1);
    for q in ["zanzibar", "zanz*", "%22zanzibar%22"] {
        assert!(
            rows(&client(&bob), &format!("q={q}")).await.is_empty(),
            "{q}"
        );
    }
}

async fn a_type_that_is_not_there_yet_finds_nothing(kind: Kind) {
    let bed = Bed::of(kind).await;
    let editor = bed.editor().await;
    episode(&editor, "Pilot", "", 1).await;
    for kind in ["composition", "file"] {
        let found = editor.get(&format!("search?q=pilot&type={kind}")).await;
        assert_eq!(found.data(), &json!([]));
        assert_eq!(found.body["meta"]["has_more"], false);
    }
}

async fn who_is_nobody_is_refused_and_so_is_what_is_misspelt(kind: Kind) {
    let bed = Bed::of(kind).await;
    bed.anonymous()
        .get("search?q=a")
        .await
        .refused(401, "token_missing");
    let viewer = bed.viewer().await;
    for nothing in ["%22%22", "*", "%F0%9F%8E%AC", "%27--"] {
        assert!(
            rows(&viewer, &format!("q={nothing}")).await.is_empty(),
            "{nothing}"
        );
    }
    let long = format!("q={}", "a".repeat(201));
    for (query, field) in [
        ("", "q"),
        ("q=", "q"),
        ("q=%00", "q"),
        (&*long, "q"),
        ("q=a&q=b", "q"),
        ("q=a&type=episodes", "type"),
        ("q=a&type=", "type"),
        ("q=a&type=episode&type=file", "type"),
        ("q=a&limit=0", "limit"),
        ("q=a&limit=101", "limit"),
        ("q=a&cursor=abc", "cursor"),
        ("q=a&cursor=", "cursor"),
        ("q=a&tpye=episode", "tpye"),
    ] {
        let refused = viewer.get(&format!("search?{query}")).await;
        assert_eq!(refused.wrong_fields(), [field], "{query}");
    }
}
