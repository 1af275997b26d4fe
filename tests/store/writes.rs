//! What a write promises: all or nothing, whatever happens to those beside it and to whoever asked for it.

use std::sync::Arc;

use callboard::store::episodes::{Change, Expected};
use callboard::store::{Store, StoreError, episodes, record};
use callboard_actors::model::episode::{Episode, Fields};
use callboard_actors::model::identity::{Origin, UserRef};
use callboard_actors::model::record::{Entry, Seq};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use crate::bed::{Bed, Kind, change, entry, fields};

on_both!(
    a_failing_job_leaves_nothing_and_does_not_disturb_its_group,
    a_refusal_is_not_answered_before_what_it_is_because_of_can_be_read,
    changes_that_go_together_do_not_disturb_each_other,
    a_row_that_somebody_holds_holds_up_nobody_else,
    a_write_whose_request_is_dropped_is_done_all_the_same,
    what_was_handed_in_before_the_close_is_done_and_nothing_after,
    connections_that_the_server_closed_cost_no_request,
    what_refers_to_nobody_is_refused,
    a_store_tells_whether_it_is_healthy,
    a_database_that_cannot_be_opened_says_so_without_its_password,
    migrating_again_changes_nothing,
);

async fn put(store: &Store, id: Uuid) -> Result<Arc<Entry>, StoreError> {
    let appended = store
        .write(move |tx| Box::pin(async move { tx.append(entry(id)) }))
        .await?;
    Ok(appended.entry())
}

async fn ids(store: &Store) -> Vec<Uuid> {
    let entries = record::after(store, 0, 1000).await.unwrap();
    entries.iter().map(|entry| entry.id).collect()
}

/// A statement that fails the second time.
const KEEP: &str = "INSERT INTO cursors (consumer, seq) VALUES ('x', 0)";
const COUNT: &str = "UPDATE cursors SET seq = seq + 1 WHERE consumer = 'activity'";

/// Holds the writer up, so that what is handed in meanwhile becomes one group.
async fn held_up(store: &Store) -> (Arc<Notify>, tokio::task::JoinHandle<()>) {
    let (begun, has_begun) = oneshot::channel();
    let go = Arc::new(Notify::new());
    let (store, held) = (store.clone(), go.clone());
    let task = tokio::spawn(async move {
        let done = store.write(move |_| {
            Box::pin(async move {
                begun.send(()).unwrap();
                held.notified().await;
                Ok(())
            })
        });
        done.await.unwrap();
    });
    has_begun.await.unwrap();
    (go, task)
}

