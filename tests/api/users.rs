//! Users: for admins, and what follows from changing one.

use callboard_actors::model::identity::Role;
use serde_json::json;
use uuid::Uuid;

use crate::bed::{Bed, run};

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
                    json!({"role": null, "disabled": "yes", "password": "x"})
                )
                .await
                .wrong_fields(),
            ["disabled", "role", "password"]
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
