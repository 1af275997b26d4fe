//! Who somebody is: passwords, tokens, log-ins.
//!
//! ```text
//! passwords.rs   Argon2id, on blocking threads, few at once
//! tokens.rs      access tokens: our own, and an outside issuer's
//! issuer.rs      the keys of an outside issuer, as their files have them now
//! public_key.rs  what a key in PEM is for, if it is good for anything
//! known.rs       users looked up a moment ago
//! ```
//!
//! A token proves who; what somebody may do is asked at the store, so that a lowered role and a
//! disabled user count at once and not when the token ends.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use serde::Serialize;
use uuid::Uuid;

use callboard_actors::model::identity::{Identity, User, UserRef};
use callboard_actors::ports::{Answer, Authenticator, Denied, Unavailable};
use callboard_actors::runtime::Clock;

use crate::error::ApiError;
use crate::store::refresh_tokens::{self, Rotation};
use crate::store::users::{self, Outsider};
use crate::store::{Store, StoreError, login_attempts};

mod issuer;
pub mod kept;
mod known;
pub mod passwords;
mod public_key;
pub mod tokens;

use known::Known;
use passwords::Passwords;
use tokens::{ACCESS_LIFE, Tokens, Who};

/// How long a refresh token is good, when it is not used.
const REFRESH_LIFE: chrono::Duration = chrono::Duration::days(30);

/// Log-ins, and the port by which everybody else asks who bears a token.
pub struct Auth {
    store: Store,
    clock: Clock,
    pub tokens: Tokens,
    pub passwords: Passwords,
    /// Attempts to log in begin one after the other, so that each sees exactly those before it.
    begins: tokio::sync::Mutex<()>,
    known: Known,
}

/// What a log-in and a refresh give.
#[derive(Serialize)]
pub struct Session {
    pub access_token: String,
    pub refresh_token: String,
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i64,
    pub user: User,
}

impl Auth {
    pub fn new(store: Store, tokens: Tokens, clock: Clock) -> Auth {
        Auth {
            store,
            tokens,
            passwords: Passwords::new(),
            begins: tokio::sync::Mutex::default(),
            known: Known::new(clock.clone()),
            clock,
        }
    }

    /// Checks a password. Every refusal takes as long as every other.
    pub async fn login(
        &self,
        email: &str,
        password: String,
        address: &str,
    ) -> Result<Session, ApiError> {
        let turn = self.passwords.turn().await?;
        let begun = {
            let _alone = self.begins.lock().await;
            login_attempts::begin(&self.store, email, address).await?
        };
        let attempt = match begun {
            Ok(attempt) => attempt,
            Err(until) => {
                let wait = (until - self.clock.now()).to_std();
                return Err(ApiError::too_many_attempts(wait.unwrap_or(Duration::ZERO)));
            }
        };
        let found = users::credential(&self.store, email).await?;
        let hash = found.as_ref().and_then(|found| found.password_hash.clone());
        let (_turn, right) = match turn.verify(password, hash).await {
            Ok(verified) => verified,
            Err(error) => {
                login_attempts::withdraw(&self.store, attempt).await?;
                return Err(error.into());
            }
        };
        match found {
            Some(found) if right => {
                // Only who knows the password hears that the user is disabled.
                if found.user.disabled {
                    login_attempts::withdraw(&self.store, attempt).await?;
                    return Err(ApiError::denied(Denied::Disabled));
                }
                login_attempts::succeed(&self.store, attempt, email).await?;
                self.open(found.user).await
            }
            _ => {
                tracing::warn!(address, "a log-in failed");
                Err(ApiError::invalid_credentials())
            }
        }
    }

    async fn open(&self, user: User) -> Result<Session, ApiError> {
        let refresh_token = opaque();
        let until = self.clock.now() + REFRESH_LIFE;
        refresh_tokens::insert(&self.store, user.id, &refresh_token, until).await?;
        self.session(user, refresh_token)
    }

