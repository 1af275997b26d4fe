//! What the Notifier writes: decisions, folds, its place in the middle of a notice, pushes that wait; and preferences.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use callboard::store::notifications::{Filter, decisions, list, preferences, read};
use callboard::store::users::{self, UserPatch};
use callboard::store::{By, StoreError};
use callboard_actors::model::decision::{Decision, Outcome, Rule};
use callboard_actors::model::identity::{Role, User};
use callboard_actors::model::notice::{Audience, Notice};
use callboard_actors::model::notification::{FOLDED, GROWTH, Hour, Notification, Priority};
use callboard_actors::model::preferences::{PreferencesPatch, QuietPatch};
use callboard_actors::model::record::Seq;
use callboard_actors::ports::{Batch, Decided, NotificationSink, Position};
use callboard_actors::testing;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::bed::Bed;

on_both!(
    a_notice_is_written_in_parts_and_each_part_once,
    recipients_come_page_by_page_with_what_they_prefer,
    what_counts_is_counted_by_its_hour,
    everybody_is_accounted_for_once_and_the_folds_add_up,
    a_push_that_waits_is_taken_by_one_when_it_is_due,
    what_is_sent_is_due_again_until_it_is_noted_as_pushed,
    what_is_due_waits_on_if_it_is_quiet_by_then_and_says_so,
    a_fold_that_grows_is_due_again_with_what_came_since,
    what_was_read_or_has_expired_or_is_a_disabled_users_is_not_pushed_later,
    changes_of_preferences_at_the_same_time_are_all_kept,
    preferences_go_on_the_record_and_move_what_waits,
    decisions_are_removed_when_they_are_old,
);

fn notice(bed: &Bed, seq: Seq, to: Audience) -> Arc<Notice> {
    let text = format!("number {seq}");
    Arc::new(testing::notice(
        seq,
        "call_sheet",
        text,
        to,
        bed.store.now(),
    ))
}

fn decided(
    notice: &Arc<Notice>,
    user: &User,
    outcome: Outcome,
    until: Option<DateTime<Utc>>,
) -> Decided {
    Decided {
        notice: notice.clone(),
        user_id: user.id,
        decision: Decision {
            outcome,
            rule: Rule::Default,
            counted: matches!(outcome, Outcome::Sent | Outcome::Deferred),
            until,
        },
    }
}

async fn write(
    bed: &Bed,
    from: Position,
    to: Position,
    decided: Vec<Decided>,
) -> Option<Vec<Notification>> {
    let batch = Batch {
        from,
        to,
        decided,
        lease: lease(bed),
    };
    NotificationSink::write(&bed.store, batch).await.unwrap()
}

fn lease(bed: &Bed) -> DateTime<Utc> {
    bed.store.now() + TimeDelta::seconds(15)
}

async fn pushed(bed: &Bed, rows: &[Notification], lease: DateTime<Utc>) {
    let ids = rows.iter().map(|row| row.id).collect();
    bed.store.pushed(ids, lease).await.unwrap();
}

/// One entry after the other, each with these decisions. What they send is pushed.
async fn entry(bed: &Bed, seq: Seq, all: Vec<Decided>) -> Vec<Notification> {
    let (place, lease) = (Position::after, lease(bed));
    let rows = write(bed, place(seq - 1), place(seq), all).await.unwrap();
    pushed(bed, &rows, lease).await;
    rows
}

async fn rows(bed: &Bed, user: &User) -> Vec<Notification> {
    list(&bed.store, user.id, &Filter::default(), 100, None)
        .await
        .unwrap()
        .rows
}

