//! Episodes: each call, each refusal, and the order of the checks.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bed::{Bed, Client, answer, run};

async fn create(client: &Client, body: Value) -> Value {
    let created = client.post("episodes", body).await;
    assert_eq!(created.status, 201, "{}", created.body);
    created.data().clone()
}

fn path(episode: &Value) -> String {
    format!("episodes/{}", episode["id"].as_str().unwrap())
}

#[test]
fn an_episode_is_made_shown_replaced_changed_published_and_deleted() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let body = json!({
            "title": "  Pilot ", "episode_number": 1, "season": 2, "description": "First",
            "air_date": "2026-12-24", "team": "news", "metadata": {"a": [1, {"b": null}]},
        });
        let created = editor.post("episodes", body).await;
        assert_eq!(created.status, 201);
        assert_eq!(created.header("etag"), "\"1\"");
        let episode = created.data().clone();
        assert_eq!(
            created.header("location"),
            format!("/api/v1/{}", path(&episode))
        );
        assert_eq!(episode["title"], "Pilot");
        assert_eq!(episode["status"], "draft");
        assert_eq!(episode["metadata"], json!({"a": [1, {"b": null}]}));

        let shown = editor.get(&path(&episode)).await;
        assert!(shown.data()["viewers"].is_array());
        assert_eq!(shown.header("etag"), "\"1\"");

        let patched = editor
            .patch(
                &path(&episode),
                json!({"status": "in_production", "season": null}),
            )
            .await;
        assert_eq!(patched.data()["status"], "in_production");
        assert_eq!(patched.data()["season"], Value::Null);
        assert_eq!(
            patched.data()["description"],
            "First",
            "what was not given stays"
        );

        let put = editor
            .put(
                &path(&episode),
                json!({"title": "Two", "episode_number": 2}),
            )
            .await;
        for field in ["description", "air_date", "team", "metadata", "season"] {
            assert_eq!(put.data()[field], Value::Null, "{field} is cleared");
        }
        assert_eq!(put.data()["status"], "in_production", "the status stays");
        assert_eq!(put.header("etag"), "\"3\"");

        let same = editor.patch(&path(&episode), json!({"title": "Two"})).await;
        assert_eq!(same.header("etag"), "\"3\"", "nothing changed");

        let publish = format!("{}/publish", path(&episode));
        let published = editor.post(&publish, json!({})).await;
        assert_eq!(published.data()["status"], "published");
        assert!(published.data()["published_at"].is_string());
        editor
            .post(&publish, json!({}))
            .await
            .refused(409, "already_published");

        let deleted = editor.delete(&path(&episode)).await;
        assert_eq!(deleted.data(), &json!({"id": episode["id"]}));
        assert!(deleted.body["message"].is_string());
        for gone in [
            editor.get(&path(&episode)).await,
            editor.patch(&path(&episode), json!({"title": "x"})).await,
            editor.delete(&path(&episode)).await,
            editor.post(&publish, json!({})).await,
        ] {
            gone.refused(404, "not_found");
        }
    });
}

#[test]
fn every_wrong_field_is_named_and_nothing_is_made() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let good = json!({"title": "x", "episode_number": 1});
        let deep = (0..40).fold(json!(1), |inner, _| json!({ "x": inner }));
        for (field, value) in [
            ("title", json!("")),
            ("title", json!("   ")),
            ("title", json!("x".repeat(301))),
            ("title", json!(null)),
            ("title", json!(7)),
            ("title", json!("a\u{0}b")),
            ("episode_number", json!(-1)),
            ("episode_number", json!(1_000_001)),
            ("episode_number", json!(1.5)),
            ("episode_number", json!("1")),
            ("season", json!(u64::MAX)),
            ("description", json!("a\u{0}")),
            ("air_date", json!("2026-13-01")),
            ("air_date", json!("yesterday")),
            ("team", json!("")),
            ("team", json!("x".repeat(101))),
            ("metadata", json!([])),
            ("metadata", json!({"deep": {"k\u{0}": 1}})),
            ("metadata", deep),
            ("status", json!("published")),
            ("tilte", json!("x")),
        ] {
            let mut body = good.clone();
            body[field] = value.clone();
            let refused = editor.post("episodes", body).await;
            assert_eq!(refused.wrong_fields(), [field], "{value}");
        }
        assert_eq!(
            editor.post("episodes", json!({})).await.wrong_fields(),
            ["title", "episode_number"]
        );
        assert_eq!(editor.get("episodes").await.data(), &json!([]));
        // At the edges it is fine.
        create(
            &editor,
            json!({"title": "ü".repeat(300), "episode_number": 1_000_000, "season": 0}),
        )
        .await;
        create(&editor, json!({"title": "x", "episode_number": 0})).await;
    });
}

#[test]
fn a_number_is_taken_once_per_team_and_season() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let plain = json!({"title": "x", "episode_number": 1});
        create(&editor, plain.clone()).await;
        editor
            .post("episodes", plain)
            .await
            .refused(409, "episode_number_taken");
        let of_team = json!({"title": "x", "episode_number": 1, "team": "a", "season": 1});
        let other = create(&editor, of_team.clone()).await;
        editor
            .post("episodes", of_team)
            .await
            .refused(409, "episode_number_taken");
        let cleared = json!({"team": null, "season": null});
        editor
            .patch(&path(&other), cleared)
            .await
            .refused(409, "episode_number_taken");
    });
}

