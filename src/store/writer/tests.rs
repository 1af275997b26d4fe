//! A group holds together in its commit alone: whatever fails, and wherever, disturbs nobody else.

use std::path::PathBuf;
use std::sync::Arc;

use callboard_actors::model::identity::Origin;
use callboard_actors::model::record::Seq;
use callboard_actors::runtime::Clock;
use futures_util::future::join_all;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use super::super::{Store, record};
use super::*;

/// A store on a file of its own, removed afterwards.
async fn with_store<F: Future<Output = ()>>(test: impl FnOnce(Store) -> F) {
    with_file(|store, _| test(store)).await;
}

async fn with_file<F: Future<Output = ()>>(test: impl FnOnce(Store, PathBuf) -> F) {
    let folder = std::env::temp_dir().join(format!("callboard_writer_{}", Uuid::now_v7()));
    let file = folder.join("test.db");
    let url = format!("sqlite://{}", file.display());
    let store = Store::open(&url, Clock::system()).await.unwrap();
    store.migrate().await.unwrap();
    test(store.clone(), file).await;
    store.close().await;
    std::fs::remove_dir_all(folder).unwrap();
}

async fn failure(store: &Store, account: i64) -> Result<()> {
    store
        .write(move |tx| {
            async move {
                sql!(
                    tx,
                    "INSERT INTO login_failures (id, subject, at) VALUES ($1, $2, $3)",
                    Uuid::now_v7(), Vec::from(b"x"), account => execute
                )?;
                Ok(())
            }
            .boxed()
        })
        .await
}

async fn there(store: &Store) -> Vec<i64> {
    let mut conn = store.read().await.unwrap();
    let rows = sql!(&mut conn, "SELECT at FROM login_failures ORDER BY at" => all (i64,));
    rows.unwrap().into_iter().map(|(at,)| at).collect()
}

const ROW: Rows = Rows {
    sqlite: "INSERT INTO login_failures (id, subject, at)
             SELECT unhex(value->>'id'), x'78', value->>'at' FROM json_each($1) WHERE value->>'at' > 0",
    postgres: "",
};

