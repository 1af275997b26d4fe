//! The keys of an outside issuer: a public key or a key set, in a file that may be exchanged while the server runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::Mutex;
use serde_json::Value;

use callboard_actors::runtime::Clock;

use super::public_key::{self, ACCEPTED};
use super::tokens::KeyError;
use crate::config;

/// How often a file is looked at, at most: only when a token is to be checked, and never longer than a look takes.
const LOOK: Duration = Duration::from_secs(5);

pub(super) struct Key {
    pub algorithm: Algorithm,
    pub key: DecodingKey,
    /// A key set names its keys.
    pub kid: Option<String>,
    pub own: bool,
}

type Read = fn(&Path) -> Result<Vec<Key>, KeyError>;

pub(super) struct Issuer {
    files: Vec<(PathBuf, Read)>,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    keys: Arc<[Key]>,
    stamps: Vec<Stamp>,
    looked: Duration,
}

/// By which one sees that a file was changed.
type Stamp = Option<(SystemTime, u64)>;

impl Issuer {
    pub fn new(jwt: &config::Jwt, clock: Clock) -> Result<Issuer, KeyError> {
        let one: Read = |path| public_key(path).map(|key| vec![key]);
        let key = jwt.public_key_file.clone().map(|path| (path, one));
        let set: Option<(PathBuf, Read)> =
            jwt.jwks_file.clone().map(|path| (path, key_set as Read));
        let files: Vec<_> = key.into_iter().chain(set).collect();
        let stamps = stamps(&files);
        Ok(Issuer {
            state: Mutex::new(State {
                keys: read(&files)?,
                stamps,
                looked: clock.monotonic(),
            }),
            files,
            clock,
        })
    }

    /// As the files have them. One that cannot be read any more leaves the keys as they were.
    pub fn keys(&self) -> Arc<[Key]> {
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        if self.files.is_empty() || now.saturating_sub(state.looked) < LOOK {
            return state.keys.clone();
        }
        state.looked = now;
        let stamps = stamps(&self.files);
        if stamps != state.stamps {
            match read(&self.files) {
                Ok(keys) => {
                    tracing::info!(count = keys.len(), "the outside issuer has other keys");
                    state.keys = keys;
                    state.stamps = stamps;
                }
                Err(error) => {
                    tracing::warn!(%error, "the outside issuer's keys stay as they were");
                }
            }
        }
        state.keys.clone()
    }
}

fn stamps(files: &[(PathBuf, Read)]) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let file = fs::metadata(path).ok()?;
        Some((file.modified().ok()?, file.len()))
    };
    files.iter().map(|(path, _)| stamp(path)).collect()
}

fn read(files: &[(PathBuf, Read)]) -> Result<Arc<[Key]>, KeyError> {
    let mut keys = Vec::new();
    for (path, read) in files {
        keys.extend(read(path)?);
    }
    Ok(keys.into())
}

fn public_key(path: &Path) -> Result<Key, KeyError> {
    let shown = path.display();
    let wrong = |what: String| {
        KeyError(format!(
            "JWT_PUBLIC_KEY_FILE is `{shown}`: {what}; {ACCEPTED}, in PEM"
        ))
    };
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let algorithm = public_key::algorithm(&pem).map_err(|what| wrong(what.into()))?;
    let key = match algorithm {
        Algorithm::EdDSA => DecodingKey::from_ed_pem(&pem),
        Algorithm::ES256 => DecodingKey::from_ec_pem(&pem),
        _ => DecodingKey::from_rsa_pem(&pem),
    };
    Ok(Key {
        algorithm,
        key: key.map_err(|error| wrong(error.to_string()))?,
        kid: None,
        own: false,
    })
}

fn key_set(path: &Path) -> Result<Vec<Key>, KeyError> {
    let shown = path.display();
    let wrong = |what: String| KeyError(format!("JWT_JWKS_FILE is `{shown}`: {what}; {IN_A_SET}"));
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let set: Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let listed = set["keys"]
        .as_array()
        .ok_or_else(|| wrong("there is no list `keys`".into()))?;
    // One by one: a key of a kind that is not known here must not hide the others.
    let keys: Vec<Key> = listed.iter().filter_map(one_of_set).collect();
    if keys.is_empty() {
        return Err(wrong("no key in it can be used".into()));
    }
    Ok(keys)
}

const IN_A_SET: &str = "a JSON key set is accepted with at least one public key: RSA of 2048 to 8192 bits, EC P-256 or \
                        Ed25519, without `use` or for `sig`, without `alg` or for RS256, ES256 or EdDSA";

/// A key that checks signatures of ours; the set may have others.
fn one_of_set(value: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let (algorithm, name) = algorithm_of(&jwk)?;
    let is = |member: &str, word: &str| match &value[member] {
        Value::Null => true,
        given => given == word,
    };
    let verifies = match &value["key_ops"] {
        Value::Array(operations) => operations.iter().any(|it| it == "verify"),
        _ => true,
    };
    let length = |member: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(value[member].as_str().unwrap_or_default());
        bytes.map_or(0, |bytes| bytes.iter().skip_while(|it| **it == 0).count())
    };
    let long_enough = algorithm != Algorithm::RS256 || public_key::RSA.contains(&length("n"));
    if !(is("use", "sig") && is("alg", name) && verifies && long_enough) {
        return None;
    }
    Some(Key {
        algorithm,
        key: DecodingKey::from_jwk(&jwk).ok()?,
        kid: jwk.common.key_id,
        own: false,
    })
}

/// The one algorithm that a key of this kind is for, with its name. A symmetric key in a public set is none.
fn algorithm_of(jwk: &Jwk) -> Option<(Algorithm, &'static str)> {
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Some((Algorithm::RS256, "RS256")),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Some((Algorithm::ES256, "ES256"))
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Some((Algorithm::EdDSA, "EdDSA"))
        }
        _ => None,
    }
}
