//! What a user does with notifications, by REST or from a socket: written, and then told to all of the user's sockets,
//! so that what is read on one device shows on the others.
//!
//! What is told is the number of unread ones as it is after the commit; that the last one told is the right one is seen to
//! by [`Tidings`]. Nobody waits until it is told: what the Broadcaster has no place for is told again.

use std::sync::Arc;

use callboard_actors::model::identity::UserRef;
use callboard_actors::model::notification::Notification;
use callboard_actors::model::perusal::{Deed, news};
use callboard_actors::runtime::Rejected;
use callboard_actors::tidings::Tidings;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::store::{Result, Store, notifications};

/// Deeds that are to be told again at the same time; of more nobody is told, until there is something else to tell.
const AGAIN: usize = 4_096;
/// How often one is told again: for a minute or two.
const TRIES: u32 = 2_000;

/// Clones are one.
#[derive(Clone)]
pub struct Inbox {
    store: Store,
    tidings: Tidings,
    again: Arc<Semaphore>,
}

impl Inbox {
    pub fn new(store: Store, tidings: Tidings) -> Inbox {
        Inbox {
            store,
            tidings,
            again: Arc::new(Semaphore::new(AGAIN)),
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
        let told = self.try_to_tell(&user, deed).await;
        if !matches!(told, Ok((_, Ok(()) | Err(Rejected::Gone)))) {
            self.tell_again(user, deed);
        }
        told.map(|(unread, _)| unread)
    }

    /// The same, for who does not wait for it.
    pub fn tell_later(&self, user: UserRef, deed: Deed) {
        let inbox = self.clone();
        actix_web::rt::spawn(async move {
            if let Err(error) = inbox.tell(user, deed).await {
                tracing::warn!(%error, "a user's sockets are told later of what was read");
            }
        });
    }

    /// How many are unread, and whether that was told.
    async fn try_to_tell(
        &self,
        user: &UserRef,
        deed: Deed,
    ) -> Result<(u64, std::result::Result<(), Rejected>)> {
        let turn = self.tidings.turn([user.id]).await;
        let unread = self.unread_count(user.id).await?;
        let told = turn.tell(news(user.clone(), deed, unread, self.store.now()));
        Ok((unread, told))
    }

    /// What could not be told is told as soon as it can be.
    fn tell_again(&self, user: UserRef, deed: Deed) {
        match self.again.clone().try_acquire_owned() {
            Ok(place) => {
                let inbox = self.clone();
                actix_web::rt::spawn(async move { inbox.keep_telling(user, deed, place).await });
            }
            Err(_) => {
                tracing::warn!(user = %user.id, "a user's sockets are not told of what was read")
            }
        }
    }

    async fn keep_telling(&self, user: UserRef, deed: Deed, _place: OwnedSemaphorePermit) {
        for _ in 0..TRIES {
            self.tidings.pause().await;
            if let Ok((_, Ok(()) | Err(Rejected::Gone))) = self.try_to_tell(&user, deed).await {
                return;
            }
        }
        tracing::warn!(user = %user.id, "a user's sockets are not told of what was read");
    }
}
