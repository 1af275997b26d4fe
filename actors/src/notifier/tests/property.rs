//! Whatever users prefer, however often batches fail and the actors panic: every recipient of every notice is accounted
//! for once, the limit of each hour is kept, the folds add up, and what was sent was pushed.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::model::decision::Decision;
use crate::model::notice::{Audience, Draft, Sending};
use crate::model::notification::{Hour, Priority};
use crate::presence_registry::Unview;

#[derive(Clone, Debug)]
enum Act {
    Change(&'static str),
    /// One that nobody is told of.
    Silent(&'static str),
    Wind(u64),
    /// The user reads its newest fold.
    ReadFold(usize),
    Faults(Vec<Option<Fault>>),
    Prefer(usize, Preferences),
    /// An admin sends something, perhaps urgent, perhaps with an end so many seconds from now.
    Send(bool, Option<i64>),
    /// The user looks at the episode that everything is about, or turns away.
    Look(usize, bool),
}

const USERS: usize = 5;

fn preferences() -> impl Strategy<Value = Preferences> {
    let quiet = prop_oneof![
        2 => Just(None),
        1 => (0..24u8, 0..24u8).prop_map(|(start, end)| {
            let text = format!(
                r#"{{"start":"{start:02}:00","end":"{end:02}:30","time_zone":"America/New_York"}}"#
            );
            serde_json::from_str(&text).unwrap()
        }),
    ];
    let types =
        proptest::collection::btree_map(Just("episode_deleted".to_owned()), any::<bool>(), 0..2);
    let limit = proptest::option::of(1..6u32);
    (quiet, types, limit, any::<bool>()).prop_map(|(quiet_hours, types, hourly_limit, muted)| {
        Preferences {
            muted_types: match muted && types.is_empty() {
                true => BTreeSet::from(["episode_created".to_owned()]),
                false => BTreeSet::new(),
            },
            types,
            quiet_hours,
            hourly_limit,
        }
    })
}

fn act() -> impl Strategy<Value = Act> {
    let event = || {
        prop_oneof![
            2 => Just("episode_created"),
            2 => Just("episode_deleted"),
            1 => Just("episode_updated"),
        ]
    };
    let fault = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Fault::Before)),
        1 => Just(Some(Fault::After)),
        1 => Just(Some(Fault::PanicBefore)),
        1 => Just(Some(Fault::PanicAfter)),
    ];
    prop_oneof![
        8 => event().prop_map(Act::Change),
        2 => event().prop_map(Act::Silent),
        2 => prop_oneof![3 => 1..10_000u64, 1 => 1..3_600_000u64].prop_map(Act::Wind),
        1 => (0..USERS).prop_map(Act::ReadFold),
        2 => proptest::collection::vec(fault, 1..8).prop_map(Act::Faults),
        1 => (0..USERS, preferences()).prop_map(|(user, held)| Act::Prefer(user, held)),
        3 => (any::<bool>(), proptest::option::of(-5..60i64)).prop_map(|(urgent, end)| Act::Send(urgent, end)),
        2 => (0..USERS, any::<bool>()).prop_map(|(user, looks)| Act::Look(user, looks)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn everybody_is_accounted_for_once_and_folds_add_up(
        acts in proptest::collection::vec(act(), 1..40),
        held in proptest::collection::vec(preferences(), USERS),
        batch_size in 1..8usize,
        limit in 1..5u32,
    ) {
        on_actix(async {
            let settings = Settings { batch_size, limit, ..Settings::default() };
            let world = World::with(USERS, settings).await;
            for (user, preferences) in held.into_iter().enumerate() {
                world.sink.prefer(world.sink.users[user], preferences);
            }
            let mut clients = Vec::new();
            for user in world.sink.users.clone() {
                clients.push((user, world.open(user).await));
            }
            for act in acts {
                world.act(act).await;
                settle().await;
            }
            // Everything gets better in the end, and the pauses are over.
            world.sink.faults.heal();
            world.clock.wind(Duration::from_secs(90)).await;
            settle().await;
            check(&world, limit);
            for (user, client) in clients {
                check_pushes(&world, user, &client);
            }
        });
    }
}

impl World {
    async fn act(&self, act: Act) {
        match act {
            Act::Change(event) => {
                let entry = self.record.append_at(event, self.clock.now());
                self.notifier.tell(Told(entry)).unwrap();
            }
            Act::Silent(event) => {
                self.record.append_at(event, self.clock.now());
            }
            Act::Wind(millis) => self.clock.wind(Duration::from_millis(millis)).await,
            Act::ReadFold(user) => {
                let user = self.sink.users[user];
                let mut rows = self.sink.rows().into_iter().rev();
                if let Some(fold) = rows.find(|row| row.user_id == user && row.kind == FOLDED) {
                    self.sink.read(fold.id);
                }
            }
            Act::Faults(faults) => self.sink.faults.plan(faults),
            Act::Prefer(user, held) => self.sink.prefer(self.sink.users[user], held),
            Act::Send(urgent, end) => {
                let now = self.clock.now();
                let sending = Sending {
                    to: Audience::all(),
                    notification: Draft {
                        kind: "call_sheet".into(),
                        title: None,
                        message: "06:30".into(),
                        data: serde_json::Map::new(),
                        priority: match urgent {
                            true => Priority::Urgent,
                            false => Priority::Normal,
                        },
                        expires_at: end.map(|seconds| now + TimeDelta::seconds(seconds)),
                    },
                };
                let entry = self.record.send_at(&sending, now);
                self.notifier.tell(Told(entry)).unwrap();
            }
            Act::Look(user, looks) => {
                let user = UserRef {
                    id: self.sink.users[user],
                    name: "somebody".into(),
                };
                let subject = Subject {
                    kind: "episode".into(),
                    id: Uuid::nil().to_string(),
                };
                if looks {
                    let sid = None;
                    self.presence
                        .ask(View { sid, user, subject })
                        .await
                        .unwrap();
                } else {
                    let (sid, user) = (None, user.id);
                    let unview = Unview { sid, user, subject };
                    self.presence.ask(unview).await.unwrap();
                }
            }
        }
    }
}

fn check(world: &World, limit: u32) {
    let decisions = world.sink.decisions();
    let entries = world.record.entries();
    let asking = entries.iter().filter(|entry| notice(entry).is_some());
    let users = &world.sink.users;
    let due: BTreeSet<_> = asking
        .flat_map(|entry| users.iter().map(|user| (entry.seq, *user)))
        .collect();
    let decided: BTreeSet<_> = decisions.keys().copied().collect();
    assert_eq!(decided, due);
    let rows = world.sink.rows();
    for &user in users {
        let count = |of: &dyn Fn(&Decision) -> bool| {
            let mine = decisions.iter().filter(|((_, id), _)| *id == user);
            mine.filter(|(_, decision)| of(decision)).count() as u64
        };
        let mine: Vec<_> = rows.iter().filter(|row| row.user_id == user).collect();
        let (folds, single): (Vec<&Notification>, Vec<_>) =
            mine.into_iter().partition(|row| row.kind == FOLDED);
        let stored = [Outcome::Sent, Outcome::Seen, Outcome::Deferred];
        assert_eq!(
            single.len() as u64,
            count(&|one| stored.contains(&one.outcome))
        );
        let folded = folds.iter().filter_map(|row| row.data["count"].as_u64());
        assert_eq!(
            folded.sum::<u64>(),
            count(&|one| one.outcome == Outcome::Folded)
        );
        // Nobody had more than the limit in an hour, and nobody was folded below it.
        let mut hours: BTreeMap<Hour, u32> = BTreeMap::new();
        for entry in &entries {
            let Some(one) = decisions.get(&(entry.seq, user)) else {
                continue;
            };
            let had = hours.entry(Hour::of(entry.at)).or_default();
            *had += u32::from(one.counted);
            assert!(*had <= limit, "{had} of {limit}");
            assert!(one.rule != Rule::RateLimit || *had == limit, "folded early");
        }
    }
}

/// What was sent was pushed, once at least; what was held up was, when its time had come; and nothing else.
fn check_pushes(world: &World, user: Uuid, client: &Client) {
    let now = world.clock.now();
    let pushed: BTreeSet<Uuid> = client
        .events()
        .iter()
        .map(|event| event["data"]["id"].as_str().unwrap().parse().unwrap())
        .collect();
    let decisions = world.sink.decisions();
    for row in world.sink.rows().iter().filter(|row| row.user_id == user) {
        let Some(seq) = row.event_seq else {
            continue; // a fold
        };
        let decision = decisions[&(seq, user)];
        let was_pushed = pushed.contains(&row.id);
        let expired = row.expires_at.is_some_and(|end| end <= now);
        match decision.outcome {
            // Its lease may have ended after it had expired, or in quiet hours.
            Outcome::Sent if !was_pushed => {
                let waits = world.sink.waits(row.id);
                assert!(expired || waits.is_some_and(|until| until > now), "{seq}");
            }
            Outcome::Sent => {}
            Outcome::Deferred if was_pushed => assert!(decision.until <= Some(now)),
            Outcome::Deferred => {
                let waits = world.sink.waits(row.id);
                assert!(expired || waits.is_some_and(|until| until > now), "{seq}");
            }
            other => assert!(!was_pushed, "{other} was pushed"),
        }
        if decision.rule == Rule::Urgent && !expired {
            assert!(was_pushed, "whatever the hour: {seq}");
        }
    }
    let known = |id: &Uuid| {
        world
            .sink
            .rows()
            .iter()
            .any(|row| row.id == *id && row.user_id == user)
    };
    assert!(pushed.iter().all(known));
}
