//! The activity history: each endpoint, each role, each refusal.

use callboard_actors::model::identity::Role;
use serde_json::{Value, json};

use crate::bed::{Bed, Client, Kind, on_both_databases};

on_both_databases!(
    the_feed_shows_what_happened_newest_first_under_both_its_names,
    what_is_private_stays_with_its_user_and_the_admins,
    a_search_finds_words_beginnings_and_phrases,
    figures_are_of_what_the_caller_may_see,
    a_team_is_looked_at_by_admins,
    who_may_not_is_refused_and_so_is_what_is_misspelt,
);

/// An episode that somebody made and renamed.
async fn episode(client: &Client, title: &str, number: i64) -> String {
    let made = client
        .post(
            "episodes",
            json!({"title": title, "episode_number": number}),
        )
        .await;
    let id = made.data()["id"].as_str().unwrap().to_owned();
    let renamed = client
        .patch(
            &format!("episodes/{id}"),
            json!({"title": format!("{title} II")}),
        )
        .await;
    renamed.data();
    id
}

fn column<'a>(rows: &'a Value, name: &str) -> Vec<&'a str> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row[name].as_str().unwrap()).collect()
}

async fn the_feed_shows_what_happened_newest_first_under_both_its_names(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (editor, viewer) = (bed.editor().await, bed.viewer().await);
    let id = episode(&editor, "Pilot", 1).await;
    bed.flushed().await;
    let feed = viewer.get("activity/feed?resource_type=episode").await;
    let rows = feed.data();
    assert_eq!(
        column(rows, "action"),
        ["episode_updated", "episode_created"]
    );
    let row = &rows[0];
    assert_eq!(row["resource_id"], id);
    assert_eq!(row["resource_name"], "Pilot II");
    assert_eq!(
        row["changes"],
        json!({"title": {"old": "Pilot", "new": "Pilot II"}})
    );
    assert_eq!(row["metadata"], Value::Null);
    assert_eq!(row["ip"], Value::Null, "of somebody else");
    let own = editor.get("activity/feed?action=episode_updated").await;
    assert!(own.data()[0]["ip"].is_string());
    for query in ["", "?limit=1", "?action=episode_created"] {
        let feed = viewer.get(&format!("activity/feed{query}")).await;
        let alias = viewer.get(&format!("activities{query}")).await;
        assert_eq!(feed.data(), alias.data());
    }
    let first = viewer
        .get("activity/feed?limit=1&resource_type=episode")
        .await;
    let cursor = first.body["meta"]["next_cursor"].as_str().unwrap();
    // The same list has one cursor under both names.
    let next = viewer
        .get(&format!(
            "activities?limit=1&resource_type=episode&cursor={cursor}"
        ))
        .await;
    assert_eq!(next.data()[0]["action"], "episode_created");
    assert_eq!(next.body["meta"]["has_more"], false);
    let other = viewer.get(&format!("activity/feed?cursor={cursor}")).await;
    assert_eq!(other.wrong_fields(), ["cursor"]);
}

async fn what_is_private_stays_with_its_user_and_the_admins(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (ann, bob) = (bed.user(Role::Editor).await, bed.user(Role::Editor).await);
    let client = |user| bed.anonymous().with_token(&bed.token(user));
    let admin = bed.admin().await;
    let path = format!("users/{}", ann.id);
    admin
        .patch(&path, json!({"name": "Anna", "team": "drama"}))
        .await
        .data();
    admin
        .post("socket/broadcast", json!({"data": 1}))
        .await
        .data();
    bed.flushed().await;
    let sees = async |client: &Client| {
        let rows = client.get("activity/feed?action=user_updated").await;
        rows.data().clone()
    };
    let of_ann = sees(&client(&ann)).await;
    assert_eq!(column(&of_ann, "resource_id"), [ann.id.to_string()]);
    assert_eq!(
        of_ann[0]["changes"],
        json!({"name": {"old": ann.name, "new": "Anna"}, "team": {"old": null, "new": "drama"}})
    );
    assert_eq!(of_ann[0]["ip"], Value::Null, "the admin's");
    assert_eq!(sees(&client(&bob)).await, json!([]));
    assert_eq!(sees(&admin).await.as_array().unwrap().len(), 1);
    // By no way round.
    let path = format!("activity/resource/user/{}", ann.id);
    assert_eq!(client(&bob).get(&path).await.data(), &json!([]));
    assert_eq!(
        client(&bob).get("activity/search?q=anna").await.data(),
        &json!([])
    );
    let stats = client(&bob).get("activity/stats?action=user_updated").await;
    assert_eq!(stats.data()["total"], 0);
    let admins = admin.get("activity/feed?action=admin_action").await;
    assert_eq!(admins.data()[0]["metadata"]["action"], "socket/broadcast");
    let others = client(&ann).get("activity/feed?action=admin_action").await;
    assert_eq!(others.data(), &json!([]));
}

