//! The actor around the book: who is told, when the leases end, what a panic leaves.

mod crowd;
mod property;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::model::envelope::Ephemeral;
use crate::model::event::Kind;
use crate::model::identity::UserRef;
use crate::model::presence::{Choice, Status, Subject};
use crate::model::room::{Channel, Namespace, Room};
use crate::runtime::{How, Ledger, Mailbox, supervise_here};
use crate::session::Outbox;
use crate::testing::{noon, on_actix, settle};

struct World {
    clock: Clock,
    ledger: Ledger,
    sight: Sight,
    told: Arc<Mutex<Vec<Ephemeral>>>,
    /// What the Broadcaster says to it.
    full: Arc<AtomicBool>,
    registry: Mailbox<PresenceRegistry>,
    line: Outbox,
}

fn world() -> World {
    let clock = Clock::manual(noon());
    let ledger = Ledger::new(clock.clone());
    ledger.allow_faults();
    let told: Arc<Mutex<Vec<Ephemeral>>> = Arc::default();
    let ears = told.clone();
    let full: Arc<AtomicBool> = Arc::default();
    let refuses = full.clone();
    let broadcaster = Teller::from_fn("Broadcaster", move |Publish(event)| {
        if refuses.load(Ordering::Relaxed) {
            return Err(Rejected::Full);
        }
        ears.lock().push(event);
        Ok(())
    });
    let sight = Sight::default();
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let registry = supervise_here(PresenceRegistry::SPEC, &ledger, |_| {
        let book = Book::new(minutes(5), sight.clone(), []);
        PresenceRegistry::new(book, broadcaster, clock.clone(), minutes(1))
    });
    World {
        clock,
        ledger,
        sight,
        told,
        full,
        registry,
        line: Outbox::new(100),
    }
}

fn ada() -> UserRef {
    UserRef {
        id: Uuid::from_u128(1),
        name: "Ada".into(),
    }
}

fn pilot() -> Subject {
    Subject {
        kind: "episode".into(),
        id: Uuid::from_u128(7).to_string(),
    }
}

impl World {
    async fn connect(&self, sid: &str) {
        let connected = Connected {
            sid: sid.into(),
            user: ada(),
            outbox: self.line.clone(),
        };
        self.registry.ask(connected).await.unwrap();
    }

    fn gone(&self, sid: &str) -> Disconnected {
        Disconnected {
            sid: sid.into(),
            outbox: self.line.clone(),
        }
    }

    async fn view(&self, sid: Option<&str>) -> Viewers {
        let view = View {
            sid: sid.map(Arc::from),
            user: ada(),
            subject: pilot(),
        };
        self.registry.ask(view).await.unwrap().viewers
    }

    async fn online(&self) -> Vec<Row> {
        let part = Part {
            after: None,
            most: 100,
        };
        let list = ListOnline { status: None, part };
        self.registry.ask(list).await.unwrap()
    }

    async fn choose(&self, sid: &str, status: Status) -> Own {
        let choose = Choose {
            sid: Some(sid.into()),
            user: ada(),
            choice: Choice {
                status,
                message: None,
            },
        };
        self.registry.ask(choose).await.unwrap()
    }

    async fn viewers(&self) -> Vec<Row> {
        let part = Part {
            after: None,
            most: 100,
        };
        let list = ListViewers {
            subject: pilot(),
            part,
        };
        self.registry.ask(list).await.unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.told
            .lock()
            .iter()
            .map(|event| event.event.clone())
            .collect()
    }
}

#[test]
fn what_changes_is_told_to_the_rooms_that_want_to_know_and_not_to_its_cause() {
    on_actix(async {
        let world = world();
        world.connect("s1").await;
        assert_eq!(world.view(Some("s1")).await.len(), 1);
        let told = world.told.lock();
        assert_eq!(told[0].event, "presence_changed");
        assert_eq!(
            told[0].audience,
            [Channel::all(Namespace::Feed), Channel::all(Namespace::Root)]
        );
        let data: serde_json::Value = serde_json::from_str(told[0].data.get()).unwrap();
        assert_eq!(data["status"], "online");
        assert_eq!(told[1].event, "viewer_joined");
        assert_eq!(told[1].except.as_deref(), Some("s1"));
        assert_eq!(told[1].user, Some(ada()));
        let room = Room::Episode(Uuid::from_u128(7));
        assert_eq!(told[1].audience, [Channel::room(Namespace::Episodes, room)]);
        let data: serde_json::Value = serde_json::from_str(told[1].data.get()).unwrap();
        assert_eq!(data["resource_id"], pilot().id);
        assert_eq!(data["viewer"]["name"], "Ada");
    });
}

#[test]
fn departures_are_told_when_the_grace_is_over_without_anybody_asking() {
    on_actix(async {
        let world = world();
        world.connect("s1").await;
        world.view(Some("s1")).await;
        world.registry.tell(world.gone("s1")).unwrap();
        world.clock.wind(Duration::from_millis(2999)).await;
        assert_eq!(world.names().len(), 2);
        world.clock.wind(Duration::from_millis(1)).await;
        assert_eq!(world.names()[2..], ["viewer_left", "presence_changed"]);
        assert_eq!(world.online().await, []);
        let figures = world.registry.ask(Stats).await.unwrap();
        assert_eq!(
            figures,
            Figures {
                unwritten: 1,
                ..Figures::default()
            }
        );
    });
}

