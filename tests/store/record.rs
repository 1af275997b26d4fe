//! The Record: gapless, in commit order, verified, pruned from its beginning.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use callboard::store::cursors::Consumer;
use callboard::store::{episodes, record};
use callboard_actors::model::identity::Origin;
use callboard_actors::model::record::{Seq, Span};
use callboard_actors::ports::{ActivitySink, NotificationSink};
use callboard_actors::testing::store_notices;
use futures_util::future::join_all;
use uuid::Uuid;

use crate::bed::{Bed, Kind, entry, fields};

on_both!(
    fifty_writers_at_once_leave_no_gap_and_no_reader_sees_a_number_before_a_smaller_one,
    of_an_empty_record_nothing_was_read,
    a_hole_made_by_hand_is_found,
    a_beginning_that_was_taken_by_hand_is_found_and_stays_found,
    nodes_that_prune_at_once_leave_no_hole,
    an_entry_that_cannot_be_read_is_found,
    retention_removes_from_the_beginning_what_everybody_has_passed,
    a_consumer_that_does_not_run_begins_again_with_what_is_left,
);

const WRITERS: i64 = 50;
const WRITES: i64 = 12;

async fn fifty_writers_at_once_leave_no_gap_and_no_reader_sees_a_number_before_a_smaller_one(
    bed: Bed,
) {
    let who = bed.editor().await;
    let start = record::span(&bed.store).await.unwrap().last;
    // On PostgreSQL half of the writers, and one of the readers, are on another node.
    let other = match bed.kind {
        Kind::Postgres => bed.another().await,
        Kind::Sqlite => bed.store.clone(),
    };
    let over = Arc::new(AtomicBool::new(false));
    let readers = [bed.store.clone(), other.clone()].map(|store| {
        let over = over.clone();
        tokio::spawn(async move {
            let (mut cursor, mut polls) = (start, 0_u64);
            loop {
                let last_look = over.load(Ordering::SeqCst);
                for entry in record::after(&store, cursor, 1000).await.unwrap() {
                    assert_eq!(entry.seq, cursor + 1, "a number came before a smaller one");
                    cursor = entry.seq;
                }
                polls += 1;
                if last_look {
                    return (cursor, polls);
                }
                tokio::task::yield_now().await;
            }
        })
    });
    let writers = (0..WRITERS).map(|writer| {
        let store = if writer % 2 == 0 {
            bed.store.clone()
        } else {
            other.clone()
        };
        let who = who.clone();
        tokio::spawn(async move {
            let mut seqs = Vec::new();
            for write in 0..WRITES {
                let fields = fields("x", writer * WRITES + write);
                let (episode, entry) =
                    episodes::insert(&store, fields, who.clone(), Origin::default())
                        .await
                        .unwrap();
                // What was answered can be read, by number and by id.
                let read = record::after(&store, entry.seq - 1, 1).await.unwrap();
                assert_eq!((read[0].seq, read[0].id), (entry.seq, entry.id));
                assert_eq!(
                    read[0].resource.as_ref().unwrap().id,
                    episode.id.to_string()
                );
                seqs.push(entry.seq);
            }
            assert!(seqs.is_sorted(), "one after the other");
            seqs
        })
    });
    let mut seqs: Vec<Seq> = Vec::new();
    for writer in join_all(writers).await {
        seqs.extend(writer.unwrap());
    }
    over.store(true, Ordering::SeqCst);
    let end = start + (WRITERS * WRITES) as u64;
    for reader in readers {
        let (reached, polls) = reader.await.unwrap();
        assert_eq!(reached, end);
        assert!(polls > 10, "the reader hardly looked: {polls}");
    }
    assert_eq!(seqs.iter().collect::<HashSet<_>>().len(), seqs.len());
    seqs.sort_unstable();
    assert_eq!(seqs, (start + 1..=end).collect::<Vec<_>>());
    let found = record::verify(&bed.store).await.unwrap();
    assert!(found.is_sound(), "{found:?}");
    assert_eq!(
        (found.count, found.first, found.last, found.head),
        (end, 1, end, end)
    );
    other.close().await;
}

async fn put(bed: &Bed, count: u64) {
    let write = bed.store.write(move |tx| {
        Box::pin(async move {
            for _ in 0..count {
                tx.append(entry(Uuid::now_v7()))?;
            }
            Ok(())
        })
    });
    write.await.unwrap();
}

async fn of_an_empty_record_nothing_was_read(bed: Bed) {
    let found = record::verify(&bed.store).await.unwrap();
    assert_eq!((found.count, found.missing), (0, 0));
    assert_eq!(
        record::span(&bed.store).await.unwrap(),
        Span { first: 0, last: 0 }
    );
}

async fn a_hole_made_by_hand_is_found(bed: Bed) {
    put(&bed, 12).await;
    assert!(record::verify(&bed.store).await.unwrap().is_sound());
    bed.sql("DELETE FROM record WHERE seq IN (4, 5, 9, 12)")
        .await;
    let found = record::verify(&bed.store).await.unwrap();
    assert!(!found.is_sound());
    assert_eq!(found.gaps, [(4, 5), (9, 9), (12, 12)]);
    assert_eq!(
        (
            found.count,
            found.missing,
            found.first,
            found.last,
            found.head
        ),
        (8, 4, 1, 11, 12)
    );
}