async fn a_notice_is_written_in_parts_and_each_part_once(bed: Bed) {
    let (ada, bob) = (
        bed.user("Ada", Role::Viewer, None).await,
        bed.user("Bob", Role::Viewer, None).await,
    );
    let one = notice(&bed, 1, Audience::users(vec![ada.id, bob.id]));
    let part = |user: &User| Position {
        seq: 0,
        part: Some(user.id),
    };
    let sent = |user| vec![decided(&one, user, Outcome::Sent, None)];
    let start = Position::default();
    assert_eq!(
        write(&bed, start, part(&ada), sent(&ada))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(bed.store.position().await.unwrap(), part(&ada));
    assert!(write(&bed, start, part(&ada), sent(&ada)).await.is_none());
    assert!(
        write(&bed, part(&bob), Position::after(1), sent(&bob))
            .await
            .is_none()
    );
    let end = Position::after(1);
    assert_eq!(
        write(&bed, part(&ada), end, sent(&bob))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(bed.store.position().await.unwrap(), end);
    // Somebody set the place back by hand, and a notification was deleted meanwhile.
    bed.sql("UPDATE cursors SET seq = 0 WHERE consumer = 'notifications'")
        .await;
    bed.sql("DELETE FROM notifications").await;
    let both = [sent(&ada), sent(&bob)].concat();
    assert_eq!(write(&bed, start, end, both).await.unwrap().len(), 0);
    assert_eq!(rows(&bed, &ada).await.len(), 0, "what is gone stays gone");
}

async fn recipients_come_page_by_page_with_what_they_prefer(bed: Bed) {
    let mut ids = Vec::new();
    for number in 0..7 {
        let team = (number % 2 == 0).then_some("north");
        ids.push(
            bed.user(&format!("User {number}"), Role::Viewer, team)
                .await
                .id,
        );
    }
    ids.sort_unstable();
    let patch = PreferencesPatch {
        hourly_limit: Some(Some(7)),
        ..PreferencesPatch::default()
    };
    preferences::change(&bed.store, ids[1], patch, By::nobody())
        .await
        .unwrap();
    for to in [
        Audience::all(),
        Audience::role(Role::Viewer),
        Audience::users(ids.clone()),
        Audience {
            team: Some("north".into()),
            ..Audience::users(ids.clone())
        },
    ] {
        let one = notice(&bed, 1, to);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = bed.store.recipients(one.clone(), after, 3).await.unwrap();
            found.extend(
                page.iter()
                    .map(|one| (one.user_id, one.preferences.hourly_limit)),
            );
            after = page.last().map(|last| last.user_id);
            if page.len() < 3 {
                break;
            }
        }
        let limit = |id: Uuid| (id == ids[1]).then_some(7);
        assert_eq!(
            found,
            ids.iter().map(|id| (*id, limit(*id))).collect::<Vec<_>>()
        );
    }
}

async fn what_counts_is_counted_by_its_hour(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    let bob = bed.user("Bob", Role::Viewer, None).await;
    let hour = Hour::of(bed.store.now());
    let outcomes = [
        Outcome::Sent,
        Outcome::Seen,
        Outcome::Muted,
        Outcome::Expired,
        Outcome::Folded,
        Outcome::Deferred,
    ];
    for (seq, outcome) in (1..).zip(outcomes) {
        let one = notice(&bed, seq, Audience::user(ada.id));
        entry(&bed, seq, vec![decided(&one, &ada, outcome, None)]).await;
    }
    bed.clock.advance(std::time::Duration::from_secs(3_600));
    let one = notice(&bed, 7, Audience::user(ada.id));
    entry(&bed, 7, vec![decided(&one, &ada, Outcome::Sent, None)]).await;
    let count = async |hour| bed.store.counts(hour, vec![ada.id, bob.id]).await.unwrap();
    assert_eq!(count(hour).await, [(ada.id, 2)]);
    assert_eq!(count(Hour::of(hour.end())).await, [(ada.id, 1)]);
    assert_eq!(
        count(Hour::of(hour.start() - TimeDelta::hours(1))).await,
        []
    );
}

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

async fn everybody_is_accounted_for_once_and_the_folds_add_up(bed: Bed) {
    let mut users = Vec::new();
    for number in 0..4 {
        users.push(
            bed.user(&format!("User {number}"), Role::Viewer, None)
                .await,
        );
    }
    let other = bed.another().await;
    let mut dice = Dice(7);
    let mut expected: BTreeMap<(Seq, Uuid), Outcome> = BTreeMap::new();
    let mut seq = 0;
    for _ in 0..60 {
        let mut all = Vec::new();
        let after = seq;
        for _ in 0..=dice.roll(3) {
            seq += 1;
            let one = notice(&bed, seq, Audience::all());
            for user in &users {
                let outcome = [
                    Outcome::Folded,
                    Outcome::Folded,
                    Outcome::Sent,
                    Outcome::Muted,
                    Outcome::Seen,
                ][dice.roll(5)];
                all.push(decided(&one, user, outcome, None));
                expected.insert((seq, user.id), outcome);
            }
        }
        // Both nodes have the same in hand, and one of them asks again.
        let batch = Batch {
            from: Position::after(after),
            to: Position::after(seq),
            decided: all,
            lease: lease(&bed),
        };
        let written = join_all([
            NotificationSink::write(&bed.store, batch.clone()),
            NotificationSink::write(&other, batch.clone()),
            NotificationSink::write(&bed.store, batch),
        ])
        .await;
        let written: Vec<_> = written.into_iter().map(Result::unwrap).collect();
        assert_eq!(written.iter().flatten().count(), 1, "one of them wrote it");
        if dice.roll(6) == 0 {
            bed.clock.advance(std::time::Duration::from_secs(1_200));
        }
        if dice.roll(4) == 0 {
            let user = &users[dice.roll(users.len())];
            let filter = Filter {
                kind: Some(FOLDED.into()),
                read: Some(false),
            };
            let folds = list(&bed.store, user.id, &filter, 1, None).await.unwrap();
            for fold in folds.rows {
                read(&bed.store, user.id, fold.id).await.unwrap();
            }
        }
    }
    for user in &users {
        let of = |outcome| {
            expected
                .iter()
                .filter(|((_, id), one)| *id == user.id && **one == outcome)
                .count() as u64
        };
        let mut counts = BTreeMap::new();
        let (mut folded, mut unread_folds) = (0, BTreeSet::new());
        for row in rows(&bed, user).await {
            if row.kind == FOLDED {
                folded += row.data["count"].as_u64().unwrap();
                assert!(row.read_at.is_some() || unread_folds.insert(Hour::of(row.created_at)));
            } else {
                let seen = row.read_at.is_some();
                *counts
                    .entry(if seen { Outcome::Seen } else { Outcome::Sent })
                    .or_insert(0) += 1;
            }
        }
        assert_eq!(folded, of(Outcome::Folded));
        for outcome in [Outcome::Sent, Outcome::Seen] {
            assert_eq!(
                counts.get(&outcome).copied().unwrap_or(0),
                of(outcome),
                "{outcome}"
            );
        }
    }
    for ((seq, user), outcome) in expected {
        let found = decisions::find(&bed.store, seq, user)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.outcome, outcome);
        assert_eq!(found.notification_id.is_some(), outcome != Outcome::Muted);
    }
    other.close().await;
}

