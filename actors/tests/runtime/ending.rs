//! How actors end: by themselves, for want of anyone who knows them, by a panic, with their thread.

use callboard_actors::runtime::{
    AskError, Context, Rejected, Restart, Signal, Spec, supervise, supervise_here,
};

use crate::probe::{
    Diary, Note, PoisonHandler, Probe, Seen, Stop, WAYS, account, in_system, poison, probe, settle,
    spec, stage,
};

#[test]
fn a_temporary_actor_ends_alone_and_its_drop_guard_runs() {
    for way in WAYS {
        in_system(async {
            let (ledger, _clock) = stage();
            let (doomed, diary, ended) = probe(&ledger, Restart::Temporary, 64);
            let (other, others, _) = probe(&ledger, Restart::Temporary, 64);
            doomed.tell(Note(1)).unwrap();
            poison(&doomed, way);
            ended.wait().await;
            settle().await;
            assert!(doomed.is_closed());
            assert_eq!(diary.notes(), [1]);
            assert_eq!(diary.count(Seen::Dropped), 1);
            assert_eq!(diary.count(Seen::Stopped), 0);
            assert_eq!(doomed.tell(Note(2)), Err(Rejected::Gone));
            assert_eq!(other.ask(Note(3)).await, Ok(1));
            assert_eq!(others.count(Seen::Dropped), 0);
            assert_eq!(account(&ledger).instances, 1);
            assert_eq!(account(&ledger).restarts, 0);
        });
    }
}

#[test]
fn what_waited_for_an_actor_that_ended_is_lost_and_counted() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (mailbox, _, ended) = probe(&ledger, Restart::Temporary, 64);
        mailbox.tell(PoisonHandler).unwrap();
        let answer = mailbox.ask(Note(1));
        (2..12).for_each(|n| mailbox.tell(Note(n)).unwrap());
        ended.wait().await;
        assert_eq!(answer.await, Err(AskError::Gone));
        settle().await;
        assert_eq!(mailbox.tell(Note(12)), Err(Rejected::Gone));
        let kept = account(&ledger);
        assert_eq!((kept.sent, kept.lost, kept.mailbox_depth), (13, 13, 0));
        drop(mailbox);
        let folded = account(&ledger);
        assert_eq!(
            (folded.sent, folded.lost),
            (13, 13),
            "its figures outlive it"
        );
    });
}

#[test]
fn an_actor_ends_when_its_last_mailbox_goes_and_finishes_its_queue_first() {
    for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
        in_system(async {
            let (ledger, _clock) = stage();
            let (mailbox, diary, ended) = probe(&ledger, restart, 64);
            let weak = mailbox.downgrade();
            let clone = mailbox.clone();
            (0..5).for_each(|n| mailbox.tell(Note(n)).unwrap());
            drop(mailbox);
            settle().await;
            assert_eq!(diary.count(Seen::Dropped), 0, "someone still knows it");
            clone.tell(Note(5)).unwrap();
            drop(clone);
            ended.wait().await;
            settle().await;
            assert_eq!(diary.notes(), [0, 1, 2, 3, 4, 5]);
            assert_eq!(diary.count(Seen::Stopped), 1);
            assert_eq!(weak.tell(Note(6)), Err(Rejected::Gone));
            let account = account(&ledger);
            assert_eq!((account.instances, account.handled), (0, 6));
            assert_eq!(ledger.ready(), Ok(()));
        });
    }
}

#[test]
fn stopping_itself_ends_a_transient_actor_and_restarts_a_permanent_one() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (transient, diary, ended) = probe(&ledger, Restart::Transient, 64);
        transient.tell(Stop).unwrap();
        ended.wait().await;
        settle().await;
        assert!(transient.is_closed());
        assert_eq!(diary.count(Seen::Stopped), 1);
        assert_eq!(ledger.ready(), Ok(()), "that is its normal end");

        let (permanent, diary, _) = probe(&ledger, Restart::Permanent, 64);
        permanent.tell(Stop).unwrap();
        permanent.tell(Note(1)).unwrap();
        settle().await;
        assert_eq!(diary.notes(), [1]);
        assert_eq!(diary.count(Seen::Started), 2);
        assert_eq!(account(&ledger).restarts, 1);

        ledger.close();
        permanent.tell(Stop).unwrap();
        settle().await;
        assert!(permanent.is_closed(), "the server shuts down");
        assert_eq!(account(&ledger).restarts, 1);
    });
}

