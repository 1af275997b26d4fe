//! Connections that are not let in: in which order that is found out, and that the answer is the one that REST gives,
//! whichever way the client came.

use reqwest::Method;
use serde_json::Value;

use crate::bed::{Answer, Bed, Client, answer, run};

/// The two addresses of clients without a library.
const ADDRESSES: [&str; 2] = ["/ws", "/api/v1/events"];

/// A request that asks for a WebSocket.
fn upgrade(client: &Client, method: Method, path: &str) -> reqwest::RequestBuilder {
    client
        .request(method, path)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// As its address wants to be asked.
async fn ask(client: &Client, path: &str) -> Answer {
    answer(match path.starts_with("/ws") {
        true => upgrade(client, Method::GET, path),
        false => client.request(Method::GET, path),
    })
    .await
}

#[test]
fn who_asks_counts_before_what_they_may_and_what_there_is_before_how_it_is_asked() {
    run(async {
        let bed = Bed::new().await;
        let (nobody, viewer) = (bed.anonymous(), bed.viewer().await);
        let nothing = format!("episode:{}", uuid::Uuid::now_v7());
        for address in ADDRESSES {
            let all = format!("{address}?since=x&foo=1&namespaces=admin,episodes,moon");
            ask(&nobody, &all).await.refused(401, "token_missing");
            ask(&viewer, &all).await.refused(403, "forbidden");
            let path = format!("{address}?since=x&foo=1&namespaces=feed&rooms=team:writers");
            ask(&viewer, &path).await.refused(403, "forbidden");
            let path = format!("{address}?since=x&foo=1&rooms={nothing}");
            ask(&viewer, &path).await.refused(404, "not_found");
            for (query, fields) in [
                ("since=x", vec!["since"]),
                ("since=-1", vec!["since"]),
                ("foo=1", vec!["foo"]),
                ("namespaces=moon", vec!["namespaces"]),
                ("namespaces=", vec!["namespaces"]),
                ("rooms=nonsense", vec!["rooms"]),
                ("rooms=team:writers", vec!["rooms"]),
                ("since=1&since=1", vec!["since"]),
                ("rooms=&rooms=", vec!["rooms"]),
                (
                    "foo=1&since=x&namespaces=moon,episodes&rooms=x",
                    vec!["foo", "namespaces", "rooms", "since"],
                ),
            ] {
                let answer = ask(&viewer, &format!("{address}?{query}")).await;
                assert_eq!(answer.wrong_fields(), fields, "{address}?{query}");
            }
        }
        let twice = format!("/ws?token={}&token=x", viewer.token());
        assert_eq!(ask(&nobody, &twice).await.wrong_fields(), ["token"]);
        let back = viewer.request(Method::GET, "/api/v1/events");
        let back = answer(back.header("last-event-id", "x")).await;
        assert_eq!(back.wrong_fields(), ["Last-Event-ID"]);
    });
}

/// What a refusal has that does not depend on when it was given.
fn shape(answer: &Answer) -> (u16, Value, Vec<(String, String)>) {
    let mut body = answer.body.clone();
    for own in ["request_id", "instance"] {
        body.as_object_mut().unwrap().remove(own);
    }
    let own = ["x-request-id", "date", "connection", "content-length"];
    // Of the application in front, and of what is not to be kept by anybody in between.
    let others = ["vary", "cache-control"];
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| !own.contains(&&**name) && !others.contains(&&**name))
        .filter(|(name, _)| !name.starts_with("access-control-"))
        .collect();
    headers.sort();
    (answer.status, body, headers)
}

#[test]
fn a_refused_websocket_has_the_answer_that_rest_would_give() {
    run(async {
        let bed = Bed::with(&[("MAX_SOCKET_CONNECTIONS", "1")]).await;
        let (nobody, viewer) = (bed.anonymous(), bed.viewer().await);
        for (client, query) in [
            (&nobody, ""),
            (&nobody, "?token=x"),
            (&viewer, "?namespaces=admin"),
            (&viewer, "?since=x&foo=1"),
        ] {
            let request = upgrade(client, Method::GET, &format!("/ws{query}"));
            let over_ws = answer(request.header("x-request-id", "trace-9")).await;
            let rest = ask(client, &format!("/api/v1/events{query}")).await;
            assert_eq!(shape(&over_ws), shape(&rest));
            assert_eq!(over_ws.header("x-request-id"), "trace-9");
            assert_eq!(over_ws.body["request_id"], "trace-9");
            assert_eq!(over_ws.body["instance"], "/ws");
            assert_eq!(over_ws.header("x-content-type-options"), "nosniff");
        }
        let missing = ask(&nobody, "/ws").await;
        missing.refused(401, "token_missing");
        assert_eq!(missing.header("www-authenticate"), "Bearer");
        let me = nobody.get("auth/me").await;
        assert_eq!(shape(&missing), shape(&me), "and as any other address");

        // The one place is taken.
        let held = viewer.request(Method::GET, "/api/v1/events").send().await;
        let held = held.unwrap();
        assert_eq!(held.status(), 200);
        let full = ask(&viewer, "/ws").await;
        full.refused(503, "too_many_connections");
        assert!(full.header("retry-after").parse::<u32>().unwrap() > 0);
        let rest = ask(&viewer, "/api/v1/events").await;
        assert_eq!(shape(&full), shape(&rest));
        drop(held);
    });
}

