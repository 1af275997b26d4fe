//! Users: for admins, and what follows from changing one.

use callboard_actors::model::identity::Role;
use serde_json::json;
use uuid::Uuid;

use crate::bed::{Bed, Kind, answer, on_both_databases, run};

#[test]
fn an_admin_makes_lists_shows_and_changes_users() {
    run(async {
        let bed = Bed::new().await;
        let (admin, nobody) = (bed.admin().await, bed.anonymous());
        let body = json!({"email": "ada@callboard.test", "name": " Ada ", "role": "editor", "team": "news"});
        let made = admin.post("users", body.clone()).await;
        assert_eq!(made.status, 201);
        let password = made.data()["password"].as_str().unwrap();
        let id = made.data()["id"].as_str().unwrap();
        assert_eq!(made.data()["name"], "Ada");
        admin.post("users", body).await.refused(409, "email_taken");

        let login = json!({"email": "ada@callboard.test", "password": password});
        let session = nobody.post("auth/login", login).await;
        let ada = nobody.with_token(session.data()["access_token"].as_str().unwrap());
        ada.get("users").await.refused(403, "forbidden");

        let shown = admin.get(&format!("users/{id}")).await;
        assert_eq!(shown.data()["team"], "news");
        assert!(shown.data().get("password").is_none(), "shown only once");
        assert!(!shown.body.to_string().contains("argon2"));
        assert!(
            admin
                .get("users?limit=100")
                .await
                .body
                .to_string()
                .contains("ada@callboard.test")
        );

        let patch = json!({"name": "Ada L.", "team": null, "role": "viewer", "email": "ada.l@callboard.test"});
        let changed = admin.patch(&format!("users/{id}"), patch).await;
        assert_eq!(changed.data()["name"], "Ada L.");
        assert_eq!(changed.data()["team"], serde_json::Value::Null);
        // At once, with the token that she had as an editor.
        ada.post("episodes", json!({"title": "x", "episode_number": 1}))
            .await
            .refused(403, "forbidden");
        assert_eq!(
            ada.get("auth/me").await.data()["email"],
            "ada.l@callboard.test"
        );

        admin
            .patch(&format!("users/{id}"), json!({"disabled": true}))
            .await
            .data();
        ada.get("auth/me").await.refused(401, "user_disabled");
    });
}

#[test]
fn every_wrong_field_of_a_user_is_named() {
    run(async {
        let bed = Bed::new().await;
        let admin = bed.admin().await;
        let wrong = json!({"email": "no address", "name": "", "role": "king", "team": "", "password": "short", "x": 1});
        let refused = admin.post("users", wrong).await;
        assert_eq!(
            refused.wrong_fields(),
            ["email", "name", "role", "team", "password", "x"]
        );
        assert_eq!(
            admin.post("users", json!({})).await.wrong_fields(),
            ["email", "name", "role"]
        );
        let user = bed.user(Role::Viewer).await;
        let path = format!("users/{}", user.id);
        assert_eq!(
            admin
                .patch(
                    &path,
                    json!({"role": null, "disabled": "yes", "password": "x", "id": 1})
                )
                .await
                .wrong_fields(),
            ["disabled", "password", "role", "id"]
        );
        admin
            .get(&format!("users/{}", Uuid::now_v7()))
            .await
            .refused(404, "not_found");
        admin.get("users/me").await.refused(404, "not_found");
    });
}

#[test]
fn the_last_admin_stays_one() {
    run(async {
        let bed = Bed::new().await;
        let first = callboard::store::users::find_by_email(bed.store(), "admin@localhost")
            .await
            .unwrap()
            .unwrap();
        let admin = bed.anonymous().with_token(&bed.token(&first));
        let path = format!("users/{}", first.id);
        for patch in [json!({"role": "editor"}), json!({"disabled": true})] {
            admin.patch(&path, patch).await.refused(409, "last_admin");
        }
        bed.user(Role::Admin).await;
        admin.patch(&path, json!({"role": "editor"})).await.data();
    });
}

on_both_databases!(
    users_are_found_by_role_team_state_and_words,
    a_new_password_counts_at_once_and_ends_the_old_ones_sessions,
    a_generated_password_is_given_out_once_and_kept_nowhere,
    only_admins_see_and_change_users,
);

