//! Recovery ids: what a client shows to get its socket back.
//!
//! A `pid` says which socket it was, whose, and in which namespace, sealed with a key that all nodes
//! share (HMAC-SHA256), so that a connection costs no write to the database: only a socket that
//! joins rooms by name has a row (see [`callboard_actors::ports::Resumable`]).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callboard_actors::model::room::Namespace;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// Seals and opens recovery ids.
#[derive(Clone)]
pub struct Sealer {
    key: [u8; 32],
}

/// What a recovery id says.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    pub sid: String,
    pub user_id: Uuid,
    /// `None` for a plain connection, which may be in several.
    pub namespace: Option<Namespace>,
}

impl Sealer {
    pub fn new(key: [u8; 32]) -> Sealer {
        Sealer { key }
    }

    pub fn seal(&self, what: &Sealed) -> String {
        let namespace = what.namespace.map_or("*", Namespace::path);
        let body = format!("{}.{}.{namespace}", what.sid, what.user_id.simple());
        let tag = self.mac(&body).finalize().into_bytes();
        format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(&body),
            URL_SAFE_NO_PAD.encode(&tag[..TAG])
        )
    }

    /// `None` for anything that was not sealed with this key.
    pub fn open(&self, pid: &str) -> Option<Sealed> {
        let (body, tag) = pid.split_once('.')?;
        let body = String::from_utf8(URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        if tag.len() != TAG {
            return None;
        }
        self.mac(&body).verify_truncated_left(&tag).ok()?;
        let mut parts = body.splitn(3, '.');
        Some(Sealed {
            sid: parts.next()?.to_owned(),
            user_id: Uuid::parse_str(parts.next()?).ok()?,
            namespace: match parts.next()? {
                "*" => None,
                path => Some(Namespace::parse(path)?),
            },
        })
    }

    fn mac(&self, body: &str) -> Hmac<Sha256> {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        mac.update(body.as_bytes());
        mac
    }
}

/// Bytes of the tag that are kept: 128 bits.
const TAG: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Sealed {
        Sealed {
            sid: "abc_DEF-123".into(),
            user_id: Uuid::now_v7(),
            namespace: Some(Namespace::Episodes),
        }
    }

    #[test]
    fn what_was_sealed_is_opened_with_the_same_key_alone() {
        let sealer = Sealer::new([1; 32]);
        let pid = sealer.seal(&sealed());
        assert_eq!(sealer.open(&pid).map(|it| it.sid), Some(sealed().sid));
        assert_eq!(Sealer::new([2; 32]).open(&pid), None);
    }

    #[test]
    fn a_changed_recovery_id_is_refused() {
        let sealer = Sealer::new([1; 32]);
        let pid = sealer.seal(&sealed());
        for at in 0..pid.len() {
            let mut bytes = pid.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(
                changed == pid || sealer.open(&changed).is_none(),
                "{changed}"
            );
        }
        for garbage in ["", ".", "a.b", "ü.ü", &pid[..pid.len() - 2]] {
            assert_eq!(sealer.open(garbage), None);
        }
    }
}
