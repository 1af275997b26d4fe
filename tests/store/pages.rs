//! PostgreSQL: a page that joins another table reads that from where the page begins. When a table has been analysed and a
//! statement is planned for its arguments, it joins by merging: from the other table's beginning, if nothing says otherwise,
//! so that each page would cost more than the one before.

use std::sync::Arc;
use std::time::Duration;

use callboard::store::activity::verify::verify;
use callboard::store::{Store, record};
use callboard_actors::model::identity::Role;
use callboard_actors::model::notice::Audience;
use callboard_actors::ports::{ActivitySink, NotificationSink};
use callboard_actors::testing;
use uuid::Uuid;

use crate::bed::{Bed, Kind, entry, run};

/// Another store, to which tables are joined by merging, in the order of their keys: as they are when they are large.
async fn merging(bed: &Bed) -> Store {
    for way in ["nestloop", "hashjoin", "seqscan", "bitmapscan", "sort"] {
        let off = format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_{way} = off', current_database()); END $$"
        );
        bed.sql(&off).await;
    }
    bed.another().await
}

/// How many entries of the index were read by connections that are closed.
async fn read_of(bed: &Bed, index: &str) -> i64 {
    let query =
        format!("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = '{index}'");
    bed.count(&query).await
}

/// The same, more than `before` and with what `store` read, which is closed.
async fn read_by(bed: &Bed, store: Store, index: &str, before: i64, least: i64) -> i64 {
    store.close().await;
    // A connection that ends leaves its figures, a moment after it was closed here.
    let mut last = -1;
    for _ in 0..100 {
        let read = read_of(bed, index).await - before;
        if read >= least && read == last {
            return read;
        }
        last = read;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("only {last} of {least} were read of {index}");
}

#[test]
fn of_the_record_each_entry_is_read_once_when_the_history_is_verified() {
    const ROWS: i64 = 2_000;
    run(Kind::Postgres, |bed| async move {
        for _ in 0..ROWS / 500 {
            let put = bed.store.write(|tx| {
                Box::pin(async move {
                    for _ in 0..500 {
                        tx.append(entry(Uuid::now_v7()))?;
                    }
                    Ok(())
                })
            });
            put.await.unwrap();
            let cursor = ActivitySink::cursor(&bed.store).await.unwrap();
            let batch = record::after(&bed.store, cursor, 500).await.unwrap();
            ActivitySink::write(&bed.store, batch).await.unwrap();
        }
        let store = merging(&bed).await;
        let before = read_by(&bed, bed.store.clone(), "record_pkey", 0, 0).await;
        assert_eq!(verify(&store, None, &[]).await.unwrap().checked, 2_000);
        let read = read_by(&bed, store, "record_pkey", before, ROWS).await;
        assert!(read < 2 * ROWS, "{read}");
    });
}

#[test]
fn of_the_preferences_each_is_read_once_for_a_notice_to_everybody() {
    const USERS: i64 = 60;
    run(Kind::Postgres, |bed| async move {
        for number in 0..USERS {
            bed.user(&format!("User {number}"), Role::Viewer, None)
                .await;
        }
        bed.sql(
            "INSERT INTO notification_preferences (user_id, preferences, updated_at) SELECT id, '{}', 0 FROM users",
        )
        .await;
        let store = merging(&bed).await;
        let before = read_by(
            &bed,
            bed.store.clone(),
            "notification_preferences_pkey",
            0,
            0,
        )
        .await;
        let now = bed.store.now();
        let notice = testing::notice(1, "call_sheet", "All".into(), Audience::all(), now);
        let notice = Arc::new(notice);
        let (mut after, mut found) = (None, 0);
        loop {
            let page = store.recipients(notice.clone(), after, 5).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.user_id);
            found += page.len() as i64;
        }
        assert_eq!(found, USERS);
        let read = read_by(&bed, store, "notification_preferences_pkey", before, USERS).await;
        assert!(read < 3 * USERS, "{read}");
    });
}