    /// Takes a refresh token, once, for a new session.
    pub async fn refresh(&self, token: &str) -> Result<Session, ApiError> {
        let next = opaque();
        let until = self.clock.now() + REFRESH_LIFE;
        match refresh_tokens::rotate(&self.store, token, &next, until).await? {
            Rotation::Rotated(user) => self.session(user, next),
            Rotation::Reused => {
                tracing::warn!("a refresh token was used twice: its family ended");
                Err(ApiError::invalid_refresh_token())
            }
            Rotation::Invalid => Err(ApiError::invalid_refresh_token()),
        }
    }

    /// Ends the token's family. One that is unknown is as good as ended.
    pub async fn logout(&self, token: &str) -> Result<(), ApiError> {
        refresh_tokens::revoke(&self.store, token).await?;
        Ok(())
    }

    fn session(&self, user: User, refresh_token: String) -> Result<Session, ApiError> {
        // Read just now: whatever was known of it is older.
        self.known.forget(user.id);
        let issued = self.tokens.issue(&user, ACCESS_LIFE);
        Ok(Session {
            access_token: issued.map_err(ApiError::internal)?,
            refresh_token,
            token_type: "Bearer",
            expires_in: ACCESS_LIFE.num_seconds(),
            user,
        })
    }

    /// A user was changed: the next look asks the store.
    pub fn forget(&self, id: Uuid) {
        self.known.forget(id);
    }

    async fn identify(&self, token: &str) -> Result<Result<Identity, Denied>, StoreError> {
        let bearer = match self.tokens.check(token) {
            Ok(bearer) => bearer,
            Err(denied) => return Ok(Err(denied)),
        };
        let user = match bearer.who {
            Who::Own(id) => self.user(id).await?,
            Who::Outside(outsider) => self.outsider(outsider).await?,
        };
        Ok(match user {
            None => Err(Denied::Invalid),
            Some(user) if user.disabled => Err(Denied::Disabled),
            Some(user) => Ok(Identity {
                user: UserRef {
                    id: user.id,
                    name: user.name.clone(),
                },
                email: user.email.clone(),
                role: user.role,
                team: user.team.clone(),
                expires_at: bearer.expires_at,
            }),
        })
    }

    async fn user(&self, id: Uuid) -> Result<Option<Arc<User>>, StoreError> {
        if let Some(user) = self.known.user(id) {
            return Ok(Some(user));
        }
        // Boxed, here and below: the future of a question to the database is large, and seldom needed.
        Box::pin(self.look_up(id)).await
    }

    async fn look_up(&self, id: Uuid) -> Result<Option<Arc<User>>, StoreError> {
        let asked = self.known.ask();
        let user = users::find(&self.store, id).await?;
        Ok(user.map(|user| self.known.keep(asked, user)))
    }

    async fn outsider(&self, outsider: Outsider) -> Result<Option<Arc<User>>, StoreError> {
        if let Some(user) = self.known.outsider(&outsider.subject) {
            return Ok(Some(user));
        }
        Box::pin(self.look_up_outsider(outsider)).await
    }

    async fn look_up_outsider(&self, outsider: Outsider) -> Result<Option<Arc<User>>, StoreError> {
        let asked = self.known.ask();
        let subject = outsider.subject.clone();
        match users::ensure_user_from_issuer(&self.store, outsider).await {
            Ok(user) => {
                self.known.name(subject, user.id);
                Ok(Some(self.known.keep(asked, user)))
            }
            Err(StoreError::Conflict { code }) => {
                tracing::warn!(code, "an outside issuer's user cannot be made");
                Ok(None)
            }
            Err(StoreError::Invalid { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Authenticator for Auth {
    fn authenticate(&self, token: String) -> Answer<'_, Result<Identity, Denied>> {
        async move { self.identify(&token).await.map_err(Unavailable::from) }.boxed()
    }
}

/// A token that says nothing and cannot be guessed.
fn opaque() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}
