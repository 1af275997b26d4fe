//! What holds for every address.

use std::time::Duration;

use callboard::http::openapi::operations;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::bed::{Bed, answer, run};

#[test]
fn every_operation_of_the_document_is_there_and_wants_the_token_that_it_says() {
    run(async {
        let bed = Bed::new().await;
        let (admin, nobody) = (bed.admin().await, bed.anonymous());
        let document = nobody.get("openapi.json").await.body;
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        assert!(operations().len() > 20);
        for row in operations() {
            assert!(
                document["paths"][row.path][row.method].is_object(),
                "{}",
                row.id
            );
            let path = row.path.replace("{id}", &Uuid::now_v7().to_string());
            let path = path
                .replace("{type}", "episode")
                .replace("{room}", "team:x")
                .replace("{socket_id}", "none");
            let method: Method = row.method.to_uppercase().parse().unwrap();
            if row.id == "events" {
                // It has no end: see tests/server.
                let without = answer(nobody.request(method, &path)).await;
                without.refused(401, "token_missing");
                continue;
            }
            let with = answer(admin.request(method.clone(), &path)).await;
            assert_ne!(
                with.body["detail"], "there is nothing at this address",
                "{}",
                row.id
            );
            assert_ne!(with.status, 405, "{}", row.id);
            assert!(with.status < 500, "{}: {}", row.id, with.body);
            let without = answer(nobody.request(method, &path)).await;
            match row.role {
                Some(_) => without.refused(401, "token_missing"),
                None => assert_ne!(without.body["code"], "token_missing", "{}", row.id),
            }
        }
    });
}

#[test]
fn every_operation_refuses_a_parameter_that_it_does_not_know() {
    run(async {
        let bed = Bed::new().await;
        let admin = bed.admin().await;
        let episode = admin
            .post("episodes", json!({"title": "x", "episode_number": 1}))
            .await;
        let episode = episode.data()["id"].as_str().unwrap().to_owned();
        let user = bed
            .user(callboard_actors::model::identity::Role::Viewer)
            .await;
        let mut asked = 0;
        for row in operations()
            .iter()
            .filter(|row| row.path.starts_with("/api/"))
        {
            if matches!(row.id, "disconnect_socket" | "events") {
                continue; // these need a socket: see tests/server
            }
            if matches!(row.id, "read_notification" | "delete_notification") {
                continue; // these need a notification: see inbox.rs
            }
            let id = if row.tag == "users" || row.id == "notify_user" {
                user.id.to_string()
            } else {
                episode.clone()
            };
            let path = row.path.replace("{id}", &id).replace("{type}", "episode");
            let path = path.replace("{room}", "team:x");
            let method: Method = row.method.to_uppercase().parse().unwrap();
            let needed = if matches!(row.id, "search_activity" | "search") {
                "q=x&"
            } else {
                ""
            };
            let refused = answer(admin.request(method, &format!("{path}?{needed}limti=5"))).await;
            assert_eq!(refused.wrong_fields(), ["limti"], "{}", row.id);
            asked += 1;
        }
        assert!(asked > 15, "{asked}");
    });
}

#[test]
fn a_request_id_is_taken_returned_and_put_on_the_record() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let request = editor
            .request(Method::POST, "episodes")
            .header("x-request-id", "trace-42");
        let made = answer(request.json(&json!({"title": "x", "episode_number": 1}))).await;
        assert_eq!(made.header("x-request-id"), "trace-42");
        let head = callboard::store::record::span(bed.store())
            .await
            .unwrap()
            .last;
        let entries = callboard::store::record::after(bed.store(), head - 1, 1)
            .await
            .unwrap();
        assert_eq!(entries[0].origin.request_id.as_deref(), Some("trace-42"));
        assert_eq!(entries[0].origin.ip.as_deref(), Some("127.0.0.1"));
        for insane in ["two words", &"x".repeat(129)] {
            let request = editor
                .request(Method::GET, "episodes")
                .header("x-request-id", insane);
            assert_eq!(answer(request).await.header("x-request-id").len(), 36);
        }
    });
}

#[test]
fn a_body_that_is_no_json_object_is_refused() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let post = |kind: &str, body: String| {
            let request = editor.request(Method::POST, "episodes");
            answer(request.header("content-type", kind).body(body))
        };
        let json = "application/json";
        for body in [
            "",
            "{",
            "[]",
            "null",
            "7",
            "\"x\"",
            "{\"title\":\"\\ud800\"}",
            "{\"a\":1e999}",
        ] {
            post(json, body.to_owned())
                .await
                .refused(422, "validation_failed");
        }
        post(json, "[".repeat(100_000))
            .await
            .refused(422, "validation_failed");
        post("text/plain", "{}".into())
            .await
            .refused(415, "unsupported_media_type");
        post(json, format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20)))
            .await
            .refused(413, "payload_too_large");
        let most = "x".repeat((1 << 20) - 8);
        let fits = post(json, format!("{{\"x\":\"{most}\"}}")).await;
        assert_eq!(fits.wrong_fields(), ["title", "episode_number", "x"]);
    });
}

