//! Order, once and without a gap: whatever is lost, told twice, told late, or panics.

use std::time::Duration;

use futures_util::future::{Either, select};

use uuid::Uuid;

use super::moments::PASSING;
use super::*;
use crate::hub::Hubs;
use crate::model::event::Kind;
use crate::model::room::{Namespace, Room as Name};
use crate::runtime::{AskError, Clock, Teller, supervise_here};
use crate::session::Reason;
use crate::testing::{Client, MemoryRecord, noon, on_actix, settle};

struct World {
    record: Arc<MemoryRecord>,
    clock: Clock,
    ledger: Ledger,
    hubs: Hubs,
    broadcaster: Mailbox<Broadcaster>,
}

impl World {
    async fn new() -> World {
        let clock = Clock::manual(noon());
        let ledger = Ledger::new(clock.clone());
        ledger.allow_faults();
        let record = MemoryRecord::new();
        let broadcaster = supervise_here(Broadcaster::SPEC, &ledger, |_| {
            Broadcaster::new(record.clone(), ledger.clone(), record.head())
        });
        World {
            record,
            clock,
            hubs: Hubs::new(&ledger),
            ledger,
            broadcaster,
        }
    }

    /// Asked at once; the answer comes later.
    fn entering(
        &self,
        client: &Client,
        channels: Vec<Channel>,
    ) -> impl Future<Output = Result<Seq, AskError>> + use<> {
        self.broadcaster.ask(Enter {
            subscriber: client.subscriber.clone(),
            channels,
        })
    }

    fn leaving(
        &self,
        client: &Client,
        channels: Vec<Channel>,
    ) -> impl Future<Output = Result<Seq, AskError>> + use<> {
        let key = client.subscriber.key;
        self.broadcaster.ask(Leave { key, channels })
    }

    async fn enter(&self, client: &Client, channels: &[Channel]) -> Seq {
        self.patiently(self.entering(client, channels.to_vec()))
            .await
    }

    async fn leave(&self, client: &Client, channels: &[Channel]) -> Seq {
        self.patiently(self.leaving(client, channels.to_vec()))
            .await
    }

    /// An actor that panics too often pauses: time goes on until it answers.
    async fn patiently<T>(&self, answer: impl Future<Output = Result<T, AskError>>) -> T {
        let mut answer = std::pin::pin!(answer);
        for _ in 0..100 {
            let turn = async {
                settle().await;
                self.clock.wind(LOOK).await;
            };
            match select(answer, std::pin::pin!(turn)).await {
                Either::Left((answer, _)) => return answer.unwrap(),
                Either::Right(((), unanswered)) => answer = unanswered,
            }
        }
        panic!("no answer");
    }

    fn tell(&self, entry: &Arc<Entry>) {
        self.broadcaster.tell(Announce(entry.clone())).unwrap();
    }

    /// Commits an event for these channels and tells of it.
    fn change(&self, channels: &[Channel]) -> Seq {
        let entry = self.record.append("episode_updated", channels.to_vec());
        self.tell(&entry);
        entry.seq
    }

    fn moment(&self, name: &str, channels: &[Channel], except: Option<Arc<str>>) {
        let event = Ephemeral {
            id: Uuid::now_v7(),
            event: name.into(),
            at: self.clock.now(),
            user: None,
            data: serde_json::value::RawValue::from_string("{}".into()).unwrap(),
            audience: channels.to_vec(),
            except,
        };
        self.broadcaster.tell(Publish(event)).unwrap();
    }

    /// Until the Record's end was handed out and the rooms are done.
    async fn caught_up(&self) {
        for _ in 0..100 {
            self.clock.wind(LOOK).await;
            settle().await;
            if self.patiently(self.broadcaster.ask(Place)).await == self.record.head() {
                return settle().await;
            }
        }
        panic!("the Broadcaster does not catch up");
    }
}

fn all() -> Channel {
    Channel::all(Namespace::Episodes)
}

fn episode(number: u128) -> Channel {
    Channel::room(Namespace::Episodes, Name::Episode(Uuid::from_u128(number)))
}

