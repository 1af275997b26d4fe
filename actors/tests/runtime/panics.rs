//! A panic costs one message: not the actor, not its address, not its queue.

use callboard_actors::runtime::{AskError, How, Restart, supervise_here};
use parking_lot::Mutex;
use std::sync::Arc;

use crate::probe::{
    Await, Note, PoisonAnswer, PoisonHandler, Probe, Seen, WAYS, Way, account, in_system, poison,
    probe, settle, spec, stage,
};

#[test]
fn each_kind_of_panic_keeps_the_address_and_the_queue() {
    for way in WAYS {
        in_system(async {
            let (ledger, _clock) = stage();
            let (mailbox, diary, _) = probe(&ledger, Restart::Permanent, 64);
            // Everything queued before the actor takes up its first message.
            for n in 0..10 {
                mailbox.tell(Note(n)).unwrap();
            }
            poison(&mailbox, way);
            for n in 10..20 {
                mailbox.tell(Note(n)).unwrap();
            }
            settle().await;
            assert_eq!(diary.notes(), (0..20).collect::<Vec<_>>(), "{way:?}");
            assert_eq!(mailbox.ask(Note(20)).await, Ok(21), "{way:?}");

            let account = account(&ledger);
            assert_eq!((account.sent, account.restarts), (22, 1), "{way:?}");
            // A future that was spawned outlives its message: that was handled when its handler returned.
            let lost = u64::from(way != Way::Spawned);
            assert_eq!(
                (account.handled, account.lost),
                (22 - lost, lost),
                "{way:?}"
            );
            assert_eq!(diary.count(Seen::Restarting), 1);
            assert_eq!(diary.count(Seen::Started), 2);
            assert_eq!(diary.count(Seen::Dropped), 0, "the state is kept");
        });
    }
}

#[test]
fn a_panic_is_known_by_the_type_of_its_message_and_its_text() {
    for (way, message, text) in [
        (Way::Handler, "PoisonHandler", "poisoned in a handler"),
        (Way::Answer, "PoisonAnswer", "poisoned in an answer"),
        (
            Way::Spawned,
            "PoisonSpawned",
            "poisoned in a spawned future",
        ),
    ] {
        in_system(async {
            let (ledger, clock) = stage();
            let (mailbox, _, _) = probe(&ledger, Restart::Permanent, 64);
            mailbox.tell(Note(1)).unwrap();
            poison(&mailbox, way);
            settle().await;
            let last = account(&ledger).last_panic.unwrap();
            assert!(last.message.ends_with(message), "{last:?}");
            assert_eq!(last.text, text);
            assert_eq!(last.at, clock.now());
        });
    }
}

#[test]
fn a_question_that_panics_is_answered_with_gone_and_the_next_one_with_its_answer() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (mailbox, _, _) = probe(&ledger, Restart::Transient, 64);
        assert_eq!(mailbox.ask(PoisonHandler).await, Err(AskError::Gone));
        assert_eq!(mailbox.ask(PoisonAnswer).await, Err(AskError::Gone));
        assert_eq!(mailbox.ask(Note(1)).await, Ok(1));
    });
}

#[test]
fn an_answer_in_progress_is_lost_with_the_restart_and_counted() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (mailbox, diary, _) = probe(&ledger, Restart::Permanent, 64);
        let (_open, gate) = tokio::sync::oneshot::channel();
        let answer = mailbox.ask(Await(7, gate));
        settle().await;
        assert_eq!(account(&ledger).mailbox_depth, 1, "it waits for its future");
        mailbox.tell(PoisonHandler).unwrap();
        assert_eq!(answer.await, Err(AskError::Gone));
        let account = account(&ledger);
        assert_eq!(
            (account.handled, account.lost, account.mailbox_depth),
            (0, 2, 0)
        );
        assert!(diary.notes().is_empty());
    });
}

