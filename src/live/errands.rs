//! What a socket tells the registries and the Broadcaster as it comes, joins and goes.
//!
//! They live on one thread. What belongs together goes over as one errand of that thread's courier, which puts every
//! message into its mailbox at once and brings back the answers. Errands are run in the order in which they were sent, so
//! that the end of a socket is not heard of before its beginning. There are no more of them than a connection has sockets
//! that wait, and a beginning and an end for each, and for the connection.

use std::sync::Arc;
use std::time::Duration;

use callboard_actors::broadcaster::{Depart, Enter};
use callboard_actors::model::presence::Subject;
use callboard_actors::model::record::Seq;
use callboard_actors::model::room::Channel;
use callboard_actors::presence_registry::{self, PresenceRegistry, View, Viewed};
use callboard_actors::runtime::{AskError, Clock, Mailbox, Rejected};
use callboard_actors::session::{Connection, Reason, Socket};
use callboard_actors::socket_registry::{self, Joined};
use callboard_actors::subscriber::Subscriber;
use tokio::sync::oneshot;

use super::state::State;
use super::{Live, Parts};

/// What came of a socket's entering a room.
pub(super) struct Entered {
    /// From here on it hears the room.
    pub seq: Seq,
    /// Who looks at what it entered for, if that was asked.
    pub viewers: Option<Result<Viewed, AskError>>,
}

impl Live {
    /// A socket that was let in is listed, its token watched, its user online; and it enters its rooms, unless it has to
    /// catch up first. Gives the place at which it entered.
    pub(super) async fn arrive(
        &self,
        socket: &Socket,
        state: &Arc<State>,
        subscriber: &Arc<Subscriber>,
    ) -> Result<Option<Seq>, AskError> {
        let identity = state.identity();
        let channels = state.channels();
        // Asked, not told: a socket whose token nobody watches must not be.
        let attached = socket_registry::Attached {
            connection: socket.connection.clone(),
            sid: socket.sid.clone(),
            bearer: state.clone(),
            rooms: state.rooms(),
        };
        let (sid, outbox) = (socket.sid.clone(), subscriber.outbox().clone());
        let connected = move || presence_registry::Connected {
            sid: sid.clone(),
            user: identity.user.clone(),
            outbox: outbox.clone(),
        };
        let enter = state.since.is_none().then(|| Enter {
            subscriber: subscriber.clone(),
            channels,
        });
        self.errand(move |parts| {
            let attached = parts.sockets.ask(attached);
            if let Some(presence) = &parts.presence
                && presence.tell(connected()) == Err(Rejected::Full)
            {
                actix_rt::spawn(tell_later(presence.clone(), parts.clock.clone(), connected));
            }
            let entered = enter.map(|enter| parts.broadcaster.ask(enter));
            async move {
                attached.await?;
                match entered {
                    Some(entered) => entered.await.map(Some),
                    None => Ok(None),
                }
            }
        })
        .await
    }

    /// A socket that is there enters one more room, and looks at what the room is about.
    pub(super) async fn enter(
        &self,
        socket: &Socket,
        state: &State,
        subscriber: Arc<Subscriber>,
        channel: Channel,
        subject: Option<Subject>,
    ) -> Result<Entered, AskError> {
        let joined = Joined {
            connection: socket.connection.id().clone(),
            sid: socket.sid.clone(),
            channel: channel.clone(),
        };
        let view = subject.map(|subject| View {
            sid: Some(socket.sid.clone()),
            user: state.identity().user.clone(),
            subject,
        });
        self.errand(move |parts| {
            let entered = parts.broadcaster.ask(Enter {
                subscriber,
                channels: vec![channel],
            });
            let _ = parts.sockets.tell(joined);
            let viewers = parts.presence.as_ref().zip(view);
            let viewers = viewers.map(|(presence, view)| presence.ask(view));
            async move {
                Ok(Entered {
                    seq: entered.await?,
                    viewers: match viewers {
                        Some(viewers) => Some(viewers.await),
                        None => None,
                    },
                })
            }
        })
        .await
    }

    /// A socket is gone. One without a subscription never began.
    pub(super) fn depart(&self, socket: &Socket, subscriber: Option<Arc<Subscriber>>) {
        let sid = socket.sid.clone();
        let detached = socket_registry::Detached {
            connection: socket.connection.id().clone(),
            sid: sid.clone(),
        };
        self.send_off(move |parts| {
            if let Some(subscriber) = subscriber {
                let key = subscriber.key;
                let _ = parts.broadcaster.tell(Depart { key });
                if let Some(presence) = &parts.presence {
                    let outbox = subscriber.outbox().clone();
                    let _ = presence.tell(presence_registry::Disconnected { sid, outbox });
                }
            }
            let _ = parts.sockets.tell(detached);
        });
    }

    pub(super) fn open(&self, connection: Arc<dyn Connection>) {
        self.send_off(move |parts| {
            let _ = parts.sockets.tell(socket_registry::Opened { connection });
        });
    }

    pub(super) fn close(&self, connection: &dyn Connection, reason: Reason) {
        let connection = connection.id().clone();
        let closed = socket_registry::Closed { connection, reason };
        self.send_off(move |parts| {
            let _ = parts.sockets.tell(closed);
        });
    }

    /// Runs the errand on the actors' thread and brings back what came of it.
    async fn errand<T, F>(
        &self,
        run: impl FnOnce(&Parts) -> F + Send + 'static,
    ) -> Result<T, AskError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, AskError>> + 'static,
    {
        let (answer, answered) = oneshot::channel();
        // If that thread has ended, nobody will answer.
        self.send_off(move |parts| {
            let result = run(parts);
            actix_rt::spawn(async move {
                let _ = answer.send(result.await);
            });
        });
        answered.await.unwrap_or(Err(AskError::Gone))
    }

    /// The same where nothing is to be brought back.
    fn send_off(&self, run: impl FnOnce(&Parts) + Send + 'static) {
        let live = self.clone();
        self.parts.courier.send_soon(move || run(&live.parts));
    }
}

/// When the registry of presence had no place for a herd: nobody who is connected may be missing from it. There are no
/// more of these than there are sockets.
async fn tell_later(
    presence: Mailbox<PresenceRegistry>,
    clock: Clock,
    connected: impl Fn() -> presence_registry::Connected,
) {
    loop {
        clock.sleep(LATER).await;
        let connected = connected();
        let gone = connected.outbox.closed().is_some();
        if gone || presence.tell(connected) != Err(Rejected::Full) {
            return;
        }
    }
}

const LATER: Duration = Duration::from_millis(100);
