//! Access tokens: our own (HS256), and those of an outside issuer (RS256, ES256, EdDSA).
//!
//! Each key knows the one algorithm that it is for, so what a token's header says can only choose
//! among the keys, never how a key is used. Time is checked here, on the server's clock.

use std::collections::HashMap;
use std::path::Path;

use chrono::{DateTime, Duration, Utc};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;

use callboard_actors::model::identity::{Role, User};
use callboard_actors::ports::Denied;
use callboard_actors::runtime::Clock;

use super::issuer::{Issuer, Key};
use super::kept::kept_secret;
use crate::config;
use crate::store::users::Outsider;

pub use super::kept::KeyError;

/// How long an access token of ours lives.
pub const ACCESS_LIFE: Duration = Duration::seconds(900);

/// A longer token is refused unread.
const LONGEST: usize = 8 * 1024;

/// A far end is as good as none, and arithmetic with it stays safe.
const FARTHEST: Duration = Duration::days(3_650);

/// What our tokens say of their issuer and audience, if nothing else is configured. It is not asked for then: tokens of
/// earlier versions do not have it.
const OURS: &str = "callboard";

pub struct Tokens {
    clock: Clock,
    signing: EncodingKey,
    prints: Hmac<Sha256>,
    own: Key,
    outside: Issuer,
    issuer: Option<String>,
    audience: Option<String>,
    checked: Mutex<HashMap<Box<str>, Bearer>>,
}

/// Tokens of ours that are known to be good, at most; then all are forgotten and checked again.
const CHECKED: usize = 4096;
/// A longer one is checked each time.
const SHORT: usize = 1024;

/// Who a token that was found good speaks of.
#[derive(Clone, Debug)]
pub struct Bearer {
    pub who: Who,
    pub expires_at: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub enum Who {
    /// A user of ours.
    Own(Uuid),
    Outside(Outsider),
}

#[derive(Serialize)]
struct OwnClaims<'a> {
    sub: Uuid,
    email: &'a str,
    name: &'a str,
    role: Role,
    team: Option<&'a str>,
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: Uuid,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iss: Option<Value>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: Option<Value>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    role: Option<Value>,
    #[serde(default)]
    team: Option<String>,
}

impl Tokens {
    /// Reads the keys. A secret that is not given is read from, or generated into, `folder`.
    pub fn new(jwt: &config::Jwt, folder: &Path, clock: Clock) -> Result<Tokens, KeyError> {
        let secret = match &jwt.secret {
            Some(secret) => secret.reveal().as_bytes().to_vec(),
            None => kept_secret(&folder.join("jwt.secret"), "every session ends")?,
        };
        Ok(Tokens {
            signing: EncodingKey::from_secret(&secret),
            prints: prints(&secret),
            own: Key {
                algorithm: Algorithm::HS256,
                key: DecodingKey::from_secret(&secret),
                kid: None,
                own: true,
            },
            outside: Issuer::new(jwt, clock.clone())?,
            clock,
            issuer: jwt.issuer.clone(),
            audience: jwt.audience.clone(),
            checked: Mutex::default(),
        })
    }