#[test]
fn an_event_reaches_its_audience_at_once_and_nobody_else() {
    on_actix(async {
        let world = World::new().await;
        let (one, two) = (Client::open(&world.hubs), Client::open(&world.hubs));
        world.enter(&one, &[all(), episode(1)]).await;
        world.enter(&two, &[all()]).await;
        world.change(&[episode(1)]);
        world.change(&[all(), episode(1)]);
        world.change(&[episode(2)]);
        settle().await;
        assert_eq!(one.seqs(), [1, 2]);
        assert_eq!(two.seqs(), [2]);
    });
}

#[test]
fn a_socket_in_two_rooms_gets_what_each_was_sent_in_order() {
    on_actix(async {
        let world = World::new().await;
        let client = Client::open(&world.hubs);
        world.enter(&client, &[episode(1), episode(2)]).await;
        settle().await;
        // Without phases: 2's room runs first and hands out 1 and 3; 2 then comes too late.
        world.change(&[episode(2)]);
        world.change(&[episode(1)]);
        world.change(&[episode(2)]);
        world.change(&[episode(1), episode(2)]);
        settle().await;
        assert_eq!(client.seqs(), [1, 2, 3, 4]);
    });
}

#[test]
fn a_room_entered_while_events_are_on_their_way_overtakes_nothing() {
    on_actix(async {
        let world = World::new().await;
        let (client, other) = (Client::open(&world.hubs), Client::open(&world.hubs));
        world.enter(&other, &[episode(1), episode(2)]).await;
        world.enter(&client, &[episode(1)]).await;
        settle().await;
        // The three are in the mailbox together, and 2's room runs first.
        let both = [episode(1), episode(2)];
        world.change(&both);
        let enter = world.broadcaster.ask(Enter {
            subscriber: client.subscriber.clone(),
            channels: vec![episode(2)],
        });
        world.change(&both);
        assert_eq!(enter.await, Ok(1));
        settle().await;
        assert_eq!(client.seqs(), [1, 2]);
        assert_eq!(other.seqs(), [1, 2]);
    });
}

#[test]
fn a_lost_tell_delays_an_event_by_a_quarter_of_a_second_at_most() {
    on_actix(async {
        let world = World::new().await;
        let client = Client::open(&world.hubs);
        world.enter(&client, &[all()]).await;
        settle().await;
        world.record.grow();
        world.clock.wind(Duration::from_millis(250)).await;
        settle().await;
        assert_eq!(client.seqs(), [1]);
        world.record.grow();
        world.change(&[all()]);
        world.clock.wind(PATIENCE).await;
        settle().await;
        assert_eq!(client.seqs(), [1, 2, 3], "a gap is read at once");
        let reads = world.record.faults.calls();
        let late = world.record.grow();
        world.change(&[all()]);
        settle().await;
        world.tell(&late);
        world.clock.wind(2 * PATIENCE).await;
        assert_eq!(client.seqs(), [1, 2, 3, 4, 5]);
        assert_eq!(
            world.record.faults.calls(),
            reads,
            "told in another order, nothing is read"
        );
    });
}

#[test]
fn while_the_record_is_away_nothing_is_lost_and_what_is_told_in_turn_still_flows() {
    on_actix(async {
        let world = World::new().await;
        let client = Client::open(&world.hubs);
        world.enter(&client, &[all()]).await;
        settle().await;
        world.record.faults.set_away(true);
        world.change(&[all()]);
        settle().await;
        assert_eq!(client.seqs(), [1]);
        world.record.grow();
        world.change(&[all()]);
        world.clock.wind(Duration::from_secs(30)).await;
        assert_eq!(client.seqs(), [1]);
        let calls = world.record.faults.calls();
        assert!(calls < 20, "{calls} attempts: the pause grows");
        world.record.faults.set_away(false);
        world.clock.wind(Duration::from_secs(5)).await;
        settle().await;
        assert_eq!(client.seqs(), [1, 2, 3]);
    });
}

#[test]
fn what_retention_took_away_is_passed_over() {
    on_actix(async {
        let world = World::new().await;
        let client = Client::open(&world.hubs);
        world.enter(&client, &[all()]).await;
        settle().await;
        for _ in 0..5 {
            world.record.grow();
        }
        world.record.prune(3);
        world.caught_up().await;
        assert_eq!(client.seqs(), [4, 5]);
    });
}