#[test]
fn a_write_based_on_another_version_is_refused_and_changes_nothing() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let episode = create(&editor, json!({"title": "x", "episode_number": 1})).await;
        let path = path(&episode);
        let with =
            |method: Method, tag: &str| editor.request(method, &path).header("if-match", tag);
        let body = json!({"title": "y", "episode_number": 1});
        for tag in ["\"2\"", "W/\"1\"", "nonsense", "\"x\""] {
            let stale = answer(with(Method::PUT, tag).json(&body)).await;
            stale.refused(412, "version_mismatch");
            assert_eq!(stale.header("etag"), "\"1\"", "where it stands");
            answer(with(Method::PATCH, tag).json(&json!({"title": "y"})))
                .await
                .refused(412, "version_mismatch");
            answer(with(Method::PATCH, tag).json(&json!({"title": "x"})))
                .await
                .refused(412, "version_mismatch");
            answer(with(Method::DELETE, tag))
                .await
                .refused(412, "version_mismatch");
        }
        assert_eq!(editor.get(&path).await.data()["version"], 1);
        for (tag, version) in [("\"1\"", 2), ("\"7\", \"2\"", 3), ("*", 4)] {
            let body = json!({"title": format!("v{version}")});
            let changed = answer(with(Method::PATCH, tag).json(&body)).await;
            assert_eq!(changed.data()["version"], version);
        }
    });
}

#[test]
fn a_write_without_a_version_is_refused_where_one_is_required() {
    run(async {
        let bed = Bed::with(&[("REQUIRE_IF_MATCH", "true")]).await;
        let editor = bed.editor().await;
        let episode = create(&editor, json!({"title": "x", "episode_number": 1})).await;
        create(&editor, json!({"title": "x", "episode_number": 2})).await;
        let path = path(&episode);
        let body = json!({"title": "y", "episode_number": 1});
        editor
            .put(&path, body)
            .await
            .refused(428, "precondition_required");
        editor
            .patch(&path, json!({"title": "y"}))
            .await
            .refused(428, "precondition_required");
        editor
            .delete(&path)
            .await
            .refused(428, "precondition_required");
        editor
            .post(&format!("{path}/publish"), json!({}))
            .await
            .refused(428, "precondition_required");
        let taken = editor.patch(&path, json!({"episode_number": 2})).await;
        taken.refused(409, "episode_number_taken");
        assert_eq!(editor.get(&path).await.data()["title"], "x");
        let named = editor
            .request(Method::PATCH, &path)
            .header("if-match", "\"1\"");
        answer(named.json(&json!({"title": "y"}))).await.data();
    });
}

#[test]
fn the_checks_come_in_one_order() {
    run(async {
        let bed = Bed::new().await;
        let (editor, viewer, nobody) = (bed.editor().await, bed.viewer().await, bed.anonymous());
        let episode = create(&editor, json!({"title": "x", "episode_number": 1})).await;
        create(&editor, json!({"title": "x", "episode_number": 2})).await;
        let here = path(&episode);
        let nowhere = format!("episodes/{}", Uuid::now_v7());
        let wrong = json!({"episode_number": -1});
        // 401 before 403 before 404 before 422 before 409 before 412.
        nobody
            .patch(&nowhere, wrong.clone())
            .await
            .refused(401, "token_missing");
        viewer
            .patch(&nowhere, wrong.clone())
            .await
            .refused(403, "forbidden");
        viewer
            .post("episodes", wrong.clone())
            .await
            .refused(403, "forbidden");
        viewer.delete(&here).await.refused(403, "forbidden");
        editor
            .patch(&nowhere, wrong.clone())
            .await
            .refused(404, "not_found");
        editor
            .patch("episodes/17", wrong.clone())
            .await
            .refused(404, "not_found");
        editor
            .patch(&here, wrong)
            .await
            .refused(422, "validation_failed");
        let stale = |body: Value| {
            editor
                .request(Method::PATCH, &here)
                .header("if-match", "\"9\"")
                .json(&body)
        };
        answer(stale(json!({"episode_number": -1})))
            .await
            .refused(422, "validation_failed");
        answer(stale(json!({"episode_number": 2})))
            .await
            .refused(409, "episode_number_taken");
        answer(stale(json!({"episode_number": 3})))
            .await
            .refused(412, "version_mismatch");
        viewer.get(&here).await.data();
    });
}

#[test]
fn a_list_is_filtered_and_paged_newest_first() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        for number in 1..=5 {
            let title = format!("Folge {number} über Ärger");
            create(&editor, json!({"title": title, "episode_number": number, "season": number % 2, "team": "a"})).await;
            // So that no two were made at one moment.
            bed.clock.advance(std::time::Duration::from_millis(1));
        }
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = editor.get(&format!("episodes?limit=2{cursor}")).await;
            seen.extend(
                page.data()
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|row| row["episode_number"].as_i64().unwrap()),
            );
            assert_eq!(page.body["meta"]["limit"], 2);
            match page.body["meta"]["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
            assert_eq!(page.body["meta"]["has_more"], true);
        }
        assert_eq!(seen, [5, 4, 3, 2, 1]);
        for (filter, count) in [
            ("season=1", 3),
            ("team=a", 5),
            ("team=b", 0),
            ("status=draft", 5),
            ("status=published", 0),
            ("q=%C3%84RGER", 5),
            ("q=folge%203", 1),
            ("q=%25", 0),
            ("q=_", 0),
        ] {
            let found = editor.get(&format!("episodes?{filter}")).await;
            assert_eq!(found.data().as_array().unwrap().len(), count, "{filter}");
        }
        for wrong in [
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=x",
            "stauts=draft",
            "status=lost",
            "season=x",
            "cursor=x",
            "q=",
            "team=%00",
            "limit=1&limit=2",
        ] {
            editor
                .get(&format!("episodes?{wrong}"))
                .await
                .refused(422, "validation_failed");
        }
    });
}
