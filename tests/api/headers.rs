//! What stands in the headers of answers: limits, security, compression; and the methods that are about headers alone.

use std::time::Duration;

use callboard_actors::model::identity::Role;
use reqwest::Method;
use serde_json::json;

use crate::bed::{Answer, Bed, Client, PASSWORD, answer, run};

async fn login(client: &Client, password: &str) -> Answer {
    let body = json!({"email": "admin@localhost", "password": password});
    client.post("auth/login", body).await
}

#[test]
fn a_log_in_tells_how_many_failures_are_left() {
    run(async {
        let bed = Bed::new().await;
        let nobody = bed.anonymous();
        let fine = login(&nobody, PASSWORD).await;
        assert_eq!(fine.header("ratelimit-policy"), "\"login\";q=5;w=900");
        assert_eq!(fine.header("ratelimit"), "\"login\";r=5;t=0");
        for left in (0..5).rev() {
            let wrong = login(&nobody, "a wrong guess").await;
            wrong.refused(401, "invalid_credentials");
            assert_eq!(
                wrong.header("ratelimit"),
                format!("\"login\";r={left};t={}", 860 + 10 * left)
            );
            bed.clock.advance(Duration::from_secs(10));
        }
        // The first of the five counts for 50 s already.
        let slowed = login(&nobody, PASSWORD).await;
        slowed.refused(429, "too_many_attempts");
        assert_eq!(slowed.header("ratelimit"), "\"login\";r=0;t=850");
        assert_eq!(slowed.header("retry-after"), "850");
        bed.clock.advance(Duration::from_secs(851));
        let again = login(&nobody, PASSWORD).await;
        again.data();
        // The account starts afresh; of the address four still count.
        assert_eq!(again.header("ratelimit"), "\"login\";r=1;t=9");
    });
}

#[test]
fn every_answer_has_the_headers_that_keep_browsers_out_of_trouble() {
    run(async {
        let bed = Bed::new().await;
        let viewer = bed.viewer().await;
        let nobody = bed.anonymous();
        let preflight = nobody
            .request(Method::OPTIONS, "episodes")
            .header("origin", "http://localhost:5173")
            .header("access-control-request-method", "GET");
        let big = viewer
            .request(Method::POST, "auth/logout")
            .body("x".repeat(2 << 20));
        for (what, answer) in [
            ("fine", viewer.get("episodes").await),
            ("401", nobody.get("episodes").await),
            ("403", viewer.get("users").await),
            ("404", viewer.get("nothing").await),
            ("404 outside", nobody.get("/nothing").await),
            ("405", viewer.put("episodes", json!({})).await),
            ("413", answer(big).await),
            ("422", viewer.get("episodes?limit=0").await),
            ("health", nobody.get("/health").await),
            ("docs", nobody.get("/docs").await),
            ("openapi", nobody.get("openapi.json").await),
            (
                "polling",
                nobody.get("/socket.io/?EIO=3&transport=polling").await,
            ),
            ("preflight", answer(preflight).await),
        ] {
            let header = |name: &str| {
                let value = answer.headers.get(name);
                let value = value.unwrap_or_else(|| panic!("{what}: no {name}"));
                value.to_str().unwrap().to_owned()
            };
            assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
            assert_eq!(header("x-frame-options"), "DENY", "{what}");
            assert_eq!(header("referrer-policy"), "no-referrer", "{what}");
            let policy = header("content-security-policy");
            assert!(policy.contains("default-src 'none'"), "{what}: {policy}");
            assert!(
                policy.contains("frame-ancestors 'none'"),
                "{what}: {policy}"
            );
            assert!(!header("x-request-id").is_empty(), "{what}");
        }
        // What is somebody's own does not stay in a cache.
        for path in ["episodes", "auth/me", "nothing"] {
            assert_eq!(
                viewer.get(path).await.header("cache-control"),
                "no-store",
                "{path}"
            );
        }
    });
}