#[test]
fn an_address_or_a_method_that_is_not_there_is_a_problem() {
    run(async {
        let bed = Bed::new().await;
        let viewer = bed.viewer().await;
        viewer.get("nothing").await.refused(404, "not_found");
        viewer.get("/nothing").await.refused(404, "not_found");
        bed.anonymous()
            .get("nothing")
            .await
            .refused(401, "token_missing");
        let wrong = viewer.put("episodes", json!({})).await;
        wrong.refused(405, "method_not_allowed");
        assert_eq!(wrong.header("allow"), "GET, HEAD, POST");
        viewer.get("episodes/%00").await.refused(404, "not_found");
        viewer.get("episodes/%ff").await.refused(404, "not_found");
        viewer
            .get("activity/resource/a%00/b")
            .await
            .refused(404, "not_found");
    });
}

#[test]
fn a_page_of_an_allowed_origin_may_call_and_another_may_not() {
    run(async {
        let bed = Bed::with(&[("SOCKET_CORS_ORIGIN", "https://a.example,https://b.example")]).await;
        let ask = |origin: &str| {
            let request = bed.anonymous().request(Method::OPTIONS, "episodes");
            answer(
                request
                    .header("origin", origin)
                    .header("access-control-request-method", "PUT")
                    .header(
                        "access-control-request-headers",
                        "authorization,content-type,if-match",
                    ),
            )
        };
        let allowed = ask("https://b.example").await;
        assert_eq!(allowed.status, 200);
        assert_eq!(
            allowed.header("access-control-allow-origin"),
            "https://b.example"
        );
        assert_eq!(allowed.header("access-control-allow-credentials"), "true");
        let other = ask("https://c.example").await;
        assert!(other.headers.get("access-control-allow-origin").is_none());
        // A refusal can be read by the page too.
        let refused = bed
            .anonymous()
            .request(Method::GET, "episodes")
            .header("origin", "https://a.example");
        let refused = answer(refused).await;
        refused.refused(401, "token_missing");
        assert_eq!(
            refused.header("access-control-allow-origin"),
            "https://a.example"
        );
    });
}

#[test]
fn health_says_that_it_lives_and_is_ready_until_it_drains() {
    run(async {
        let bed = Bed::new().await;
        let nobody = bed.anonymous();
        assert_eq!(nobody.get("/health/live").await.status, 200);
        assert_eq!(nobody.get("/health/ready").await.body["status"], "ready");
        let health = nobody.get("/health").await.body;
        assert_eq!(health["status"], "ok");
        assert_eq!(health["parts"]["database"]["kind"], "sqlite");
        bed.state.drain();
        let draining = nobody.get("/health/ready").await;
        assert_eq!(draining.status, 503);
        assert_eq!(draining.body["reasons"], json!(["draining"]));
        assert_eq!(nobody.get("/health/live").await.status, 200);
    });
}

#[test]
fn health_says_which_part_is_behind_and_since_when() {
    run(async {
        let bed = Bed::new().await;
        let (admin, nobody) = (bed.admin().await, bed.anonymous());
        bed.flushed().await;
        let health = async || nobody.get("/health").await.body;
        let last = async || {
            callboard::store::record::span(bed.store())
                .await
                .unwrap()
                .last
        };
        let well = json!({"status": "ok", "lag": 0, "since": null});
        let fine = health().await;
        assert_eq!(
            fine["parts"],
            json!({
                "database": {"status": "ok", "kind": "sqlite"},
                "record": {"status": "ok", "seq": last().await},
                "actors": {"status": "ok", "down": []},
                "draining": false,
                "activity": well,
                "notifications": well,
                "presence": {"status": "ok"},
                "sockets": {"status": "ok", "connections": 0, "limit": 20_000},
            })
        );
        let rename = async |text: &'static str| {
            let renamed = bed.store().write(move |tx| Box::pin(tx.execute(text)));
            renamed.await.unwrap();
        };
        rename("ALTER TABLE activity RENAME TO elsewhere").await;
        for number in 0..2 {
            let body = json!({"title": "x", "episode_number": number});
            admin.post("episodes", body).await.data();
        }
        let made = bed.clock.now();
        bed.clock.advance(Duration::from_secs(6));
        let ill = loop {
            let ill = health().await;
            // The other consumer is at it still.
            if ill["parts"]["notifications"] == well {
                break ill;
            }
            bed.clock.advance(Duration::from_millis(100));
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        assert_eq!(ill["status"], "degraded");
        assert_eq!(ill["parts"]["activity"]["status"], "behind");
        assert_eq!(ill["parts"]["activity"]["lag"], 2);
        let since = ill["parts"]["activity"]["since"].as_str().unwrap();
        let since = chrono::DateTime::parse_from_rfc3339(since).unwrap();
        assert!((made - since.to_utc()).num_seconds().abs() <= 1, "{since}");
        // It is for people: new work is welcome here.
        assert_eq!(nobody.get("/health/ready").await.status, 200);
        rename("ALTER TABLE elsewhere RENAME TO activity").await;
        bed.flushed().await;
        let fine = health().await;
        assert_eq!(fine["parts"]["activity"], well);
        assert_eq!(fine["status"], "ok");
        let off = Bed::with(&[
            ("ACTIVITY_DB_ENABLED", "false"),
            ("NOTIFICATION_ENABLED", "false"),
            ("PRESENCE_TRACKING_ENABLED", "false"),
        ])
        .await;
        let health = off.anonymous().get("/health").await.body;
        let switched_off = json!({"status": "off", "lag": null, "since": null});
        assert_eq!(health["status"], "ok", "{health}");
        assert_eq!(health["parts"]["activity"], switched_off);
        assert_eq!(health["parts"]["notifications"], switched_off);
        assert_eq!(health["parts"]["presence"], json!({"status": "off"}));
    });
}