async fn a_failing_job_leaves_nothing_and_does_not_disturb_its_group(bed: Bed) {
    let store = &bed.store;
    put(store, Uuid::now_v7()).await.unwrap();
    for round in 0..3 {
        let (go, holder) = held_up(store).await;
        let mut good = Vec::new();
        let (mut fine, mut failing) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            let id = Uuid::now_v7();
            good.push(id);
            let (one, two, three, four) =
                (store.clone(), store.clone(), store.clone(), store.clone());
            fine.push(tokio::spawn(async move {
                let appended = one.write(move |tx| {
                    Box::pin(async move {
                        tx.execute(COUNT).await?;
                        tx.append(entry(id))
                    })
                });
                Ok::<_, StoreError>(appended.await?.entry())
            }));
            // Fails after it wrote.
            failing.push(tokio::spawn(async move {
                let wrong = two.write::<(), _>(|tx| {
                    Box::pin(async move {
                        tx.execute(KEEP).await?;
                        tx.append(entry(Uuid::now_v7()))?;
                        Err(StoreError::NotFound)
                    })
                });
                assert_eq!(wrong.await, Err(StoreError::NotFound));
            }));
            // Panics after it wrote.
            failing.push(tokio::spawn(async move {
                let wrong = three.write::<(), _>(|tx| {
                    Box::pin(async move {
                        tx.execute(KEEP).await?;
                        tx.append(entry(Uuid::now_v7()))?;
                        panic!("a job that panics, on purpose");
                    })
                });
                assert_eq!(wrong.await, Err(StoreError::Panicked));
            }));
            // Writes, has a statement fail, and looks away.
            failing.push(tokio::spawn(async move {
                let wrong = four.write(move |tx| {
                    Box::pin(async move {
                        tx.append(entry(Uuid::now_v7()))?;
                        tx.execute(KEEP).await?;
                        let _ = tx.execute(KEEP).await;
                        Ok(())
                    })
                });
                let outcome = wrong.await;
                assert!(
                    matches!(outcome, Err(StoreError::Unavailable(_))),
                    "{outcome:?}"
                );
            }));
        }
        // Handed in before the writer goes on: on SQLite they are in its queue then.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        holder.await.unwrap();
        for outcome in join_all(failing).await {
            outcome.unwrap();
        }
        let mut seqs: Vec<Seq> = Vec::new();
        for outcome in join_all(fine).await {
            seqs.push(outcome.unwrap().unwrap().seq);
        }
        seqs.sort_unstable();
        let first = round * 10 + 2;
        assert_eq!(
            seqs,
            (first..first + 10).collect::<Vec<_>>(),
            "without a gap"
        );
        let there = ids(store).await;
        assert_eq!(there.len(), 1 + 10 * (round as usize + 1));
        assert!(good.iter().all(|id| there.contains(id)));
        let counted = "SELECT seq FROM cursors WHERE consumer = 'activity'";
        assert_eq!(bed.count(counted).await, 10 * (round as i64 + 1));
        assert_eq!(
            bed.count("SELECT COUNT(*) FROM cursors WHERE consumer = 'x'")
                .await,
            0
        );
    }
    assert!(record::verify(store).await.unwrap().is_sound());
}

async fn a_write_whose_request_is_dropped_is_done_all_the_same(bed: Bed) {
    let store = bed.another().await;
    let (begun, has_begun) = oneshot::channel();
    let go = Arc::new(Notify::new());
    let (held, id) = (go.clone(), Uuid::now_v7());
    let asking = store.clone();
    let request = tokio::spawn(async move {
        let write = asking.write(move |tx| {
            Box::pin(async move {
                begun.send(()).unwrap();
                held.notified().await;
                tx.append(entry(id))
            })
        });
        let _ = write.await;
    });
    has_begun.await.unwrap();
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    go.notify_one();
    store.close().await;
    assert_eq!(ids(&bed.store).await, [id]);
}

async fn what_was_handed_in_before_the_close_is_done_and_nothing_after(bed: Bed) {
    let store = bed.another().await;
    let (go, holder) = held_up(&store).await;
    // PostgreSQL: no connection is free, so that the write has to wait for one.
    let taken = match bed.kind {
        Kind::Postgres => join_all((0..31).map(|_| store.read())).await,
        Kind::Sqlite => Vec::new(),
    };
    assert!(taken.iter().all(Result::is_ok));
    let id = Uuid::now_v7();
    let before = store.clone();
    let (handed, is_handed) = oneshot::channel();
    let before = tokio::spawn(async move {
        let mut write = Box::pin(put(&before, id));
        // Polled once, it is handed in.
        assert!((&mut write).now_or_never().is_none());
        handed.send(()).unwrap();
        write.await
    });
    is_handed.await.unwrap();
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    drop(taken);
    go.notify_one();
    holder.await.unwrap();
    before.await.unwrap().unwrap();
    closing.await.unwrap();
    let after = put(&store, Uuid::now_v7()).await;
    assert!(
        matches!(after, Err(StoreError::Unavailable(_))),
        "{after:?}"
    );
    assert!(store.healthy().await.is_err());
    store.close().await;
    assert_eq!(ids(&bed.store).await, [id]);
}