#[test]
fn a_page_of_an_allowed_origin_may_read_what_it_needs() {
    run(async {
        let bed = Bed::new().await;
        let viewer = bed.viewer().await;
        let request = viewer.request(Method::GET, "episodes");
        let seen = answer(request.header("origin", "http://localhost:5173")).await;
        let exposed = seen.header("access-control-expose-headers").to_lowercase();
        let exposed: Vec<&str> = exposed.split(',').map(str::trim).collect();
        for name in [
            "etag",
            "location",
            "retry-after",
            "x-request-id",
            "ratelimit",
            "ratelimit-policy",
            "idempotent-replayed",
            "allow",
            "content-disposition",
        ] {
            assert!(exposed.contains(&name), "{name}: {exposed:?}");
        }
        // A cache must not give one origin's answer to another.
        let vary = seen.headers.get_all("vary").iter();
        let vary: Vec<_> = vary
            .map(|value| value.to_str().unwrap().to_lowercase())
            .collect();
        assert!(vary.join(",").contains("origin"), "{vary:?}");
    });
}

#[test]
fn head_is_get_without_a_body_and_options_says_what_an_address_takes() {
    run(async {
        let bed = Bed::new().await;
        let (editor, nobody) = (bed.editor().await, bed.anonymous());
        let made = editor
            .post("episodes", json!({"title": "x", "episode_number": 1}))
            .await;
        let path = format!("episodes/{}", made.data()["id"].as_str().unwrap());
        let get = editor.get(&path).await;
        let head = editor.request(Method::HEAD, &path).send().await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(head.headers()["etag"], get.header("etag"));
        assert_eq!(head.headers()["content-type"], "application/json");
        assert!(head.bytes().await.unwrap().is_empty());
        let without = nobody.request(Method::HEAD, &path).send().await.unwrap();
        assert_eq!(without.status(), 401);
        let health = nobody
            .request(Method::HEAD, "/health/ready")
            .send()
            .await
            .unwrap();
        assert_eq!(health.status(), 200);
        // A stream without an end has no head to be asked for.
        let stream = editor.request(Method::HEAD, "events").send().await.unwrap();
        assert_eq!(stream.status(), 405);
        assert_eq!(stream.headers()["allow"], "GET");

        let options = nobody.request(Method::OPTIONS, &path).send().await.unwrap();
        assert_eq!(options.status(), 204);
        assert_eq!(options.headers()["allow"], "GET, HEAD, PUT, PATCH, DELETE");
        assert!(options.bytes().await.unwrap().is_empty());
        let nowhere = nobody
            .request(Method::OPTIONS, "/nothing")
            .send()
            .await
            .unwrap();
        assert_eq!(nowhere.status(), 404);
    });
}

#[test]
fn an_answer_is_compressed_as_the_client_likes_it_and_a_small_one_not_at_all() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let body = json!({"title": "x", "episode_number": 1, "description": "long ".repeat(2_000)});
        editor.post("episodes", body).await.data();
        let ask = async |path: &str, accepted: &str| {
            let request = editor
                .request(Method::GET, path)
                .header("accept-encoding", accepted);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            let encoding = answer.headers().get("content-encoding").cloned();
            let encoding = encoding.map(|value| value.to_str().unwrap().to_owned());
            (encoding, answer.bytes().await.unwrap())
        };
        for encoding in ["br", "gzip", "zstd"] {
            let (given, bytes) = ask("episodes", encoding).await;
            assert_eq!(given.as_deref(), Some(encoding));
            assert!(bytes.len() < 2_000, "{encoding}: {}", bytes.len());
            for page in ["/docs", "openapi.json", "asyncapi.json"] {
                assert_eq!(
                    ask(page, encoding).await.0.as_deref(),
                    Some(encoding),
                    "{page}"
                );
            }
            assert_eq!(ask("auth/me", encoding).await.0, None);
        }
        for plain in ["identity", "", "x", "gzip;q=0"] {
            let (given, bytes) = ask("episodes", plain).await;
            assert_eq!(given, None, "{plain}");
            assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        }
    });
}

#[test]
fn a_cursor_is_good_for_its_own_list_filters_and_user_only() {
    run(async {
        let bed = Bed::new().await;
        let (admin, editor) = (bed.admin().await, bed.editor().await);
        for number in 1..=3 {
            let body = json!({"title": "x", "episode_number": number, "team": "a"});
            editor.post("episodes", body).await.data();
        }
        let page = editor.get("episodes?limit=1&team=a").await;
        let cursor = page.body["meta"]["next_cursor"]
            .as_str()
            .unwrap()
            .to_owned();
        let next = editor
            .get(&format!("episodes?limit=2&team=a&cursor={cursor}"))
            .await;
        assert_eq!(next.data().as_array().unwrap().len(), 2);
        for elsewhere in [
            "episodes?limit=1",
            "episodes?team=b",
            "episodes?team=a&q=x",
            "users?limit=1",
        ] {
            let joint = if elsewhere.contains('?') { '&' } else { '?' };
            let refused = admin
                .get(&format!("{elsewhere}{joint}cursor={cursor}"))
                .await;
            assert_eq!(refused.wrong_fields(), ["cursor"], "{elsewhere}");
        }
        // Nothing of it can be bent.
        for at in 0..cursor.len() {
            let mut bent = cursor.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bent).unwrap();
            let refused = editor
                .get(&format!("episodes?limit=1&team=a&cursor={bent}"))
                .await;
            assert_ne!(refused.status, 500);
        }
    });
}

