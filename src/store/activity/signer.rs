//! Signing the chain's end, with a key that does not lie in the database.
//!
//! Whoever can write the database can also work out a whole chain anew. What they cannot do without the key is sign it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};

use super::chain::Hash;

/// Whoever has the key. Every node has the same one.
#[derive(Clone)]
pub struct Signer {
    key: Vec<u8>,
    /// Names the key and gives nothing of it away.
    name: String,
}

/// What is signed, and by which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub key: String,
    pub tag: Hash,
}

/// What a signature is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// It names another key.
    Foreign,
    Bad,
}

impl Signer {
    pub fn new(key: impl Into<Vec<u8>>) -> Signer {
        let key = key.into();
        let digest = Sha256::new_with_prefix(b"callboard activity key\0")
            .chain_update(&key)
            .finalize();
        let name = digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Signer { key, name }
    }

    pub fn sign(&self, domain: &str, parts: &[&[u8]]) -> Signature {
        Signature {
            key: self.name.clone(),
            tag: Hash(self.mac(domain, parts).finalize().into_bytes().into()),
        }
    }

    pub fn judge(&self, domain: &str, parts: &[&[u8]], signature: &Signature) -> Verdict {
        if signature.key != self.name {
            return Verdict::Foreign;
        }
        match self.mac(domain, parts).verify_slice(&signature.tag.0) {
            Ok(()) => Verdict::Good,
            Err(_) => Verdict::Bad,
        }
    }

    fn mac(&self, domain: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_with_this_key_for_this_purpose_is_good() {
        let signer = Signer::new([1; 32]);
        let signature = signer.sign("a", &[b"x", b"y"]);
        let judge =
            |signer: &Signer, domain, parts: &[&[u8]]| signer.judge(domain, parts, &signature);
        assert_eq!(judge(&signer, "a", &[b"x", b"y"]), Verdict::Good);
        assert_eq!(judge(&signer, "b", &[b"x", b"y"]), Verdict::Bad);
        assert_eq!(judge(&signer, "a", &[b"xy"]), Verdict::Bad);
        assert_eq!(judge(&signer, "a", &[b"x", b"z"]), Verdict::Bad);
        let other = Signer::new([2; 32]);
        assert_eq!(judge(&other, "a", &[b"x", b"y"]), Verdict::Foreign);
        // Who takes on the other's name is no better off.
        let claimed = Signature {
            key: other.name.clone(),
            ..signature.clone()
        };
        assert_eq!(other.judge("a", &[b"x", b"y"], &claimed), Verdict::Bad);
    }
}
