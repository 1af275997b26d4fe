//! What a mailbox takes, what it refuses, and that each message is accounted for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, Handler, Message, Supervised};
use callboard_actors::runtime::{
    AskError, Clock, Context, Ledger, Rejected, Restart, Signal, Spec, Teller, supervise,
    supervise_here,
};

use crate::probe::{
    Await, Diary, Note, PoisonHandler, Probe, account, in_system, probe, settle, spec, stage,
};

#[test]
fn a_mailbox_refuses_exactly_what_exceeds_it_however_many_senders_there_are() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (mailbox, diary, _) = probe(&ledger, Restart::Permanent, 10);
        let senders: Vec<_> = (0..100).map(|_| mailbox.clone()).collect();
        let results: Vec<_> = (0..)
            .zip(&senders)
            .map(|(n, sender)| sender.tell(Note(n)))
            .collect();
        assert!(results[..10].iter().all(Result::is_ok));
        assert!(
            results[10..]
                .iter()
                .all(|result| *result == Err(Rejected::Full))
        );
        assert_eq!(mailbox.ask(Note(100)).await, Err(AskError::Full));
        assert_eq!(mailbox.depth(), 10);
        settle().await;
        assert_eq!(diary.notes(), (0..10).collect::<Vec<_>>());
        let account = account(&ledger);
        assert_eq!(
            (
                account.sent,
                account.handled,
                account.rejected,
                account.mailbox_depth
            ),
            (101, 10, 91, 0)
        );
    });
}

#[test]
fn slow_answers_fill_the_mailbox_as_well() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (mailbox, diary, _) = probe(&ledger, Restart::Permanent, 3);
        let (gates, answers): (Vec<_>, Vec<_>) = (0..3)
            .map(|n| {
                let (open, gate) = tokio::sync::oneshot::channel();
                (open, mailbox.ask(Await(n, gate)))
            })
            .unzip();
        settle().await;
        assert_eq!(mailbox.tell(Note(9)), Err(Rejected::Full));
        for (n, (gate, answer)) in (0..).zip(gates.into_iter().zip(answers)) {
            gate.send(()).unwrap();
            assert_eq!(answer.await, Ok(n));
        }
        mailbox.tell(Note(9)).unwrap();
        settle().await;
        assert_eq!(diary.notes(), [0, 1, 2, 9]);
        assert_eq!(account(&ledger).handled, 4);
    });
}

#[test]
fn a_question_waits_no_longer_than_it_was_told_to() {
    in_system(async {
        let (ledger, clock) = stage();
        let (mailbox, _, _) = probe(&ledger, Restart::Permanent, 8);
        let (_open, gate) = tokio::sync::oneshot::channel();
        let answer = mailbox.ask_within(Duration::from_secs(2), Await(1, gate));
        let task = actix_rt::spawn(answer);
        clock.wind(Duration::from_millis(1_999)).await;
        assert!(!task.is_finished());
        clock.wind(Duration::from_millis(1)).await;
        assert_eq!(task.await.unwrap(), Err(AskError::TimedOut));
    });
}

#[test]
fn a_teller_hides_who_is_told_and_keeps_it_alive() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (mailbox, diary, ended) = probe(&ledger, Restart::Permanent, 2);
        let teller: Teller<Note> = mailbox.teller();
        drop(mailbox);
        assert_eq!(teller.name(), "Probe");
        teller.tell(Note(1)).unwrap();
        teller.clone().tell(Note(2)).unwrap();
        assert_eq!(teller.tell(Note(3)), Err(Rejected::Full));
        settle().await;
        assert_eq!(diary.notes(), [1, 2]);
        drop(teller);
        ended.wait().await;
    });
}

#[test]
fn an_actor_knows_its_own_mailbox() {
    struct Selfish(Signal<bool>);
    impl Actor for Selfish {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Context<Self>) {
            let own = ctx.mailbox().unwrap();
            own.tell(Hello).unwrap();
        }
    }
    impl Supervised for Selfish {}
    #[derive(Message)]
    #[rtype(result = "()")]
    struct Hello;
    impl Handler<Hello> for Selfish {
        type Result = ();
        fn handle(&mut self, _: Hello, ctx: &mut Context<Self>) {
            self.0.raise(ctx.mailbox().is_some());
        }
    }
    in_system(async {
        let (ledger, _clock) = stage();
        let heard = Signal::armed();
        let spec = Spec {
            name: "Selfish",
            capacity: 1,
            restart: Restart::Transient,
        };
        let mailbox = supervise_here(spec, &ledger, |own| {
            assert_eq!(own.name(), "Selfish");
            Selfish(heard.clone())
        });
        assert!(heard.wait().await);
        drop(mailbox);
    });
}

