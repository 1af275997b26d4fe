//! All of it together, on its own threads, with every port faked.

use uuid::Uuid;

use super::*;
use crate::announce::announce;
use crate::broadcaster::Enter;
use crate::model::record::Seq;
use crate::model::room::Room;
use crate::runtime::How;
use crate::testing::{
    Client, MemoryActivity, MemoryHousekeeping, MemoryNotifications, MemoryPresence, MemoryRecord,
    MemoryResumes, on_actix,
};

struct World {
    record: Arc<MemoryRecord>,
    activity: Arc<MemoryActivity>,
    notifications: Arc<MemoryNotifications>,
    ledger: Ledger,
    system: System,
}

const LONG: Duration = Duration::from_secs(20);

impl World {
    async fn new() -> World {
        let ledger = Ledger::new(Clock::system());
        ledger.allow_faults();
        let record = MemoryRecord::new();
        let activity = MemoryActivity::new();
        let notifications = MemoryNotifications::for_users(vec![Uuid::now_v7()]);
        let ports = Ports {
            record: record.clone(),
            activity: Some(activity.clone()),
            notifications: Some(notifications.clone()),
            resumes: MemoryResumes::new(),
            presence: MemoryPresence::new(),
            housekeeping: MemoryHousekeeping::new(),
        };
        let settings = Settings {
            presence: Some(PresenceSettings {
                timeout: Duration::from_secs(300),
                cleanup: Duration::from_secs(60),
            }),
            notifications: notifier::Settings {
                limit: 1_000_000,
                ..notifier::Settings::default()
            },
            rounds: Rounds {
                prune: Duration::from_secs(3600),
                prune_activity: Duration::from_secs(3600),
                checkpoint: Duration::from_secs(3600),
            },
            max_connections: 100,
        };
        let system = System::start(ports, settings, &ledger).await.unwrap();
        World {
            record,
            activity,
            notifications,
            ledger,
            system,
        }
    }

    async fn listen(&self, channels: Vec<Channel>) -> Client {
        let client = Client::open(&self.system.handles.hubs);
        let subscriber = client.subscriber.clone();
        let enter = Enter {
            subscriber,
            channels,
        };
        self.system.handles.broadcaster.ask(enter).await.unwrap();
        client
    }

    fn change(&self) -> Seq {
        let entry = self.record.grow();
        announce(&self.system.handles, entry.clone());
        entry.seq
    }
}

/// Real threads: waits until it is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if so() {
            return;
        }
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never: {what}");
}

fn all() -> Vec<Channel> {
    vec![Channel::all(Namespace::Episodes)]
}

#[test]
fn a_change_becomes_an_event_a_row_and_a_notification() {
    on_actix(async {
        let world = World::new().await;
        let client = world.listen(all()).await;
        let own = Room::User(world.notifications.users[0]);
        let reader = world
            .listen(vec![Channel::room(Namespace::Feed, own)])
            .await;
        for _ in 0..100 {
            world.change();
        }
        let head = world.record.head();
        until("the last event", || client.seqs().len() as Seq == head).await;
        until("the last push", || reader.names().len() as Seq == head).await;
        assert_eq!(client.seqs(), (1..=head).collect::<Vec<_>>());
        world.ledger.ready().unwrap();
        assert!(world.system.stop(LONG).await);
        assert_eq!(world.activity.rows(), (1..=head).collect::<Vec<_>>());
        assert_eq!(world.notifications.rows().len() as Seq, head);
    });
}

#[test]
fn two_systems_in_one_process_have_nothing_in_common() {
    on_actix(async {
        let (one, two) = (World::new().await, World::new().await);
        let (hears, deaf) = (one.listen(all()).await, two.listen(all()).await);
        one.change();
        until("the event", || hears.seqs() == [1]).await;
        assert!(one.system.stop(LONG).await);
        two.change();
        until("the event", || deaf.seqs() == [1]).await;
        assert_eq!(hears.seqs(), [1]);
        assert!(two.system.stop(LONG).await);
        assert_eq!(two.activity.rows(), [1]);
    });
}

#[test]
fn a_stop_writes_what_is_left_and_says_if_it_could_not() {
    on_actix(async {
        let world = World::new().await;
        world.activity.faults.set_away(true);
        let sink = world.activity.clone();
        for _ in 0..1000 {
            world.change();
        }
        world.record.grow(); // never told
        let head = world.record.head();
        let back = actix_rt::spawn(async move {
            actix_rt::time::sleep(Duration::from_millis(300)).await;
            sink.faults.set_away(false);
        });
        assert!(world.system.stop(LONG).await);
        back.await.unwrap();
        assert_eq!(world.activity.rows(), (1..=head).collect::<Vec<_>>());

        let world = World::new().await;
        world.activity.faults.set_away(true);
        world.change();
        assert!(!world.system.stop(Duration::from_millis(300)).await);
        for row in world.ledger.rows() {
            assert_eq!((row.instances, row.balances()), (0, true), "{row:?}");
        }
    });
}

#[test]
fn whoever_announces_is_not_held_up_while_everything_fails_and_nothing_is_lost() {
    on_actix(async {
        let world = World::new().await;
        let client = world.listen(all()).await;
        world.activity.faults.set_away(true);
        world.notifications.faults.set_away(true);
        let names = ["Broadcaster", "Room", "ActivityLogger", "Notifier"];
        let hows = [How::Now, How::InFuture, How::InSpawned];
        // `announce` is no future: all it could do is take long, and 4,000 of them do not.
        for number in 0..4000 {
            if number % 1000 == 0 {
                for name in names {
                    world.ledger.poke(name, hows[number / 1000 % 3]);
                }
            }
            world.change();
        }
        world.activity.faults.set_away(false);
        world.notifications.faults.set_away(false);
        let head = world.record.head();
        until("the last event", || client.seqs().len() as Seq >= head).await;
        assert_eq!(client.seqs(), (1..=head).collect::<Vec<_>>());
        let panics: u64 = world.ledger.rows().iter().map(|row| row.restarts).sum();
        assert!(panics > 0, "it was a test of panics");
        assert!(world.system.stop(LONG).await);
        assert_eq!(world.activity.rows(), (1..=head).collect::<Vec<_>>());
        assert_eq!(world.notifications.rows().len() as Seq, head);
    });
}

#[test]
fn admins_see_a_restart_and_everybody_hears_the_farewell() {
    on_actix(async {
        let world = World::new().await;
        let admin = world.listen(vec![Channel::all(Namespace::Admin)]).await;
        let viewer = world.listen(vec![Channel::all(Namespace::Root)]).await;
        world.ledger.poke("Notifier", How::Now);
        until("the restart", || admin.names() == ["actor_restarted"]).await;
        let event = &admin.events()[0];
        assert_eq!(event["data"]["actor"], "Notifier");
        world.system.say_farewell();
        until("the farewell", || viewer.names() == ["server_draining"]).await;
        until("the farewell", || admin.names().len() == 2).await;
        assert!(world.system.stop(LONG).await);
    });
}
