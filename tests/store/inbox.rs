//! What a user does with notifications, and what becomes of those that grow old.

use callboard::store::notifications::{
    Filter, delete, delivered, find, list, prune, read, read_all, unread_count,
};
use callboard_actors::model::identity::{Role, User};
use callboard_actors::model::notice::Audience;
use callboard_actors::model::notification::Notification;
use callboard_actors::ports::NotificationSink;
use callboard_actors::testing::{notice, store_notices};
use chrono::TimeDelta;
use futures_util::future::join_all;
use uuid::Uuid;

use crate::bed::{Bed, Kind};

on_both!(
    what_is_read_stays_read_since_the_first_time,
    another_users_notification_is_not_there,
    one_that_has_expired_is_not_there,
    all_are_read_at_once_and_nobody_elses,
    the_first_arrival_counts,
    many_arrive_at_once,
    what_is_old_or_has_expired_is_removed_however_much_it_is,
    the_unread_ones_are_counted_from_an_index,
);

/// So many notifications of the user, the oldest first.
async fn some(bed: &Bed, user: &User, count: u64) -> Vec<Notification> {
    let after = bed.store.position().await.unwrap().seq;
    let notices = (after + 1..=after + count).map(|seq| {
        let (to, at) = (Audience::user(user.id), bed.store.now());
        notice(seq, "episode_created", format!("number {seq}"), to, at)
    });
    let written = store_notices(&bed.store, after, after + count, notices.collect());
    written
        .await
        .unwrap()
        .1
        .into_iter()
        .map(|(row, _)| row)
        .collect()
}

async fn there(bed: &Bed, user: &User) -> usize {
    let page = list(&bed.store, user.id, &Filter::default(), 100, None).await;
    page.unwrap().rows.len()
}

async fn what_is_read_stays_read_since_the_first_time(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    let one = &some(&bed, &ada, 2).await[0];
    assert_eq!(unread_count(&bed.store, ada.id).await, Ok(2));
    let at = bed.store.now();
    let (row, news) = read(&bed.store, ada.id, one.id).await.unwrap().unwrap();
    assert_eq!((row.read_at, news), (Some(at), true));
    bed.clock.advance(std::time::Duration::from_secs(60));
    let (row, news) = read(&bed.store, ada.id, one.id).await.unwrap().unwrap();
    assert_eq!((row.read_at, news), (Some(at), false));
    let found = find(&bed.store, ada.id, one.id).await.unwrap().unwrap();
    assert_eq!(found.read_at, Some(at));
    assert_eq!(unread_count(&bed.store, ada.id).await, Ok(1));
}

async fn another_users_notification_is_not_there(bed: Bed) {
    let (ada, bob) = (
        bed.user("Ada", Role::Viewer, None).await,
        bed.user("Bob", Role::Admin, None).await,
    );
    let id = some(&bed, &ada, 1).await[0].id;
    assert!(find(&bed.store, bob.id, id).await.unwrap().is_none());
    assert!(read(&bed.store, bob.id, id).await.unwrap().is_none());
    assert_eq!(delete(&bed.store, bob.id, id).await, Ok(None));
    assert_eq!(delivered(&bed.store, bob.id, id).await, Ok(false));
    assert_eq!(read_all(&bed.store, bob.id).await, Ok(0));
    let mine = find(&bed.store, ada.id, id).await.unwrap().unwrap();
    assert_eq!((mine.read_at, mine.delivered_at), (None, None));
    // Nor is one that was never there.
    assert_eq!(delete(&bed.store, ada.id, Uuid::now_v7()).await, Ok(None));
    assert_eq!(delete(&bed.store, ada.id, id).await, Ok(Some(true)));
    assert_eq!(delete(&bed.store, ada.id, id).await, Ok(None));
}

async fn one_that_has_expired_is_not_there(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    let id = some(&bed, &ada, 1).await[0].id;
    bed.sql("UPDATE notifications SET expires_at = created_at")
        .await;
    assert!(find(&bed.store, ada.id, id).await.unwrap().is_none());
    assert!(read(&bed.store, ada.id, id).await.unwrap().is_none());
    assert_eq!(read_all(&bed.store, ada.id).await, Ok(0));
    assert_eq!(delete(&bed.store, ada.id, id).await, Ok(None));
    assert_eq!(unread_count(&bed.store, ada.id).await, Ok(0));
}

