//! Users of an outside issuer: RS256, ES256 and EdDSA, by a public key or a key set.

use callboard::store::record;
use callboard::store::users::{self, Filter};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::bed::{Bed, Folder, run};
use crate::keys::{self, Pair};

fn claims(extra: Value) -> Value {
    let mut claims = json!({
        "sub": "ext-1", "email": "eve@issuer.test", "name": "Eve", "iss": "https://issuer.test", "aud": "callboard",
        "exp": chrono::Utc::now().timestamp() + 600,
    });
    for (name, value) in extra.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn sign(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, key).unwrap()
}

async fn with_public_key(pair: &Pair) -> Bed {
    let folder = Folder::new();
    let path = folder.path().join("issuer.pem");
    std::fs::write(&path, &pair.public_pem).unwrap();
    let path = path.display().to_string();
    let settings = [
        ("JWT_PUBLIC_KEY_FILE", path.as_str()),
        ("JWT_ISSUER", "https://issuer.test"),
        ("JWT_AUDIENCE", "callboard"),
    ];
    Bed::on(folder, &settings).await
}

#[test]
fn a_user_of_an_outside_issuer_is_made_at_first_sight_and_only_once() {
    run(async {
        for pair in keys::pairs() {
            let bed = with_public_key(&pair).await;
            let token = sign(pair.algorithm, None, &pair.private, &claims(json!({})));
            let eve = bed.anonymous().with_token(&token);
            let me = eve.get("auth/me").await;
            assert_eq!(me.data()["role"], "viewer", "{:?}", pair.algorithm);
            assert_eq!(me.data()["email"], "eve@issuer.test");
            assert_eq!(eve.get("auth/me").await.data()["id"], me.data()["id"]);
            let editor = claims(
                json!({"sub": "ext-2", "email": "ed@issuer.test", "role": "editor", "team": "news"}),
            );
            let token = sign(pair.algorithm, None, &pair.private, &editor);
            let ed = bed.anonymous().with_token(&token);
            assert_eq!(ed.get("auth/me").await.data()["team"], "news");
            ed.post("episodes", json!({"title": "x", "episode_number": 1}))
                .await
                .data();
            let all = users::list(bed.store(), &Filter::default(), 100, None)
                .await
                .unwrap()
                .rows;
            assert_eq!(all.len(), 3, "with the first admin");
        }
    });
}

#[test]
fn a_token_for_others_or_from_others_is_refused() {
    run(async {
        let pair = &keys::pairs()[0];
        let bed = with_public_key(pair).await;
        for (why, extra) in [
            ("another issuer", json!({"iss": "https://evil.test"})),
            ("another audience", json!({"aud": "other"})),
            ("no audience", json!({"aud": null})),
            (
                "not yet",
                json!({"nbf": chrono::Utc::now().timestamp() + 600}),
            ),
            ("NUL", json!({"name": "a\u{0}b", "sub": "n"})),
            ("no subject", json!({"sub": ""})),
        ] {
            let token = sign(pair.algorithm, None, &pair.private, &claims(extra));
            let refused = bed.anonymous().with_token(&token).get("auth/me").await;
            assert_eq!(
                (refused.status, refused.body["code"].as_str()),
                (401, Some("token_invalid")),
                "{why}"
            );
        }
        let past = claims(json!({"exp": chrono::Utc::now().timestamp() - 1}));
        let token = sign(pair.algorithm, None, &pair.private, &past);
        bed.anonymous()
            .with_token(&token)
            .get("auth/me")
            .await
            .refused(401, "token_expired");
    });
}

#[test]
fn the_public_key_is_no_secret_to_sign_with() {
    run(async {
        for pair in keys::pairs() {
            let bed = with_public_key(&pair).await;
            // The classic confusion: the public key's bytes as the key of an HMAC.
            for bytes in [
                pair.public_pem.as_bytes(),
                pair.public_pem.trim().as_bytes(),
            ] {
                let key = EncodingKey::from_secret(bytes);
                for extra in [json!({}), json!({"sub": uuid::Uuid::now_v7()})] {
                    let token = sign(Algorithm::HS256, None, &key, &claims(extra));
                    bed.anonymous()
                        .with_token(&token)
                        .get("auth/me")
                        .await
                        .refused(401, "token_invalid");
                }
            }
        }
    });
}

#[test]
fn a_key_set_has_the_right_key_for_each_token() {
    run(async {
        let pairs = keys::pairs();
        let folder = Folder::new();
        let path = folder.path().join("jwks.json");
        let keys = pairs
            .iter()
            .enumerate()
            .map(|(number, pair)| {
                let mut jwk = Jwk::from_encoding_key(&pair.private, pair.algorithm).unwrap();
                jwk.common.key_id = Some(format!("k{number}"));
                jwk
            })
            .collect();
        let mut set = serde_json::to_value(JwkSet { keys }).unwrap();
        // A kind that nobody knows must not hide the others.
        set["keys"]
            .as_array_mut()
            .unwrap()
            .insert(0, json!({"kty": "new", "kid": "x"}));
        std::fs::write(&path, set.to_string()).unwrap();
        let path = path.display().to_string();
        let bed = Bed::on(folder, &[("JWT_JWKS_FILE", path.as_str())]).await;
        for (number, pair) in pairs.iter().enumerate() {
            let kid = format!("k{number}");
            for kid in [Some(kid.as_str()), None] {
                let token = sign(pair.algorithm, kid, &pair.private, &claims(json!({})));
                bed.anonymous()
                    .with_token(&token)
                    .get("auth/me")
                    .await
                    .data();
            }
            let token = sign(
                pair.algorithm,
                Some("k9"),
                &pair.private,
                &claims(json!({})),
            );
            bed.anonymous()
                .with_token(&token)
                .get("auth/me")
                .await
                .refused(401, "token_invalid");
        }
        // And our own tokens still are good.
        bed.viewer().await.get("auth/me").await.data();
    });
}

