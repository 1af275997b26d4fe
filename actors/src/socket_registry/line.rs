//! A connection and its sockets, as the registry keeps them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rights::Follow;
use crate::broadcaster::Leave;
use crate::model::envelope::Envelope;
use crate::model::identity::{Identity, UserRef};
use crate::model::room::{Channel, Namespace};
use crate::runtime::Teller;
use crate::session::{Connection, Reason};
use crate::subscriber::Subscriber;

/// What the application keeps with a socket. The registry looks into it, and tells it what its user has become.
pub trait Bearer: Send + Sync {
    /// As which it is in.
    fn identity(&self) -> Arc<Identity>;
    fn namespaces(&self) -> &[Namespace];
    /// There once it has begun.
    fn subscriber(&self) -> Option<&Arc<Subscriber>>;
    /// Its user is this from now on.
    fn revise(&self, identity: Identity);
    /// Forgets the rooms that it has joined and, being who it is, may not be in. Gives them.
    fn forfeit(&self) -> Vec<Channel>;
}

/// A connection.
pub(super) struct Line {
    pub connection: Arc<dyn Connection>,
    /// Of the socket that came last. Each namespace has a token of its own, so there may be others.
    pub user: Option<Arc<Identity>>,
    /// One for each namespace.
    pub sockets: Vec<Socket>,
}

pub(super) struct Socket {
    pub sid: Arc<str>,
    pub bearer: Arc<dyn Bearer>,
    /// Those it has joined by name.
    pub rooms: Vec<Channel>,
    pub expires_at: DateTime<Utc>,
}

/// Up to so many rooms a socket's list is as long as it has to be. Most are in one or two.
const FEW: usize = 4;

impl Line {
    /// What was told to go has gone for whoever looks, though its end is not heard of yet.
    pub fn is_open(&self) -> bool {
        self.connection.outbox().closed().is_none()
    }

    pub fn user(&self) -> Option<&UserRef> {
        self.user.as_ref().map(|identity| &identity.user)
    }

    pub fn socket(&self, sid: &Arc<str>) -> Option<&Socket> {
        self.sockets.iter().find(|socket| socket.sid == *sid)
    }

    pub fn take(&mut self, sid: &Arc<str>) -> Option<Socket> {
        let place = self.sockets.iter().position(|socket| socket.sid == *sid)?;
        Some(self.sockets.remove(place))
    }

    /// One of its sockets follows a change of its user.
    pub fn follow(&mut self, sid: &Arc<str>, follow: Follow, leave: &Teller<Leave>) {
        match follow {
            Follow::End => self.connection.close(Reason::Unauthorized),
            Follow::As(identity) => {
                let Some(socket) = self.sockets.iter_mut().find(|it| it.sid == *sid) else {
                    return;
                };
                socket.bearer.revise(*identity);
                socket.forfeit(leave);
                let user = socket.user_id();
                let shown = self.user.as_ref().is_some_and(|it| it.user.id == user);
                if shown {
                    self.user = Some(socket.bearer.identity());
                }
            }
            Follow::Nothing => {}
        }
    }

    /// Says something to each of its sockets that has room for it. (It is about to be closed: what does not fit must
    /// not make a slow consumer of it first.)
    pub fn say(&self, envelope: &Envelope) {
        for subscriber in self.sockets.iter().filter_map(|it| it.bearer.subscriber()) {
            let (frame, outbox) = (envelope.frame(subscriber.form), subscriber.outbox());
            if outbox.queued_bytes() + frame.wire_len() <= outbox.limit() / 2 {
                // One that was closed meanwhile has ended as it should.
                let _ = outbox.push(frame);
            }
        }
    }
}

impl Socket {
    pub fn user_id(&self) -> Uuid {
        self.bearer.identity().user.id
    }

    pub fn join(&mut self, channel: Channel) {
        if self.rooms.contains(&channel) {
            return;
        }
        if self.rooms.len() < FEW {
            self.rooms.reserve_exact(1);
        }
        self.rooms.push(channel);
    }

    /// It leaves what it may not be in any more.
    pub fn forfeit(&mut self, leave: &Teller<Leave>) {
        let lost = self.bearer.forfeit();
        if lost.is_empty() {
            return;
        }
        self.rooms.retain(|channel| !lost.contains(channel));
        if let Some(subscriber) = self.bearer.subscriber() {
            let key = subscriber.key;
            let channels = lost;
            if leave.tell(Leave { key, channels }).is_err() {
                // Rather ended than in a room that is not its own: it comes back without.
                subscriber.outbox().close(Reason::Fault);
            }
        }
    }
}