async fn connections_that_the_server_closed_cost_no_request(bed: Bed) {
    for _ in 0..3 {
        drop(join_all((0..8).map(|_| bed.store.read())).await);
        if bed.kind == Kind::Postgres {
            bed.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await;
        }
        let writes = join_all((0..4).map(|_| put(&bed.store, Uuid::now_v7())));
        let reads = join_all((0..4).map(|_| bed.store.healthy()));
        let (writes, reads) = tokio::join!(writes, reads);
        for outcome in writes {
            outcome.unwrap();
        }
        for outcome in reads {
            outcome.unwrap();
        }
    }
}

async fn what_refers_to_nobody_is_refused(bed: Bed) {
    let nobody = UserRef {
        id: Uuid::now_v7(),
        name: "Nobody".into(),
    };
    let refused = episodes::insert(&bed.store, fields("x", 1), nobody, Origin::default()).await;
    let code = "unknown_reference";
    assert_eq!(refused.unwrap_err(), StoreError::Conflict { code });
    assert!(ids(&bed.store).await.is_empty());
}

async fn a_store_tells_whether_it_is_healthy(bed: Bed) {
    assert_eq!(bed.store.healthy().await, Ok(()));
    bed.sql("ALTER TABLE record_head RENAME TO away").await;
    assert!(bed.store.healthy().await.is_err());
    bed.sql("ALTER TABLE away RENAME TO record_head").await;
    assert_eq!(bed.store.healthy().await, Ok(()));
}

async fn a_database_that_cannot_be_opened_says_so_without_its_password(bed: Bed) {
    let urls: Vec<String> = match bed.kind {
        Kind::Postgres => {
            let (_, server) = bed.url.rsplit_once('@').unwrap();
            vec![
                format!("postgres://somebody:s3cret@{server}"),
                "postgres://somebody:s3cret@127.0.0.1:notaport/nowhere".into(),
            ]
        }
        Kind::Sqlite => [
            "mysql://somebody:s3cret@127.0.0.1/nowhere",
            "s3cret",
            "",
            "sqlite::memory:",
            "sqlite:///dev/null/x.db",
            "sqlite://x.db?mode=memory",
            "sqlite://x.db?unknown=1",
        ]
        .map(Into::into)
        .into(),
    };
    for url in urls {
        let error = Store::open(&url, bed.clock.clone()).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("s3cret"), "{text}");
    }
    assert!(!format!("{:?}", bed.store).contains("://"));
}

async fn migrating_again_changes_nothing(bed: Bed) {
    put(&bed.store, Uuid::now_v7()).await.unwrap();
    bed.store.migrate().await.unwrap();
    bed.another().await.migrate().await.unwrap();
    assert_eq!(ids(&bed.store).await.len(), 1);
}

async fn a_refusal_is_not_answered_before_what_it_is_because_of_can_be_read(bed: Bed) {
    for _ in 0..20 {
        bed.sql("DELETE FROM cursors WHERE consumer = 'x'").await;
        let id = Uuid::now_v7();
        let (go, holder) = held_up(&bed.store).await;
        let writers = [(); 2].map(|()| {
            let store = bed.store.clone();
            tokio::spawn(async move {
                let write = store.write(move |tx| {
                    Box::pin(async move {
                        tx.execute(KEEP).await?;
                        tx.append(entry(id))
                    })
                });
                let kept = write.await.is_ok();
                assert!(
                    kept || ids(&store).await.contains(&id),
                    "refused because of nothing"
                );
                kept
            })
        });
        go.notify_one();
        holder.await.unwrap();
        let kept = join_all(writers).await;
        let kept = kept.into_iter().filter(|kept| *kept.as_ref().unwrap());
        assert_eq!(kept.count(), 1);
    }
}