async fn a_search_finds_words_beginnings_and_phrases(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (editor, viewer) = (bed.editor().await, bed.viewer().await);
    episode(&editor, "Crème de la Crème", 1).await;
    episode(&editor, "The long night", 2).await;
    bed.flushed().await;
    for (q, found) in [
        ("creme", 2),
        ("CRÈME", 2),
        ("nigh*", 2),
        ("nigh", 0),
        ("%22long+night%22", 2),
        ("%22night+long%22", 0),
        ("night+ii", 1),
        ("night+creme", 0),
        ("episode_created", 2),
        ("title", 2),
    ] {
        let rows = viewer.get(&format!("activity/search?q={q}")).await;
        assert_eq!(rows.data().as_array().unwrap().len(), found, "{q}");
    }
    let narrowed = viewer
        .get("activity/search?q=night&action=episode_created")
        .await;
    assert_eq!(column(narrowed.data(), "action"), ["episode_created"]);
    let first = viewer.get("activity/search?q=creme&limit=1").await;
    let cursor = first.body["meta"]["next_cursor"].as_str().unwrap();
    let next = viewer
        .get(&format!("activity/search?q=creme&limit=1&cursor={cursor}"))
        .await;
    assert_ne!(first.data()[0]["id"], next.data()[0]["id"]);
    let other = viewer
        .get(&format!("activity/search?q=night&cursor={cursor}"))
        .await;
    assert_eq!(other.wrong_fields(), ["cursor"]);
    let long = format!("q={}", "a".repeat(201));
    for nothing in ["%22%22", "*", "%F0%9F%8E%AC", "%27--"] {
        let rows = viewer.get(&format!("activity/search?q={nothing}")).await;
        assert_eq!(rows.data(), &json!([]), "{nothing}");
    }
    for wrong in ["", "q=", "q=%00", &long] {
        let refused = viewer.get(&format!("activity/search?{wrong}")).await;
        assert_eq!(refused.wrong_fields(), ["q"], "{wrong}");
    }
}

async fn figures_are_of_what_the_caller_may_see(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (editor, viewer, admin) = (bed.editor().await, bed.viewer().await, bed.admin().await);
    episode(&editor, "Pilot", 1).await;
    bed.flushed().await;
    let stats = viewer.get("activity/stats?resource_type=episode").await;
    let stats = stats.data();
    assert_eq!(stats["total"], 2);
    assert_eq!(
        column(&stats["by_action"], "action"),
        ["episode_created", "episode_updated"]
    );
    assert_eq!(stats["by_user"][0]["count"], 2);
    assert_eq!(stats["by_day"].as_array().unwrap().len(), 1);
    let later = viewer.get("activity/stats?from=2999-01-01T00:00:00Z").await;
    assert_eq!(later.data()["total"], 0);
    let dashboard = admin.get("activity/dashboard-stats").await;
    let dashboard = dashboard.data();
    assert_eq!(dashboard["episodes"]["by_status"]["draft"], 1);
    assert_eq!(
        dashboard["users"]["by_role"],
        json!({"admin": 2, "editor": 1, "viewer": 1})
    );
    assert_eq!(
        dashboard["activity"]["today"],
        dashboard["activity"]["total"]
    );
    assert!(dashboard["users"]["online"].is_u64() && dashboard["sockets"]["sockets"].is_u64());
}