#[test]
fn a_panic_after_the_last_mailbox_is_gone_loses_nothing_that_was_queued() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (mailbox, diary, ended) = probe(&ledger, Restart::Transient, 64);
        mailbox.tell(Note(1)).unwrap();
        mailbox.tell(PoisonHandler).unwrap();
        mailbox.tell(Note(2)).unwrap();
        mailbox.tell(PoisonHandler).unwrap();
        drop(mailbox);
        ended.wait().await;
        settle().await;
        assert_eq!(diary.notes(), [1, 2]);
        let account = account(&ledger);
        assert_eq!(
            (account.restarts, account.lost),
            (1, 2),
            "the last one is not worth it"
        );
    });
}

/// Has an interval.
struct Clockwork(Signal<u64>);

impl actix::Actor for Clockwork {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let mut ticks = 0;
        ctx.every(std::time::Duration::from_secs(1), move |clockwork, ctx| {
            ticks += 1;
            clockwork.0.raise(ticks);
            if ticks == 3 {
                actix::ActorContext::stop(ctx);
            }
        });
    }
}

impl actix::Supervised for Clockwork {}

#[test]
fn an_actor_with_an_interval_lives_on_unknown_until_it_stops_itself() {
    in_system(async {
        let (ledger, clock) = stage();
        let ticked = Signal::armed();
        let spec = Spec {
            name: "Clockwork",
            capacity: 1,
            restart: Restart::Permanent,
        };
        drop(supervise_here(spec, &ledger, |_| Clockwork(ticked.clone())));
        clock.wind(std::time::Duration::from_secs(10)).await;
        assert_eq!(ticked.taken(), Some(1));
        assert_eq!(ticked.taken(), Some(2));
        assert_eq!(ticked.taken(), Some(3));
        assert_eq!(ticked.taken(), None);
        assert_eq!(ledger.row("Clockwork").unwrap().instances, 0);
    });
}

#[test]
fn an_actor_whose_thread_ends_is_stopped_and_its_mailbox_closed() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (diary, ended) = (Diary::default(), Signal::armed());
        let arbiter = actix_rt::Arbiter::new();
        let (inner, signal) = (diary.clone(), ended.clone());
        let mailbox = supervise(
            spec(Restart::Transient, 64),
            &ledger,
            &arbiter.handle(),
            move |_| Probe::new(&inner, &signal),
        );
        assert_eq!(mailbox.ask(Note(1)).await, Ok(1));
        arbiter.stop();
        arbiter.join().unwrap();
        ended.wait().await;
        assert!(mailbox.is_closed());
        assert_eq!(diary.count(Seen::Stopped), 1);
        assert_eq!(mailbox.tell(Note(2)), Err(Rejected::Gone));

        // And one that is started on the dead thread is gone from the start.
        let (inner, signal) = (diary.clone(), ended.clone());
        let late = supervise(
            spec(Restart::Transient, 64),
            &ledger,
            &actix_rt::Arbiter::handle(&arbiter_that_is_gone()),
            move |_| Probe::new(&inner, &signal),
        );
        assert_eq!(late.tell(Note(3)), Err(Rejected::Gone));
        account(&ledger);
    });
}

fn arbiter_that_is_gone() -> actix_rt::Arbiter {
    let arbiter = actix_rt::Arbiter::new();
    arbiter.stop();
    while arbiter.handle().alive() {
        std::thread::yield_now();
    }
    arbiter
}

/// Panics in `stopped`, and again when it is dropped.
struct Sore;

impl actix::Actor for Sore {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        panic!("in stopped");
    }
}

impl actix::Supervised for Sore {}

impl Drop for Sore {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in drop");
        }
    }
}

const SORE: Spec = Spec {
    name: "Sore",
    capacity: 8,
    restart: Restart::Temporary,
};

#[test]
fn an_actor_that_panics_as_it_ends_takes_nobody_along() {
    in_system(async {
        let (ledger, _clock) = stage();
        let sore = supervise_here(SORE, &ledger, |_| Sore);
        settle().await;
        drop(sore);
        settle().await;
        let row = ledger.row("Sore").unwrap();
        assert_eq!(row.instances, 0);
        assert!(row.last_panic.is_some());
    });
}

#[test]
fn an_actor_that_is_dropped_by_a_thread_that_unwinds_does_not_abort() {
    let (ledger, _clock) = stage();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // The local set is dropped while the panic passes through, and the actors in it with it; the mailbox after it.
        let mut _sore = None;
        let set = tokio::task::LocalSet::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        set.block_on(&runtime, async {
            _sore = Some(supervise_here(SORE, &ledger, |_| Sore));
            settle().await;
        });
        panic!("the thread's own");
    }));
    assert!(outcome.is_err());
    let row = ledger.row("Sore").unwrap();
    assert_eq!(row.instances, 0);
    assert_eq!(row.last_panic.unwrap().text, "in stopped");
}