#[test]
fn the_accounts_balance_under_senders_on_many_threads_with_panics_mixed_in() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 5_000;
    in_system(async {
        // The machine's clock: the back-off of this actor is real, so its panics stay below five.
        let ledger = Ledger::new(Clock::system());
        let (diary, ended) = (Diary::default(), Signal::armed());
        let arbiter = actix_rt::Arbiter::new();
        let (inner, signal) = (diary.clone(), ended.clone());
        let mailbox = supervise(
            spec(Restart::Permanent, 64),
            &ledger,
            &arbiter.handle(),
            move |_| Probe::new(&inner, &signal),
        );
        let taken = Arc::new(AtomicU64::new(0));
        let offered = Arc::new(AtomicU64::new(0));
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (mailbox, ledger) = (mailbox.clone(), ledger.clone());
                let (taken, offered) = (Arc::clone(&taken), Arc::clone(&offered));
                std::thread::spawn(move || {
                    let mut handled = 0;
                    for n in 0..EACH {
                        if n % 50 == 0 {
                            // In the middle of the flood: each reading balances, and the bound holds in each.
                            let account = account(&ledger);
                            assert!(account.mailbox_depth <= 64, "{account:?}");
                            assert!(account.handled >= handled, "{account:?}");
                            handled = account.handled;
                        }
                        let tell = || {
                            offered.fetch_add(1, Ordering::Relaxed);
                            // One poison each, and it has to get in.
                            if n == EACH / 2 {
                                mailbox.tell(PoisonHandler)
                            } else {
                                mailbox.tell(Note(sender))
                            }
                        };
                        if n == EACH / 2 {
                            while tell().is_err() {
                                std::thread::yield_now();
                            }
                        } else if tell().is_ok() {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
        // What was taken is worked off; a question may itself find the mailbox full.
        let mut asked = 1;
        while mailbox.ask(Note(SENDERS)).await.is_err() {
            asked += 1;
        }
        // The answer leaves the actor's thread a moment before the message counts as handled.
        let idle = async {
            while mailbox.depth() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let limit = Duration::from_secs(20);
        assert!(tokio::time::timeout(limit, idle).await.is_ok());
        let account = account(&ledger);
        let taken = taken.load(Ordering::Relaxed);
        assert_eq!(account.handled, taken + 1);
        assert_eq!(
            diary.notes().len() as u64,
            taken + 1,
            "by the actor's own count"
        );
        assert_eq!(account.lost, SENDERS);
        assert_eq!(account.restarts, SENDERS);
        assert_eq!(account.mailbox_depth, 0);
        let offered = offered.load(Ordering::Relaxed) + asked;
        assert_eq!(account.sent, offered);
        assert_eq!(account.rejected, offered - taken - 1 - SENDERS);
        drop(mailbox);
        arbiter.stop();
        arbiter.join().unwrap();
    });
}

#[test]
fn a_flood_lets_the_other_tasks_of_its_thread_run_every_256_messages() {
    struct Sink(Arc<AtomicU64>);
    impl Actor for Sink {
        type Context = Context<Self>;
    }
    impl Supervised for Sink {}
    #[derive(Message)]
    #[rtype(result = "()")]
    struct Drip;
    impl Handler<Drip> for Sink {
        type Result = ();
        fn handle(&mut self, _: Drip, _: &mut Context<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    in_system(async {
        let ledger = Ledger::new(Clock::system());
        let handled = Arc::new(AtomicU64::new(0));
        let spec = Spec {
            name: "Sink",
            capacity: 100_000,
            restart: Restart::Permanent,
        };
        let sink = supervise_here(spec, &ledger, |_| Sink(Arc::clone(&handled)));
        // All there before the actor runs: without a pause it would handle them in one go.
        for _ in 0..100_000 {
            sink.tell(Drip).unwrap();
        }
        let mut between = Vec::new();
        while handled.load(Ordering::Relaxed) < 100_000 {
            let before = handled.load(Ordering::Relaxed);
            tokio::task::yield_now().await;
            between.push(handled.load(Ordering::Relaxed) - before);
        }
        let most = between.iter().max().copied();
        assert!(most <= Some(256), "{most:?} messages without a pause");
    });
}

#[test]
fn figures_of_many_actors_of_a_name_add_up_in_one_row() {
    in_system(async {
        let (ledger, _clock) = stage();
        let actors: Vec<_> = (0..50)
            .map(|_| probe(&ledger, Restart::Temporary, 4).0)
            .collect();
        for actor in &actors {
            actor.tell(Note(1)).unwrap();
            actor.tell(Note(2)).unwrap();
        }
        let full = account(&ledger);
        assert_eq!(
            (full.instances, full.mailbox_depth, full.mailbox_capacity),
            (50, 100, 200)
        );
        settle().await;
        assert_eq!(account(&ledger).handled, 100);
        drop(actors);
        settle().await;
        let after = account(&ledger);
        assert_eq!(
            (after.instances, after.handled, after.mailbox_capacity),
            (0, 100, 0)
        );
        assert_eq!(ledger.rows().len(), 1);
    });
}

#[test]
fn a_row_has_the_names_of_the_contract() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (mailbox, _, _) = probe(&ledger, Restart::Permanent, 4);
        mailbox.tell(PoisonHandler).unwrap();
        settle().await;
        let row = serde_json::to_value(&ledger.rows()[0]).unwrap();
        let names: Vec<_> = row
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            names,
            [
                "name",
                "instances",
                "mailbox_depth",
                "mailbox_capacity",
                "handled",
                "rejected",
                "lost",
                "restarts",
                "last_panic",
                "busy_ms"
            ]
        );
        assert_eq!(row["last_panic"]["text"], "poisoned in a handler");
    });
}

#[test]
fn an_actors_own_timers_run_on_the_servers_clock() {
    struct Ticker(Arc<AtomicU64>);
    impl Actor for Ticker {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Context<Self>) {
            ctx.every(Duration::from_secs(1), |ticker, _| {
                ticker.0.fetch_add(1, Ordering::Relaxed);
            });
            ctx.after(Duration::from_millis(2_500), |ticker, _| {
                ticker.0.fetch_add(100, Ordering::Relaxed);
            });
        }
    }
    impl Supervised for Ticker {}
    in_system(async {
        let (ledger, clock) = stage();
        let ticks = Arc::new(AtomicU64::new(0));
        let spec = Spec {
            name: "Ticker",
            capacity: 1,
            restart: Restart::Permanent,
        };
        let mailbox = supervise_here(spec, &ledger, |_| Ticker(Arc::clone(&ticks)));
        clock.wind(Duration::from_millis(2_400)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 2);
        clock.wind(Duration::from_millis(700)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 103);
        drop(mailbox);
    });
}
