//! The actor around the book: who is told, when the leases end, what a panic leaves.

use parking_lot::Mutex;

use super::*;
use crate::runtime::{How, Ledger, Mailbox, supervise_here};
use crate::testing::{noon, on_actix, settle};

struct World {
    clock: Clock,
    ledger: Ledger,
    told: Arc<Mutex<Vec<Ephemeral>>>,
    registry: Mailbox<PresenceRegistry>,
    line: Outbox,
}

fn world() -> World {
    let clock = Clock::manual(noon());
    let ledger = Ledger::new(clock.clone());
    ledger.allow_faults();
    let told: Arc<Mutex<Vec<Ephemeral>>> = Arc::default();
    let ears = told.clone();
    let broadcaster = Teller::from_fn("Broadcaster", move |Publish(event)| {
        ears.lock().push(event);
        Ok(())
    });
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let registry = supervise_here(PresenceRegistry::SPEC, &ledger, |_| {
        PresenceRegistry::new(broadcaster, clock.clone(), minutes(5), minutes(1))
    });
    World {
        clock,
        ledger,
        told,
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

    async fn view(&self, sid: Option<&str>) -> Vec<Viewer> {
        let view = View {
            sid: sid.map(Arc::from),
            user: ada(),
            subject: pilot(),
        };
        self.registry.ask(view).await.unwrap()
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
        assert_eq!(world.registry.ask(ListOnline).await, Ok(vec![]));
        assert_eq!(world.registry.ask(Stats).await, Ok(Figures::default()));
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
        assert_eq!(world.registry.ask(ListOnline).await, Ok(vec![]));
        assert_eq!(world.registry.ask(Viewers(pilot())).await.unwrap().len(), 1);
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
        let online = world.registry.ask(ListOnline).await.unwrap();
        assert_eq!(online[0].socket_count, 1);
        world.clock.wind(Duration::from_secs(3)).await;
        assert_eq!(
            world.names().last().map(String::as_str),
            Some("viewer_left")
        );
        assert_eq!(world.ledger.row("PresenceRegistry").unwrap().restarts, 3);
    });
}