    /// An access token of ours.
    pub fn issue(&self, user: &User, life: Duration) -> Result<String, KeyError> {
        let now = self.clock.now();
        let claims = OwnClaims {
            sub: user.id,
            email: &user.email,
            name: &user.name,
            role: user.role,
            team: user.team.as_deref(),
            iss: self.issuer.as_deref().unwrap_or(OURS),
            aud: self.audience.as_deref().unwrap_or(OURS),
            iat: now.timestamp(),
            exp: (now + life.min(FARTHEST)).timestamp(),
            jti: Uuid::new_v4(),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .map_err(|error| KeyError(format!("a token cannot be signed: {error}")))
    }

    /// Tells one text from another and says nothing of either to who does not have the secret.
    pub fn fingerprint(&self, text: &[u8]) -> [u8; 32] {
        let mut mac = self.prints.clone();
        mac.update(text);
        mac.finalize().into_bytes().into()
    }

    /// Whether the token is good, and whose it is.
    pub fn check(&self, token: &str) -> Result<Bearer, Denied> {
        if token.is_empty() {
            return Err(Denied::Missing);
        }
        if token.len() > LONGEST {
            return Err(Denied::Invalid);
        }
        let now = self.clock.now();
        // Our own key does not change, so of a token of ours that was good only the end can make it bad.
        if let Some(bearer) = self.checked.lock().get(token)
            && bearer.expires_at > now
        {
            return Ok(bearer.clone());
        }
        let header = decode_header(token).map_err(|_| Denied::Invalid)?;
        let outside = self.outside.keys();
        let (key, claims) = std::iter::once(&self.own)
            .chain(outside.iter())
            .filter(|key| key.algorithm == header.alg)
            .filter(|key| key.kid.is_none() || header.kid.is_none() || key.kid == header.kid)
            .find_map(|key| Some((key, self.claims(token, key)?)))
            .ok_or(Denied::Invalid)?;
        if claims
            .nbf
            .is_some_and(|nbf| nbf > now.timestamp() as f64 + 30.0)
        {
            return Err(Denied::Invalid);
        }
        // A float as `as` converts it saturates: no end is too far or too odd.
        let farthest = now + FARTHEST;
        let expires_at = DateTime::from_timestamp(claims.exp as i64, 0)
            .unwrap_or(farthest)
            .min(farthest);
        if claims.exp.is_nan() || claims.exp <= 0.0 || expires_at <= now {
            return Err(Denied::Expired);
        }
        let who = match key.own {
            true => Who::Own(claims.sub.parse().map_err(|_| Denied::Invalid)?),
            false => Who::Outside(claims.outsider().ok_or(Denied::Invalid)?),
        };
        let bearer = Bearer { who, expires_at };
        if key.own && token.len() <= SHORT {
            let mut checked = self.checked.lock();
            if checked.len() >= CHECKED {
                checked.clear();
            }
            checked.insert(token.into(), bearer.clone());
        }
        Ok(bearer)
    }

    fn claims(&self, token: &str, key: &Key) -> Option<Claims> {
        let mut validation = Validation::new(key.algorithm);
        // Not the machine's time but the server's clock counts: see `check`.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        match &self.issuer {
            Some(issuer) => {
                validation.set_issuer(&[issuer]);
                validation.required_spec_claims.insert("iss".into());
            }
            None => validation.iss = None,
        }
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.required_spec_claims.insert("aud".into());
            }
            None => validation.validate_aud = false,
        }
        decode::<Claims>(token, &key.key, &validation)
            .map(|data| data.claims)
            .ok()
    }
}

impl Claims {
    fn outsider(self) -> Option<Outsider> {
        let issuer = self
            .iss
            .as_ref()
            .and_then(Value::as_str)
            .unwrap_or_default();
        let texts = [
            Some(&self.sub),
            self.email.as_ref(),
            self.name.as_ref(),
            self.team.as_ref(),
        ];
        let clean = texts
            .into_iter()
            .flatten()
            .all(|text| !text.contains('\0') && text.chars().count() <= 254);
        if !clean || self.sub.is_empty() || issuer.contains('\0') || issuer.len() > 1_000 {
            return None;
        }
        let filled = |text: Option<String>| {
            text.map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        // One that the issuer has not verified is whatever somebody typed, and an account is adopted by it.
        let verified = self
            .email_verified
            .is_none_or(|it| it == true || it == "true");
        let email = filled(self.email)
            .filter(|email| verified && config::is_email(email))
            // An address must be there and must be nobody else's.
            .unwrap_or_else(|| format!("{}@outside.invalid", Uuid::now_v7()));
        Some(Outsider {
            // Two issuers may use one name for two people.
            subject: format!("{issuer}|{}", self.sub),
            name: filled(self.name).unwrap_or_else(|| email.clone()),
            email,
            role: self
                .role
                .as_ref()
                .and_then(Value::as_str)
                .and_then(|role| role.parse().ok())
                .unwrap_or(Role::Viewer),
            team: filled(self.team).filter(|team| team.chars().count() <= 100),
        })
    }
}

fn prints(secret: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(b"callboard fingerprint\n");
    mac
}
