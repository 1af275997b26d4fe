//! Passwords: Argon2id, always on blocking threads and only so many at once, so that a flood of
//! log-ins costs neither the workers nor all the memory.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use rand::RngExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use callboard_actors::ports::Unavailable;

/// Hashes that run at once; each takes 19 MiB and one thread.
const AT_ONCE: usize = 4;

/// Who finds so many waiting already is told to come back.
const MOST_WAITING: usize = 128;

/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// Of a password that nobody has: checked when the user is unknown, so that an unknown user takes
    /// as long as a wrong password.
    dummy: Arc<str>,
}

impl Passwords {
    pub fn new() -> Passwords {
        Passwords {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE + MOST_WAITING)),
            dummy: hash(&generate()).unwrap_or_default().into(),
        }
    }

    /// The PHC string of a password.
    pub async fn hash(&self, password: String) -> Result<String, Unavailable> {
        let turn = self.turn().await?;
        let (_, hash) = turn.run(move || hash(&password)).await?;
        hash
    }

    /// Waits for a turn. An attempt that is counted is counted within one, so that of those at once
    /// few count against each other.
    pub async fn turn(&self) -> Result<Turn, Unavailable> {
        let busy = || Unavailable("too many passwords are being checked".into());
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned());
        let permit = permit.await.map_err(|_| busy())?.map_err(|_| busy())?;
        Ok(Turn {
            permit,
            dummy: Arc::clone(&self.dummy),
        })
    }
}

/// The right to have one hash computed; whoever holds it counts.
pub struct Turn {
    permit: OwnedSemaphorePermit,
    dummy: Arc<str>,
}

impl Turn {
    /// Whether the password is the one of this hash; without a hash it is not, and takes as long.
    pub async fn verify(
        self,
        password: String,
        hash: Option<String>,
    ) -> Result<(Turn, bool), Unavailable> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.to_string());
        let (turn, right) = self.run(move || verify(&password, &hash)).await?;
        Ok((turn, right && known))
    }

    /// The turn goes with the work: a client that hangs up does not make room for another hash.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(Turn, T), Unavailable> {
        let Turn { permit, dummy } = self;
        let (permit, done) = tokio::task::spawn_blocking(move || {
            let done = work();
            (permit, done)
        })
        .await
        .map_err(|error| Unavailable(format!("a password's hash did not finish: {error}")))?;
        Ok((Turn { permit, dummy }, done))
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Passwords::new()
    }
}

fn hash(password: &str) -> Result<String, Unavailable> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| Unavailable(format!("a password cannot be hashed: {error}")))
}

fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

/// A password that nobody can guess: 24 letters and digits that cannot be taken for one another.
pub fn generate() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut rng = rand::rng();
    (0..24)
        .map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_password_is_verified_and_an_unknown_user_has_none() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        for (password, hash, right) in [
            ("correct horse", Some(hash.clone()), true),
            ("battery staple", Some(hash), false),
            ("correct horse", None, false),
            ("correct horse", Some("no hash".into()), false),
        ] {
            let turn = passwords.turn().await.unwrap();
            let (_, verified) = turn.verify(password.into(), hash).await.unwrap();
            assert_eq!(verified, right, "{password}");
        }
    }

    #[test]
    fn generated_passwords_differ() {
        assert_ne!(generate(), generate());
        assert_eq!(generate().len(), 24);
    }
}