#[test]
fn a_lease_by_rest_ends_by_itself_and_a_shorter_one_is_not_waited_for_behind_it() {
    on_actix(async {
        let world = world();
        world.view(None).await;
        world.connect("s1").await;
        world.registry.tell(world.gone("s1")).unwrap();
        world.clock.wind(Duration::from_secs(3)).await;
        assert_eq!(world.online().await, []);
        assert_eq!(world.viewers().await.len(), 1);
        world.clock.wind(Duration::from_secs(297)).await;
        assert_eq!(
            world.names().last().map(String::as_str),
            Some("viewer_left")
        );
    });
}

#[test]
fn a_panic_forgets_nobody_and_misses_no_departure() {
    on_actix(async {
        let world = world();
        world.connect("s1").await;
        world.connect("s2").await;
        world.view(Some("s1")).await;
        world.registry.tell(world.gone("s1")).unwrap();
        settle().await;
        for how in [How::Now, How::InFuture, How::InSpawned] {
            assert_eq!(world.ledger.poke("PresenceRegistry", how), 1);
            settle().await;
        }
        assert_eq!(world.online().await[0].socket_count, Some(1));
        world.clock.wind(Duration::from_secs(3)).await;
        assert_eq!(
            world.names().last().map(String::as_str),
            Some("viewer_left")
        );
        assert_eq!(world.ledger.row("PresenceRegistry").unwrap().restarts, 3);
    });
}

#[test]
fn what_the_broadcaster_has_no_place_for_is_told_later_and_in_order() {
    on_actix(async {
        let world = world();
        world.full.store(true, Ordering::Relaxed);
        world.connect("s1").await;
        world.view(Some("s1")).await;
        world.clock.wind(AGAIN).await;
        assert_eq!(world.names(), [""; 0]);
        world.ledger.poke("PresenceRegistry", How::Now);
        settle().await;
        world.full.store(false, Ordering::Relaxed);
        world.choose("s1", Status::Busy).await;
        world.clock.wind(AGAIN).await;
        assert_eq!(
            world.names(),
            ["presence_changed", "viewer_joined", "presence_changed"]
        );
    });
}

#[test]
fn who_looks_again_is_answered_from_what_is_laid_out_until_something_changes() {
    on_actix(async {
        let world = world();
        let look = |user: UserRef| {
            let (now, timeout) = (world.clock.monotonic(), Duration::from_secs(300));
            world.sight.look(user.id, &pilot(), now, timeout)
        };
        assert_eq!(look(ada()), None, "nobody has asked");
        let viewers = world.view(None).await;
        let bob = UserRef {
            id: Uuid::from_u128(2),
            name: "Bob".into(),
        };
        assert_eq!(look(bob), None, "he would be a new viewer");
        for _ in 0..10 {
            // Of none of this the registry is told; she stays for five minutes after the last.
            assert_eq!(look(ada()), Some(viewers.clone()));
            world.clock.wind(Duration::from_secs(299)).await;
        }
        assert_eq!(world.viewers().await.len(), 1);
        assert_eq!(
            world.viewers().await[0].presence.last_activity,
            noon() + Duration::from_secs(9 * 299)
        );
        world.clock.wind(Duration::from_millis(999)).await;
        assert_eq!(world.names(), ["viewer_joined"]);
        world.clock.wind(Duration::from_millis(1)).await;
        assert_eq!(world.names(), ["viewer_joined", "viewer_left"]);
        assert_eq!(look(ada()), None);

        world.connect("s1").await;
        world.view(Some("s1")).await;
        world.clock.wind(Duration::from_secs(1000)).await;
        world.registry.tell(world.gone("s1")).unwrap();
        world.clock.wind(Duration::from_secs(1)).await;
        assert_eq!(world.viewers().await.len(), 1);
        assert_eq!(look(ada()), None, "a look would keep her");
        world.clock.advance(Duration::from_secs(2));
        assert_eq!(look(ada()), None, "even before her end was noticed");
        settle().await;
        assert!(world.sight.is_empty(), "nothing is left behind");
    });
}

#[test]
fn who_looked_by_rest_while_a_socket_did_looks_on_when_the_socket_has_gone() {
    on_actix(async {
        let world = world();
        world.connect("s1").await;
        world.view(Some("s1")).await;
        world.clock.wind(Duration::from_secs(1000)).await;
        let look = || {
            let (now, timeout) = (world.clock.monotonic(), Duration::from_secs(300));
            world.sight.look(ada().id, &pilot(), now, timeout)
        };
        assert!(look().is_some(), "a socket needs no renewal");
        world.registry.tell(world.gone("s1")).unwrap();
        world.clock.wind(Duration::from_secs(299)).await;
        assert_eq!(world.viewers().await.len(), 1);
        world.clock.wind(Duration::from_secs(1)).await;
        assert_eq!(world.viewers().await, []);
        let left = world
            .names()
            .iter()
            .filter(|name| *name == "viewer_left")
            .count();
        assert_eq!(left, 1);
    });
}

#[test]
fn since_when_somebody_looks_is_shown_in_whole_microseconds() {
    on_actix(async {
        let world = world();
        world.clock.wind(Duration::from_nanos(1_234_567)).await;
        let viewers = world.view(None).await;
        let since = viewers.iter().next().unwrap().viewing_since;
        assert_eq!(since, noon() + Duration::from_micros(1_234));
    });
}
