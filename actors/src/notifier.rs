//! The `Notifier` makes notifications of the Record's entries, stores them and pushes them.
//!
//! *Told by* whoever commits a change ([`Told`], after the commit).
//! *Tells* the Broadcaster: each stored notification, to the user's own room in `/feed`.
//! *Restart*: reads its cursor anew and goes on from there. Each notification is stored once; one
//! that was stored by a batch whose answer was lost is not pushed, and is there when the user looks.
//! *Never* holds up the one that told it.
//!
//! What an entry asks for is a rule of the model ([`notice`]); who is due it, is the store's
//! to find. Preferences, quiet hours and the hourly rate come between the two: in
//! [`NotificationSink::write`], where the rows are.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Handler, ResponseActFuture, Supervised};
use serde::Serialize;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use crate::broadcaster::Publish;
use crate::consumer::{self, Consumer, Flush, Progress, Told, Work};
use crate::model::envelope::Ephemeral;
use crate::model::event::Kind;
use crate::model::notification::{Notification, notice};
use crate::model::record::{Entry, Seq};
use crate::model::room::{Channel, Namespace, Room};
use crate::ports::{NotificationSink, Record};
use crate::runtime::{Clock, Context, Restart, Spec, Teller};

/// How long the cursor may lag behind entries that ask for no notification.
const PATIENCE: Duration = Duration::from_secs(1);

// State

pub struct Notifier {
    record: Arc<dyn Record>,
    sink: Arc<dyn NotificationSink>,
    broadcaster: Teller<Publish>,
    clock: Clock,
    progress: Progress,
}

// Life

impl Notifier {
    pub const SPEC: Spec = Spec {
        name: "Notifier",
        capacity: 4096,
        restart: Restart::Permanent,
    };

    pub fn new(
        record: Arc<dyn Record>,
        sink: Arc<dyn NotificationSink>,
        broadcaster: Teller<Publish>,
        clock: Clock,
    ) -> Notifier {
        Notifier {
            record,
            sink,
            broadcaster,
            clock,
            progress: Progress::default(),
        }
    }
}

impl Actor for Notifier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        consumer::start(self, ctx);
    }
}

impl Supervised for Notifier {}

// Handlers

impl Handler<Told> for Notifier {
    type Result = ();

    fn handle(&mut self, Told(entry): Told, ctx: &mut Context<Self>) {
        consumer::told(self, entry, ctx);
    }
}

impl Handler<Flush> for Notifier {
    type Result = ResponseActFuture<Self, bool>;

    fn handle(&mut self, flush: Flush, ctx: &mut Context<Self>) -> Self::Result {
        consumer::flush(self, flush.upto, ctx)
    }
}

// Work

impl Consumer for Notifier {
    type Written = Vec<(Notification, u64)>;

    fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    fn record(&self) -> Arc<dyn Record> {
        self.record.clone()
    }

    fn cursor(&self) -> Work<Seq> {
        let sink = self.sink.clone();
        Box::pin(async move { sink.cursor().await })
    }

    fn write(&self, after: Seq, batch: Vec<Arc<Entry>>) -> Work<(Seq, Self::Written)> {
        let upto = batch.last().map_or(after, |last| last.seq);
        let notices = batch.iter().filter_map(|entry| notice(entry)).collect();
        let sink = self.sink.clone();
        Box::pin(async move { sink.write(after, upto, notices).await })
    }

    /// Whoever is due a notification gets it at once. Without one there is only the cursor to move,
    /// and that an entry asks for nothing can be found out again.
    fn patience(&self, entry: &Entry) -> Duration {
        match notice(entry).is_some() {
            true => Duration::ZERO,
            false => PATIENCE,
        }
    }

    fn written(&mut self, stored: Self::Written) {
        for (notification, unread) in stored {
            if let Some(event) = push(&notification, unread, &self.clock) {
                // A rejected push is counted by the mailbox; the row is there.
                let _ = self.broadcaster.tell(Publish(event));
            }
        }
    }
}

/// A notification as its user's clients get it.
#[derive(Serialize)]
struct Push<'a> {
    #[serde(flatten)]
    notification: &'a Notification,
    unread_count: u64,
}

