//! What the actors need from the world. The root crate implements these; `testing` fakes them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::model::decision::Decision;
use crate::model::identity::Identity;
use crate::model::notice::Notice;
use crate::model::notification::{Hour, Notification};
use crate::model::preferences::Preferences;
use crate::model::presence::{Choice, Memo};
use crate::model::record::{Entry, Seq, Span};
use crate::model::room::Channel;

/// A port's failure: the world did not do it. It is retried; the text is for the log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

pub type Answer<'a, T> = BoxFuture<'a, Result<T, Unavailable>>;

/// The Record, to be read. (It is written by the store, in the transaction of the change.)
pub trait Record: Send + Sync {
    fn span(&self) -> Answer<'_, Span>;

    /// Entries after `seq`, in order, at most `limit`.
    fn after(&self, seq: Seq, limit: usize) -> Answer<'_, Vec<Arc<Entry>>>;
}

/// Where the ActivityLogger writes. The rows and the cursor are one transaction.
pub trait ActivitySink: Send + Sync {
    /// The last `seq` that has its row.
    fn cursor(&self) -> Answer<'_, Seq>;

    /// Writes a row for each entry and moves the cursor to the last one. Entries are consecutive
    /// and begin at `cursor + 1`; if the cursor stands elsewhere (another node was faster), nothing
    /// is written. Gives the cursor as it stands afterwards, and whether these rows were written.
    fn write(&self, entries: Vec<Arc<Entry>>) -> Answer<'_, (Seq, bool)>;
}

/// How far the notifications have come: the last `seq` that is done, and of the entry after it the last recipient, by id,
/// who was dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub seq: Seq,
    pub part: Option<Uuid>,
}

impl Position {
    /// With all of this entry done.
    pub fn after(seq: Seq) -> Position {
        Position { seq, part: None }
    }
}

/// Somebody whom a notice is for.
#[derive(Clone, Debug)]
pub struct Recipient {
    pub user_id: Uuid,
    pub preferences: Preferences,
}

/// What was decided for one of a notice's recipients.
#[derive(Clone, Debug)]
pub struct Decided {
    pub notice: Arc<Notice>,
    pub user_id: Uuid,
    pub decision: Decision,
}

/// What the Notifier writes in one transaction.
#[derive(Clone, Debug)]
pub struct Batch {
    pub from: Position,
    pub to: Position,
    pub decided: Vec<Decided>,
    /// Until then what it sends is pushed by who writes it, and by nobody else.
    pub lease: DateTime<Utc>,
}

/// Where the Notifier writes.
pub trait NotificationSink: Send + Sync {
    fn position(&self) -> Answer<'_, Position>;

    /// Those whom a notice is for, who may log in, by id after `after`, at most `limit`.
    fn recipients(
        &self,
        notice: Arc<Notice>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Answer<'_, Vec<Recipient>>;

    /// How many each of these has had in the hour that count; who has had none may be left out.
    fn counts(&self, hour: Hour, users: Vec<Uuid>) -> Answer<'_, Vec<(Uuid, u32)>>;

    /// Stores the decisions, once per entry and user, with the notifications and folds that follow from them, and moves
    /// the position, in one transaction. `None`: the position is not `from`, and nothing was written. Else what is to
    /// be pushed now: what was sent, and each fold that was begun. It waits to be [`NotificationSink::pushed`] until the
    /// batch's lease is over, and is due then. A fold that has grown is due [`GROWTH`] later.
    ///
    /// [`GROWTH`]: crate::model::notification::GROWTH
    fn write(&self, batch: Batch) -> Answer<'_, Option<Vec<Notification>>>;

    /// Takes those whose push is due, at most `limit`, under this lease: until then nobody else gets them. What its user
    /// would get in quiet hours, and is not urgent, waits for their end.
    fn due(&self, limit: usize, lease: DateTime<Utc>) -> Answer<'_, Vec<Notification>>;

    /// These, which were taken under this lease, were pushed. One that has changed since is not: it is due again.
    fn pushed(&self, ids: Vec<Uuid>, lease: DateTime<Utc>) -> Answer<'_, ()>;

    /// How many each of these has unread; who has none may be left out.
    fn unread(&self, users: Vec<Uuid>) -> Answer<'_, Vec<(Uuid, u64)>>;

    /// When the next waiting push is due.
    fn next_due(&self) -> Answer<'_, Option<DateTime<Utc>>>;
}

/// What a socket needs to get back what it missed; kept so that it outlives the process.
#[derive(Clone, Debug, PartialEq)]
pub struct Resumable {
    pub sid: String,
    pub user_id: Uuid,
    /// The rooms that it joined by name.
    pub rooms: Vec<Channel>,
    /// A socket that was forced off, or left by itself, cannot be resumed.
    pub ended: bool,
}

/// Where resumable sockets are kept. A socket that never joined a room has no row.
pub trait Resumes: Send + Sync {
    fn find(&self, sid: String) -> Answer<'_, Option<Resumable>>;

    /// Inserts or replaces.
    fn save(&self, resumable: Resumable) -> Answer<'_, ()>;

    /// The same if there is this episode. `false`: there is none, and nothing was written.
    fn save_if(&self, resumable: Resumable, episode: Uuid) -> Answer<'_, bool>;

    /// These sockets are still connected: keep their rows.
    fn touch(&self, sids: Vec<String>) -> Answer<'_, ()>;
}

/// Where what outlives the process is kept of presence.
pub trait PresenceMemory: Send + Sync {
    /// How users want to be seen, as far as they have said so.
    fn choices(&self) -> Answer<'_, Vec<(Uuid, Choice)>>;

    /// Writes when users were last seen, unless they were seen later, and what they have chosen since.
    fn remember(&self, memos: Vec<Memo>) -> Answer<'_, ()>;
}

/// What grows old and is removed.
pub trait Housekeeping: Send + Sync {
    /// Removes what is past its retention at `now`. Gives the number of rows.
    fn prune(&self, now: DateTime<Utc>) -> Answer<'_, u64>;

    /// The same with the activity history, which has a clock of its own.
    fn prune_activity(&self, now: DateTime<Utc>) -> Answer<'_, u64>;

    /// Writes down, where whoever writes the database cannot reach it, how far the activity history
    /// goes. Gives how many lines that took: 0 when nothing is new.
    fn checkpoint(&self) -> Answer<'_, u64>;
}

/// Why a token does not let its bearer in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    Missing,
    Invalid,
    Expired,
    Disabled,
}

impl Denied {
    /// The stable word for clients.
    pub fn code(self) -> &'static str {
        match self {
            Denied::Missing => "token_missing",
            Denied::Invalid => "token_invalid",
            Denied::Expired => "token_expired",
            Denied::Disabled => "user_disabled",
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Denied::Missing => "a token is needed",
            Denied::Invalid => "the token is not valid",
            Denied::Expired => "the token has expired",
            Denied::Disabled => "the user is disabled",
        }
    }
}

/// Who bears this token?
pub trait Authenticator: Send + Sync {
    /// The outer error is the world's, the inner one the bearer's.
    fn authenticate(&self, token: String) -> Answer<'_, Result<Identity, Denied>>;
}

/// A JSON object as it goes on the wire.
pub type Json = Box<RawValue>;
