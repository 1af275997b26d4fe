//! All actors of one server: started in order, held, and stopped in reverse.
//!
//! Two threads: *delivery* (Broadcaster, rooms, registries, Watchman), where nothing waits for the world, and
//! *housekeeping* (ActivityLogger, Notifier, RateLimiter, Scribe, Janitor). Nothing here is global: several systems live
//! in one process.

use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use serde_json::json;

use crate::activity_logger::{ActivityLogger, Voice};
use crate::announce::Crier;
use crate::broadcaster::{Announce, Broadcaster, Heed, Leave, Listening, Places, Publish};
use crate::consumer::{Flush, Told};
use crate::hub::Hubs;
use crate::janitor::{Janitor, Rounds};
use crate::model::envelope::Ephemeral;
use crate::model::event::Kind;
use crate::model::room::{Channel, Namespace};
use crate::notifier::{self, Delivery, Notifier};
use crate::ports::{
    ActivitySink, Housekeeping, NotificationSink, PresenceMemory, Record, Resumes, Unavailable,
};
use crate::presence_registry::{Book, PresenceRegistry, Sight, Signs};
use crate::rate_limiter::RateLimiter;
use crate::receipts::Receipts;
use crate::runtime::{Clock, Courier, Ledger, Mailbox, supervise};
use crate::scribe::{self, Scribe};
use crate::socket_registry::SocketRegistry;
use crate::tidings::Tidings;
use crate::watchman::Watchman;

/// What the actors need of the world.
#[derive(Clone)]
pub struct Ports {
    pub record: Arc<dyn Record>,
    /// `None`: activity is switched off.
    pub activity: Option<Arc<dyn ActivitySink>>,
    /// `None`: notifications are switched off.
    pub notifications: Option<Arc<dyn NotificationSink>>,
    pub resumes: Arc<dyn Resumes>,
    pub presence: Arc<dyn PresenceMemory>,
    pub housekeeping: Arc<dyn Housekeeping>,
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// `None`: presence is switched off.
    pub presence: Option<PresenceSettings>,
    pub notifications: notifier::Settings,
    pub rounds: Rounds,
    /// Connections that this node takes.
    pub max_connections: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct PresenceSettings {
    /// How long one stays who comes by REST alone.
    pub timeout: Duration,
    /// How often sockets are looked for whose end was not told.
    pub cleanup: Duration,
}

/// The ways to the actors. Clones are cheap.
#[derive(Clone)]
pub struct Handles {
    pub broadcaster: Mailbox<Broadcaster>,
    pub hubs: Hubs,
    /// Pushes that clients may acknowledge.
    pub receipts: Receipts,
    /// How users are told of their notifications.
    pub tidings: Tidings,
    pub sockets: Mailbox<SocketRegistry>,
    pub presence: Option<Mailbox<PresenceRegistry>>,
    /// Who views what, to be read.
    pub sight: Sight,
    /// Where it is noted that a user is active.
    pub signs: Signs,
    /// To the thread of the Broadcaster and the registries, for who comes from another.
    pub courier: Courier,
    pub activity_logger: Option<Mailbox<ActivityLogger>>,
    pub notifier: Option<Mailbox<Notifier>>,
    /// Tells the Broadcaster of what was committed.
    pub delivery: Crier,
    /// Tells those who write of it.
    pub housekeeping: Crier,
}

/// The running actors of one server.
pub struct System {
    pub handles: Handles,
    record: Arc<dyn Record>,
    clock: Clock,
    janitor: Mailbox<Janitor>,
    watchman: Mailbox<Watchman>,
    scribe: Option<Mailbox<Scribe>>,
    delivery: Arbiter,
    housekeeping: Arbiter,
}

impl System {
    /// Fails if the Record cannot be read: live events begin at its end.
    pub async fn start(
        ports: Ports,
        settings: Settings,
        ledger: &Ledger,
    ) -> Result<System, Unavailable> {
        let head = ports.record.span().await?.last;
        let clock = ledger.clock().clone();
        let (delivery, housekeeping) = (Arbiter::new(), Arbiter::new());
        let (near, far) = (delivery.handle(), housekeeping.handle());

        let (listening, receipts) = (Listening::default(), Receipts::default());
        let (record, book) = (ports.record.clone(), ledger.clone());
        let (told, noted) = (listening.clone(), receipts.clone());
        let broadcaster = supervise(Broadcaster::SPEC, ledger, &near, move |_| {
            Broadcaster::new(record, book, head)
                .telling_by(told)
                .noting(noted)
        });
        let publish = broadcaster.teller::<Publish>();
        // For what would be missed: who is there, and what is stored as told.
        let entrust = Places::default().teller(&broadcaster);
        let tidings = Tidings::new(entrust.clone(), clock.clone());

        let (admins, leave) = (publish.clone(), broadcaster.teller::<Leave>());
        let sockets = supervise(SocketRegistry::SPEC, ledger, &near, move |_| {
            SocketRegistry::new(admins, leave)
        });
        let heed = Heed {
            kind: Kind::UserUpdated,
            who: sockets.teller(),
        };
        // The mailbox is empty yet.
        let _ = broadcaster.tell(heed);

        let choices = match settings.presence {
            Some(_) => ports.presence.choices().await?,
            None => Vec::new(),
        };
        let sight = Sight::default();
        let presence = settings.presence.map(|settings| {
            let clock = clock.clone();
            let book = Book::new(settings.timeout, sight.clone(), choices);
            supervise(PresenceRegistry::SPEC, ledger, &near, move |_| {
                PresenceRegistry::new(book, entrust, clock, settings.cleanup)
            })
        });
        if let Some(presence) = &presence {
            let _ = broadcaster.tell(Heed {
                kind: Kind::UserUpdated,
                who: presence.teller(),
            });
        }
        let scribe = presence.clone().map(|presence| {
            let memory = ports.presence;
            supervise(Scribe::SPEC, ledger, &far, move |_| {
                Scribe::new(presence, memory)
            })
        });
        let signs = match (&presence, &settings.presence) {
            (Some(registry), Some(settings)) => Signs::new(registry, &clock, settings.timeout),
            _ => Signs::none(),
        };
        let activity_logger = ports.activity.map(|sink| {
            let record = ports.record.clone();
            let voice = Voice {
                broadcaster: publish,
                listening,
                clock: clock.clone(),
            };
            supervise(ActivityLogger::SPEC, ledger, &far, move |_| {
                ActivityLogger::new(record, sink, voice)
            })
        });
        let notifier = ports.notifications.map(|sink| {
            let counted = sink.clone();
            let delivery = Delivery {
                limiter: supervise(RateLimiter::SPEC, ledger, &far, move |_| {
                    RateLimiter::new(counted)
                }),
                sink,
                presence: presence.clone(),
                tidings: tidings.clone(),
                clock: clock.clone(),
                settings: settings.notifications,
            };
            let record = ports.record.clone();
            supervise(Notifier::SPEC, ledger, &far, move |_| {
                Notifier::new(record, delivery)
            })
        });
        let janitor = {
            let (house, resumes, sockets) = (ports.housekeeping, ports.resumes, sockets.clone());
            supervise(Janitor::SPEC, ledger, &far, move |_| {
                Janitor::new(house, resumes, sockets, settings.rounds)
            })
        };
        let watchman = {
            let (publish, sockets) = (broadcaster.teller(), sockets.clone());
            let (record, book) = (ports.record.clone(), ledger.clone());
            supervise(Watchman::SPEC, ledger, &near, move |_| {
                Watchman::new(publish, sockets, record, book, settings.max_connections)
            })
        };
        tell_of_restarts(ledger, &broadcaster);
        let delivers = broadcaster.clone();
        let courier = Courier::new(near);
        let cried = Crier::new(courier.clone(), move |entry| {
            let _ = delivers.tell(Announce(entry));
        });
        let (logs, notifies) = (activity_logger.clone(), notifier.clone());
        let written = Crier::new(Courier::new(far), move |entry| {
            if let Some(logger) = &logs {
                let _ = logger.tell(Told(entry.clone()));
            }
            if let Some(notifier) = &notifies {
                let _ = notifier.tell(Told(entry));
            }
        });
        Ok(System {
            handles: Handles {
                broadcaster,
                hubs: Hubs::new(ledger),
                receipts,
                tidings,
                sockets,
                presence,
                sight,
                signs,
                courier,
                activity_logger,
                notifier,
                delivery: cried,
                housekeeping: written,
            },
            record: ports.record,
            clock,
            janitor,
            watchman,
            scribe,
            delivery,
            housekeeping,
        })
    }