#[test]
fn the_page_of_the_documentation_takes_nothing_from_elsewhere() {
    run(async {
        let bed = Bed::new().await;
        let page = bed
            .anonymous()
            .request(Method::GET, "/docs")
            .send()
            .await
            .unwrap();
        assert!(
            page.headers()["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("default-src 'none'")
        );
        let text = page.text().await.unwrap();
        assert!(text.contains("openapi.json"));
        assert!(!text.contains("https://") && !text.contains("http://"));
    });
}

#[test]
fn a_long_answer_is_compressed_for_who_can_read_it() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let body = json!({"title": "x", "episode_number": 1, "description": "long ".repeat(2_000)});
        editor.post("episodes", body).await.data();
        let request = editor
            .request(Method::GET, "episodes")
            .header("accept-encoding", "gzip");
        let compressed = request.send().await.unwrap();
        assert_eq!(compressed.headers()["content-encoding"], "gzip");
        assert!(compressed.bytes().await.unwrap().len() < 2_000);
    });
}

#[test]
fn two_servers_run_in_one_process() {
    run(async {
        let (a, b) = (Bed::new().await, Bed::new().await);
        let editor = a.editor().await;
        editor
            .post("episodes", json!({"title": "x", "episode_number": 1}))
            .await
            .data();
        assert_eq!(b.viewer().await.get("episodes").await.data(), &json!([]));
        // A user of one is nobody at the other.
        let stranger = b
            .anonymous()
            .with_token(&a.token(&a.user(callboard_actors::model::identity::Role::Admin).await));
        stranger.get("episodes").await.refused(401, "token_invalid");
    });
}

#[test]
fn who_may_not_hears_that_before_anything_about_the_body() {
    run(async {
        let bed = Bed::new().await;
        let (viewer, editor) = (bed.viewer().await, bed.editor().await);
        let long = "x".repeat(2 << 20);
        let bodies = [
            ("application/json", long.as_str()),
            ("application/json", "{"),
            ("text/plain", "x"),
        ];
        for (kind, body) in bodies {
            for key in [None, Some("k"), Some("two words")] {
                for path in ["episodes", "users", "socket/broadcast", "notifications"] {
                    let mut request = viewer.request(Method::POST, path);
                    if let Some(key) = key {
                        request = request.header("idempotency-key", key);
                    }
                    let request = request.header("content-type", kind).body(body.to_owned());
                    answer(request).await.refused(403, "forbidden");
                }
            }
        }
        // Of what is not there too.
        let nothing = format!("episodes/{}", Uuid::now_v7());
        for method in [Method::PUT, Method::PATCH] {
            let request = editor.request(method, &nothing);
            let request = request
                .header("content-type", "application/json")
                .body(long.clone());
            answer(request).await.refused(404, "not_found");
        }
        for key in ["k", "two words"] {
            let publish = editor.request(Method::POST, &format!("{nothing}/publish"));
            let request = publish.header("idempotency-key", key).body(long.clone());
            answer(request).await.refused(404, "not_found");
        }
        let request = editor
            .request(Method::POST, "episodes")
            .header("idempotency-key", "k");
        let request = request
            .header("content-type", "application/json")
            .body(long);
        answer(request).await.refused(413, "payload_too_large");
    });
}

#[test]
fn what_probes_and_browsers_ask_for_they_may_ask_with_anything_against_caches() {
    run(async {
        let bed = Bed::new().await;
        let nobody = bed.anonymous();
        for path in [
            "/health",
            "/health/live",
            "/health/ready",
            "/metrics",
            "/docs",
        ] {
            let plain = nobody.get(path).await.status;
            assert_eq!(
                nobody.get(&format!("{path}?_=123")).await.status,
                plain,
                "{path}"
            );
        }
        for path in ["openapi.json", "asyncapi.json"] {
            let refused = nobody.get(&format!("{path}?_=123")).await;
            assert_eq!(refused.wrong_fields(), ["_"]);
        }
    });
}
