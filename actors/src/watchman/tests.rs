//! What is told, to whom and how often.

use parking_lot::Mutex;

use super::*;
use crate::model::identity::Role;
use crate::model::room::Channel;
use crate::runtime::{Clock, supervise_here};
use crate::socket_registry::{Attached, Closed};
use crate::testing::{FakeBearer, FakeConnection, MemoryRecord, identity, noon, on_actix, settle};

struct Bed {
    clock: Clock,
    record: Arc<MemoryRecord>,
    sockets: Mailbox<SocketRegistry>,
    told: Arc<Mutex<Vec<Ephemeral>>>,
    _watchman: Mailbox<Watchman>,
}

fn bed() -> Bed {
    let clock = Clock::manual(noon());
    let ledger = Ledger::new(clock.clone());
    let told: Arc<Mutex<Vec<Ephemeral>>> = Arc::default();
    let heard = told.clone();
    let publish = Teller::from_fn("test", move |Publish(event)| {
        heard.lock().push(event);
        Ok(())
    });
    let sockets = supervise_here(SocketRegistry::SPEC, &ledger, |_| {
        SocketRegistry::new(Teller::nobody(), Teller::nobody())
    });
    let record = MemoryRecord::new();
    let (asked, read, book) = (sockets.clone(), record.clone(), ledger.clone());
    let watchman = supervise_here(Watchman::SPEC, &ledger, move |_| {
        Watchman::new(publish, asked, read, book, 10)
    });
    Bed {
        clock,
        record,
        sockets,
        told,
        _watchman: watchman,
    }
}

impl Bed {
    async fn rounds(&self, count: usize) -> Vec<String> {
        for _ in 0..count {
            settle().await;
            self.clock.wind(ROUND).await;
            settle().await;
        }
        let told: Vec<_> = self.told.lock().drain(..).collect();
        let audience = vec![Channel::all(Namespace::Admin)];
        assert!(told.iter().all(|event| event.audience == audience));
        told.into_iter().map(|event| event.event).collect()
    }
}

#[test]
fn figures_are_told_every_five_seconds_and_only_while_an_admin_is_there() {
    on_actix(async {
        let bed = bed();
        assert!(bed.rounds(3).await.is_empty());
        let admin = FakeBearer::in_namespace(identity("ada", Role::Admin), Namespace::Admin);
        bed.sockets
            .ask(Attached {
                connection: FakeConnection::new("c", noon()),
                sid: "s".into(),
                bearer: admin,
                rooms: Vec::new(),
            })
            .await
            .unwrap();
        assert_eq!(bed.rounds(3).await, ["stats"; 3]);
        bed.sockets
            .ask(Closed {
                connection: "c".into(),
                reason: Reason::ClientClosed,
            })
            .await
            .unwrap();
        assert!(bed.rounds(3).await.is_empty());
    });
}

#[test]
fn a_database_that_is_away_is_told_of_and_so_is_its_return() {
    on_actix(async {
        let bed = bed();
        assert!(bed.rounds(1).await.is_empty());
        bed.record.faults.set_away(true);
        assert_eq!(bed.rounds(4).await, ["admin_alert"]);
        bed.record.faults.set_away(false);
        assert_eq!(bed.rounds(4).await, ["admin_alert"]);
    });
}

#[test]
fn a_registry_that_does_not_answer_has_not_lost_its_connections() {
    on_actix(async {
        let clock = Clock::manual(noon());
        let ledger = Ledger::new(clock.clone());
        let told: Arc<Mutex<Vec<Ephemeral>>> = Arc::default();
        let heard = told.clone();
        let publish = Teller::from_fn("test", move |Publish(event)| {
            heard.lock().push(event);
            Ok(())
        });
        let sockets = supervise_here(SocketRegistry::SPEC, &ledger, |_| {
            SocketRegistry::new(Teller::nobody(), Teller::nobody())
        });
        let record = MemoryRecord::new();
        let mut watchman = Watchman::new(publish, sockets, record, ledger, 10);
        let stats = Stats {
            connections: 10,
            ..Stats::default()
        };
        for (stats, alerts) in [
            (Some(stats), 1),
            (None, 1),
            (None, 1),
            (Some(Stats::default()), 2),
        ] {
            let found = Found {
                stats,
                database: Ok(()),
            };
            watchman.report(found, clock.now());
            clock.advance(ROUND);
            let told = told.lock();
            let told = told.iter().map(|event| event.data.get());
            let of_connections = |data: &&str| data.contains("connections_near_limit");
            let told: Vec<_> = told.filter(of_connections).collect();
            assert_eq!(told.len(), alerts, "{told:?}");
        }
    });
}
