//! What can go wrong at the database, in the words that its callers decide by.

use callboard_actors::ports::Unavailable;
use sqlx::error::ErrorKind;

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("not found")]
    NotFound,
    /// A rule of the data forbids it; `code` is the stable word for clients.
    #[error("conflict: {code}")]
    Conflict { code: &'static str },
    /// The row is at another version than the caller expected.
    #[error("the row is at version {current}")]
    Precondition { current: i64 },
    /// The caller must say which version it expects, and did not.
    #[error("the expected version must be given")]
    PreconditionRequired,
    /// What was given cannot be stored or read: a fault of the caller's.
    #[error("{field}: {reason}")]
    Invalid {
        field: &'static str,
        reason: &'static str,
    },
    /// Somebody holds a row for longer than was waited.
    #[error("a row is locked")]
    Locked,
    /// The database did not do it. The text is for the log.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The work panicked and was rolled back.
    #[error("the work panicked")]
    Panicked,
}

/// Unique constraints that a caller can run into: what both databases call them, the word for clients.
const CONFLICTS: &[(&[&str], &str)] = &[
    (&["episodes_number"], "episode_number_taken"),
    (&["users.email_key", "users_email_key_key"], "email_taken"),
    (&["users.subject", "users_subject_key"], "subject_taken"),
];

impl StoreError {
    pub(super) fn closed() -> StoreError {
        StoreError::Unavailable("the store is closed".into())
    }

    /// An invariant of ours does not hold. It is answered as any other failure of the database is, which nobody looks
    /// into; so it is said aloud here.
    pub(super) fn broken(what: &impl std::fmt::Display) -> StoreError {
        tracing::error!(%what, "the database is not as it should be: this is an error of the program's, or of a hand's");
        StoreError::Unavailable(what.to_string())
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        match &error {
            sqlx::Error::RowNotFound => StoreError::NotFound,
            sqlx::Error::Database(fault) if fault.is_unique_violation() => {
                // PostgreSQL names the constraint; SQLite names it, or the columns, in the message.
                let name = fault.constraint().unwrap_or_default();
                let known = CONFLICTS.iter().find(|(names, _)| {
                    names
                        .iter()
                        .any(|known| name == *known || fault.message().contains(known))
                });
                match known {
                    Some((_, code)) => StoreError::Conflict { code },
                    None => StoreError::broken(&error),
                }
            }
            // PostgreSQL's lock_not_available.
            sqlx::Error::Database(fault) if fault.code().as_deref() == Some("55P03") => {
                StoreError::Locked
            }
            // It names a user, say, whom somebody removed by hand.
            sqlx::Error::Database(fault) if fault.is_foreign_key_violation() => {
                StoreError::Conflict {
                    code: "unknown_reference",
                }
            }
            // What the schema forbids should not have been asked of it.
            sqlx::Error::Database(fault)
                if matches!(
                    fault.kind(),
                    ErrorKind::CheckViolation | ErrorKind::NotNullViolation
                ) =>
            {
                StoreError::broken(&error)
            }
            _ => StoreError::Unavailable(error.to_string()),
        }
    }
}

impl From<StoreError> for Unavailable {
    fn from(error: StoreError) -> Unavailable {
        Unavailable(match error {
            StoreError::Unavailable(text) => text,
            other => other.to_string(),
        })
    }
}
