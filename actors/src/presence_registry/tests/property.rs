//! The living actor, with panics, a Broadcaster that has no place, and lines that close without a word: whatever
//! happens, who heard every event knows what the lists say.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Connect(u8),
    Disconnect(u8),
    Vanish(u8),
    View(Option<u8>, u8),
    Unview(Option<u8>, u8),
    Choose(u8, Status),
    Panic(How),
    /// The Broadcaster has no place, or has one again.
    Deaf(bool),
    Wait(u64),
}

/// Sockets `n` and `n + 2` are of user `n % 2`.
fn owner(socket: u8) -> UserRef {
    UserRef {
        id: Uuid::from_u128(u128::from(socket % 2) + 1),
        name: format!("user {}", socket % 2),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let socket = || 0..4u8;
    let by = || prop_oneof![3 => Just(true), 1 => Just(false)];
    let status = prop_oneof![
        Just(Status::Offline),
        Just(Status::Online),
        Just(Status::Busy)
    ];
    let how = prop_oneof![Just(How::Now), Just(How::InFuture), Just(How::InSpawned)];
    prop_oneof![
        4 => socket().prop_map(Step::Connect),
        2 => socket().prop_map(Step::Disconnect),
        2 => socket().prop_map(Step::Vanish),
        4 => (by(), socket()).prop_map(|(by, socket)| Step::View(by.then_some(socket), socket)),
        2 => (by(), socket()).prop_map(|(by, socket)| Step::Unview(by.then_some(socket), socket)),
        2 => (socket(), status).prop_map(|(socket, status)| Step::Choose(socket, status)),
        2 => how.prop_map(Step::Panic),
        2 => any::<bool>().prop_map(Step::Deaf),
        3 => prop_oneof![Just(1000u64), Just(3000), Just(60_000), Just(300_000)].prop_map(Step::Wait),
    ]
}

impl World {
    async fn step(&self, lines: &mut BTreeMap<u8, Outbox>, step: Step) {
        let sid = |socket: u8| -> Arc<str> { format!("s{socket}").into() };
        match step {
            Step::Connect(socket) => {
                let open = lines.get(&socket).filter(|line| line.closed().is_none());
                let outbox = open.cloned().unwrap_or_else(|| Outbox::new(100));
                lines.insert(socket, outbox.clone());
                let (sid, user) = (sid(socket), owner(socket));
                let connected = Connected { sid, user, outbox };
                self.registry.tell(connected).unwrap();
            }
            Step::Disconnect(socket) => {
                if let Some(outbox) = lines.remove(&socket) {
                    let sid = sid(socket);
                    self.registry.tell(Disconnected { sid, outbox }).unwrap();
                }
            }
            Step::Vanish(socket) => {
                if let Some(line) = lines.get(&socket) {
                    line.close(crate::session::Reason::PingTimeout);
                }
            }
            Step::View(by, socket) => {
                let view = View {
                    sid: by.map(sid),
                    user: owner(socket),
                    subject: pilot(),
                };
                let viewed = self.registry.ask(view).await.unwrap();
                assert!(!viewed.refused);
            }
            Step::Unview(by, socket) => {
                let unview = Unview {
                    sid: by.map(sid),
                    user: owner(socket).id,
                    subject: pilot(),
                };
                self.registry.tell(unview).unwrap();
            }
            Step::Choose(socket, status) => {
                let choose = Choose {
                    sid: Some(sid(socket)),
                    user: owner(socket),
                    choice: Choice {
                        status,
                        message: None,
                    },
                };
                self.registry.tell(choose).unwrap();
            }
            Step::Panic(how) => {
                assert_eq!(self.ledger.poke("PresenceRegistry", how), 1);
                settle().await;
                // Too many in a row, and it pauses.
                self.clock.wind(Duration::from_secs(11)).await;
            }
            Step::Deaf(deaf) => self.full.store(deaf, Ordering::Relaxed),
            Step::Wait(millis) => self.clock.wind(Duration::from_millis(millis)).await,
        }
        settle().await;
    }

    /// What somebody knows who heard everything.
    fn known(&self) -> (BTreeMap<Uuid, String>, BTreeSet<Uuid>) {
        let (mut online, mut viewers) = (BTreeMap::new(), BTreeSet::new());
        for event in self.told.lock().iter() {
            let data: Value = serde_json::from_str(event.data.get()).unwrap();
            let user = event.user.as_ref().unwrap().id;
            let news = match (event.event.as_str(), data["status"].as_str()) {
                ("viewer_joined", _) => viewers.insert(user),
                ("viewer_left", _) => viewers.remove(&user),
                (_, Some("offline")) => online.remove(&user).is_some(),
                (_, Some(status)) => online.insert(user, status.into()) != Some(status.to_owned()),
                other => panic!("{other:?}"),
            };
            assert!(news, "told what was known: {event:?}");
        }
        (online, viewers)
    }

    async fn listed(&self) -> (BTreeMap<Uuid, String>, BTreeSet<Uuid>) {
        let online = self.online().await.into_iter();
        let online = online.map(|row| (row.presence.id, row.presence.status.to_string()));
        let viewers = self.viewers().await.into_iter();
        (
            online.collect(),
            viewers.map(|row| row.presence.id).collect(),
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn who_heard_every_event_knows_what_the_lists_say(
        steps in proptest::collection::vec(step(), 1..30),
    ) {
        on_actix(async {
            let (world, mut lines) = (world(), BTreeMap::new());
            for step in steps {
                world.step(&mut lines, step).await;
                if !world.full.load(Ordering::Relaxed) {
                    world.clock.wind(AGAIN).await;
                    assert_eq!(world.known(), world.listed().await);
                }
            }
            world.full.store(false, Ordering::Relaxed);
            for line in lines.values() {
                line.close(crate::session::Reason::PingTimeout);
            }
            // Two sweeps, the grace, and the longest stay by REST.
            world.clock.wind(Duration::from_secs(600)).await;
            assert_eq!(world.listed().await, Default::default());
            assert_eq!(world.known(), Default::default());
            assert!(world.sight.is_empty());
        });
    }
}
