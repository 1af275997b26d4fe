//! Log in, refresh, log out, and tokens that are not good.

use std::collections::BTreeMap;
use std::time::Duration;

use callboard::config::Config;
use callboard::server::Application;
use callboard::store::users::{self, NewUser};
use callboard::store::{By, Store};
use callboard_actors::model::identity::Role;
use callboard_actors::runtime::Clock;
use serde_json::{Value, json};

use crate::bed::{Bed, Client, Folder, PASSWORD, run};

async fn login(client: &Client, email: &str, password: &str) -> crate::bed::Answer {
    client
        .post("auth/login", json!({"email": email, "password": password}))
        .await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn the_first_admin_logs_in_refreshes_and_logs_out() {
    run(async {
        let bed = Bed::new().await;
        let nobody = bed.anonymous();
        let session = login(&nobody, "Admin@LocalHost", PASSWORD).await;
        let session = session.data();
        assert_eq!(session["expires_in"], 900);
        assert_eq!(session["user"]["role"], "admin");
        assert!(!session.to_string().contains("argon2"));
        let me = nobody
            .with_token(&text(&session["access_token"]))
            .get("auth/me")
            .await;
        assert_eq!(me.data()["email"], "admin@localhost");

        let old = text(&session["refresh_token"]);
        let next = nobody
            .post("auth/refresh", json!({"refresh_token": old}))
            .await;
        let new = text(&next.data()["refresh_token"]);
        assert_ne!(old, new);
        let admin = nobody.with_token(&text(&next.data()["access_token"]));
        admin
            .post("auth/logout", json!({"refresh_token": new}))
            .await
            .data();
        let after = nobody
            .post("auth/refresh", json!({"refresh_token": new}))
            .await;
        after.refused(401, "refresh_token_invalid");
    });
}

#[test]
fn a_refresh_token_used_twice_ends_its_family() {
    run(async {
        let bed = Bed::new().await;
        let nobody = bed.anonymous();
        let first =
            text(&login(&nobody, "admin@localhost", PASSWORD).await.data()["refresh_token"]);
        let refresh = async |token: &str| {
            nobody
                .post("auth/refresh", json!({"refresh_token": token}))
                .await
        };
        let second = text(&refresh(&first).await.data()["refresh_token"]);
        refresh(&first).await.refused(401, "refresh_token_invalid");
        refresh(&second).await.refused(401, "refresh_token_invalid");
        refresh("never given out")
            .await
            .refused(401, "refresh_token_invalid");
    });
}

#[test]
fn guessing_is_slowed_down_for_known_and_unknown_accounts_alike() {
    run(async {
        let bed = Bed::new().await;
        let nobody = bed.anonymous();
        for _ in 0..4 {
            login(&nobody, "admin@localhost", "wrong guess")
                .await
                .refused(401, "invalid_credentials");
        }
        login(&nobody, "nobody@localhost", "wrong guess")
            .await
            .refused(401, "invalid_credentials");
        // Five from this address: neither the right password nor another account goes on.
        for email in ["admin@localhost", "another@localhost"] {
            let slowed = login(&nobody, email, PASSWORD).await;
            slowed.refused(429, "too_many_attempts");
            let wait: u64 = slowed.header("retry-after").parse().unwrap();
            assert!((1..=900).contains(&wait), "{wait}");
        }
        bed.clock.advance(Duration::from_secs(901));
        login(&nobody, "admin@localhost", PASSWORD).await.data();
    });
}

#[test]
fn a_login_says_what_is_missing_and_takes_no_more() {
    run(async {
        let bed = Bed::new().await;
        let nobody = bed.anonymous();
        let wrong = nobody
            .post("auth/login", json!({"email": "a@b", "pasword": "x"}))
            .await;
        assert_eq!(wrong.wrong_fields(), ["password", "pasword"]);
        login(&nobody, "a\u{0}@b", "whatever it is")
            .await
            .refused(422, "validation_failed");
        login(&nobody, "a@b", "nul \u{0} inside")
            .await
            .refused(422, "validation_failed");
    });
}

#[test]
fn a_token_that_is_not_good_says_why() {
    run(async {
        let bed = Bed::new().await;
        let nobody = bed.anonymous();
        let user = bed.user(Role::Viewer).await;
        let good = bed.token(&user);
        let of = |token: &str| nobody.with_token(token);
        of(&good).get("auth/me").await.data();
        let (head, rest) = good.split_once('.').unwrap();
        let forged = format!("{head}.{}x", rest);
        // {"alg":"none","typ":"JWT"}
        let unsigned = format!(
            "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.",
            rest.split_once('.').unwrap().0
        );
        for bad in [forged.as_str(), &unsigned, "x", "a.b.c", &"x".repeat(9_000)] {
            of(bad).get("auth/me").await.refused(401, "token_invalid");
        }
        let refused = nobody.get("auth/me").await;
        refused.refused(401, "token_missing");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        let basic = nobody
            .request(reqwest::Method::GET, "auth/me")
            .basic_auth("a", Some("b"));
        crate::bed::answer(basic)
            .await
            .refused(401, "token_missing");
        bed.clock.advance(Duration::from_secs(3_601));
        of(&good).get("auth/me").await.refused(401, "token_expired");
    });
}

#[test]
fn a_start_without_an_admin_whose_address_is_taken_says_what_to_do() {
    run(async {
        let folder = Folder::new();
        let url = format!("sqlite://{}/test.db", folder.path().display());
        let clock = Clock::system();
        let store = Store::open(&url, clock.clone()).await.unwrap();
        store.migrate().await.unwrap();
        let new = NewUser {
            email: "ADMIN@localhost".into(),
            name: "A".into(),
            role: Role::Viewer,
            team: None,
            password_hash: None,
        };
        users::insert(&store, new, By::nobody()).await.unwrap();
        store.close().await;
        let values = BTreeMap::from([("DATABASE_URL".to_owned(), url)]);
        let config = Config::read(&values).unwrap();
        let Err(error) = Application::build(config, clock).await else {
            panic!("it started");
        };
        assert!(
            error
                .to_string()
                .contains("user set-role admin@localhost admin"),
            "{error}"
        );
    });
}
