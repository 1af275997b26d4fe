//! Key pairs of an outside issuer. Made for these tests, good for nothing else.

use jsonwebtoken::{Algorithm, EncodingKey};

pub struct Pair {
    pub algorithm: Algorithm,
    pub private: EncodingKey,
    pub public_pem: String,
}

pub fn pairs() -> Vec<Pair> {
    let pair = |algorithm, private: EncodingKey, public: &str| Pair {
        algorithm,
        private,
        public_pem: public.to_owned(),
    };
    vec![
        pair(
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(include_bytes!("keys/rsa.pem")).unwrap(),
            include_str!("keys/rsa.pub.pem"),
        ),
        pair(
            Algorithm::ES256,
            EncodingKey::from_ec_pem(include_bytes!("keys/ec.pem")).unwrap(),
            include_str!("keys/ec.pub.pem"),
        ),
        pair(
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(include_bytes!("keys/ed.pem")).unwrap(),
            include_str!("keys/ed.pub.pem"),
        ),
    ]
}