async fn all_are_read_at_once_and_nobody_elses(bed: Bed) {
    let (ada, bob) = (
        bed.user("Ada", Role::Viewer, None).await,
        bed.user("Bob", Role::Viewer, None).await,
    );
    let before = some(&bed, &ada, 1).await[0].id;
    let (row, _) = read(&bed.store, ada.id, before).await.unwrap().unwrap();
    bed.clock.advance(std::time::Duration::from_secs(60));
    some(&bed, &ada, 4).await;
    some(&bed, &bob, 3).await;
    assert_eq!(read_all(&bed.store, ada.id).await, Ok(4));
    assert_eq!(read_all(&bed.store, ada.id).await, Ok(0));
    assert_eq!(unread_count(&bed.store, ada.id).await, Ok(0));
    assert_eq!(unread_count(&bed.store, bob.id).await, Ok(3));
    let again = find(&bed.store, ada.id, before).await.unwrap().unwrap();
    assert_eq!(again.read_at, row.read_at, "it had been read before");
    // All or none: a table that refuses one keeps all unread.
    some(&bed, &ada, 3).await;
    bed.sql(
        "CREATE UNIQUE INDEX refuses ON notifications (user_id, read_at)
         WHERE message IN ('number 9', 'number 11') AND read_at IS NOT NULL",
    )
    .await;
    assert!(read_all(&bed.store, ada.id).await.is_err());
    assert_eq!(unread_count(&bed.store, ada.id).await, Ok(3));
}

async fn the_first_arrival_counts(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    let id = some(&bed, &ada, 1).await[0].id;
    let at = bed.store.now();
    assert_eq!(delivered(&bed.store, ada.id, id).await, Ok(true));
    bed.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(delivered(&bed.store, ada.id, id).await, Ok(true));
    let row = find(&bed.store, ada.id, id).await.unwrap().unwrap();
    assert_eq!((row.delivered_at, row.read_at), (Some(at), None));
    assert_eq!(
        delivered(&bed.store, ada.id, Uuid::now_v7()).await,
        Ok(false)
    );
}

async fn many_arrive_at_once(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    let rows = some(&bed, &ada, 300).await;
    // Each at two sockets, and some that nobody sent.
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let strange: Vec<_> = (0..20).map(|_| Uuid::now_v7()).collect();
    let asked = ids.iter().chain(&ids).chain(&strange);
    let told = join_all(asked.map(|id| delivered(&bed.store, ada.id, *id))).await;
    let told: Vec<bool> = told.into_iter().map(Result::unwrap).collect();
    let expected = std::iter::repeat_n(true, 600).chain(std::iter::repeat_n(false, 20));
    assert_eq!(told, expected.collect::<Vec<_>>());
    let page = list(&bed.store, ada.id, &Filter::default(), 100, None).await;
    assert!(
        page.unwrap()
            .rows
            .iter()
            .all(|row| row.delivered_at.is_some())
    );
}

async fn what_is_old_or_has_expired_is_removed_however_much_it_is(bed: Bed) {
    let (ada, bob) = (
        bed.user("Ada", Role::Viewer, None).await,
        bed.user("Bob", Role::Viewer, None).await,
    );
    // More than one statement removes.
    some(&bed, &ada, 2_500).await;
    bed.clock.advance(std::time::Duration::from_secs(86_400));
    let kept = some(&bed, &ada, 3).await;
    some(&bed, &bob, 2).await;
    let (soon, now) = (kept[1].id, bed.store.now());
    bed.sql(&format!(
        "UPDATE notifications SET expires_at = {} WHERE message = '{}'",
        (now + TimeDelta::hours(1)).timestamp_micros(),
        kept[1].message
    ))
    .await;
    let removed = prune(&bed.store, now - TimeDelta::days(2)).await;
    assert_eq!(removed, Ok(0), "nothing is so old");
    let removed = prune(&bed.store, now - TimeDelta::hours(12)).await;
    assert_eq!(removed, Ok(2_500));
    assert_eq!((there(&bed, &ada).await, there(&bed, &bob).await), (3, 2));
    assert!(find(&bed.store, ada.id, soon).await.unwrap().is_some());
    bed.clock.advance(std::time::Duration::from_secs(3_600));
    let removed = prune(&bed.store, now - TimeDelta::hours(12)).await;
    assert_eq!(removed, Ok(1), "it has expired");
    assert_eq!((there(&bed, &ada).await, there(&bed, &bob).await), (2, 2));
}

async fn the_unread_ones_are_counted_from_an_index(bed: Bed) {
    let ada = bed.user("Ada", Role::Viewer, None).await;
    some(&bed, &ada, 5).await;
    let user = match bed.kind {
        Kind::Sqlite => "x'00'",
        Kind::Postgres => "'00000000-0000-0000-0000-000000000000'::uuid",
    };
    let plan = bed
        .plan(&format!(
            "SELECT COUNT(*) FROM notifications
             WHERE user_id = {user} AND read_at IS NULL AND (expires_at IS NULL OR expires_at > 7)"
        ))
        .await;
    let wanted = match bed.kind {
        Kind::Sqlite => "USING COVERING INDEX notifications_unread",
        Kind::Postgres => "Index Only Scan using notifications_unread",
    };
    assert!(plan.contains(wanted), "{plan}");
}