#[test]
fn a_long_absence_is_read_in_pages() {
    on_actix(async {
        let world = World::new().await;
        let client = Client::open(&world.hubs);
        world.enter(&client, &[all()]).await;
        let count = 4 * PAGE as Seq + 7;
        for _ in 0..count {
            world.record.grow();
        }
        world.caught_up().await;
        assert_eq!(client.seqs(), (1..=count).collect::<Vec<_>>());
    });
}

#[test]
fn a_resumed_socket_has_no_gap_and_no_duplicate_while_changes_go_on() {
    on_actix(async {
        for missed in [0, 1, 300] {
            let world = World::new().await;
            for _ in 0..missed {
                world.change(&[all()]);
            }
            world.caught_up().await;
            let client = Client::held(&world.hubs);
            let channels = [all()];
            let entering = world.enter(&client, &channels);
            world.change(&[all()]);
            let place = entering.await;
            world.change(&[all()]);
            // What was missed, page by page, while the world goes on.
            let mut sent = 0;
            while sent < place {
                let most = usize::try_from(place - sent).unwrap().min(PAGE);
                let entries = world.record.after(sent, most).await.unwrap();
                for entry in &entries {
                    let envelope = Envelope::recorded(entry);
                    client.subscriber.send(&envelope).unwrap();
                    sent = entry.seq;
                }
                world.change(&[all()]);
                settle().await;
            }
            client.release(place);
            world.change(&[all()]);
            world.caught_up().await;
            let head = world.record.head();
            assert_eq!(client.seqs(), (1..=head).collect::<Vec<_>>());
            let ready = client.names().iter().position(|name| name == "ready");
            assert_eq!(
                ready,
                usize::try_from(place).ok(),
                "after what was missed, before what is new"
            );
        }
    });
}

#[test]
fn a_momentary_event_spares_the_socket_that_caused_it_and_does_not_starve() {
    on_actix(async {
        let world = World::new().await;
        let (one, two) = (Client::open(&world.hubs), Client::open(&world.hubs));
        world.enter(&one, &[all()]).await;
        world.enter(&two, &[all()]).await;
        settle().await;
        for _ in 0..IN_A_ROW {
            world.record.grow();
        }
        world.moment("typing", &[all()], Some(one.subscriber.sid.clone()));
        for _ in 0..IN_A_ROW {
            world.record.grow();
        }
        world.caught_up().await;
        assert!(!one.names().contains(&"typing".to_owned()));
        let place = two.names().iter().position(|name| name == "typing");
        assert!(place.is_some_and(|place| place <= IN_A_ROW as usize));
    });
}

#[test]
fn momentary_events_beyond_the_bound_are_dropped_and_recorded_ones_are_not() {
    on_actix(async {
        let world = World::new().await;
        let client = Client::open(&world.hubs);
        world.enter(&client, &[all(), episode(1)]).await;
        settle().await;
        for _ in 0..PASSING {
            // A change of rooms for each: they cannot all be on their way.
            world.moment("typing", &[all()], None);
            world.moment("typing", &[episode(1)], None);
            world.change(&[all()]);
        }
        world.caught_up().await;
        let moments = client
            .names()
            .iter()
            .filter(|name| *name == "typing")
            .count();
        assert!((PASSING..2 * PASSING).contains(&moments), "{moments}");
        assert_eq!(client.seqs(), (1..=PASSING as Seq).collect::<Vec<_>>());
        let rooms = world.ledger.row("Room").unwrap();
        assert_eq!((rooms.rejected, rooms.lost), (0, 0));
    });
}

#[test]
fn a_room_ends_when_it_is_empty_and_begins_anew() {
    on_actix(async {
        let world = World::new().await;
        let (one, two) = (Client::open(&world.hubs), Client::open(&world.hubs));
        world.enter(&one, &[all(), episode(1)]).await;
        world.enter(&two, &[all()]).await;
        assert_eq!(
            world.broadcaster.ask(Rooms).await,
            Ok(vec![(all(), 2), (episode(1), 1)])
        );
        world.change(&[episode(1)]);
        world.leave(&one, &[episode(1)]).await;
        world.enter(&one, &[episode(1)]).await;
        world.change(&[episode(1)]);
        settle().await;
        assert_eq!(one.seqs(), [1, 2], "what the old room had, then the new");
        assert_eq!(world.ledger.row("Room").unwrap().instances, 2);
        for client in [&one, &two] {
            let key = client.subscriber.key;
            world.broadcaster.ask(Depart { key }).await.unwrap();
        }
        settle().await;
        assert_eq!(world.broadcaster.ask(Rooms).await, Ok(vec![]));
        assert_eq!(world.ledger.row("Room").unwrap().instances, 0);
    });
}