#[test]
fn of_an_answer_that_a_page_may_not_read_no_header_says_otherwise() {
    run(async {
        let bed = Bed::new().await;
        let nobody = bed.anonymous();
        let ask = async |method: Method, origin: &str, more: &[(&str, &str)]| {
            let mut request = nobody.request(method, "episodes").header("origin", origin);
            for (name, value) in more {
                request = request.header(*name, *value);
            }
            answer(request).await
        };
        let ours = "http://localhost:5173";
        let preflight = |headers| {
            [
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", headers),
            ]
        };
        let good = preflight("authorization, traceparent, tracestate, idempotency-key");
        let allowed = ask(Method::OPTIONS, ours, &good).await;
        assert_eq!(allowed.status, 200, "{}", allowed.body);
        assert_eq!(allowed.header("access-control-allow-origin"), ours);
        assert_eq!(allowed.header("access-control-allow-credentials"), "true");
        let odd = preflight("x-odd");
        for (origin, more) in [("http://evil.example", &good), (ours, &odd)] {
            let refused = ask(Method::OPTIONS, origin, more).await;
            assert_eq!(refused.status, 400, "{}", refused.body);
            for name in [
                "access-control-allow-origin",
                "access-control-allow-credentials",
            ] {
                assert!(!refused.headers.contains_key(name), "{origin}: {name}");
            }
            let vary = refused.headers.get_all("vary").iter();
            let vary: Vec<_> = vary.map(|it| it.to_str().unwrap().to_lowercase()).collect();
            for name in ["origin", "access-control-request-headers"] {
                assert!(vary.join(",").contains(name), "{origin}: {vary:?}");
            }
        }
        for origin in ["http://evil.example", "null"] {
            let seen = ask(Method::GET, origin, &[]).await;
            assert_eq!(seen.status, 401);
            for name in [
                "access-control-allow-origin",
                "access-control-allow-credentials",
            ] {
                assert!(!seen.headers.contains_key(name), "{origin}: {name}");
            }
        }
        let seen = ask(Method::GET, ours, &[]).await;
        assert_eq!(seen.header("access-control-allow-origin"), ours);
        assert_eq!(seen.header("access-control-allow-credentials"), "true");
    });
}

#[test]
fn who_sends_notifications_is_told_what_the_hour_allows_still() {
    run(async {
        let bed = Bed::with(&[("NOTIFICATION_RATE_LIMIT", "2")]).await;
        let admin = bed.admin().await;
        let user = bed.user(Role::Viewer).await;
        let send = async |extra: serde_json::Value| {
            let mut body = json!({"user_id": user.id, "type": "call_sheet", "message": "x"});
            let extra = extra.as_object().unwrap().clone();
            body.as_object_mut().unwrap().extend(extra);
            admin.post("notifications", body).await
        };
        let now = bed.clock.now().timestamp();
        let left_of_hour = 3_600 - now % 3_600;
        for (left, status) in [(1, 201), (0, 201), (0, 429)] {
            let sent = send(json!({})).await;
            assert_eq!(sent.status, status, "{}", sent.body);
            assert_eq!(
                sent.header("ratelimit-policy"),
                "\"notifications\";q=2;w=3600"
            );
            let state = sent.header("ratelimit");
            let (start, seconds) = state.rsplit_once('=').unwrap();
            assert_eq!(start, format!("\"notifications\";r={left};t"));
            let seconds: i64 = seconds.parse().unwrap();
            assert!((seconds - left_of_hour).abs() <= 60, "{state}");
        }
        // What the limit does not concern says nothing of it.
        let urgent = send(json!({"priority": "urgent"})).await;
        assert_eq!(urgent.status, 201, "{}", urgent.body);
        assert!(!urgent.headers.contains_key("ratelimit"));
    });
}