async fn changes_that_go_together_do_not_disturb_each_other(bed: Bed) {
    let who = bed.editor().await;
    let store = &bed.store;
    let mut seen = Vec::new();
    for number in 0..12 {
        let made = episodes::insert(store, fields("x", number), who.clone(), Origin::default());
        seen.push(made.await.unwrap().0);
    }
    let start = record::span(store).await.unwrap().last;
    let (go, holder) = held_up(store).await;
    let edit = |episode: &Episode, number: Option<i64>, expected: Expected| {
        let (store, seen) = (store.clone(), episode.clone());
        let change = Change {
            expected,
            ..change(&who)
        };
        tokio::spawn(async move {
            let edit = move |fields: &mut Fields| {
                fields.title.push('y');
                fields.episode_number = number.unwrap_or(fields.episode_number);
            };
            let changed = episodes::update(&store, seen, change, edit).await;
            changed.map(|(episode, entry)| (episode.version, entry.unwrap().seq))
        })
    };
    let any = Expected::Any;
    let fine: Vec<_> = seen[..9]
        .iter()
        .map(|seen| edit(seen, None, any.clone()))
        .collect();
    // The second change of an episode begins with what the first one left.
    let again: Vec<_> = seen[..3]
        .iter()
        .map(|seen| edit(seen, None, any.clone()))
        .collect();
    let taken = edit(&seen[9], Some(8), any.clone());
    let stale = edit(&seen[10], None, Expected::OneOf(vec![7]));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    holder.await.unwrap();
    let code = "episode_number_taken";
    assert_eq!(taken.await.unwrap(), Err(StoreError::Conflict { code }));
    let current = 1;
    assert_eq!(
        stale.await.unwrap(),
        Err(StoreError::Precondition { current })
    );
    let mut seqs = Vec::new();
    for done in join_all(fine.into_iter().chain(again)).await {
        seqs.push(done.unwrap().unwrap().1);
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (start + 1..=start + 12).collect::<Vec<_>>());
    for (place, seen) in seen.iter().enumerate() {
        let now = episodes::get(store, seen.id).await.unwrap();
        let (version, title) = match place {
            0..3 => (3, "xyy"),
            3..9 => (2, "xy"),
            _ => (1, "x"),
        };
        assert_eq!(
            (now.version, &*now.fields.title),
            (version, title),
            "{place}"
        );
    }
    assert!(record::verify(store).await.unwrap().is_sound());
}

async fn a_row_that_somebody_holds_holds_up_nobody_else(bed: Bed) {
    // SQLite has no locks on rows.
    if bed.kind == Kind::Sqlite {
        return;
    }
    let who = bed.editor().await;
    let store = &bed.store;
    let mut seen = Vec::new();
    for number in 0..3 {
        let made = episodes::insert(store, fields("x", number), who.clone(), Origin::default());
        seen.push(made.await.unwrap().0);
    }
    let (locked, is_locked) = oneshot::channel();
    let go = Arc::new(Notify::new());
    let (other, hold) = (bed.another().await, go.clone());
    let holder = tokio::spawn(async move {
        let held = other.write(move |tx| {
            Box::pin(async move {
                tx.execute("UPDATE episodes SET season = 9 WHERE episode_number = 1")
                    .await?;
                locked.send(()).unwrap();
                hold.notified().await;
                Ok(())
            })
        });
        held.await.unwrap();
        other.close().await;
    });
    is_locked.await.unwrap();
    let title = |fields: &mut Fields| fields.title = "y".into();
    let mut edits = seen.into_iter().map(|seen| {
        let (store, change) = (store.clone(), change(&who));
        tokio::spawn(async move { episodes::update(&store, seen, change, title).await })
    });
    let (first, held, last) = (edits.next(), edits.next(), edits.next());
    for free in [first, last] {
        assert_eq!(free.unwrap().await.unwrap().unwrap().0.version, 2);
    }
    go.notify_one();
    holder.await.unwrap();
    let (changed, _) = held.unwrap().await.unwrap().unwrap();
    assert_eq!((changed.version, changed.fields.season), (2, Some(9)));
    assert!(record::verify(store).await.unwrap().is_sound());
}
