//! What a public key in PEM is for. The library takes whatever parses, and finds out at the first token that the curve is
//! another, the key too short, or a private one: too late for who starts the server. So it is read here, as far as that
//! needs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;

/// What is accepted, in words.
pub(super) const ACCEPTED: &str =
    "a public key is accepted: RSA of 2048 to 8192 bits, EC P-256 or Ed25519";

/// Bytes of an RSA modulus that a signature can be checked with.
pub(super) const RSA: std::ops::RangeInclusive<usize> = 256..=1_024;

const RSA_ID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_ID: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256_ID: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519_ID: &[u8] = &[0x2b, 0x65, 0x70];

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// The algorithm that the key is for, or what is wrong with it.
pub(super) fn algorithm(pem: &[u8]) -> Result<Algorithm, &'static str> {
    let text = std::str::from_utf8(pem).map_err(|_| "it is not PEM")?;
    let (_, rest) = text.split_once("-----BEGIN ").ok_or("it is not PEM")?;
    let (label, rest) = rest.split_once("-----").ok_or("it is not PEM")?;
    let (body, _) = rest.split_once("-----END ").ok_or("it is not PEM")?;
    let body: String = body.split_whitespace().collect();
    let broken = "it cannot be read";
    let der = STANDARD.decode(body).map_err(|_| broken)?;
    match label {
        "PUBLIC KEY" => of_any_kind(&der).ok_or(broken)?,
        "RSA PUBLIC KEY" => rsa(&der).ok_or(broken)?,
        label if label.ends_with("PRIVATE KEY") => Err("it is a private key"),
        _ => Err("it is no public key"),
    }
}

type Found = Result<Algorithm, &'static str>;

/// SubjectPublicKeyInfo (RFC 5280). `None`: it is not that.
fn of_any_kind(der: &[u8]) -> Option<Found> {
    let (info, _) = element(der, SEQUENCE)?;
    let (kind, rest) = element(info, SEQUENCE)?;
    let (bits, _) = element(rest, BITS)?;
    // The first byte says how many bits of the last one do not count.
    let (_, key) = bits.split_first()?;
    let (id, parameters) = element(kind, OBJECT_ID)?;
    Some(match id {
        RSA_ID => return rsa(key),
        EC_ID => match element(parameters, OBJECT_ID)? {
            (P256_ID, _) if matches!(key.len(), 33 | 65) => Ok(Algorithm::ES256),
            _ => Err("it is of another curve"),
        },
        ED25519_ID if key.len() == 32 => Ok(Algorithm::EdDSA),
        _ => Err("it is of another kind"),
    })
}

/// RSAPublicKey (RFC 8017).
fn rsa(der: &[u8]) -> Option<Found> {
    let (key, _) = element(der, SEQUENCE)?;
    let (modulus, rest) = element(key, INTEGER)?;
    element(rest, INTEGER)?;
    let length = modulus.iter().skip_while(|byte| **byte == 0).count();
    Some(match RSA.contains(&length) {
        true => Ok(Algorithm::RS256),
        false => Err("it is too short or too long"),
    })
}

/// The content of a DER element, and what comes behind it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |all, byte| all << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    (*first == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! key {
        ($name:literal) => {
            include_bytes!(concat!("../../tests/api/keys/", $name))
        };
    }

    #[test]
    fn a_key_that_can_check_tokens_is_told_from_one_that_cannot() {
        let good: [(&[u8], Algorithm); 4] = [
            (key!("rsa.pub.pem"), Algorithm::RS256),
            (key!("rsa.pkcs1.pub.pem"), Algorithm::RS256),
            (key!("ec.pub.pem"), Algorithm::ES256),
            (key!("ed.pub.pem"), Algorithm::EdDSA),
        ];
        for (pem, expected) in good {
            assert_eq!(algorithm(pem), Ok(expected));
        }
        let bad: [(&[u8], &str); 9] = [
            (key!("rsa.pem"), "it is a private key"),
            (key!("ec.pem"), "it is a private key"),
            (key!("ed.pem"), "it is a private key"),
            (key!("p384.pub.pem"), "it is of another curve"),
            (key!("ed448.pub.pem"), "it is of another kind"),
            (key!("rsa1024.pub.pem"), "it is too short or too long"),
            (b"", "it is not PEM"),
            (b"\xff", "it is not PEM"),
            (
                b"-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n",
                "it cannot be read",
            ),
        ];
        for (pem, expected) in bad {
            assert_eq!(algorithm(pem), Err(expected));
        }
    }

    #[test]
    fn no_part_of_a_key_makes_it_panic() {
        let whole = key!("rsa.pub.pem");
        for end in 0..whole.len() {
            let _ = algorithm(&whole[..end]);
        }
        let lines: Vec<&str> = std::str::from_utf8(whole).unwrap().lines().collect();
        let der = STANDARD.decode(lines[1..lines.len() - 1].concat()).unwrap();
        for end in 0..der.len() {
            let _ = (of_any_kind(&der[..end]), rsa(&der[..end]));
        }
    }
}