fn push(notification: &Notification, unread_count: u64, clock: &Clock) -> Option<Ephemeral> {
    let push = Push {
        notification,
        unread_count,
    };
    let data = to_raw_value(&push)
        .inspect_err(|error| tracing::error!(%error, id = %notification.id, "not pushed"))
        .ok()?;
    Some(Ephemeral {
        id: Uuid::now_v7(),
        event: Kind::Notification.name().into(),
        at: clock.now(),
        user: None,
        data,
        audience: vec![Channel::room(
            Namespace::Feed,
            Room::User(notification.user_id),
        )],
        except: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broadcaster::{Broadcaster, Enter};
    use crate::hub::Hubs;
    use crate::runtime::{Ledger, Mailbox, supervise_here};
    use crate::testing::{
        Client, Fault, MemoryNotifications, MemoryRecord, noon, on_actix, settle,
    };

    struct World {
        record: Arc<MemoryRecord>,
        sink: Arc<MemoryNotifications>,
        clock: Clock,
        client: Client,
        notifier: Mailbox<Notifier>,
        _broadcaster: Mailbox<Broadcaster>,
    }

    impl World {
        /// Two users, of whom the first listens.
        async fn new() -> World {
            let clock = Clock::manual(noon());
            let ledger = Ledger::new(clock.clone());
            let record = MemoryRecord::new();
            let users = vec![Uuid::now_v7(), Uuid::now_v7()];
            let sink = MemoryNotifications::for_users(users.clone());
            let broadcaster = supervise_here(Broadcaster::SPEC, &ledger, |_| {
                Broadcaster::new(record.clone(), ledger.clone(), 0)
            });
            let client = Client::open(&Hubs::new(&ledger));
            let own = Channel::room(Namespace::Feed, Room::User(users[0]));
            let enter = Enter {
                subscriber: client.subscriber.clone(),
                channels: vec![own],
            };
            broadcaster.ask(enter).await.unwrap();
            let notifier = supervise_here(Notifier::SPEC, &ledger, |_| {
                let (record, sink) = (record.clone(), sink.clone());
                Notifier::new(record, sink, broadcaster.teller(), clock.clone())
            });
            settle().await;
            World {
                record,
                sink,
                clock,
                client,
                notifier,
                _broadcaster: broadcaster,
            }
        }

        fn change(&self, event: &str) {
            let entry = self.record.append(event, vec![]);
            self.notifier.tell(Told(entry)).unwrap();
        }

        fn stored(&self) -> Vec<(Uuid, Seq)> {
            let row = |row: Notification| (row.user_id, row.event_seq.unwrap());
            self.sink.rows().into_iter().map(row).collect()
        }
    }

    #[test]
    fn a_notification_is_stored_for_each_who_is_due_it_and_pushed_with_the_unread_count() {
        on_actix(async {
            let world = World::new().await;
            world.change("episode_created");
            world.change("episode_deleted");
            settle().await;
            let [one, two] = world.sink.users[..] else {
                panic!()
            };
            assert_eq!(world.stored(), [(one, 1), (two, 1), (one, 2), (two, 2)]);
            let pushed = world.client.events();
            assert_eq!(world.client.names(), ["notification", "notification"]);
            assert_eq!(pushed[0]["data"]["type"], "episode_created");
            assert_eq!(pushed[0]["data"]["user_id"], one.to_string());
            assert_eq!(pushed[0]["data"]["unread_count"], 1);
            assert_eq!(pushed[1]["data"]["unread_count"], 2);
            assert!(pushed[0].get("seq").is_none());
        });
    }

    #[test]
    fn an_entry_that_asks_for_no_notice_moves_the_cursor_all_the_same() {
        on_actix(async {
            let world = World::new().await;
            world.change("episode_updated");
            world.change("admin_action");
            settle().await;
            assert_eq!(world.sink.position(), 0, "there is nothing to hurry for");
            world.clock.wind(PATIENCE).await;
            settle().await;
            assert_eq!(world.stored(), []);
            assert_eq!(world.sink.position(), 2);
            assert_eq!(world.notifier.ask(Flush { upto: 2 }).await, Ok(true));
        });
    }

    #[test]
    fn a_notification_is_stored_once_whatever_happens_to_its_batch() {
        on_actix(async {
            for fault in [
                Fault::Before,
                Fault::After,
                Fault::PanicBefore,
                Fault::PanicAfter,
            ] {
                let world = World::new().await;
                world.sink.faults.plan([Some(fault)]);
                world.change("episode_created");
                world.change("episode_deleted");
                world.record.append("episode_created", vec![]); // never told
                world.clock.wind(Duration::from_secs(10)).await;
                settle().await;
                let of = |user| {
                    let stored = world.stored().into_iter();
                    let of_user = stored.filter(|(of, _)| *of == user);
                    of_user.map(|(_, seq)| seq).collect::<Vec<_>>()
                };
                for &user in &world.sink.users {
                    assert_eq!(of(user), [1, 2, 3], "{fault:?}");
                }
            }
        });
    }
}