/// A row, and its entry. `false`: the statement concerned no row.
async fn put(store: &Store, id: Uuid, at: i64) -> Result<Option<Seq>> {
    let row = format!(r#"{{"id":"{}","at":{at}}}"#, id.simple());
    let entry = NewEntry {
        id: Uuid::now_v7(),
        at: store.now(),
        event: "custom".into(),
        actor: None,
        resource: None,
        audience: Vec::new(),
        data: to_raw_value(&at).unwrap(),
        origin: Origin::default(),
    };
    let put = store.put(ROW, row, entry, None).await?;
    Ok(put.map(|entry| entry.seq))
}

#[tokio::test]
async fn of_rows_that_go_together_one_that_fails_leaves_nothing_and_takes_no_number() {
    with_store(|store| async move {
        let twice = Uuid::now_v7();
        // On this one thread all are queued before the writer takes the first.
        let (one, first, second, none, two, work, three) = tokio::join!(
            put(&store, Uuid::now_v7(), 1),
            put(&store, twice, 2),
            put(&store, twice, 98),
            put(&store, Uuid::now_v7(), 0),
            put(&store, Uuid::now_v7(), 3),
            failure(&store, 4),
            put(&store, Uuid::now_v7(), 5),
        );
        assert_eq!([one, first, two], [Ok(Some(1)), Ok(Some(2)), Ok(Some(3))]);
        assert!(
            matches!(second, Err(StoreError::Unavailable(_))),
            "{second:?}"
        );
        assert_eq!(none, Ok(None));
        assert_eq!((work, three), (Ok(()), Ok(Some(4))));
        assert_eq!(there(&store).await, [1, 2, 3, 4, 5]);
        let entries = record::after(&store, 0, 10).await.unwrap();
        let data: Vec<_> = entries.iter().map(|entry| entry.data.get()).collect();
        assert_eq!(data, ["1", "2", "3", "5"]);
    })
    .await;
}

#[tokio::test]
async fn of_rows_that_go_together_one_that_concerns_nothing_gets_no_entry() {
    with_store(|store| async move {
        let (one, none, two) = tokio::join!(
            put(&store, Uuid::now_v7(), 1),
            put(&store, Uuid::now_v7(), 0),
            put(&store, Uuid::now_v7(), 2),
        );
        assert_eq!([one, none, two], [Ok(Some(1)), Ok(None), Ok(Some(2))]);
        assert_eq!(there(&store).await, [1, 2]);
        assert_eq!(record::span(&store).await.unwrap().last, 2);
    })
    .await;
}

#[tokio::test]
async fn if_the_commit_fails_no_row_and_no_entry_of_the_group_is_there() {
    with_store(|store| async move {
        let (one, spoilt, two) = tokio::join!(
            put(&store, Uuid::now_v7(), 1),
            spoil_the_commit(&store),
            put(&store, Uuid::now_v7(), 2)
        );
        for outcome in [one.map(|_| ()), spoilt, two.map(|_| ())] {
            assert!(
                matches!(&outcome, Err(StoreError::Conflict { .. })),
                "{outcome:?}"
            );
        }
        assert!(there(&store).await.is_empty());
        assert_eq!(put(&store, Uuid::now_v7(), 3).await, Ok(Some(1)));
        assert_eq!(there(&store).await, [3]);
    })
    .await;
}

/// A row that refers to nobody, which SQLite is told to find out about at the commit only.
async fn spoil_the_commit(store: &Store) -> Result<()> {
    store
        .write(|tx| {
            async move {
                sql!(tx, "PRAGMA defer_foreign_keys = ON" => execute)?;
                sql!(
                    tx,
                    "INSERT INTO refresh_tokens (hash, family, user_id, created_at, expires_at)
                     VALUES ($1, $1, $1, 0, 0)",
                    Vec::from(b"nobody") => execute
                )?;
                Ok(())
            }
            .boxed()
        })
        .await
}

#[tokio::test]
async fn if_the_commit_fails_all_of_the_group_have_failed_and_the_next_group_is_well() {
    with_store(|store| async move {
        // On this one thread the three are queued before the writer takes the first.
        let (one, spoilt, two) = tokio::join!(
            failure(&store, 1),
            spoil_the_commit(&store),
            failure(&store, 2)
        );
        for outcome in [one, spoilt, two] {
            assert!(
                matches!(&outcome, Err(StoreError::Conflict { .. })),
                "{outcome:?}"
            );
        }
        assert!(there(&store).await.is_empty());
        assert_eq!(failure(&store, 3).await, Ok(()));
        assert_eq!(there(&store).await, [3]);
    })
    .await;
}

/// What a change was told, by its name.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(&'static str, &'static str)>>>);

struct Change(&'static str, Told);

impl super::Change for Change {
    fn begin(&mut self) {
        self.1.0.lock().unwrap().push((self.0, "begins"));
    }

    fn committed(&mut self) {
        self.1.0.lock().unwrap().push((self.0, "committed"));
    }
}

impl Told {
    /// A job that makes it, and comes to this end.
    async fn change(&self, store: &Store, name: &'static str, end: Result<()>) -> Result<()> {
        let change = Box::new(Change(name, self.clone()));
        store
            .write(|tx| {
                async move {
                    sql!(
                        tx,
                        "INSERT INTO login_failures (id, subject, at) VALUES ($1, $1, 1)",
                        Uuid::now_v7() => execute
                    )?;
                    tx.change(Some(change));
                    end
                }
                .boxed()
            })
            .await
    }

    fn take(&self) -> Vec<(&'static str, &'static str)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn a_change_is_told_that_its_commit_begins_and_that_it_was_made_if_it_was() {
    with_store(|store| async move {
        let told = Told::default();
        // The first that is undone has no savepoint, the second one has.
        let (first, one, second, two) = tokio::join!(
            told.change(&store, "undone", Err(StoreError::NotFound)),
            told.change(&store, "one", Ok(())),
            told.change(&store, "undone", Err(StoreError::NotFound)),
            told.change(&store, "two", Ok(())),
        );
        assert_eq!(
            [first, second],
            [Err(StoreError::NotFound), Err(StoreError::NotFound)]
        );
        assert_eq!([one, two], [Ok(()), Ok(())]);
        let all = [
            ("one", "begins"),
            ("two", "begins"),
            ("one", "committed"),
            ("two", "committed"),
        ];
        assert_eq!(told.take(), all);
        let (lost, spoilt) = tokio::join!(
            told.change(&store, "lost", Ok(())),
            spoil_the_commit(&store)
        );
        assert!(lost.is_err() && spoilt.is_err());
        assert_eq!(told.take(), [("lost", "begins")]);
        assert_eq!(told.change(&store, "next", Ok(())).await, Ok(()));
        assert_eq!(told.take(), [("next", "begins"), ("next", "committed")]);
    })
    .await;
}

/// Writes more than the file may hold, and goes on as if nothing were amiss.
async fn overflow(store: &Store) -> Result<()> {
    store
        .write(|tx| {
            async move {
                // A connection's own limit, and a lost group takes its connection along.
                sql!(tx, "PRAGMA max_page_count = 200" => all (i64,))?;
                let _ = sql!(
                    tx,
                    "INSERT INTO login_failures (id, subject, at) VALUES ($1, zeroblob(4000000), 99)",
                    Uuid::now_v7() => execute
                );
                let _ = sql!(
                    tx,
                    "INSERT INTO login_failures (id, subject, at) VALUES ($1, $1, 98)",
                    Uuid::now_v7() => execute
                );
                Ok(())
            }
            .boxed()
        })
        .await
}

#[tokio::test]
async fn when_the_disk_is_full_what_was_answered_is_what_is_there() {
    with_store(|store| async move {
        let row = async |at| put(&store, Uuid::now_v7(), at).await.map(|_| ());
        let (one, full, two, again, three) = tokio::join!(
            row(1),
            overflow(&store),
            row(2),
            overflow(&store),
            failure(&store, 3),
        );
        for full in [full, again] {
            assert!(
                matches!(&full, Err(StoreError::Unavailable(text)) if text.contains("full")),
                "{full:?}"
            );
        }
        let expected: Vec<i64> = (1..)
            .zip([one, two, three])
            .filter(|(_, outcome)| outcome.is_ok())
            .map(|(at, _)| at)
            .collect();
        assert_eq!(there(&store).await, expected);
        let entries = record::after(&store, 0, 10).await.unwrap();
        let rows = expected.iter().filter(|at| **at < 3).count();
        assert_eq!(entries.len(), rows);
        assert_eq!(failure(&store, 4).await, Ok(()));
    })
    .await;
}

#[tokio::test]
async fn a_group_has_a_bound_and_more_jobs_than_it_holds_are_all_done() {
    with_store(|store| async move {
        let jobs = i64::try_from(GROUP).unwrap() * 3 + 1;
        let done = join_all((0..jobs).map(|at| failure(&store, at))).await;
        assert!(done.iter().all(Result::is_ok));
        assert_eq!(there(&store).await, (0..jobs).collect::<Vec<_>>());
    })
    .await;
}

/// Whether one who comes again after eight had shared a commit shares the next with the others, who come a moment later.
async fn are_in_step() -> bool {
    let (sender, result) = oneshot::channel();
    with_store(|store| async move {
        let commits = || store.0.timings.commits();
        // On this one thread all are queued before the writer takes the first.
        let write = |at| put(&store, Uuid::now_v7(), at);
        join_all((1..=8).map(write)).await;
        let before = commits();
        let others = async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            join_all((2..=8).map(write)).await;
        };
        let _ = tokio::join!(write(1), others);
        sender.send(commits() - before == 1).unwrap();
    })
    .await;
    result.await.unwrap()
}

#[tokio::test]
async fn those_who_shared_a_commit_are_waited_for() {
    // The others have a millisecond, in which a busy machine may not get to them.
    for _ in 0..20 {
        if are_in_step().await {
            return;
        }
    }
    panic!("whoever comes first has a commit of its own");
}

/// Changes every row.
async fn change_all(store: &Store, end: Result<()>) -> Result<()> {
    store
        .write(move |tx| {
            async move {
                sql!(tx, "UPDATE login_failures SET at = at + 1" => execute)?;
                end
            }
            .boxed()
        })
        .await
}

#[tokio::test]
async fn a_change_is_undone_or_made_though_what_undoes_it_is_large() {
    with_store(|store| async move {
        let fill = store.write(|tx| {
            async move {
                sql!(
                    tx,
                    "WITH RECURSIVE n (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM n WHERE at < 3000)
                     INSERT INTO login_failures (id, subject, at) SELECT randomblob(16), randomblob(3000), at FROM n"
                    => execute
                )?;
                Ok(())
            }
            .boxed()
        });
        assert_eq!(fill.await, Ok(()));
        // Within a savepoint, since somebody is before it.
        let (one, undone, made) = tokio::join!(
            failure(&store, 0),
            change_all(&store, Err(StoreError::NotFound)),
            change_all(&store, Ok(())),
        );
        assert_eq!([one, undone, made], [Ok(()), Err(StoreError::NotFound), Ok(())]);
        assert_eq!(there(&store).await, (1..=3001).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn thirty_pages_of_what_undoes_a_statement_are_kept() {
    with_store(|store| async move {
        let built = store
            .write(|tx| async { sql!(tx, "PRAGMA compile_options" => all (String,)) }.boxed())
            .await
            .unwrap();
        let spill = ("STMTJRNL_SPILL=123000".to_owned(),);
        assert!(built.contains(&spill), "{built:?}: see .cargo/config.toml");
    })
    .await;
}

#[tokio::test]
async fn sqlites_log_does_not_grow_however_long_it_is_written_to() {
    with_file(|store, file| async move {
        let table = "CREATE TABLE blobs (one INTEGER PRIMARY KEY, it BLOB)";
        let blob = "INSERT OR REPLACE INTO blobs VALUES (1, randomblob(50 * 4096))";
        store.write(|tx| tx.execute(table).boxed()).await.unwrap();
        // Two, so that somebody always waits.
        let write = async || {
            for _ in 0..200 {
                store.write(|tx| tx.execute(blob).boxed()).await.unwrap();
            }
        };
        tokio::join!(write(), write());
        let log = std::fs::metadata(file.with_extension("db-wal")).unwrap();
        let pages = log.len() / 4096;
        assert!(pages < 10_000, "of 20,000 written: {pages}");
    })
    .await;
}
