//! Fakes of every port, with switches for their faults, and a client that keeps what it is sent.
//! For the tests of this crate and, under the feature `testing`, of others.

mod client;
mod notices;
mod record;
mod sinks;

pub use client::{Client, FakeBearer, FakeConnection};
pub use notices::{notice, store_notices};
pub use record::{Fault, Faults, MemoryRecord, delivery, entry, entry_for};
pub use sinks::{
    MemoryActivity, MemoryHousekeeping, MemoryNotifications, MemoryPresence, MemoryResumes,
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::identity::{Identity, Role, UserRef};

/// Lets every task of this thread that is ready run, many times over.
pub async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Runs a test in an actix system of its own.
pub fn on_actix<T>(test: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(test)
}

/// Where hand-wound clocks begin.
pub fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default()
}

/// A user of that name whose token ends in an hour.
pub fn identity(name: &str, role: Role) -> Identity {
    Identity {
        user: UserRef {
            id: Uuid::now_v7(),
            name: name.into(),
        },
        email: format!("{name}@example.org"),
        role,
        team: None,
        expires_at: noon() + chrono::Duration::hours(1),
    }
}