#[test]
fn the_ledger_makes_any_actor_panic_in_each_way_once_faults_are_allowed() {
    for how in [How::Now, How::InFuture, How::InSpawned] {
        in_system(async {
            let (ledger, _clock) = stage();
            let (mailbox, diary, _) = probe(&ledger, Restart::Permanent, 4);
            settle().await;
            assert_eq!(ledger.poke("Probe", how), 0, "faults are off");
            ledger.allow_faults();
            assert_eq!(ledger.poke("Nobody", how), 0);
            // A full mailbox keeps no fault out.
            for n in 0..4 {
                mailbox.tell(Note(n)).unwrap();
            }
            assert_eq!(ledger.poke("Probe", how), 1);
            settle().await;
            assert_eq!(diary.notes(), [0, 1, 2, 3], "{how:?}");
            let account = account(&ledger);
            assert_eq!((account.restarts, account.sent), (1, 5), "{how:?}");
            assert!(account.last_panic.unwrap().message.ends_with("Panic"));
            // It has nothing to do now, and still hears of it.
            assert_eq!(ledger.poke("Probe", how), 1);
            settle().await;
            assert_eq!(ledger.row("Probe").unwrap().restarts, 2, "{how:?}");
        });
    }
}

#[test]
fn whoever_asked_is_told_of_each_restart() {
    in_system(async {
        let (ledger, _clock) = stage();
        let told = Arc::new(Mutex::new(Vec::new()));
        let hear = Arc::clone(&told);
        ledger.on_restart(move |name, text| hear.lock().push((name, text.to_owned())));
        let (mailbox, _, _) = probe(&ledger, Restart::Permanent, 64);
        poison(&mailbox, Way::Handler);
        settle().await;
        let told = told.lock();
        assert_eq!(*told, [("Probe", "poisoned in a handler".to_owned())]);
    });
}

#[test]
fn a_hook_that_panics_harms_nobody() {
    in_system(async {
        let (ledger, _clock) = stage();
        ledger.on_restart(|_, _| panic!("the hook"));
        let (mailbox, _, _) = probe(&ledger, Restart::Permanent, 64);
        poison(&mailbox, Way::Handler);
        assert_eq!(mailbox.ask(Note(1)).await, Ok(1));
        assert_eq!(account(&ledger).restarts, 1);
    });
}

#[test]
fn a_panic_of_one_actor_touches_no_other_on_its_thread() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (first, _, _) = probe(&ledger, Restart::Permanent, 64);
        let (second, diary, _) = probe(&ledger, Restart::Permanent, 64);
        poison(&first, Way::Handler);
        assert_eq!(second.ask(Note(1)).await, Ok(1));
        assert_eq!(diary.count(Seen::Restarting), 0);
        assert_eq!(account(&ledger).instances, 2);
    });
}

/// A value with a destructor that runs while the stack unwinds, and that itself catches a panic.
struct Careful(crate::probe::Diary);

impl Drop for Careful {
    fn drop(&mut self) {
        let inner = std::panic::catch_unwind(|| panic!("within a drop, and caught there"));
        assert!(inner.is_err());
        self.0.write(Seen::Note(99));
    }
}

#[derive(actix::Message)]
#[rtype(result = "()")]
struct PanicHolding;

impl actix::Handler<PanicHolding> for Probe {
    type Result = ();

    fn handle(&mut self, _: PanicHolding, _: &mut callboard_actors::runtime::Context<Self>) {
        let _held = Careful(self.diary.clone());
        panic!("with something in hand");
    }
}

#[test]
fn what_a_panicking_handler_holds_is_dropped_while_it_unwinds() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (mailbox, diary, _) = probe(&ledger, Restart::Permanent, 64);
        mailbox.tell(PanicHolding).unwrap();
        assert_eq!(mailbox.ask(Note(1)).await, Ok(2));
        assert_eq!(diary.notes(), [99, 1]);
    });
}

#[test]
fn an_actor_that_cannot_be_made_is_not_ready_and_says_why() {
    in_system(async {
        let (ledger, _clock) = stage();
        let mailbox = supervise_here(spec(Restart::Permanent, 8), &ledger, |_| -> Probe {
            panic!("no table")
        });
        assert_eq!(ledger.ready(), Err(vec!["Probe"]));
        assert!(mailbox.is_closed());
        assert_eq!(mailbox.ask(Note(1)).await, Err(AskError::Gone));
        let account = account(&ledger);
        assert_eq!((account.instances, account.lost), (0, 1));
        assert_eq!(account.last_panic.unwrap().text, "no table");
    });
}
