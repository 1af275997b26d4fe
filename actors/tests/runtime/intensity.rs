//! An actor that fails again and again waits longer and longer, and the server says that it is not ready.

use std::time::Duration;

use callboard_actors::runtime::Restart;

use crate::probe::{Note, PoisonHandler, Seen, account, in_system, probe, settle, stage};

#[test]
fn fifty_panics_in_a_row_back_off_and_lose_nothing_else() {
    in_system(async {
        let (ledger, clock) = stage();
        let (mailbox, diary, _) = probe(&ledger, Restart::Permanent, 128);
        for n in 0..50 {
            mailbox.tell(PoisonHandler).unwrap();
            mailbox.tell(Note(n)).unwrap();
        }
        settle().await;
        assert_eq!(account(&ledger).restarts, 5, "five at once, then it waits");
        assert_eq!(ledger.ready(), Err(vec!["Probe"]));

        // 1 + 2 + 4 + 8 + 16, then 30 each: the fifty are through after 31 + 40 * 30 seconds, not before.
        let all = Duration::from_secs(31 + 40 * 30);
        clock.wind(all - Duration::from_secs(1)).await;
        assert_eq!(account(&ledger).restarts, 49);
        clock.wind(Duration::from_secs(1)).await;

        let account = account(&ledger);
        assert_eq!((account.restarts, account.lost), (50, 50));
        assert_eq!(diary.notes(), (0..50).collect::<Vec<_>>());
        assert_eq!(diary.count(Seen::Started), 51);
    });
}

#[test]
fn an_actor_that_is_made_while_the_server_runs_does_not_make_it_unready() {
    in_system(async {
        let (ledger, _clock) = stage();
        let (_mailbox, diary, _) = probe(&ledger, Restart::Transient, 64);
        assert_eq!(diary.count(Seen::Started), 0);
        assert_eq!(ledger.ready(), Ok(()), "it is about to start");
        settle().await;
        assert_eq!(ledger.ready(), Ok(()));
    });
}

#[test]
fn readiness_returns_when_the_actor_has_held_for_ten_seconds() {
    in_system(async {
        let (ledger, clock) = stage();
        let (mailbox, _, _) = probe(&ledger, Restart::Permanent, 64);
        assert_eq!(ledger.ready(), Err(vec!["Probe"]), "not before it started");
        settle().await;
        assert_eq!(ledger.ready(), Ok(()));
        for _ in 0..5 {
            mailbox.tell(PoisonHandler).unwrap();
        }
        settle().await;
        assert_eq!(ledger.ready(), Ok(()), "five are forgiven");

        mailbox.tell(PoisonHandler).unwrap();
        settle().await;
        assert_eq!(ledger.ready(), Err(vec!["Probe"]));
        // While it waits it takes messages, and does not work on them.
        let answer = mailbox.ask(Note(1));
        settle().await;
        assert_eq!(account(&ledger).mailbox_depth, 1);

        clock.wind(Duration::from_secs(1)).await;
        assert_eq!(answer.await, Ok(1));
        assert_eq!(ledger.ready(), Err(vec!["Probe"]), "it works, on trial");
        clock.wind(Duration::from_millis(9_999)).await;
        assert_eq!(ledger.ready(), Err(vec!["Probe"]));
        clock.wind(Duration::from_millis(1)).await;
        assert_eq!(ledger.ready(), Ok(()));
    });
}

#[test]
fn a_full_mailbox_while_it_waits_refuses_and_the_rest_is_handled_after() {
    in_system(async {
        let (ledger, clock) = stage();
        let (mailbox, diary, _) = probe(&ledger, Restart::Permanent, 8);
        for _ in 0..6 {
            mailbox.tell(PoisonHandler).unwrap();
        }
        settle().await;
        let taken = (0..20).filter(|&n| mailbox.tell(Note(n)).is_ok()).count();
        assert_eq!(taken, 8);
        clock.wind(Duration::from_secs(1)).await;
        assert_eq!(diary.notes(), (0..8).collect::<Vec<_>>());
        assert_eq!(account(&ledger).rejected, 12);
    });
}

#[test]
fn temporary_actors_do_not_make_the_server_unready() {
    in_system(async {
        let (ledger, _clock) = stage();
        for _ in 0..20 {
            let (mailbox, _, ended) = probe(&ledger, Restart::Temporary, 8);
            mailbox.tell(PoisonHandler).unwrap();
            ended.wait().await;
            assert_eq!(ledger.ready(), Ok(()));
        }
        assert_eq!(account(&ledger).restarts, 0);
    });
}