#[test]
fn an_address_without_a_websocket_and_a_websocket_without_an_upgrade_say_so() {
    run(async {
        let bed = Bed::new().await;
        let viewer = bed.viewer().await;
        for path in ["/", "/wss", "/api/v1/episodes", "/ws/"] {
            let nowhere = answer(upgrade(&viewer, Method::GET, path)).await;
            nowhere.refused(404, "not_found");
            assert_eq!(nowhere.body["instance"], path);
        }
        let plain = answer(viewer.request(Method::GET, "/ws")).await;
        plain.refused(426, "upgrade_required");
        assert_eq!(plain.header("upgrade"), "websocket");
        let old = viewer.request(Method::GET, "/ws");
        let old = old
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "7")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let old = answer(old).await;
        old.refused(426, "upgrade_required");
        assert_eq!(old.header("sec-websocket-version"), "13");
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            for request in [
                upgrade(&viewer, method.clone(), "/ws"),
                viewer.request(method.clone(), "/ws"),
            ] {
                let wrong = answer(request).await;
                wrong.refused(405, "method_not_allowed");
                assert_eq!(wrong.header("allow"), "GET", "{method}");
            }
        }
    });
}

#[test]
fn a_page_of_another_origin_gets_no_connection_of_any_kind() {
    run(async {
        let bed = Bed::with(&[("SOCKET_CORS_ORIGIN", "https://a.example")]).await;
        let viewer = bed.viewer().await;
        let asked = |path: &str, origin: &str| {
            let request = match path.contains("polling") || path.starts_with("/api") {
                true => viewer.request(Method::GET, path),
                false => upgrade(&viewer, Method::GET, path),
            };
            request.header("origin", origin)
        };
        for path in [
            "/ws",
            "/api/v1/events",
            "/socket.io/?EIO=4&transport=websocket",
            "/socket.io/?EIO=4&transport=polling",
        ] {
            for origin in ["https://b.example", "https://a.example.evil", "null"] {
                let refused = answer(asked(path, origin)).await;
                refused.refused(403, "origin_not_allowed");
            }
            for origin in ["https://a.example", &bed.url] {
                let opened = asked(path, origin).send().await.unwrap();
                let status = opened.status().as_u16();
                assert!(matches!(status, 101 | 200), "{path} {origin}: {status}");
            }
        }
    });
}

#[test]
fn the_protocol_s_own_refusals_keep_their_words() {
    run(async {
        let bed = Bed::new().await;
        let nobody = bed.anonymous();
        let path = "/socket.io/?EIO=3&transport=websocket";
        let old = answer(upgrade(&nobody, Method::GET, path)).await;
        assert_eq!(old.status, 400);
        assert_eq!(
            old.body.to_string(),
            r#"{"code":5,"message":"Unsupported protocol version"}"#
        );
        assert_eq!(old.header("content-type"), "application/json");
        assert_eq!(old.header("x-request-id").len(), 36);
    });
}

#[test]
fn what_was_refused_is_counted() {
    run(async {
        let bed = Bed::new().await;
        let (nobody, viewer) = (bed.anonymous(), bed.viewer().await);
        ask(&nobody, "/ws").await.refused(401, "token_missing");
        ask(&nobody, "/api/v1/events")
            .await
            .refused(401, "token_missing");
        ask(&viewer, "/ws?namespaces=admin")
            .await
            .refused(403, "forbidden");
        answer(upgrade(&viewer, Method::GET, "/elsewhere")).await;
        let body = serde_json::json!({"email": "nobody@callboard.test", "password": "wrong"});
        nobody
            .post("auth/login", body)
            .await
            .refused(401, "invalid_credentials");
        let text = nobody
            .request(Method::GET, "/metrics")
            .send()
            .await
            .unwrap();
        let text = text.text().await.unwrap();
        for line in [
            r#"callboard_http_requests_total{method="GET",resource="ws",status="401"} 1"#,
            r#"callboard_http_requests_total{method="GET",resource="ws",status="403"} 1"#,
            r#"callboard_http_requests_total{method="GET",resource="other",status="404"} 1"#,
            r#"callboard_connections_refused_total{reason="token_missing"} 2"#,
            r#"callboard_connections_refused_total{reason="forbidden"} 1"#,
            r#"callboard_connections_refused_total{reason="too_many_connections"} 0"#,
            r#"callboard_failed_logins_total{outcome="wrong"} 1"#,
            r#"callboard_failed_logins_total{outcome="blocked"} 0"#,
            "callboard_connections_limit 20000",
            "callboard_dropped_typing_total 0",
        ] {
            assert!(text.lines().any(|it| it == line), "no {line} in:\n{text}");
        }
        for name in ["process_cpu_seconds_total", "process_start_time_seconds"] {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let value: f64 = line
                .unwrap_or_else(|| panic!("no {name}"))
                .trim()
                .parse()
                .unwrap();
            assert!(value > 0.0, "{name}: {value}");
        }
    });
}
