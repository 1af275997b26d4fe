//! Notifications: for whom, once each, and how many are unread.

use callboard::store::notifications::{Filter, list, unread_count};
use callboard::store::users::{self, UserPatch};
use callboard::store::{By, StoreError};
use callboard_actors::model::identity::{Role, User};
use callboard_actors::model::notice::{Audience, Notice};
use callboard_actors::model::notification::{Notification, Priority};
use callboard_actors::model::record::Seq;
use callboard_actors::ports::NotificationSink;
use callboard_actors::testing::{self, store_notices};
use serde_json::json;
use uuid::Uuid;

use crate::bed::Bed;

on_both!(
    a_notice_reaches_those_it_is_for_and_nobody_else,
    a_notice_is_stored_once_for_each_recipient_however_often_it_is_handed_in,
    two_notifiers_on_one_record_store_each_notification_once,
    while_the_table_is_away_nothing_is_lost,
    what_is_stored_is_listed_newest_first_with_its_filters,
);

fn notice(bed: &Bed, seq: Seq, to: Audience, except: Option<Uuid>) -> Notice {
    let mut made = testing::notice(
        seq,
        "episode_created",
        format!("number {seq}"),
        to,
        bed.store.now(),
    );
    made.except = except;
    made.draft.data.insert("n".into(), json!(seq));
    made
}

async fn write(bed: &Bed, after: Seq, notices: Vec<Notice>) -> (Seq, Vec<(Notification, u64)>) {
    let upto = notices.last().map_or(after + 1, |notice| notice.seq);
    store_notices(&bed.store, after, upto, notices)
        .await
        .unwrap()
}

async fn mine(bed: &Bed, user: &User) -> Vec<Notification> {
    list(&bed.store, user.id, &Filter::default(), 100, None)
        .await
        .unwrap()
        .rows
}

async fn a_notice_reaches_those_it_is_for_and_nobody_else(bed: Bed) {
    let ada = bed.user("Ada", Role::Admin, Some("north")).await;
    let alan = bed.user("Alan", Role::Admin, None).await;
    let gone = bed.user("Gone", Role::Admin, Some("north")).await;
    let ed = bed.user("Ed", Role::Editor, Some("north")).await;
    let disable = UserPatch {
        disabled: Some(true),
        ..UserPatch::default()
    };
    users::update(&bed.store, gone.id, disable, By::nobody())
        .await
        .unwrap();
    let (admins, team) = (Audience::role(Role::Admin), Audience::team("north"));
    let cases = [
        (admins.clone(), None, vec![&ada, &alan]),
        (admins, Some(ada.id), vec![&alan]),
        (team.clone(), None, vec![&ada, &ed]),
        (team, Some(ed.id), vec![&ada]),
        (Audience::team("south"), None, vec![]),
        (Audience::user(ed.id), None, vec![&ed]),
        (Audience::user(ed.id), Some(ed.id), vec![]),
        (Audience::user(gone.id), None, vec![]),
        (Audience::user(Uuid::now_v7()), None, vec![]),
    ];
    for (seq, (to, except, expected)) in (1..).zip(cases) {
        let (cursor, stored) = write(&bed, seq - 1, vec![notice(&bed, seq, to, except)]).await;
        assert_eq!(cursor, seq);
        let mut reached: Vec<_> = stored.iter().map(|(one, _)| one.user_id).collect();
        reached.sort_unstable();
        let mut expected: Vec<_> = expected.iter().map(|user| user.id).collect();
        expected.sort_unstable();
        assert_eq!(reached, expected, "notice {seq}");
    }
    assert_eq!(mine(&bed, &ada).await.len(), 3);
    assert_eq!(unread_count(&bed.store, ada.id).await, Ok(3));
    assert_eq!(unread_count(&bed.store, gone.id).await, Ok(0));
}