async fn a_beginning_that_was_taken_by_hand_is_found_and_stays_found(bed: Bed) {
    let store = &bed.store;
    put(&bed, 12).await;
    let later = store.now() + chrono::TimeDelta::hours(1);
    let verify = async || record::verify(store).await.unwrap();
    assert_eq!(record::prune(store, later, 3, &[]).await, Ok(3));
    let found = verify().await;
    assert!(found.is_sound(), "{found:?}");
    assert_eq!((found.first, found.count), (4, 9));
    bed.sql("DELETE FROM record WHERE seq <= 5").await;
    assert_eq!(verify().await.gaps, [(4, 5)]);
    // What is removed behind it does not hide it, nor that there is nothing left.
    assert_eq!(record::prune(store, later, 8, &[]).await, Ok(3));
    assert_eq!(verify().await.gaps, [(4, 8)]);
    assert_eq!(record::prune(store, later, Seq::MAX, &[]).await, Ok(4));
    assert_eq!(verify().await.gaps, [(4, 12)]);
    // Until it was looked into.
    record::accept(store).await.unwrap();
    assert!(verify().await.is_sound());
    put(&bed, 4).await;
    assert!(verify().await.is_sound());
    // A hole further on is not hidden either.
    bed.sql("DELETE FROM record WHERE seq = 14").await;
    assert_eq!(record::prune(store, later, 15, &[]).await, Ok(2));
    assert_eq!(verify().await.gaps, [(13, 15)]);
    bed.sql("DELETE FROM record").await;
    assert_eq!(verify().await.gaps, [(13, 16)]);
}

async fn nodes_that_prune_at_once_leave_no_hole(bed: Bed) {
    put(&bed, 3_000).await;
    let other = bed.another().await;
    let later = bed.store.now() + chrono::TimeDelta::hours(1);
    let prune = |number: u64| {
        let store = if number < 2 { &bed.store } else { &other };
        record::prune(store, later, 700 * number, &[])
    };
    for done in join_all((0..5).map(prune)).await {
        done.unwrap();
    }
    let found = record::verify(&bed.store).await.unwrap();
    assert!(found.is_sound(), "{found:?}");
    assert_eq!(found.first, 2_801);
    other.close().await;
}

async fn an_entry_that_cannot_be_read_is_found(bed: Bed) {
    put(&bed, 5).await;
    bed.sql("UPDATE record SET data = '{' WHERE seq = 2").await;
    bed.sql("UPDATE record SET audience = '[\"/nowhere\"]' WHERE seq = 4")
        .await;
    let found = record::verify(&bed.store).await.unwrap();
    assert_eq!(found.unreadable, [2, 4]);
    assert!(!found.is_sound() && found.missing == 0);
}

async fn retention_removes_from_the_beginning_what_everybody_has_passed(bed: Bed) {
    let store = &bed.store;
    put(&bed, 6).await;
    bed.clock.advance(Duration::from_secs(3600));
    // The entries' own time is what counts; see `entry`.
    bed.sql("UPDATE record SET at = at + 3600000000 WHERE seq IN (3, 5, 6)")
        .await;
    let hour_ago = store.now() - chrono::TimeDelta::minutes(30);
    let span = async || record::span(store).await.unwrap();
    let all = Consumer::ALL;
    // Nobody has come anywhere.
    assert_eq!(
        record::prune(store, store.now(), Seq::MAX, &all).await,
        Ok(0)
    );
    let entries = record::after(store, 0, 10).await.unwrap();
    ActivitySink::write(store, entries[..1].to_vec())
        .await
        .unwrap();
    store_notices(store, 0, 5, Vec::new()).await.unwrap();
    // The activity has come to 1.
    assert_eq!(record::prune(store, hour_ago, Seq::MAX, &all).await, Ok(1));
    assert_eq!(span().await, Span { first: 2, last: 6 });
    ActivitySink::write(store, entries[1..].to_vec())
        .await
        .unwrap();
    // 3 is young, so that 4 stays, old as it is; and `keep_after` holds 2 back at first.
    assert_eq!(record::prune(store, hour_ago, 1, &all).await, Ok(0));
    assert_eq!(record::prune(store, hour_ago, Seq::MAX, &all).await, Ok(1));
    assert_eq!(span().await, Span { first: 3, last: 6 });
    assert!(record::verify(store).await.unwrap().is_sound());
    // Everything is old; the notifications have come to 5.
    let later = store.now() + chrono::TimeDelta::hours(1);
    assert_eq!(record::prune(store, later, Seq::MAX, &all).await, Ok(3));
    store_notices(store, 5, 6, Vec::new()).await.unwrap();
    assert_eq!(record::prune(store, later, Seq::MAX, &all).await, Ok(1));
    assert_eq!(span().await, Span { first: 0, last: 6 });
    assert!(record::verify(store).await.unwrap().is_sound());
    put(&bed, 1).await;
    assert_eq!(span().await, Span { first: 7, last: 7 });
    assert!(record::verify(store).await.unwrap().is_sound());
}

async fn a_consumer_that_does_not_run_begins_again_with_what_is_left(bed: Bed) {
    let store = &bed.store;
    put(&bed, 2_500).await;
    let cursors = async || {
        (
            ActivitySink::cursor(store).await.unwrap(),
            store.position().await.unwrap().seq,
        )
    };
    store_notices(store, 0, 2_300, Vec::new()).await.unwrap();
    let later = store.now() + chrono::TimeDelta::hours(1);
    let removed = record::prune(store, later, 2_400, &[Consumer::Notifications]).await;
    assert_eq!(removed, Ok(2_300), "over several batches");
    assert_eq!(cursors().await, (2_300, 2_300));
    let removed = record::prune(store, later, Seq::MAX, &[]).await;
    assert_eq!(removed, Ok(200));
    assert_eq!(cursors().await, (2_500, 2_500));
}
