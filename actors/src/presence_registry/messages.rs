//! What the registry is told and asked.

use std::sync::Arc;

use actix::Message;
use uuid::Uuid;

use super::book::{Figures, Own, Part, Row};
use super::sight::Viewers;
use crate::model::identity::UserRef;
use crate::model::presence::{Choice, Memo, Status, Subject};
use crate::runtime::Teller;
use crate::session::Outbox;

/// A socket of the user is there.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Connected {
    pub sid: Arc<str>,
    pub user: UserRef,
    pub outbox: Outbox,
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct Disconnected {
    pub sid: Arc<str>,
    /// Which it had: a socket that came back under the same `sid` has another.
    pub outbox: Outbox,
}

/// The user is active; see [`super::Signs`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct Sign {
    pub user: Uuid,
}

/// The user looks at something, through a socket or by REST. Gives who looks at it then.
#[derive(Message)]
#[rtype(result = "Viewed")]
pub struct View {
    pub sid: Option<Arc<str>>,
    pub user: UserRef,
    pub subject: Subject,
}

/// What came of a [`View`].
#[derive(Debug)]
pub struct Viewed {
    pub viewers: Viewers,
    /// There was no place for one more view.
    pub refused: bool,
}

/// The socket, or the user with everything it has, no longer looks.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Unview {
    pub sid: Option<Arc<str>>,
    pub user: Uuid,
    pub subject: Subject,
}

/// Which of these users look at it at this moment, be they seen or not.
#[derive(Message)]
#[rtype(result = "Vec<Uuid>")]
pub struct Viewing {
    pub subject: Subject,
    pub users: Vec<Uuid>,
}

/// Part of those who look at it, newest first.
#[derive(Message)]
#[rtype(result = "Vec<Row>")]
pub struct ListViewers {
    pub subject: Subject,
    pub part: Part,
}

/// How the user wants to be seen from now on; through which socket it says so, if through one. Gives its presence as it
/// sees it itself, when the choice is written down or that takes too long.
#[derive(Message)]
#[rtype(result = "Own")]
pub struct Choose {
    pub sid: Option<Arc<str>>,
    pub user: UserRef,
    pub choice: Choice,
}

/// The user's presence as it sees it itself.
#[derive(Message)]
#[rtype(result = "Own")]
pub struct OwnPresence(pub UserRef);

/// Part of those who are seen online, newest first; of this status, if one is given.
#[derive(Message)]
#[rtype(result = "Vec<Row>")]
pub struct ListOnline {
    pub status: Option<Status>,
    pub part: Part,
}

#[derive(Message)]
#[rtype(result = "Figures")]
pub struct Stats;

/// Some of what is to be written down. It is given again until it is [`Written`].
#[derive(Message)]
#[rtype(result = "Vec<Memo>")]
pub struct Unwritten {
    pub most: usize,
}

/// These are written down.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Written(pub Vec<Memo>);

/// Who is to be told when something waits that should be written at once.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Employ(pub Teller<Pressing>);

/// A user has been told that its choice holds: it should be written before the process can be killed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Pressing;