async fn a_push_that_waits_is_taken_by_one_when_it_is_due(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    let hour = TimeDelta::hours(1);
    let until = bed.store.now() + hour;
    for seq in 1..=40 {
        let one = notice(&bed, seq, Audience::user(ada.id));
        let pushed = entry(
            &bed,
            seq,
            vec![decided(&one, &ada, Outcome::Deferred, Some(until))],
        )
        .await;
        assert!(pushed.is_empty());
    }
    assert_eq!(bed.store.next_due().await.unwrap(), Some(until));
    let until_then = lease(&bed);
    assert!(bed.store.due(100, until_then).await.unwrap().is_empty());
    bed.clock.advance(hour.to_std().unwrap());
    let (other, lease) = (bed.another().await, lease(&bed));
    let mut taken = Vec::new();
    for _ in 0..3 {
        let both = [&bed.store, &other].map(|store| store.due(7, lease));
        for some in join_all(both).await {
            taken.extend(some.unwrap());
        }
    }
    // On PostgreSQL one may have passed over what the other had locked.
    while let Some(more) =
        Some(bed.store.due(7, lease).await.unwrap()).filter(|more| !more.is_empty())
    {
        taken.extend(more);
    }
    let unread = bed.store.unread(vec![ada.id]).await.unwrap();
    assert_eq!(unread, [(ada.id, 40)]);
    let ids: BTreeSet<_> = taken.iter().map(|row| row.id).collect();
    assert_eq!((ids.len(), taken.len()), (40, 40));
    assert_eq!(bed.store.next_due().await.unwrap(), Some(lease));
    pushed(&bed, &taken, lease).await;
    assert_eq!(bed.store.next_due().await.unwrap(), None);
    other.close().await;
}

async fn what_is_sent_is_due_again_until_it_is_noted_as_pushed(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    let one = notice(&bed, 1, Audience::user(ada.id));
    let sent = vec![decided(&one, &ada, Outcome::Sent, None)];
    let (place, first) = (Position::after, lease(&bed));
    let rows = write(&bed, place(0), place(1), sent).await.unwrap();
    assert_eq!(bed.store.next_due().await.unwrap(), Some(first));
    assert!(bed.store.due(100, first).await.unwrap().is_empty());
    // Whoever wrote it was killed before it could push it.
    bed.clock.advance(std::time::Duration::from_secs(15));
    let second = lease(&bed);
    let due = bed.store.due(100, second).await.unwrap();
    assert_eq!((due.len(), due[0].id), (1, rows[0].id));
    assert!(bed.store.due(100, second).await.unwrap().is_empty());
    pushed(&bed, &due, first).await;
    let next = bed.store.next_due().await.unwrap();
    assert_eq!(next, Some(second), "the first has lost its lease");
    pushed(&bed, &due, second).await;
    assert_eq!(bed.store.next_due().await.unwrap(), None);
}