    /// Tells every socket that the server is about to stop.
    pub fn say_farewell(&self) {
        let everybody = Namespace::ALL.into_iter().map(Channel::all).collect();
        let event = Ephemeral::new(
            Kind::ServerDraining,
            self.clock.now(),
            &json!({}),
            everybody,
        );
        let _ = self.handles.broadcaster.tell(Publish(event));
    }

    /// Writes what is on the Record and not yet in the tables, as far as `deadline` allows, and
    /// ends every actor. `false`: something is left for the next start.
    pub async fn stop(self, deadline: Duration) -> bool {
        drop((self.janitor, self.watchman));
        let flush = async {
            let upto = match self.record.span().await {
                Ok(span) => span.last,
                Err(error) => {
                    tracing::warn!(%error, "stopped without a last look at the Record");
                    return false;
                }
            };
            let notified = async {
                match &self.handles.notifier {
                    Some(notifier) => notifier.ask(Flush { upto }).await == Ok(true),
                    None => true,
                }
            };
            let logged = async {
                match &self.handles.activity_logger {
                    Some(logger) => logger.ask(Flush { upto }).await == Ok(true),
                    None => true,
                }
            };
            let noted = async {
                match &self.scribe {
                    Some(scribe) => scribe.ask(scribe::Flush).await == Ok(true),
                    None => true,
                }
            };
            let (notified, logged, noted) =
                futures_util::future::join3(notified, logged, noted).await;
            notified && logged && noted
        };
        let flushed = self.clock.within(deadline, flush).await == Some(true);
        if !flushed {
            tracing::warn!("stopped before everything was written; the next start goes on there");
        }
        for arbiter in [self.housekeeping, self.delivery] {
            arbiter.stop();
            // Joined elsewhere: an actor in the middle of something does not hold up the rest.
            let joined = actix_rt::task::spawn_blocking(move || arbiter.join());
            if self.clock.within(deadline, joined).await.is_none() {
                tracing::warn!("a thread of the actors did not end in time");
            }
        }
        flushed
    }
}

/// The admins see each restart. The hook must not keep the Broadcaster alive.
fn tell_of_restarts(ledger: &Ledger, broadcaster: &Mailbox<Broadcaster>) {
    let (broadcaster, clock) = (broadcaster.downgrade(), ledger.clock().clone());
    ledger.on_restart(move |actor, panic| {
        let data = json!({ "actor": actor, "panic": panic });
        let event = Ephemeral::for_admins(Kind::ActorRestarted, clock.now(), &data);
        let _ = broadcaster.tell(Publish(event));
    });
}

#[cfg(test)]
mod tests;
