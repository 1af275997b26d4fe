//! The Notifier with every port faked: what it stores, pushes and keeps waiting, and how it goes on.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use uuid::Uuid;

use super::*;
use crate::broadcaster::{Broadcaster, Enter, Places};
use crate::hub::Hubs;
use crate::model::decision::{Outcome, Rule};
use crate::model::identity::UserRef;
use crate::model::notification::{FOLDED, Notification};
use crate::model::preferences::Preferences;
use crate::model::presence::Subject;
use crate::model::room::{Channel, Namespace, Room};
use crate::presence_registry::{Book, PresenceRegistry, Sight, View};
use crate::rate_limiter::RateLimiter;
use crate::runtime::{Clock, Ledger, Mailbox, Rejected, Teller, supervise_here};
use crate::testing::{Client, Fault, MemoryNotifications, MemoryRecord, noon, on_actix, settle};
use crate::tidings::Tidings;

mod property;
mod pushes;

struct World {
    record: Arc<MemoryRecord>,
    sink: Arc<MemoryNotifications>,
    clock: Clock,
    client: Client,
    notifier: Mailbox<Notifier>,
    presence: Mailbox<PresenceRegistry>,
    tidings: Tidings,
    /// The Broadcaster has no place.
    deaf: Arc<AtomicBool>,
    hubs: Hubs,
    broadcaster: Mailbox<Broadcaster>,
}

impl World {
    /// Two users, of whom the first listens.
    async fn new() -> World {
        World::with(2, Settings::default()).await
    }

    /// A client of one more of the users.
    async fn open(&self, user: Uuid) -> Client {
        let client = Client::open(&self.hubs);
        let own = Channel::room(Namespace::Feed, Room::User(user));
        let enter = Enter {
            subscriber: client.subscriber.clone(),
            channels: vec![own],
        };
        self.broadcaster.ask(enter).await.unwrap();
        client
    }

    async fn with(users: usize, settings: Settings) -> World {
        let clock = Clock::manual(noon());
        let ledger = Ledger::new(clock.clone());
        let record = MemoryRecord::new();
        let users = (0..users).map(|_| Uuid::now_v7()).collect();
        let sink = MemoryNotifications::by_clock(users, &clock);
        let broadcaster = supervise_here(Broadcaster::SPEC, &ledger, |_| {
            Broadcaster::new(record.clone(), ledger.clone(), 0)
        });
        let hubs = Hubs::new(&ledger);
        let client = Client::open(&hubs);
        let own = Channel::room(Namespace::Feed, Room::User(sink.users[0]));
        let enter = Enter {
            subscriber: client.subscriber.clone(),
            channels: vec![own],
        };
        broadcaster.ask(enter).await.unwrap();
        let long = Duration::from_secs(3_600);
        let book = Book::new(long, Sight::default(), None);
        let presence = supervise_here(PresenceRegistry::SPEC, &ledger, |_| {
            PresenceRegistry::new(book, broadcaster.teller(), clock.clone(), long)
        });
        let (places, deaf) = (
            Places::default().teller(&broadcaster),
            Arc::new(AtomicBool::new(false)),
        );
        let refuses = deaf.clone();
        let ears = Teller::from_fn("Broadcaster", move |event| {
            match refuses.load(Ordering::Relaxed) {
                true => Err(Rejected::Full),
                false => places.tell(event),
            }
        });
        let tidings = Tidings::new(ears, clock.clone());
        let counted = sink.clone();
        let delivery = Delivery {
            sink: sink.clone(),
            limiter: supervise_here(RateLimiter::SPEC, &ledger, |_| RateLimiter::new(counted)),
            presence: Some(presence.clone()),
            tidings: tidings.clone(),
            clock: clock.clone(),
            settings,
        };
        let notifier = supervise_here(Notifier::SPEC, &ledger, |_| {
            Notifier::new(record.clone(), delivery)
        });
        settle().await;
        World {
            record,
            sink,
            clock,
            client,
            notifier,
            presence,
            tidings,
            deaf,
            hubs,
            broadcaster,
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

    fn outcomes(&self) -> Vec<(Outcome, Rule)> {
        let decisions = self.sink.decisions().into_values();
        decisions.map(|one| (one.outcome, one.rule)).collect()
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
            for batch_size in [1, 2, 3, 100] {
                // The calls of the port before the one that fails.
                for calls in 0..8 {
                    let settings = Settings {
                        batch_size,
                        ..Settings::default()
                    };
                    let world = World::with(3, settings).await;
                    let good = std::iter::repeat_n(None, calls);
                    world.sink.faults.plan(good.chain([Some(fault)]));
                    world.change("episode_created");
                    world.change("episode_deleted");
                    world.record.append("episode_created", vec![]); // never told
                    world.clock.wind(Duration::from_secs(10)).await;
                    settle().await;
                    for &user in &world.sink.users {
                        let mine = world.stored().into_iter().filter(|(of, _)| *of == user);
                        let mine: Vec<_> = mine.map(|(_, seq)| seq).collect();
                        assert_eq!(mine, [1, 2, 3], "{fault:?}, {batch_size}, {calls}");
                    }
                }
            }
        }
    });
}

