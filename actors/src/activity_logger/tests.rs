//! Each entry has its row once: whatever is lost, fails, panics, or is done by another node.

use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::broadcaster::{Broadcaster, Depart, Enter};
use crate::hub::Hubs;
use crate::model::identity::{Identity, Role, UserRef};
use crate::model::policy::own_channels;
use crate::model::room::Namespace;
use crate::runtime::{Clock, How, Ledger, Mailbox, supervise_here};
use crate::testing::{Client, Fault, MemoryActivity, MemoryRecord, noon, on_actix, settle};

struct World {
    record: Arc<MemoryRecord>,
    sink: Arc<MemoryActivity>,
    clock: Clock,
    ledger: Ledger,
    /// In `/feed`, as two users; the second is an admin.
    clients: [Client; 2],
    logger: Mailbox<ActivityLogger>,
    broadcaster: Mailbox<Broadcaster>,
}

impl World {
    fn new() -> World {
        World::with(MemoryRecord::new(), MemoryActivity::new())
    }

    fn with(record: Arc<MemoryRecord>, sink: Arc<MemoryActivity>) -> World {
        let clock = Clock::manual(noon());
        let ledger = Ledger::new(clock.clone());
        ledger.allow_faults();
        let listening = Listening::default();
        // A Record of its own, so that what a test counts is the logger's.
        let broadcaster = supervise_here(Broadcaster::SPEC, &ledger, |_| {
            Broadcaster::new(MemoryRecord::new(), ledger.clone(), 0).telling_by(listening.clone())
        });
        let voice = Voice {
            broadcaster: broadcaster.teller(),
            listening,
            clock: clock.clone(),
        };
        let logger = supervise_here(ActivityLogger::SPEC, &ledger, |_| {
            ActivityLogger::new(record.clone(), sink.clone(), voice)
        });
        let hubs = Hubs::new(&ledger);
        World {
            record,
            sink,
            clock,
            ledger,
            clients: [Client::open(&hubs), Client::open(&hubs)],
            logger,
            broadcaster,
        }
    }

    /// From now on the clients are in `/feed`.
    async fn listen(&self) {
        for (client, role) in self.clients.iter().zip([Role::Viewer, Role::Admin]) {
            let identity = Identity {
                user: UserRef {
                    id: Uuid::now_v7(),
                    name: role.to_string(),
                },
                email: String::new(),
                role,
                team: None,
                expires_at: noon(),
            };
            let enter = Enter {
                subscriber: client.subscriber.clone(),
                channels: own_channels(&identity, Namespace::Feed),
            };
            self.broadcaster.ask(enter).await.unwrap();
        }
    }

    /// The rows that each client was told of.
    fn heard(&self) -> [Vec<Seq>; 2] {
        [0, 1].map(|client| {
            let events = self.clients[client].events().into_iter();
            let events = events.filter(|event| event["event"] == "activity");
            events
                .map(|event| event["data"]["seq"].as_u64().unwrap())
                .collect()
        })
    }

    /// Commits a change and tells of it.
    fn change(&self) {
        let entry = self.record.grow();
        // A full mailbox is one of the things that may happen.
        let _ = self.logger.tell(Told(entry));
    }

    async fn seconds(&self, seconds: u64) {
        self.clock.wind(Duration::from_secs(seconds)).await;
        settle().await;
    }

