//! What is written when, and what failures and panics leave.

use futures_util::FutureExt;
use uuid::Uuid;

use super::*;
use crate::model::identity::UserRef;
use crate::model::presence::{Choice, Memo, Status};
use crate::presence_registry::{Book, Choose, Sight, Sign, Stats};
use crate::runtime::{Clock, How, Ledger, Teller, supervise_here};
use crate::testing::{Fault, MemoryPresence, noon, on_actix, settle};

struct World {
    clock: Clock,
    ledger: Ledger,
    memory: Arc<MemoryPresence>,
    presence: Mailbox<PresenceRegistry>,
    scribe: Mailbox<Scribe>,
}

fn world() -> World {
    let clock = Clock::manual(noon());
    let ledger = Ledger::new(clock.clone());
    ledger.allow_faults();
    let memory = MemoryPresence::new();
    let minute = Duration::from_secs(60);
    let presence = supervise_here(PresenceRegistry::SPEC, &ledger, |_| {
        let book = Book::new(minute, Sight::default(), []);
        PresenceRegistry::new(book, Teller::nobody(), clock.clone(), minute)
    });
    let scribe = supervise_here(Scribe::SPEC, &ledger, |_| {
        Scribe::new(presence.clone(), memory.clone())
    });
    World {
        clock,
        ledger,
        memory,
        presence,
        scribe,
    }
}

fn user(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

impl World {
    async fn sees(&self, users: impl IntoIterator<Item = u128>) {
        for number in users {
            let user = user(number);
            self.presence.ask(Sign { user }).await.unwrap();
        }
    }

    async fn look(&self) {
        self.clock.wind(PERIOD).await;
        settle().await;
    }

    async fn unwritten(&self) -> usize {
        self.presence.ask(Stats).await.unwrap().unwritten
    }
}

#[test]
fn everybody_who_was_there_is_written_once_in_batches() {
    on_actix(async {
        let world = world();
        settle().await;
        let many = 2 * BATCH as u128 + 7;
        world.sees(0..many).await;
        assert_eq!(world.memory.batches(), [0usize; 0]);
        world.look().await;
        assert_eq!(world.memory.batches(), [BATCH, BATCH, 7]);
        assert_eq!(world.memory.rows().len(), many as usize);
        assert_eq!(world.unwritten().await, 0);
        world.look().await;
        assert_eq!(world.memory.batches().len(), 3, "nothing is new");
        world.sees([3]).await;
        world.look().await;
        assert_eq!(world.memory.batches().last(), Some(&1));
        let row = world.memory.rows()[&user(3)].clone();
        assert_eq!(row.last_seen, noon() + 2 * PERIOD);
    });
}

#[test]
fn what_could_not_be_written_is_written_later_and_a_panic_loses_none_of_it() {
    on_actix(async {
        let world = world();
        settle().await;
        let ada = UserRef {
            id: user(1),
            name: "Ada".into(),
        };
        let choice = Choice {
            status: Status::Dnd,
            message: Some("on air".into()),
        };
        let choose = Choose {
            sid: None,
            user: ada,
            choice: choice.clone(),
        };
        // Not done, then done without being told so.
        world
            .memory
            .faults
            .plan([Some(Fault::Before), Some(Fault::After)]);
        let mut chosen = std::pin::pin!(world.presence.ask(choose));
        settle().await;
        assert_eq!(world.memory.faults.calls(), 1, "at once");
        assert!(
            chosen.as_mut().now_or_never().is_none(),
            "it is not written"
        );
        assert!(world.memory.rows().is_empty());
        world.look().await;
        assert!(
            chosen.now_or_never().is_some(),
            "nobody is kept waiting for long"
        );
        assert_eq!(world.unwritten().await, 1, "it does not know");
        for how in [How::Now, How::InFuture, How::InSpawned] {
            assert_eq!(world.ledger.poke("Scribe", how), 1);
            settle().await;
        }
        world.look().await;
        assert_eq!(world.unwritten().await, 0);
        assert_eq!(world.memory.rows()[&user(1)].choice, Some(choice));
    });
}

#[test]
fn a_choice_is_written_at_once_and_one_that_comes_meanwhile_right_after() {
    on_actix(async {
        let world = world();
        let choose = |number: u128, status| {
            let name = number.to_string();
            world.presence.ask(Choose {
                sid: None,
                user: UserRef {
                    id: user(number),
                    name,
                },
                choice: Choice {
                    status,
                    message: None,
                },
            })
        };
        for status in [Status::Away, Status::Busy, Status::Online] {
            let chosen = choose(1, status).await.unwrap();
            assert_eq!(chosen.chosen_status, status);
            let row = world.memory.rows()[&user(1)].clone();
            let kept = row.choice.map(|choice| choice.status);
            assert_eq!(kept, Some(status), "what is answered is written");
            let more: Vec<_> = (2..40).map(|number| choose(number, status)).collect();
            for one in more {
                one.await.unwrap();
            }
            settle().await;
            let rows = world.memory.rows();
            assert_eq!(rows.len(), 39);
            let right = |memo: &Memo| memo.choice.as_ref().map(|it| it.status) == Some(status);
            assert!(rows.values().all(right), "{status}");
        }
        let writes = world.memory.batches().len();
        assert!(writes < 20, "many go together: {writes}");
    });
}

#[test]
fn what_is_left_at_the_end_is_written_at_once() {
    on_actix(async {
        let world = world();
        world.sees([1, 2]).await;
        assert_eq!(world.scribe.ask(Flush).await, Ok(true));
        assert_eq!(world.memory.rows().len(), 2);
        world.sees([3]).await;
        world.memory.faults.plan([Some(Fault::Before)]);
        assert_eq!(world.scribe.ask(Flush).await, Ok(false));
    });
}