async fn what_is_due_waits_on_if_it_is_quiet_by_then_and_says_so(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    // It is 08:00 by UTC.
    let (now, hour) = (bed.store.now(), TimeDelta::hours(1));
    for (seq, urgent) in [(1, false), (2, true)] {
        let mut one = (*notice(&bed, seq, Audience::user(ada.id))).clone();
        if urgent {
            one.draft.priority = Priority::Urgent;
        }
        let one = Arc::new(one);
        let deferred = vec![decided(&one, &ada, Outcome::Deferred, Some(now + hour))];
        entry(&bed, seq, deferred).await;
    }
    // Nobody was there when it was due; now it is quiet again.
    preferences::change(&bed.store, ada.id, quiet("10:00", "12:00"), By::nobody())
        .await
        .unwrap();
    bed.sql(&format!(
        "UPDATE notifications SET push_at = {}",
        (now + hour).timestamp_micros()
    ))
    .await;
    bed.clock.advance(std::time::Duration::from_secs(3 * 3_600));
    let until = (now + hour * 4).trunc_subsecs(0);
    let taken = lease(&bed);
    let due = bed.store.due(100, taken).await.unwrap();
    let seqs: Vec<_> = due.iter().map(|row| row.event_seq).collect();
    assert_eq!(seqs, [Some(2)], "urgent is urgent");
    pushed(&bed, &due, taken).await;
    assert_eq!(bed.store.next_due().await.unwrap(), Some(until));
    let found = decisions::find(&bed.store, 1, ada.id).await.unwrap();
    assert_eq!(found.unwrap().until, Some(until));
    bed.clock.advance(std::time::Duration::from_secs(3_600));
    let due = bed.store.due(100, lease(&bed)).await.unwrap();
    assert_eq!(due.len(), 1);
}

async fn a_fold_that_grows_is_due_again_with_what_came_since(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    let (place, first) = (Position::after, lease(&bed));
    let folded = async |seq: Seq, until| {
        let one = notice(&bed, seq, Audience::user(ada.id));
        let all = vec![decided(&one, &ada, Outcome::Folded, until)];
        write(&bed, place(seq - 1), place(seq), all).await.unwrap()
    };
    let begun = folded(1, None).await;
    // It grows while it is being pushed: that push does not count for what came now.
    assert!(folded(2, None).await.is_empty());
    pushed(&bed, &begun, first).await;
    let grown = bed.store.now() + GROWTH;
    assert_eq!(bed.store.next_due().await.unwrap(), Some(grown));
    bed.clock.advance(std::time::Duration::from_secs(1));
    folded(3, None).await;
    let next = bed.store.next_due().await.unwrap().unwrap();
    assert!(grown - next <= TimeDelta::microseconds(1), "no later");
    bed.clock.advance(std::time::Duration::from_secs(2));
    let taken = lease(&bed);
    let due = bed.store.due(100, taken).await.unwrap();
    assert_eq!((due.len(), due[0].id), (1, begun[0].id));
    assert_eq!(due[0].data["count"], 3);
    pushed(&bed, &due, taken).await;
    assert_eq!(bed.store.next_due().await.unwrap(), None);
    // In quiet hours it waits for their end.
    let until = bed.store.now() + TimeDelta::hours(2);
    folded(4, Some(until)).await;
    assert_eq!(bed.store.next_due().await.unwrap(), Some(until));
}

async fn what_was_read_or_has_expired_or_is_a_disabled_users_is_not_pushed_later(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    let gone = bed.user("Gone", Role::Viewer, None).await;
    let now = bed.store.now();
    let until = Some(now + TimeDelta::hours(1));
    let both = Audience::users(vec![ada.id, gone.id]);
    for seq in 1..=3 {
        let mut one = (*notice(&bed, seq, both.clone())).clone();
        one.draft.expires_at = (seq == 2).then(|| now + TimeDelta::minutes(5));
        let one = Arc::new(one);
        let all = vec![
            decided(&one, &ada, Outcome::Deferred, until),
            decided(&one, &gone, Outcome::Deferred, until),
        ];
        entry(&bed, seq, all).await;
    }
    let first = rows(&bed, &ada)
        .await
        .into_iter()
        .find(|row| row.event_seq == Some(1));
    read(&bed.store, ada.id, first.unwrap().id).await.unwrap();
    let disable = UserPatch {
        disabled: Some(true),
        ..UserPatch::default()
    };
    users::update(&bed.store, gone.id, disable, By::nobody())
        .await
        .unwrap();
    bed.clock.advance(std::time::Duration::from_secs(3_600));
    let lease = lease(&bed);
    let due = bed.store.due(100, lease).await.unwrap();
    pushed(&bed, &due, lease).await;
    let due: Vec<_> = due.iter().map(|row| (row.user_id, row.event_seq)).collect();
    assert_eq!(due, [(ada.id, Some(3))]);
    assert_eq!(
        bed.store.next_due().await.unwrap(),
        None,
        "the others wait no more"
    );
}