    fn each_row_is_there_once(&self) {
        let head = self.record.head();
        assert_eq!(self.sink.rows(), (1..=head).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_told_is_written_together_within_a_moment_without_reading_the_record() {
    on_actix(async {
        let world = World::new();
        settle().await;
        let reads = world.record.faults.calls();
        let writes = world.sink.faults.calls();
        world.change();
        world.clock.wind(PATIENCE / 2).await;
        world.change();
        settle().await;
        assert!(world.sink.rows().is_empty());
        world.clock.wind(PATIENCE / 2).await;
        settle().await;
        assert_eq!(world.sink.rows(), [1, 2]);
        assert_eq!(world.sink.faults.calls(), writes + 1);
        assert_eq!(world.record.faults.calls(), reads);
    });
}

#[test]
fn what_was_committed_before_it_started_or_never_told_is_written_all_the_same() {
    on_actix(async {
        let record = MemoryRecord::new();
        for _ in 0..2 * consumer::PAGE + 3 {
            record.grow();
        }
        let world = World::with(record, MemoryActivity::new());
        settle().await;
        world.seconds(1).await;
        world.each_row_is_there_once();
        world.record.grow();
        world.seconds(2).await;
        world.each_row_is_there_once();
    });
}

#[test]
fn while_its_table_is_gone_it_keeps_its_memory_small_and_afterwards_every_row_is_there() {
    on_actix(async {
        let world = World::new();
        settle().await;
        world.sink.faults.set_away(true);
        for _ in 0..10_000 {
            world.change();
        }
        world.seconds(60).await;
        assert!(world.sink.rows().is_empty());
        let tries = world.sink.faults.calls();
        assert!(tries < 30, "{tries} attempts in a minute");
        world.sink.faults.set_away(false);
        for _ in 0..12 {
            world.seconds(1).await;
        }
        world.each_row_is_there_once();
    });
}

#[test]
fn telling_never_waits_also_when_nothing_can_be_written() {
    on_actix(async {
        let world = World::new();
        world.sink.faults.set_away(true);
        // Not one turn of the loop in between: `tell` is no future, so it has nothing to wait with.
        for _ in 0..2 * ActivityLogger::SPEC.capacity {
            world.change();
        }
        let row = world.ledger.row("ActivityLogger").unwrap();
        assert_eq!(row.rejected, ActivityLogger::SPEC.capacity as u64);
        world.sink.faults.set_away(false);
        for _ in 0..12 {
            world.seconds(1).await;
        }
        world.each_row_is_there_once();
        assert!(world.ledger.row("ActivityLogger").unwrap().balances());
    });
}

#[test]
fn a_panic_before_or_after_a_batch_was_written_neither_loses_nor_doubles_a_row() {
    on_actix(async {
        for fault in [
            Fault::PanicBefore,
            Fault::PanicAfter,
            Fault::Before,
            Fault::After,
        ] {
            let world = World::new();
            settle().await;
            // The next call is the write.
            world.sink.faults.plan([Some(fault)]);
            world.change();
            world.change();
            settle().await;
            world.change();
            world.seconds(2).await;
            world.each_row_is_there_once();
            let row = world.ledger.row("ActivityLogger").unwrap();
            let panics = matches!(fault, Fault::PanicBefore | Fault::PanicAfter);
            assert_eq!(row.restarts, u64::from(panics), "{fault:?}");
        }
    });
}

#[test]
fn what_another_node_wrote_is_not_written_again() {
    on_actix(async {
        let world = World::new();
        settle().await;
        let entries: Vec<_> = (0..6).map(|_| world.record.grow()).collect();
        world.sink.overtake(4);
        for entry in entries {
            world.logger.tell(Told(entry)).unwrap();
        }
        world.seconds(1).await;
        world.each_row_is_there_once();
    });
}

#[test]
fn a_flush_is_answered_when_everything_up_to_there_is_written() {
    on_actix(async {
        let world = World::new();
        settle().await;
        assert_eq!(world.logger.ask(Flush { upto: 0 }).await, Ok(true));
        world.record.grow(); // never told
        world.change(); // so this one leaves a gap, and the clock stands still
        let mut flushed = Box::pin(world.logger.ask(Flush { upto: 2 }));
        settle().await;
        assert_eq!((&mut flushed).now_or_never(), Some(Ok(true)));
        assert_eq!(world.sink.rows(), [1, 2]);
        world.sink.faults.plan([Some(Fault::Before)]);
        world.record.grow(); // never told
        let mut flushed = Box::pin(world.logger.ask(Flush { upto: 3 }));
        settle().await;
        assert_eq!((&mut flushed).now_or_never(), None);
        world.seconds(1).await;
        assert_eq!(flushed.await, Ok(true));
        assert_eq!(world.sink.rows(), [1, 2, 3]);
    });
}

#[derive(Clone, Debug)]
enum Step {
    Change { told: bool },
    Retell(u8),
    Sink(Fault),
    Record(Fault),
    Panic(u8),
    Overtake,
    Settle,
    Second,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = || {
        prop_oneof![
            Just(Fault::Before),
            Just(Fault::After),
            Just(Fault::PanicBefore),
            Just(Fault::PanicAfter),
        ]
    };
    prop_oneof![
        10 => any::<bool>().prop_map(|told| Step::Change { told }),
        2 => any::<u8>().prop_map(Step::Retell),
        2 => fault().prop_map(Step::Sink),
        2 => fault().prop_map(Step::Record),
        1 => (0..3u8).prop_map(Step::Panic),
        1 => Just(Step::Overtake),
        3 => Just(Step::Settle),
        1 => Just(Step::Second),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn every_entry_has_its_row_once_and_in_order(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        on_actix(async {
            let world = World::new();
            for step in steps {
                match step {
                    Step::Change { told: true } => world.change(),
                    Step::Change { told: false } => { world.record.grow(); }
                    Step::Retell(seq) => {
                        let entries = world.record.entries();
                        if let Some(entry) = entries.get(usize::from(seq)) {
                            world.logger.tell(Told(entry.clone())).unwrap();
                        }
                    }
                    Step::Sink(fault) => world.sink.faults.plan([Some(fault)]),
                    Step::Record(fault) => world.record.faults.plan([Some(fault)]),
                    Step::Panic(how) => {
                        let hows = [How::Now, How::InFuture, How::InSpawned];
                        world.ledger.poke("ActivityLogger", hows[usize::from(how)]);
                    }
                    Step::Overtake => world.sink.overtake(world.record.head()),
                    Step::Settle => settle().await,
                    Step::Second => world.seconds(1).await,
                }
            }
            // Past every pause: of the retries, and of the supervisor.
            world.seconds(600).await;
            world.each_row_is_there_once();
            assert!(world.ledger.row("ActivityLogger").unwrap().balances());
        });
    }
}

#[test]
fn who_is_in_the_feed_hears_of_each_row_that_it_may_see_when_it_is_written() {
    on_actix(async {
        let world = World::new();
        world.change();
        world.seconds(1).await;
        world.listen().await;
        for event in [
            "episode_created",
            "admin_action",
            "file_download",
            "episode_deleted",
        ] {
            let _ = world.logger.tell(Told(world.record.append(event, vec![])));
        }
        settle().await;
        assert_eq!(world.heard(), [[0; 0]; 2], "not before it is written");
        world.seconds(1).await;
        // The download is somebody else's.
        assert_eq!(world.heard(), [vec![2, 5], vec![2, 3, 4, 5]]);
        let event = &world.clients[0].events()[0];
        assert_eq!(event["data"]["action"], "episode_created");
        assert_eq!(event["data"]["resource_name"], "Pilot");
        assert!(event["data"]["ip"].is_null() && event.get("seq").is_none());
    });
}

#[test]
fn what_another_node_wrote_is_told_of_by_that_one() {
    on_actix(async {
        let world = World::new();
        settle().await;
        world.listen().await;
        world.sink.overtake(1);
        world.change();
        world.change();
        world.seconds(3).await;
        assert_eq!(world.heard(), [vec![2], vec![2]]);
    });
}

#[test]
fn to_an_empty_feed_nothing_is_told() {
    on_actix(async {
        let world = World::new();
        world.listen().await;
        for client in &world.clients {
            let key = client.subscriber.key;
            world.broadcaster.tell(Depart { key }).unwrap();
        }
        settle().await;
        let row = || {
            world
                .ledger
                .rows()
                .into_iter()
                .find(|row| row.name == "Broadcaster")
        };
        let before = row().unwrap().handled;
        world.change();
        world.seconds(1).await;
        world.each_row_is_there_once();
        assert_eq!(row().unwrap().handled, before);
    });
}
