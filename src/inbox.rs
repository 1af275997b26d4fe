//! What a user does with notifications, by REST or from a socket: written, and then told to all of the user's sockets,
//! so that what is read on one device shows on the others.
//!
//! What is told is the number of unread ones as it is after the commit. Of one user one thing is told at a time, each
//! with a number that was asked for after the last was told: so the last one told is the right one.

use std::sync::Arc;

use callboard_actors::broadcaster::{Broadcaster, Publish};
use callboard_actors::model::identity::UserRef;
use callboard_actors::model::notification::Notification;
use callboard_actors::model::perusal::{Deed, news};
use callboard_actors::runtime::Mailbox;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::store::{Result, Store, notifications};

/// Users who are told at the same time; two of one number wait for each other.
const TURNS: usize = 64;

/// Clones are one.
#[derive(Clone)]
pub struct Inbox {
    store: Store,
    broadcaster: Mailbox<Broadcaster>,
    turns: Arc<[Mutex<()>; TURNS]>,
}

impl Inbox {
    pub fn new(store: Store, broadcaster: Mailbox<Broadcaster>) -> Inbox {
        Inbox {
            store,
            broadcaster,
            turns: Arc::new([const { Mutex::const_new(()) }; TURNS]),
        }
    }

    pub async fn find(&self, user_id: Uuid, id: Uuid) -> Result<Option<Notification>> {
        notifications::find(&self.store, user_id, id).await
    }

    /// Notes that this one was read; the first time counts. Gives it as it is then, and whether that is news, which is
    /// for the caller to tell. `None`: it is gone.
    pub async fn read(&self, seen: Notification) -> Result<Option<(Notification, bool)>> {
        match seen.read_at {
            Some(_) => Ok(Some((seen, false))),
            None => notifications::read(&self.store, seen.user_id, seen.id).await,
        }
    }

    /// Gives how many were unread until now.
    pub async fn read_all(&self, user_id: Uuid) -> Result<u64> {
        notifications::read_all(&self.store, user_id).await
    }

    /// Gives whether that is news for those who count the unread ones. `None`: there was none.
    pub async fn delete(&self, user_id: Uuid, id: Uuid) -> Result<Option<bool>> {
        notifications::delete(&self.store, user_id, id).await
    }

    /// It arrived at one of the user's sockets. Gives whether there is such a one.
    pub async fn delivered(&self, user_id: Uuid, id: Uuid) -> Result<bool> {
        notifications::delivered(&self.store, user_id, id).await
    }

    pub async fn unread_count(&self, user_id: Uuid) -> Result<u64> {
        notifications::unread_count(&self.store, user_id).await
    }

    /// Tells the user's sockets, and gives how many are unread.
    pub async fn tell(&self, user: UserRef, deed: Deed) -> Result<u64> {
        let turn = &self.turns[(user.id.as_u128() % TURNS as u128) as usize];
        let _turn = turn.lock().await;
        let unread = self.unread_count(user.id).await?;
        // What a full mailbox refuses is counted there; the rows are right.
        let _ = self
            .broadcaster
            .tell(Publish(news(user, deed, unread, self.store.now())));
        Ok(unread)
    }

    /// The same, for who does not wait for it.
    pub fn tell_later(&self, user: UserRef, deed: Deed) {
        let inbox = self.clone();
        actix_web::rt::spawn(async move {
            if let Err(error) = inbox.tell(user, deed).await {
                tracing::warn!(%error, "a user's sockets are not told of what was read");
            }
        });
    }
}
