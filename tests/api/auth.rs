//! Log in, refresh, log out, and tokens that are not good.

use std::collections::BTreeMap;
use std::time::Duration;

use callboard::config::Config;
use callboard::server::Application;
use callboard::store::users::{self, NewUser};
use callboard::store::{By, Store};
use callboard::telemetry::Log;
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
        let values = BTreeMap::from([
            ("SOCKET_PORT".to_owned(), "0".to_owned()),
            ("DATABASE_URL".to_owned(), url),
        ]);
        let config = Config::read(&values).unwrap();
        let Err(error) = Application::build(config, clock, Log::default()).await else {
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

/// The middle part of a token.
fn claims(token: &str) -> Value {
    use base64::Engine;
    let body = token.split('.').nth(1).unwrap();
    let body = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body);
    serde_json::from_slice(&body.unwrap()).unwrap()
}

#[test]
fn an_access_token_has_every_claim() {
    run(async {
        let named = [("JWT_ISSUER", "us"), ("JWT_AUDIENCE", "them")];
        for (settings, iss, aud) in [(&[][..], "callboard", "callboard"), (&named, "us", "them")] {
            let bed = Bed::with(settings).await;
            let session = login(&bed.anonymous(), "admin@localhost", PASSWORD).await;
            let session = session.data();
            let token = text(&session["access_token"]);
            let claims = claims(&token);
            let mut names: Vec<_> = claims.as_object().unwrap().keys().collect();
            names.sort_unstable();
            let mut all = [
                "sub", "email", "name", "role", "team", "iss", "aud", "iat", "exp", "jti",
            ];
            all.sort_unstable();
            assert_eq!(names, all);
            assert_eq!(claims["sub"], session["user"]["id"]);
            assert_eq!(claims["email"], "admin@localhost");
            assert_eq!(claims["name"], session["user"]["name"]);
            assert_eq!(claims["role"], "admin");
            assert_eq!(claims["team"], Value::Null);
            assert_eq!((&claims["iss"], &claims["aud"]), (&json!(iss), &json!(aud)));
            let (from, to) = (claims["iat"].as_i64(), claims["exp"].as_i64());
            assert_eq!(from, Some(bed.clock.now().timestamp()));
            assert_eq!(to, from.map(|from| from + 900));
            assert!(uuid::Uuid::parse_str(claims["jti"].as_str().unwrap()).is_ok());
            let bearer = bed.anonymous().with_token(&token);
            bearer.get("auth/me").await.data();
        }
    });
}

#[test]
fn a_token_of_ours_without_issuer_and_audience_is_good_unless_they_are_asked_for() {
    run(async {
        const SECRET: &str = "a secret that is good for tests alone";
        let named = [("JWT_SECRET", SECRET), ("JWT_ISSUER", "us")];
        for (settings, good) in [(&named[..1], true), (&named, false)] {
            let bed = Bed::with(settings).await;
            let user = bed.user(Role::Viewer).await;
            let now = bed.clock.now().timestamp();
            let claims = json!({"sub": user.id, "iat": now, "exp": now + 60});
            let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
            let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key);
            let bearer = bed.anonymous().with_token(&token.unwrap());
            match bearer.get("auth/me").await {
                answer if good => drop(answer.data().clone()),
                answer => answer.refused(401, "token_invalid"),
            }
        }
    });
}

#[test]
fn guesses_at_the_same_time_are_no_more_than_guesses_in_turn() {
    run(async {
        let bed = Bed::new().await;
        let nobody = bed.anonymous();
        for _ in 0..3 {
            login(&nobody, "admin@localhost", "wrong guess").await;
        }
        let all = (0..12).map(|_| login(&nobody, "admin@localhost", "wrong guess"));
        let all = futures_util::future::join_all(all).await;
        let wrong = all.iter().filter(|answer| answer.status == 401).count();
        assert_eq!(wrong, 2, "of five three were used up");
        login(&nobody, "admin@localhost", PASSWORD)
            .await
            .refused(429, "too_many_attempts");
    });
}

#[test]
fn a_key_that_can_check_nothing_stops_the_start_and_is_named() {
    run(async {
        let keys: [(&str, &str); 5] = [
            ("JWT_PUBLIC_KEY_FILE", include_str!("keys/p384.pub.pem")),
            ("JWT_PUBLIC_KEY_FILE", include_str!("keys/rsa.pem")),
            ("JWT_PUBLIC_KEY_FILE", include_str!("keys/rsa1024.pub.pem")),
            ("JWT_PUBLIC_KEY_FILE", "no key"),
            (
                "JWT_JWKS_FILE",
                r#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#,
            ),
        ];
        for (name, text) in keys {
            let folder = Folder::new();
            let path = folder.path().join("the.key");
            std::fs::write(&path, text).unwrap();
            let values = BTreeMap::from([
                ("SOCKET_PORT".to_owned(), "0".to_owned()),
                (
                    "DATABASE_URL".to_owned(),
                    format!("sqlite://{}/test.db", folder.path().display()),
                ),
                (name.to_owned(), path.display().to_string()),
            ]);
            let config = Config::read(&values).unwrap();
            let Err(error) = Application::build(config, Clock::system(), Log::default()).await
            else {
                panic!("it started with {text}");
            };
            let error = error.to_string();
            let begin = format!("{name} is `{}`: ", path.display());
            assert!(
                error.contains(&begin) && error.contains("accepted"),
                "{error}"
            );
            assert!(!error.contains('\n'), "{error}");
        }
    });
}
