//! The history as a file: every row that the caller may see, once, in order, however it is cut.

use std::time::Duration;

use callboard_actors::model::event::Kind as Event;
use callboard_actors::model::identity::Origin;
use callboard_actors::model::record::{NewEntry, Resource};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bed::{Bed, Client, Kind, on_both_databases};

on_both_databases!(
    an_export_is_what_the_caller_may_see_oldest_first,
    what_was_cut_off_goes_on_behind_its_last_row,
    csv_has_a_header_line_and_no_formula,
    what_is_misspelt_is_refused,
    who_does_not_read_on_holds_up_nobody,
);

/// An answer's body as it is.
async fn text(client: &Client, path: &str) -> (String, String) {
    let response = client.request(Method::GET, path).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    (kind, response.text().await.unwrap())
}

async fn rows(client: &Client, query: &str) -> Vec<Value> {
    let (kind, text) = text(client, &format!("activity/export?format=ndjson{query}")).await;
    assert_eq!(kind, "application/x-ndjson");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The feed, turned round.
async fn feed(client: &Client, query: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client
            .get(&format!("activity/feed?limit=3{query}{cursor}"))
            .await;
        rows.extend(page.data().as_array().unwrap().iter().cloned());
        match page.body["meta"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    rows.reverse();
    rows
}

async fn some(bed: &Bed) -> Client {
    let editor = bed.editor().await;
    for number in 0..8 {
        let body = json!({"title": format!("Episode {number}"), "episode_number": number});
        editor.post("episodes", body).await.data();
    }
    bed.flushed().await;
    editor
}

async fn an_export_is_what_the_caller_may_see_oldest_first(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (editor, viewer, admin) = (some(&bed).await, bed.viewer().await, bed.admin().await);
    bed.flushed().await;
    let all = rows(&admin, "").await;
    assert!(all.len() > 10);
    for client in [&editor, &viewer, &admin] {
        assert_eq!(rows(client, "").await, feed(client, "").await);
        let query = "&action=episode_created&resource_type=episode";
        assert_eq!(rows(client, query).await, feed(client, query).await);
    }
    assert!(
        rows(&viewer, "").await.len() < all.len(),
        "not what is private"
    );
    assert!(rows(&admin, "&from=2999-01-01T00:00:00Z").await.is_empty());
    let answer = viewer.get("activity/export").await;
    assert_eq!(
        answer.header("content-disposition"),
        "attachment; filename=\"activity.ndjson\""
    );
}

async fn what_was_cut_off_goes_on_behind_its_last_row(kind: Kind) {
    let bed = Bed::of(kind).await;
    some(&bed).await;
    let admin = bed.admin().await;
    bed.flushed().await;
    let all = rows(&admin, "").await;
    let (_, csv) = text(&admin, "activity/export?format=csv").await;
    for (at, row) in all.iter().enumerate() {
        let seq = &row["seq"];
        assert_eq!(rows(&admin, &format!("&after={seq}")).await, all[at + 1..]);
        let (_, rest) = text(&admin, &format!("activity/export?format=csv&after={seq}")).await;
        assert!(csv.ends_with(&rest), "no header line in the middle");
        assert_eq!(rest.lines().count(), all.len() - at - 1);
    }
}

async fn csv_has_a_header_line_and_no_formula(kind: Kind) {
    let bed = Bed::of(kind).await;
    let admin = bed.admin().await;
    let title = "=HYPERLINK(\"http://x\", \"y\")";
    let body = json!({"title": title, "episode_number": 1});
    admin.post("episodes", body).await.data();
    bed.flushed().await;
    let (kind, csv) = text(&admin, "activity/export?format=csv&resource_type=episode").await;
    assert_eq!(kind, "text/csv; charset=utf-8");
    let lines: Vec<_> = csv.split("\r\n").collect();
    assert!(lines[0].starts_with("seq,id,created_at,action,"), "{csv}");
    let cell = ",\"'=HYPERLINK(\"\"http://x\"\", \"\"y\"\")\",";
    assert!(lines[1].contains(cell), "{csv}");
    assert_eq!(lines[2..], [""]);
}

async fn what_is_misspelt_is_refused(kind: Kind) {
    let bed = Bed::of(kind).await;
    let viewer = bed.viewer().await;
    for (query, field) in [
        ("format=xml", "format"),
        ("after=-1", "after"),
        ("after=x", "after"),
        ("limit=5", "limit"),
        ("cursor=x", "cursor"),
    ] {
        let wrong = viewer.get(&format!("activity/export?{query}")).await;
        assert_eq!(wrong.wrong_fields(), [field], "{query}");
    }
    // Behind the end there is nothing, which is no fault.
    let (_, rest) = text(&viewer, "activity/export?after=9223372036854775807").await;
    assert_eq!(rest, "");
}

async fn who_does_not_read_on_holds_up_nobody(kind: Kind) {
    let bed = Bed::of(kind).await;
    let admin = bed.admin().await;
    let at = bed.store().now();
    let write = bed.store().write(move |tx| {
        Box::pin(async move {
            for number in 0..4_000 {
                tx.append(NewEntry {
                    id: Uuid::now_v7(),
                    at,
                    event: Event::EpisodeUpdated.name().into(),
                    actor: None,
                    resource: Some(Resource {
                        kind: "episode".into(),
                        id: number.to_string(),
                    }),
                    audience: Vec::new(),
                    data: serde_json::value::to_raw_value(
                        &json!({"title": "long ".repeat(60), "changes": {}}),
                    )
                    .unwrap(),
                    origin: Origin::default(),
                })?;
            }
            Ok(())
        })
    });
    write.await.unwrap();
    bed.flushed().await;
    // More than there are connections to either database.
    let mut stalled = Vec::new();
    for _ in 0..40 {
        let mut response = admin
            .request(Method::GET, "activity/export")
            .send()
            .await
            .unwrap();
        assert!(response.chunk().await.unwrap().is_some());
        stalled.push(response);
    }
    let quick = tokio::time::timeout(Duration::from_secs(5), admin.get("activity/feed?limit=1"));
    quick
        .await
        .expect("a read waits for who does not read")
        .data();
    let body = json!({"title": "x", "episode_number": 1});
    admin.post("episodes", body).await.data();
    // Who reads on after all gets the rest.
    let mut response = stalled.pop().unwrap();
    let mut last = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        last.extend_from_slice(&chunk);
    }
    let text = String::from_utf8_lossy(&last);
    let row: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        row["resource_id"], "3999",
        "the end as it was at the beginning"
    );
}