#[test]
fn a_hub_that_panics_over_one_member_gives_the_others_everything_and_ends_that_ones_line() {
    on_actix(async {
        let world = World::new().await;
        let clients = [(); 3].map(|()| Client::open(&world.hubs));
        for client in &clients {
            world.enter(client, &[all(), episode(1)]).await;
        }
        settle().await;
        clients[1].panic_at_next_push();
        for _ in 0..3 {
            world.change(&[all()]);
            world.change(&[episode(1)]);
        }
        settle().await;
        assert_eq!(world.ledger.row("Hub").unwrap().restarts, 1);
        assert_eq!(clients[0].seqs(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(clients[2].seqs(), [1, 2, 3, 4, 5, 6]);
        // It may resume: rather a new line than a line with a hole.
        let reason = clients[1].subscriber.outbox().closed();
        assert_eq!(reason, Some(Reason::Fault));
        assert!(Reason::Fault.may_resume());
    });
}

#[test]
fn a_subscription_that_ended_without_a_word_is_let_go() {
    on_actix(async {
        let world = World::new().await;
        let (gone, here) = (Client::open(&world.hubs), Client::open(&world.hubs));
        world.enter(&gone, &[all()]).await;
        world.enter(&here, &[all()]).await;
        gone.subscriber.outbox().close(Reason::ClientClosed);
        world.clock.wind(2 * SWEEP).await;
        settle().await;
        let members = world.broadcaster.ask(Members(all())).await.unwrap();
        assert_eq!(members, vec![here.subscriber.sid.clone()]);
    });
}

#[test]
fn a_herd_that_comes_and_goes_at_once_fills_no_room() {
    on_actix(async {
        let world = World::new().await;
        let herd: Vec<_> = (0..2000).map(|_| Client::open(&world.hubs)).collect();
        let entering = herd.iter().map(|client| {
            world.broadcaster.ask(Enter {
                subscriber: client.subscriber.clone(),
                channels: vec![all(), episode(1)],
            })
        });
        for (number, entered) in futures_util::future::join_all(entering)
            .await
            .into_iter()
            .enumerate()
        {
            assert_eq!(entered, Ok(0), "{number}");
        }
        world.change(&[all(), episode(1)]);
        world.caught_up().await;
        assert!(herd.iter().all(|client| client.seqs() == [1]));
        for client in &herd {
            let key = client.subscriber.key;
            world.broadcaster.tell(Depart { key }).unwrap();
        }
        world.broadcaster.ask(Place).await.unwrap();
        settle().await;
        let rooms = world.ledger.row("Room").unwrap();
        assert_eq!((rooms.instances, rooms.rejected, rooms.lost), (0, 0, 0));
        assert!(rooms.balances());
    });
}

#[test]
fn who_heeds_a_kind_of_event_hears_it_in_order_also_when_it_was_deaf_for_a_while() {
    on_actix(async {
        let world = World::new().await;
        let heard = Arc::new(parking_lot::Mutex::new((true, Vec::new())));
        let ears = heard.clone();
        let who = Teller::from_fn("Ears", move |Heard(entry)| {
            let mut ears = ears.lock();
            if ears.0 {
                return Err(crate::runtime::Rejected::Full);
            }
            ears.1.push(entry.seq);
            Ok(())
        });
        let kind = Kind::UserUpdated;
        world.broadcaster.ask(Heed { kind, who }).await.unwrap();
        for event in ["user_updated", "episode_created", "user_updated"] {
            world.tell(&world.record.append(event, vec![]));
        }
        settle().await;
        heard.lock().0 = false;
        world.caught_up().await;
        assert_eq!(heard.lock().1, [1, 3]);
    });
}

mod property;