async fn users_are_found_by_role_team_state_and_words(kind: Kind) {
    let bed = Bed::of(kind).await;
    let admin = bed.admin().await;
    let make = async |email: &str, name: &str, role: &str, team: Option<&str>| {
        let body = json!({"email": email, "name": name, "role": role, "team": team});
        let made = admin.post("users", body).await;
        made.data()["id"].as_str().unwrap().to_owned()
    };
    let ada = make("ada@news.test", "Ada Ärmel", "editor", Some("news")).await;
    let ben = make("ben@drama.test", "Ben 100%_", "viewer", Some("drama")).await;
    let eve = make("eve@news.test", "Eve", "editor", Some("drama")).await;
    let gone = json!({"disabled": true});
    admin.patch(&format!("users/{eve}"), gone).await.data();
    let renamed = json!({"name": "Ada Ölberg"});
    admin.patch(&format!("users/{ada}"), renamed).await.data();
    let found = async |filter: &str| {
        let page = admin.get(&format!("users?limit=100&{filter}")).await;
        let rows = page.data().as_array().unwrap().clone();
        let mut ids: Vec<_> = rows
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .filter(|id| [&ada, &ben, &eve].contains(&id))
            .collect();
        ids.reverse();
        ids
    };
    assert_eq!(found("").await, [&*ada, &ben, &eve]);
    assert_eq!(found("role=editor").await, [&*ada, &eve]);
    assert_eq!(found("team=drama").await, [&*ben, &eve]);
    assert_eq!(found("team=drama&disabled=false").await, [&*ben]);
    assert_eq!(found("disabled=true").await, [&*eve]);
    assert_eq!(found("q=NEWS.test").await, [&*ada, &eve]);
    assert_eq!(found("q=%C3%B6lBERG").await, [&*ada], "in whatever case");
    assert!(found("q=%C3%A4rmel").await.is_empty(), "her name no more");
    assert_eq!(found("q=%25_").await, [&*ben], "as it stands");
    for wrong in ["role=king", "disabled=1", "q=", "team=", "name=x"] {
        let refused = admin.get(&format!("users?{wrong}")).await;
        refused.refused(422, "validation_failed");
    }
    let page = admin.get("users?limit=1&role=editor").await;
    let cursor = page.body["meta"]["next_cursor"].as_str().unwrap();
    let with = |filter: &str| format!("users?limit=1&cursor={cursor}{filter}");
    let next = admin.get(&with("&role=editor")).await;
    assert_eq!(next.data()[0]["id"], ada.as_str());
    let other = admin.get(&with("&role=viewer")).await;
    assert_eq!(other.wrong_fields(), ["cursor"]);
}

async fn a_new_password_counts_at_once_and_ends_the_old_ones_sessions(kind: Kind) {
    let bed = Bed::of(kind).await;
    let (admin, nobody) = (bed.admin().await, bed.anonymous());
    let body = json!({"email": "ada@callboard.test", "name": "Ada", "role": "viewer", "password": "old password"});
    let made = admin.post("users", body).await;
    assert!(made.data().get("password").is_none(), "she knows it");
    let path = format!("users/{}", made.data()["id"].as_str().unwrap());
    let login = async |password: &str| {
        let body = json!({"email": "ada@callboard.test", "password": password});
        nobody.post("auth/login", body).await
    };
    let session = login("old password").await;
    let change = json!({"password": "new password", "name": "Ada L."});
    let changed = admin.patch(&path, change).await;
    assert_eq!(changed.data()["name"], "Ada L.");
    assert!(!changed.body.to_string().contains("password"));
    login("old password")
        .await
        .refused(401, "invalid_credentials");
    login("new password").await.data();
    let token = session.data()["refresh_token"].clone();
    let refreshed = nobody
        .post("auth/refresh", json!({"refresh_token": token}))
        .await;
    refreshed.refused(401, "refresh_token_invalid");
    for wrong in [json!("short"), json!(null), json!(12345678)] {
        let refused = admin.patch(&path, json!({"password": wrong})).await;
        assert_eq!(refused.wrong_fields(), ["password"]);
    }
}

async fn a_generated_password_is_given_out_once_and_kept_nowhere(kind: Kind) {
    let bed = Bed::of(kind).await;
    let admin = bed.admin().await;
    let body = json!({"email": "ada@callboard.test", "name": "Ada", "role": "viewer"});
    let post = async || {
        let request = admin.request(reqwest::Method::POST, "users");
        answer(request.header("idempotency-key", "k").json(&body)).await
    };
    let (first, second) = (post().await, post().await);
    let password = first.data()["password"].as_str().unwrap();
    assert_eq!(second.status, 201);
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(second.data()["id"], first.data()["id"]);
    assert!(
        !second.body.to_string().contains(password),
        "{}",
        second.body
    );
    assert!(second.data().get("password").is_none());
    let login = json!({"email": "ada@callboard.test", "password": password});
    bed.anonymous().post("auth/login", login).await.data();
}

async fn only_admins_see_and_change_users(kind: Kind) {
    let bed = Bed::of(kind).await;
    let path = format!("users/{}", bed.user(Role::Viewer).await.id);
    for client in [bed.viewer().await, bed.editor().await] {
        client.get("users").await.refused(403, "forbidden");
        client.get(&path).await.refused(403, "forbidden");
        let patch = client.patch(&path, json!({"role": "admin"})).await;
        patch.refused(403, "forbidden");
        client
            .post("users", json!({}))
            .await
            .refused(403, "forbidden");
    }
}
