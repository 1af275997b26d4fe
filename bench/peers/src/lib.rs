//! What the peers have in common: how they are started, and how a token is checked.
//!
//! Each is started with `PEER_SECRET` (the HS256 key) in its environment, listens on a free loopback port, prints that
//! address as its first line, and publishes what it gets by `POST /publish/{room}`.

use std::net::SocketAddr;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket};

/// As many connections may wait to be accepted.
const BACKLOG: u32 = 4096;

/// A listener on a free loopback port, whose address is printed.
pub fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener = socket.listen(BACKLOG)?;
    println!("{}", listener.local_addr()?);
    Ok(listener)
}

/// Checks tokens of one secret.
pub struct Door {
    key: DecodingKey,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

impl Door {
    /// With the secret of the environment.
    pub fn new() -> Self {
        let secret = std::env::var("PEER_SECRET").unwrap_or_default();
        let mut validation = Validation::new(Algorithm::HS256);
        // Callboard's tokens say whom they are for.
        validation.set_audience(&["callboard"]);
        Self {
            key: DecodingKey::from_secret(secret.as_bytes()),
            validation,
        }
    }

    /// Whose token it is, if its signature and its time are right.
    pub fn bearer(&self, token: &str) -> Option<String> {
        decode::<Claims>(token, &self.key, &self.validation)
            .ok()
            .map(|token| token.claims.sub)
    }
}

impl Default for Door {
    fn default() -> Self {
        Self::new()
    }
}