async fn a_team_is_looked_at_by_admins(kind: Kind) {
    let bed = Bed::of(kind).await;
    let admin = bed.admin().await;
    let editor = bed.user(Role::Editor).await;
    let path = format!("users/{}", editor.id);
    admin.patch(&path, json!({"team": "drama"})).await.data();
    let client = bed.anonymous().with_token(&bed.token(&editor));
    episode(&client, "Pilot", 1).await;
    bed.flushed().await;
    let rows = admin.get("activity/team?team=drama").await;
    assert_eq!(
        column(rows.data(), "action"),
        ["episode_updated", "episode_created"]
    );
    assert!(rows.data()[0]["ip"].is_string());
    let rows = admin
        .get("activity/team?team=drama&action=episode_created")
        .await;
    assert_eq!(rows.data().as_array().unwrap().len(), 1);
    assert_eq!(
        admin.get("activity/team?team=news").await.data(),
        &json!([])
    );
    let all = admin.get("activity/team").await;
    assert_eq!(
        all.data()[2]["action"],
        "user_updated",
        "without a team: all users"
    );
}

async fn who_may_not_is_refused_and_so_is_what_is_misspelt(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (viewer, editor, admin) = (bed.viewer().await, bed.editor().await, bed.admin().await);
    let open = [
        "activity/feed",
        "activities",
        "activity/resource/episode/01a22200-0000-7000-8000-000000000001",
        "activity/stats",
        "activity/search?q=a",
        "activity/export",
    ];
    let admins = ["activity/team", "activity/dashboard-stats"];
    for path in open.iter().chain(&admins) {
        bed.anonymous()
            .get(path)
            .await
            .refused(401, "token_missing");
        admin.get(path).await.data();
        let mark = if path.contains('?') { '&' } else { '?' };
        let wrong = admin.get(&format!("{path}{mark}acton=x")).await;
        assert_eq!(wrong.wrong_fields(), ["acton"], "{path}");
    }
    for path in open {
        viewer.get(path).await.data();
        let mark = if path.contains('?') { '&' } else { '?' };
        for (query, field) in [
            ("user_id=x", "user_id"),
            ("from=yesterday", "from"),
            ("to=2026", "to"),
            ("action=", "action"),
        ] {
            let wrong = viewer.get(&format!("{path}{mark}{query}")).await;
            assert_eq!(wrong.wrong_fields(), [field], "{path} {query}");
        }
    }
    for path in [
        "episode/1",
        "user/x",
        "job/00000000-0000-0000-0000-000000000000",
        "socket/x",
        "nothing/01a22200-0000-7000-8000-000000000001",
    ] {
        let path = format!("activity/resource/{path}");
        viewer.get(&path).await.refused(404, "not_found");
    }
    for path in [
        "user/01A22200-0000-7000-8000-000000000001",
        "composition/01a22200-0000-7000-8000-000000000001",
        "file/01a22200-0000-7000-8000-000000000001",
        "preferences/01a22200-0000-7000-8000-000000000001",
        "room/team:a%2Fb",
        "namespace/%2Ffeed",
    ] {
        let path = format!("activity/resource/{path}");
        assert_eq!(viewer.get(&path).await.data(), &json!([]), "{path}");
    }
    let never = "activity/feed?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z";
    assert_eq!(viewer.get(never).await.data(), &json!([]));
    for path in admins {
        viewer.get(path).await.refused(403, "forbidden");
        editor.get(path).await.refused(403, "forbidden");
    }
    let wrong = viewer
        .get("activity/resource/episode/01a22200-0000-7000-8000-000000000001?resource_type=job")
        .await;
    assert_eq!(wrong.wrong_fields(), ["resource_type"]);
    let wrong = viewer.get("activity/feed?limit=0").await;
    assert_eq!(wrong.wrong_fields(), ["limit"]);
}
