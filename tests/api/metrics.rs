//! What Prometheus reads.

use std::collections::BTreeSet;

use serde_json::json;

use crate::bed::{Bed, Client, run};

async fn scrape(client: &Client) -> String {
    let response = client
        .request(reqwest::Method::GET, "/metrics")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let kind = response.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    response.text().await.unwrap()
}

/// The value of a series, as it is spelt.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn a_change_shows_in_the_figures_and_a_stranger_may_read_them() {
    run(async {
        let bed = Bed::new().await;
        let (editor, nobody) = (bed.editor().await, bed.anonymous());
        let before = scrape(&nobody).await;
        let created =
            r#"callboard_http_requests_total{method="POST",resource="episodes",status="201"}"#;
        let refused =
            r#"callboard_http_requests_total{method="POST",resource="episodes",status="422"}"#;
        assert_eq!(value(&before, created), None);
        let seq = value(&before, "callboard_record_seq").unwrap();
        for number in 0..3 {
            let body = json!({"title": "x", "episode_number": number});
            assert_eq!(editor.post("episodes", body).await.status, 201);
        }
        editor.post("episodes", json!({})).await;
        bed.flushed().await;
        let after = scrape(&nobody).await;
        assert_eq!(value(&after, created), Some(3.0));
        assert_eq!(value(&after, refused), Some(1.0));
        let timed = r#"callboard_http_request_seconds_count{method="POST",resource="episodes"}"#;
        assert_eq!(value(&after, timed), Some(4.0));
        assert_eq!(value(&after, "callboard_record_seq"), Some(seq + 3.0));
        for consumer in ["activity", "notifications"] {
            let lag = format!(r#"callboard_record_lag{{consumer="{consumer}"}}"#);
            assert_eq!(value(&after, &lag), Some(0.0));
        }
        let writes = |text: &str| value(text, "callboard_database_write_seconds_count").unwrap();
        assert!(writes(&after) >= writes(&before) + 3.0);
        let shared = |text: &str| value(text, "callboard_database_commit_writes_sum").unwrap();
        assert!(shared(&after) >= shared(&before) + 3.0);
        let told = r#"callboard_actor_handled_total{actor="Broadcaster"}"#;
        assert!(value(&after, told).unwrap() >= value(&before, told).unwrap() + 3.0);
        let slow = r#"callboard_connections_closed_total{reason="slow_consumer"}"#;
        assert_eq!(value(&after, slow), Some(0.0), "there before the first");
        assert_eq!(value(&after, "callboard_ready"), Some(1.0));
        assert_eq!(value(&after, r#"callboard_up{part="database"}"#), Some(1.0));
    });
}

#[test]
fn a_part_that_is_down_is_said_to_be_and_costs_only_its_own_figures() {
    run(async {
        let bed = Bed::new().await;
        bed.store().close().await;
        let text = scrape(&bed.anonymous()).await;
        assert_eq!(value(&text, r#"callboard_up{part="database"}"#), Some(0.0));
        assert_eq!(value(&text, r#"callboard_up{part="sockets"}"#), Some(1.0));
        assert_eq!(value(&text, "callboard_ready"), Some(0.0));
        assert_eq!(value(&text, "callboard_record_seq"), None);
        assert!(text.contains("callboard_actor_handled_total"));
    });
}

/// A rule that names a metric which is not there never fires, and nobody notices.
#[test]
fn the_alert_rules_name_metrics_that_are_there() {
    run(async {
        let bed = Bed::new().await;
        let client = bed.editor().await;
        client.get("episodes").await;
        let text = scrape(&client).await;
        let rules = std::fs::read_to_string(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/prometheus/alerts.yml"),
        )
        .unwrap();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named: BTreeSet<_> = rules
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(|line| line.split(|c: char| !is_name(c)))
            .filter(|word| word.starts_with("callboard_"))
            .collect();
        assert!(named.len() > 8, "{named:?}");
        for name in named {
            // A histogram's family is named without its suffix.
            let family = name.trim_end_matches("_bucket");
            assert!(text.contains(&format!("# TYPE {family} ")), "{name}");
        }
        let families = text.matches("# HELP ").count();
        assert_eq!(families, text.matches("# TYPE ").count());
    });
}
