//! The keys of an outside issuer: a public key or a key set, in a file that may be exchanged while the server runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::Mutex;
use serde_json::Value;

use callboard_actors::runtime::Clock;

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
    let pem = fs::read(path)
        .map_err(|error| KeyError(format!("{} cannot be read: {error}", path.display())))?;
    let tries = [
        (Algorithm::EdDSA, DecodingKey::from_ed_pem(&pem)),
        (Algorithm::ES256, DecodingKey::from_ec_pem(&pem)),
        (Algorithm::RS256, DecodingKey::from_rsa_pem(&pem)),
    ];
    tries
        .into_iter()
        .find_map(|(algorithm, key)| {
            Some(Key {
                algorithm,
                key: key.ok()?,
                kid: None,
                own: false,
            })
        })
        .ok_or_else(|| {
            KeyError(format!(
                "JWT_PUBLIC_KEY_FILE: {} holds no public key in PEM; RSA, EC P-256 and Ed25519 are accepted",
                path.display()
            ))
        })
}

fn key_set(path: &Path) -> Result<Vec<Key>, KeyError> {
    let wrong = |what: String| KeyError(format!("JWT_JWKS_FILE: {}: {what}", path.display()));
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let set: Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let listed = set["keys"]
        .as_array()
        .ok_or_else(|| wrong("there is no list `keys`".into()))?;
    // One by one: a key of a kind that is not known here must not hide the others.
    let keys: Vec<Key> = listed
        .iter()
        .filter_map(|value| serde_json::from_value::<Jwk>(value.clone()).ok())
        .filter_map(|jwk| {
            let algorithm = algorithm_of(&jwk)?;
            Some(Key {
                algorithm,
                key: DecodingKey::from_jwk(&jwk).ok()?,
                kid: jwk.common.key_id.clone(),
                own: false,
            })
        })
        .collect();
    if keys.is_empty() {
        let what = "no key in it can be used; RSA, EC P-256 and Ed25519 public keys are accepted";
        return Err(wrong(what.into()));
    }
    Ok(keys)
}

/// The one algorithm that a key of this kind is for. A symmetric key in a public set is none.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Some(Algorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Some(Algorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Some(Algorithm::EdDSA)
        }
        _ => None,
    }
}