#[test]
fn above_the_limit_of_the_hour_they_are_folded_into_one_and_in_the_next_hour_they_are_not() {
    on_actix(async {
        let settings = Settings {
            limit: 2,
            batch_size: 1,
            ..Settings::default()
        };
        let world = World::with(1, settings).await;
        for _ in 0..5 {
            world.change("episode_created");
        }
        settle().await;
        let kinds = |world: &World| -> Vec<String> {
            let rows = world.sink.rows().into_iter();
            rows.map(|row| row.kind).collect()
        };
        assert_eq!(
            kinds(&world),
            ["episode_created", "episode_created", FOLDED]
        );
        assert_eq!(world.sink.rows()[2].data["count"], 3);
        assert_eq!(
            world.client.names().len(),
            3,
            "a fold is pushed when it is begun"
        );
        // Read within the hour: what comes then begins another.
        world.sink.read(world.sink.rows()[2].id);
        world.change("episode_created");
        settle().await;
        assert_eq!(world.sink.rows()[2].data["count"], 3);
        assert_eq!(world.sink.rows()[3].data["count"], 1);
        assert_eq!(world.outcomes()[5], (Outcome::Folded, Rule::RateLimit));
    });
}

#[test]
fn in_quiet_hours_it_is_stored_at_once_and_pushed_when_they_end() {
    on_actix(async {
        let world = World::new().await;
        let user = world.sink.users[0];
        // It is 08:00 by UTC at the tests' noon.
        let quiet = r#"{"start":"07:00","end":"09:00","time_zone":"UTC"}"#;
        let preferences = Preferences {
            quiet_hours: serde_json::from_str(quiet).unwrap(),
            ..Preferences::default()
        };
        world.sink.prefer(user, preferences);
        world.change("episode_created");
        settle().await;
        assert_eq!(world.stored().len(), 2);
        assert_eq!(world.outcomes()[0], (Outcome::Deferred, Rule::QuietHours));
        assert_eq!(world.client.names(), [""; 0]);
        world.clock.wind(Duration::from_secs(3_598)).await;
        assert_eq!(world.client.names(), [""; 0]);
        world.clock.wind(Duration::from_secs(3)).await;
        settle().await;
        assert_eq!(world.client.names(), ["notification"]);
        assert_eq!(world.client.events()[0]["data"]["unread_count"], 1);
        world.clock.wind(Duration::from_secs(7_200)).await;
        assert_eq!(world.client.names(), ["notification"], "once");
    });
}

#[test]
fn who_looks_at_it_has_seen_it_and_a_registry_that_does_not_answer_is_not_waited_for() {
    on_actix(async {
        let world = World::new().await;
        let [one, _] = world.sink.users[..] else {
            panic!()
        };
        let view = View {
            sid: None,
            user: UserRef {
                id: one,
                name: "Ada".into(),
            },
            subject: Subject {
                kind: "episode".into(),
                id: Uuid::nil().to_string(),
            },
        };
        world.presence.ask(view).await.unwrap();
        world.change("episode_created");
        settle().await;
        assert_eq!(
            world.outcomes(),
            [
                (Outcome::Seen, Rule::Viewing),
                (Outcome::Sent, Rule::Default)
            ]
        );
        assert!(world.sink.rows()[0].read_at.is_some());
        assert!(!world.client.names().contains(&"notification".to_owned()));
    });
}

#[test]
fn a_notice_for_many_goes_on_after_the_last_recipient_who_was_dealt_with() {
    on_actix(async {
        let settings = Settings {
            batch_size: 10,
            ..Settings::default()
        };
        let world = World::with(95, settings).await;
        // The position; of each batch recipients, counts, write, unread: the fourth batch fails.
        let good = std::iter::repeat_n(None, 1 + 3 * 4);
        world.sink.faults.plan(good.chain([Some(Fault::Before)]));
        world.change("episode_created");
        settle().await;
        assert_eq!((world.stored().len(), world.sink.position()), (30, 0));
        world.clock.wind(Duration::from_secs(10)).await;
        settle().await;
        assert_eq!((world.stored().len(), world.sink.position()), (95, 1));
        assert_eq!(world.sink.decisions().len(), 95);
        assert!(world.clock.now() - noon() < TimeDelta::minutes(1));
    });
}