async fn a_notice_is_stored_once_for_each_recipient_however_often_it_is_handed_in(bed: Bed) {
    let ada = bed.user("Ada", Role::Admin, None).await;
    let to = || Audience::user(ada.id);
    let one = notice(&bed, 1, to(), None);
    // Two notices of one entry for one user: one notification.
    let batch = vec![one.clone(), one.clone(), notice(&bed, 3, to(), None)];
    let (cursor, stored) = write(&bed, 0, batch.clone()).await;
    assert_eq!((cursor, stored.len()), (3, 2));
    assert!(stored.iter().all(|(_, unread)| *unread == 2));
    let (first, _) = &stored[0];
    assert_eq!(
        (&*first.kind, &*first.message, first.event_seq),
        ("episode_created", "number 1", Some(1))
    );
    assert_eq!(
        (&first.data, first.priority),
        (&json!({"n": 1}), Priority::Normal)
    );
    assert_eq!((first.created_at, first.read_at), (bed.store.now(), None));

    let (cursor, stored) = write(&bed, 0, batch).await;
    assert_eq!(
        (cursor, stored.len()),
        (3, 0),
        "the cursor stands elsewhere"
    );
    // Somebody set the cursor back by hand.
    bed.sql("UPDATE cursors SET seq = 0 WHERE consumer = 'notifications'")
        .await;
    let (cursor, stored) = write(&bed, 0, vec![one]).await;
    assert_eq!((cursor, stored.len()), (1, 0));
    assert_eq!(mine(&bed, &ada).await.len(), 2);
    assert_eq!(bed.store.position().await.unwrap().seq, 1);
}

async fn two_notifiers_on_one_record_store_each_notification_once(bed: Bed) {
    let ada = bed.user("Ada", Role::Admin, None).await;
    let other = bed.another().await;
    let notifiers = [bed.store.clone(), other.clone()].map(|store| {
        let (bed, to) = (bed.clone(), Audience::user(ada.id));
        tokio::spawn(async move {
            let mut pushed = 0;
            let mut cursor = 0;
            while cursor < 60 {
                let notices = vec![notice(&bed, cursor + 1, to.clone(), None)];
                let upto = cursor + 1;
                let done = store_notices(&store, cursor, upto, notices).await;
                let (now, stored) = done.unwrap();
                pushed += stored.len();
                cursor = now;
            }
            pushed
        })
    });
    let mut pushed = 0;
    for notifier in notifiers {
        pushed += notifier.await.unwrap();
    }
    assert_eq!(pushed, 60, "each is pushed by whoever stored it");
    assert_eq!(unread_count(&bed.store, ada.id).await, Ok(60));
    other.close().await;
}

async fn while_the_table_is_away_nothing_is_lost(bed: Bed) {
    let ada = bed.user("Ada", Role::Admin, None).await;
    let notices = vec![notice(&bed, 1, Audience::user(ada.id), None)];
    bed.sql("ALTER TABLE notifications RENAME TO away").await;
    let failed = store_notices(&bed.store, 0, 1, notices.clone()).await;
    assert!(failed.is_err());
    assert_eq!(bed.store.position().await.unwrap().seq, 0);
    bed.sql("ALTER TABLE away RENAME TO notifications").await;
    assert_eq!(write(&bed, 0, notices).await.1.len(), 1);
}

async fn what_is_stored_is_listed_newest_first_with_its_filters(bed: Bed) {
    let ada = bed.user("Ada", Role::Admin, None).await;
    let notices = (1..=5).map(|seq| notice(&bed, seq, Audience::user(ada.id), None));
    write(&bed, 0, notices.collect()).await;
    bed.sql("UPDATE notifications SET read_at = created_at WHERE event_seq IN (1, 4)")
        .await;
    bed.sql("UPDATE notifications SET type = 'other' WHERE event_seq = 2")
        .await;
    bed.sql("UPDATE notifications SET expires_at = created_at WHERE event_seq = 3")
        .await;
    let seqs = async |filter: &Filter, cursor: Option<&str>| {
        let page = list(&bed.store, ada.id, filter, 2, cursor).await.unwrap();
        let seqs: Vec<_> = page.rows.iter().filter_map(|row| row.event_seq).collect();
        (seqs, page.next_cursor)
    };
    let all = Filter::default();
    let (first, cursor) = seqs(&all, None).await;
    assert_eq!(first, [5, 4], "3 has expired");
    assert_eq!(seqs(&all, cursor.as_deref()).await, (vec![2, 1], None));
    let with = |kind: Option<&str>, read| Filter {
        kind: kind.map(Into::into),
        read,
    };
    assert_eq!(seqs(&with(None, Some(true)), None).await.0, [4, 1]);
    assert_eq!(seqs(&with(None, Some(false)), None).await.0, [5, 2]);
    assert_eq!(seqs(&with(Some("other"), None), None).await.0, [2]);
    assert_eq!(unread_count(&bed.store, ada.id).await, Ok(2));

    let somebody = Uuid::now_v7();
    let refused = list(&bed.store, somebody, &all, 2, cursor.as_deref()).await;
    assert!(matches!(
        refused,
        Err(StoreError::Invalid {
            field: "cursor",
            ..
        })
    ));
}