#[test]
fn keys_that_are_exchanged_count_within_seconds_and_a_broken_file_changes_nothing() {
    run(async {
        let pairs = keys::pairs();
        let folder = Folder::new();
        let path = folder.path().join("jwks.json");
        let write = |numbers: &[usize]| {
            let jwk = |number: &usize| {
                let pair = &pairs[*number];
                let mut jwk = Jwk::from_encoding_key(&pair.private, pair.algorithm).unwrap();
                jwk.common.key_id = Some(format!("k{number}"));
                jwk
            };
            let keys = numbers.iter().map(jwk).collect();
            let set = serde_json::to_string(&JwkSet { keys }).unwrap();
            std::fs::write(&path, set).unwrap();
        };
        write(&[0]);
        let file = path.display().to_string();
        let bed = Bed::on(folder, &[("JWT_JWKS_FILE", file.as_str())]).await;
        let status = async |number: usize| {
            let (pair, kid) = (&pairs[number], format!("k{number}"));
            let claims = claims(json!({"exp": bed.clock.now().timestamp() + 600}));
            let token = sign(pair.algorithm, Some(&kid), &pair.private, &claims);
            let client = bed.anonymous().with_token(&token);
            client.get("auth/me").await.status
        };
        let later = || bed.clock.advance(std::time::Duration::from_secs(6));
        assert_eq!((status(0).await, status(1).await), (200, 401));
        write(&[0, 1]);
        assert_eq!(status(1).await, 401, "it is not looked at for each token");
        later();
        assert_eq!((status(0).await, status(1).await), (200, 200));
        write(&[1, 2]);
        later();
        assert_eq!(
            (status(0).await, status(1).await, status(2).await),
            (401, 200, 200),
            "a key that is gone is good no more"
        );
        std::fs::write(&path, "{\"keys\": [").unwrap();
        later();
        assert_eq!((status(0).await, status(2).await), (401, 200));
        std::fs::remove_file(&path).unwrap();
        later();
        assert_eq!(status(2).await, 200);
        write(&[0]);
        later();
        assert_eq!((status(0).await, status(2).await), (200, 401));
    });
}

#[test]
fn an_account_is_adopted_by_a_verified_address_alone_and_that_is_on_the_record() {
    run(async {
        let pair = &keys::pairs()[0];
        let bed = with_public_key(pair).await;
        let admin = users::find_by_email(bed.store(), "admin@localhost");
        let admin = admin.await.unwrap().unwrap();
        let me = async |sub: &str, verified: Value| {
            let mut extra = json!({"sub": sub, "email": "admin@localhost"});
            if !verified.is_null() {
                extra["email_verified"] = verified;
            }
            let token = sign(pair.algorithm, None, &pair.private, &claims(extra));
            let client = bed.anonymous().with_token(&token);
            client.get("auth/me").await.data().clone()
        };
        for unverified in [json!(false), json!("false"), json!(0)] {
            let eve = me("eve", unverified).await;
            assert_eq!(eve["role"], "viewer");
            assert_ne!(eve["email"], "admin@localhost");
        }
        let own = me("the-admin", json!(true)).await;
        assert_eq!(own["id"], admin.id.to_string());
        assert_eq!(
            own["role"], "admin",
            "a role of ours is not the token's to change"
        );
        let head = record::span(bed.store()).await.unwrap().last;
        let last = record::after(bed.store(), head - 1, 1).await.unwrap();
        assert_eq!(last[0].event, "user_updated");
        assert!(last[0].data.get().contains(r#""changes":{"subject":{}}"#));
    });
}

#[test]
fn of_a_key_set_those_keys_count_that_are_for_signatures_of_ours() {
    run(async {
        let pair = &keys::pairs()[0];
        let jwk = |extra: Value| {
            let jwk = Jwk::from_encoding_key(&pair.private, pair.algorithm).unwrap();
            let mut jwk = serde_json::to_value(jwk).unwrap();
            for name in ["use", "alg", "key_ops"] {
                jwk.as_object_mut().unwrap().remove(name);
            }
            let extra = extra.as_object().unwrap().clone();
            jwk.as_object_mut().unwrap().extend(extra);
            jwk
        };
        // So that there is one that can be used.
        let other = &keys::pairs()[1];
        let other = Jwk::from_encoding_key(&other.private, other.algorithm).unwrap();
        let other = serde_json::to_value(other).unwrap();
        let token = sign(pair.algorithm, None, &pair.private, &claims(json!({})));
        for (extra, good) in [
            (json!({}), true),
            (json!({"use": "sig", "alg": "RS256"}), true),
            (json!({"key_ops": ["verify"]}), true),
            (json!({"use": "enc"}), false),
            (json!({"use": 7}), false),
            (json!({"alg": "RS512"}), false),
            (json!({"alg": "RSA-OAEP"}), false),
            (json!({"key_ops": ["encrypt"]}), false),
            (json!({"n": "AQAB"}), false),
        ] {
            let folder = Folder::new();
            let path = folder.path().join("jwks.json");
            let set = json!({"keys": [jwk(extra.clone()), other]});
            std::fs::write(&path, set.to_string()).unwrap();
            let path = path.display().to_string();
            let bed = Bed::on(folder, &[("JWT_JWKS_FILE", path.as_str())]).await;
            let bearer = bed.anonymous().with_token(&token);
            let status = bearer.get("auth/me").await.status;
            assert_eq!(status == 200, good, "{extra}: {status}");
        }
    });
}