async fn changes_of_preferences_at_the_same_time_are_all_kept(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    let change = |number: usize| {
        let types = BTreeMap::from([(format!("t{number}"), Some(false))]);
        let patch = PreferencesPatch {
            types: Some(Some(types)),
            ..PreferencesPatch::default()
        };
        preferences::change(&bed.store, ada.id, patch, By::nobody())
    };
    for changed in join_all((0..20).map(change)).await {
        assert!(changed.unwrap().1.is_some());
    }
    let held = preferences::get(&bed.store, ada.id).await.unwrap();
    assert_eq!(held.types.len(), 20);
    let (_, entry) = change(3).await.unwrap();
    assert!(entry.is_none(), "it changes nothing");
}

fn quiet(start: &str, end: &str) -> PreferencesPatch {
    PreferencesPatch {
        quiet_hours: Some(Some(QuietPatch {
            start: Some(start.parse().unwrap()),
            end: Some(end.parse().unwrap()),
            time_zone: Some("UTC".parse().unwrap()),
            days: None,
        })),
        ..PreferencesPatch::default()
    }
}

async fn preferences_go_on_the_record_and_move_what_waits(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    let half = PreferencesPatch {
        quiet_hours: Some(Some(QuietPatch::default())),
        ..PreferencesPatch::default()
    };
    let refused = preferences::change(&bed.store, ada.id, half, By::nobody()).await;
    assert!(matches!(
        refused,
        Err(StoreError::Invalid {
            field: "quiet_hours",
            ..
        })
    ));
    // It is 08:00 by UTC.
    let (held, entry_) =
        preferences::change(&bed.store, ada.id, quiet("07:00", "10:00"), By::nobody())
            .await
            .unwrap();
    let data: serde_json::Value = serde_json::from_str(entry_.unwrap().data.get()).unwrap();
    assert_eq!(
        data["changes"]["quiet_hours"]["old"],
        serde_json::Value::Null
    );
    assert_eq!(data["changes"]["quiet_hours"]["new"]["end"], "10:00");
    let now = bed.store.now();
    let until = held.quiet_hours.unwrap().until(now).unwrap();
    let one = notice(&bed, 1, Audience::user(ada.id));
    entry(
        &bed,
        1,
        vec![decided(&one, &ada, Outcome::Deferred, Some(until))],
    )
    .await;
    let next = async || bed.store.next_due().await.unwrap();
    assert_eq!(next().await, Some(until));
    preferences::change(&bed.store, ada.id, quiet("07:00", "09:00"), By::nobody())
        .await
        .unwrap();
    let sooner = until - TimeDelta::hours(1);
    assert_eq!(next().await, Some(sooner));
    let found = decisions::find(&bed.store, 1, ada.id).await.unwrap();
    assert_eq!(
        found.unwrap().until,
        Some(sooner),
        "who asks why is told so"
    );
    preferences::change(&bed.store, ada.id, quiet("20:00", "21:00"), By::nobody())
        .await
        .unwrap();
    assert_eq!(next().await, Some(now));
}

async fn decisions_are_removed_when_they_are_old(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    for seq in 1..=6 {
        let one = notice(&bed, seq, Audience::user(ada.id));
        entry(&bed, seq, vec![decided(&one, &ada, Outcome::Sent, None)]).await;
        bed.clock.advance(std::time::Duration::from_secs(60));
    }
    let before = bed.store.now() - TimeDelta::seconds(150);
    assert_eq!(decisions::prune(&bed.store, before).await, Ok(4));
    for seq in 1..=6 {
        let found = decisions::find(&bed.store, seq, ada.id).await.unwrap();
        assert_eq!(found.is_some(), seq > 4);
    }
    assert_eq!(decisions::prune(&bed.store, before).await, Ok(0));
}
