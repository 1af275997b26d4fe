//! The chain of the history: whatever is done to it behind the program's back is found, and what the program itself does is
//! not taken for it.

use std::sync::Arc;
use std::time::Duration;

use callboard::store::activity::head::{self, Place, Signing};
use callboard::store::activity::signer::Signer;
use callboard::store::activity::verify::{Checkpoint, Verification, verify};
use callboard::store::activity::{self, chain::Hash};
use callboard::store::cursors::Consumer;
use callboard::store::record;
use callboard_actors::model::identity::{Origin, UserRef};
use callboard_actors::model::record::{Resource, Seq};
use callboard_actors::ports::ActivitySink;
use serde_json::json;
use uuid::Uuid;

use crate::bed::{Bed, entry};

on_both!(
    a_history_that_nobody_touched_is_sound,
    what_is_not_chained_yet_is_counted_and_no_fault,
    a_change_of_any_column_is_found_at_its_row,
    a_row_removed_from_the_middle_is_found,
    a_row_put_in_is_found_wherever_it_is,
    two_rows_that_were_swapped_are_found,
    rows_cut_off_the_end_are_found,
    a_chain_worked_out_anew_lacks_the_signature_and_a_server_that_goes_on_does_not_give_it,
    an_older_end_put_back_is_found_by_the_checkpoint,
    an_end_without_a_signature_is_not_taken_for_a_new_beginning,
    a_cursor_that_went_back_is_noticed,
    what_was_done_to_the_record_is_found,
    what_retention_removed_is_no_fault_and_what_is_left_is_still_verified,
    retention_removes_in_batches_what_is_old_and_nothing_else,
    rows_from_before_the_chain_are_counted,
    what_was_not_written_while_the_history_was_off_is_no_fault,
    after_an_operator_has_looked_a_new_chain_begins,
    two_loggers_make_one_chain,
);

fn signer() -> Signer {
    Signer::new([7; 32])
}

/// From now on the bed's store signs, as a server's does.
fn sign(bed: &Bed) {
    let signing = Signing::new(signer(), false);
    bed.store.sign_with(Arc::new(signing));
}

async fn put(bed: &Bed, count: u64) {
    let who = UserRef {
        id: Uuid::now_v7(),
        name: "Ann".into(),
    };
    let write = bed.store.write(move |tx| {
        Box::pin(async move {
            for number in 0..count {
                let mut new = entry(Uuid::now_v7());
                new.event = "episode_updated".into();
                new.actor = Some(who.clone());
                new.resource = Some(Resource {
                    kind: "episode".into(),
                    id: number.to_string(),
                });
                let changes = json!({"title": {"old": "a", "new": "b\u{0}\u{1F600}"}});
                new.data =
                    serde_json::value::to_raw_value(&json!({"title": "T", "changes": changes}))
                        .unwrap();
                new.origin = Origin {
                    ip: Some("192.0.2.1".into()),
                    user_agent: Some("x".into()),
                    ..Origin::default()
                };
                tx.append(new)?;
            }
            Ok(())
        })
    });
    write.await.unwrap();
}

/// Has rows written, as the ActivityLogger does, in batches of seven.
async fn log(bed: &Bed) {
    loop {
        let cursor = ActivitySink::cursor(&bed.store).await.unwrap();
        let batch = record::after(&bed.store, cursor, 7).await.unwrap();
        if batch.is_empty() {
            return;
        }
        ActivitySink::write(&bed.store, batch).await.unwrap();
    }
}

async fn logged(bed: &Bed, count: u64) {
    sign(bed);
    put(bed, count).await;
    log(bed).await;
}

async fn walk(bed: &Bed, checkpoints: &[Checkpoint]) -> Verification {
    verify(&bed.store, Some(&signer()), checkpoints)
        .await
        .unwrap()
}

/// The first fault, of a history that has one.
async fn first_fault(bed: &Bed) -> (Seq, String) {
    let found = walk(bed, &[]).await;
    let first = found.faults.first().unwrap_or_else(|| panic!("{found:?}"));
    (first.seq, first.why.clone())
}

/// Where the chain ends now, as it is written into the book.
async fn checkpoint(bed: &Bed) -> Checkpoint {
    let mut conn = bed.store.read().await.unwrap();
    let head = head::Head::read(&mut conn).await.unwrap().unwrap();
    Checkpoint {
        place: head.last,
        source: "the book".into(),
    }
}

async fn a_history_that_nobody_touched_is_sound(bed: Bed) {
    let empty = walk(&bed, &[]).await;
    assert!(empty.is_sound() && empty.checked == 0, "{empty:?}");
    logged(&bed, 1_100).await;
    let mid = checkpoint(&bed).await;
    put(&bed, 20).await;
    log(&bed).await;
    let found = walk(&bed, &[mid, checkpoint(&bed).await]).await;
    assert!(found.is_sound() && found.signed, "{found:?}");
    assert_eq!((found.checked, found.first, found.last), (1_120, 1, 1_120));
    assert_eq!((found.compared, found.checkpoints), (1_120, 2));
    assert_eq!((found.waiting, found.before), (0, 0));
}

async fn what_is_not_chained_yet_is_counted_and_no_fault(bed: Bed) {
    sign(&bed);
    put(&bed, 3).await;
    let found = walk(&bed, &[]).await;
    assert!(found.is_sound() && !found.signed, "{found:?}");
    assert_eq!((found.checked, found.waiting), (0, 3));
    log(&bed).await;
    put(&bed, 2).await;
    let found = walk(&bed, &[]).await;
    assert!(found.is_sound(), "{found:?}");
    assert_eq!((found.checked, found.waiting), (3, 2));
}

async fn a_change_of_any_column_is_found_at_its_row(bed: Bed) {
    logged(&bed, 12).await;
    let text = "'x'";
    let changes = [
        ("action", text),
        ("user_name", text),
        ("user_name", "NULL"),
        ("resource_type", text),
        ("resource_id", text),
        ("resource_name", text),
        ("changes", "'{}'"),
        ("metadata", "'{}'"),
        ("ip", "NULL"),
        ("created_at", "created_at + 1"),
        ("user_id", "id"),
        ("record_digest", "hash"),
        ("hash", "record_digest"),
        ("seen_by", "id"),
    ];
    for (column, value) in changes {
        bed.sql(&format!(
            "CREATE TABLE kept AS SELECT {column} AS was FROM activity WHERE seq = 5;
             UPDATE activity SET {column} = {value} WHERE seq = 5"
        ))
        .await;
        let (seq, why) = first_fault(&bed).await;
        assert_eq!(seq, 5, "{column}: {why}");
        bed.sql(&format!(
            "UPDATE activity SET {column} = (SELECT was FROM kept) WHERE seq = 5; DROP TABLE kept"
        ))
        .await;
        assert!(
            walk(&bed, &[]).await.is_sound(),
            "{column}: it is as it was"
        );
    }
}

async fn a_row_removed_from_the_middle_is_found(bed: Bed) {
    logged(&bed, 12).await;
    bed.sql("DELETE FROM activity WHERE seq IN (5, 6, 9)").await;
    let found = walk(&bed, &[]).await;
    let faults: Vec<_> = found.faults.iter().map(|fault| fault.seq).collect();
    assert_eq!(faults, [5, 9], "{found:?}");
    assert_eq!(found.checked, 9);
}

async fn a_row_put_in_is_found_wherever_it_is(bed: Bed) {
    logged(&bed, 12).await;
    let forge = async |id: u8, seq: u64| {
        let id = match bed.kind {
            crate::bed::Kind::Sqlite => format!("x'{}'", format!("{id:02x}").repeat(16)),
            crate::bed::Kind::Postgres => format!("'{}'", format!("{id:02x}").repeat(16)),
        };
        bed.sql(&format!(
            "INSERT INTO activity (id, seq, action, created_at, record_digest, hash)
             SELECT {id}, {seq}, 'forged', 0, record_digest, hash FROM activity WHERE seq = 3"
        ))
        .await;
    };
    // Behind the end.
    forge(1, 13).await;
    let (seq, why) = first_fault(&bed).await;
    assert_eq!(seq, 13, "{why}");
    bed.sql("DELETE FROM activity WHERE seq = 13; DELETE FROM activity WHERE seq = 7")
        .await;
    // In another's place; and one that does not even pretend.
    forge(2, 7).await;
    assert_eq!(first_fault(&bed).await.0, 7);
    bed.sql("UPDATE activity SET hash = NULL WHERE seq = 7")
        .await;
    assert_eq!(first_fault(&bed).await.0, 7);
}

async fn two_rows_that_were_swapped_are_found(bed: Bed) {
    logged(&bed, 12).await;
    bed.sql(
        "UPDATE activity SET seq = 1000 WHERE seq = 5; UPDATE activity SET seq = 5 WHERE seq = 8;
         UPDATE activity SET seq = 8 WHERE seq = 1000",
    )
    .await;
    let (seq, why) = first_fault(&bed).await;
    assert_eq!(seq, 5, "{why}");
}

async fn rows_cut_off_the_end_are_found(bed: Bed) {
    logged(&bed, 12).await;
    bed.sql("DELETE FROM activity WHERE seq > 10").await;
    let (seq, why) = first_fault(&bed).await;
    assert_eq!(seq, 11, "{why}");
    bed.sql("UPDATE cursors SET seq = 10 WHERE consumer = 'activity'")
        .await;
    assert_eq!(first_fault(&bed).await.0, 11);
    // Every row, and the chain's ends with them.
    let book = [checkpoint(&bed).await];
    bed.sql("DELETE FROM activity; DELETE FROM chain").await;
    assert!(!walk(&bed, &book).await.is_sound());
}

/// What somebody does who knows how the chain is made, and has not got the key.
const WORKED_OUT_ANEW: &str = "DELETE FROM activity WHERE seq > 10;
     UPDATE chain SET last_seq = 10, last_hash = (SELECT hash FROM activity WHERE seq = 10);
     UPDATE cursors SET seq = 10 WHERE consumer = 'activity';
     DELETE FROM record WHERE seq > 10; UPDATE record_head SET last = 10";

async fn a_chain_worked_out_anew_lacks_the_signature_and_a_server_that_goes_on_does_not_give_it(
    bed: Bed,
) {
    logged(&bed, 12).await;
    bed.sql(WORKED_OUT_ANEW).await;
    let found = walk(&bed, &[]).await;
    assert!(!found.signed && !found.is_sound(), "{found:?}");
    put(&bed, 5).await;
    log(&bed).await;
    let found = walk(&bed, &[]).await;
    assert!(found.signed, "what is written now is signed");
    let [fault] = &found.faults[..] else {
        panic!("{found:?}")
    };
    assert_eq!(fault.seq, 11, "and it is said from where on");
}

async fn an_older_end_put_back_is_found_by_the_checkpoint(bed: Bed) {
    logged(&bed, 10).await;
    bed.sql("CREATE TABLE old AS SELECT * FROM chain").await;
    let before = checkpoint(&bed).await;
    put(&bed, 5).await;
    log(&bed).await;
    let book = [before.clone(), checkpoint(&bed).await];
    bed.sql(
        "DELETE FROM activity WHERE seq > 10; DELETE FROM chain; INSERT INTO chain SELECT * FROM old;
         UPDATE cursors SET seq = 10 WHERE consumer = 'activity';
         DELETE FROM record WHERE seq > 10; UPDATE record_head SET last = 10",
    )
    .await;
    // Within the database everything is in order: that is why there is a book.
    let found = walk(&bed, &[before]).await;
    assert!(found.is_sound() && found.signed, "{found:?}");
    let found = walk(&bed, &book).await;
    assert_eq!(found.faults[0].seq, 11, "{found:?}");
    // The server goes on, with other rows under the same numbers.
    put(&bed, 9).await;
    log(&bed).await;
    let found = walk(&bed, &book).await;
    assert_eq!(found.faults[0].seq, 15, "{found:?}");
    assert!(found.faults[0].why.contains("after 10"), "{found:?}");
}

async fn an_end_without_a_signature_is_not_taken_for_a_new_beginning(bed: Bed) {
    logged(&bed, 10).await;
    // A server that has written a checkpoint.
    let again = bed.another().await;
    let signing = Arc::new(Signing::new(signer(), true));
    again.sign_with(signing);
    let start = Hash::START.0.iter().map(|_| "00").collect::<String>();
    let zero = match bed.kind {
        crate::bed::Kind::Sqlite => format!("x'{start}'"),
        crate::bed::Kind::Postgres => format!("decode('{start}', 'hex')"),
    };
    bed.sql(&format!(
        "UPDATE chain SET begun_after = 10, anchor_seq = 10, last_seq = 10, anchor_hash = {zero}, last_hash = {zero},
                signed_by = NULL, signature = NULL;
         UPDATE activity SET action = 'forged', hash = NULL"
    ))
    .await;
    put(&bed, 2).await;
    let batch = record::after(&again, 10, 10).await.unwrap();
    ActivitySink::write(&again, batch).await.unwrap();
    assert_eq!(first_fault(&bed).await.0, 11);
    again.close().await;
}

async fn a_cursor_that_went_back_is_noticed(bed: Bed) {
    logged(&bed, 10).await;
    bed.sql("DELETE FROM activity WHERE seq > 6; UPDATE cursors SET seq = 6 WHERE consumer = 'activity'")
        .await;
    // The rows are made again, from the Record.
    log(&bed).await;
    let found = walk(&bed, &[]).await;
    let [fault] = &found.faults[..] else {
        panic!("{found:?}")
    };
    assert_eq!((fault.seq, found.checked, found.signed), (7, 10, true));
}

async fn what_was_done_to_the_record_is_found(bed: Bed) {
    logged(&bed, 12).await;
    for change in [
        "data = '{}'",
        "user_agent = 'y'",
        "at = at + 1",
        "audience = '[]'",
    ] {
        bed.sql(&format!(
            "CREATE TABLE kept AS SELECT * FROM record WHERE seq = 5; UPDATE record SET {change} WHERE seq = 5"
        ))
        .await;
        let (seq, why) = first_fault(&bed).await;
        assert_eq!(seq, 5, "{change}: {why}");
        bed.sql("DELETE FROM record WHERE seq = 5; INSERT INTO record SELECT * FROM kept; DROP TABLE kept")
            .await;
    }
    assert!(walk(&bed, &[]).await.is_sound());
    bed.sql("DELETE FROM record WHERE seq = 9").await;
    assert_eq!(first_fault(&bed).await.0, 9);
    bed.sql("DELETE FROM record WHERE seq > 8; UPDATE record_head SET last = 8")
        .await;
    assert_eq!(first_fault(&bed).await.0, 9);
}

async fn what_retention_removed_is_no_fault_and_what_is_left_is_still_verified(bed: Bed) {
    let store = &bed.store;
    logged(&bed, 30).await;
    let book = [checkpoint(&bed).await];
    bed.clock.advance(Duration::from_secs(3600));
    // Times are within the hash: what is old is so from its birth.
    assert_eq!(activity::prune(store, crate::bed::noon()).await, Ok(0));
    let later = store.now();
    bed.sql("CREATE TABLE removed AS SELECT * FROM activity")
        .await;
    assert_eq!(activity::prune(store, later).await, Ok(30));
    let found = walk(&bed, &book).await;
    assert!(found.is_sound() && found.signed, "{found:?}");
    assert_eq!((found.checked, found.checkpoints), (0, 1));
    put(&bed, 10).await;
    log(&bed).await;
    let found = walk(&bed, &book).await;
    assert!(found.is_sound(), "{found:?}");
    assert_eq!((found.checked, found.first, found.last), (10, 31, 40));
    // The Record's retention is another one.
    record::prune(store, later, 35, &Consumer::ALL)
        .await
        .unwrap();
    bed.sql("UPDATE cursors SET seq = 40").await;
    record::prune(store, later, 35, &Consumer::ALL)
        .await
        .unwrap();
    let found = walk(&bed, &book).await;
    assert!(found.is_sound(), "{found:?}");
    assert_eq!((found.checked, found.compared), (10, 5));
    bed.sql("INSERT INTO activity SELECT * FROM removed WHERE seq = 30")
        .await;
    assert!(first_fault(&bed).await.1.contains("retention"));
    bed.sql("DELETE FROM activity WHERE seq IN (30, 31)").await;
    assert_eq!(first_fault(&bed).await.0, 31);
    // Nor can one say that retention did it.
    bed.sql("UPDATE chain SET anchor_seq = 31, anchor_hash = last_hash")
        .await;
    assert!(!walk(&bed, &[]).await.is_sound());
}

async fn retention_removes_in_batches_what_is_old_and_nothing_else(bed: Bed) {
    let store = &bed.store;
    logged(&bed, 2_500).await;
    bed.sql("UPDATE activity SET created_at = created_at + 3600000000 WHERE seq IN (2300, 2302)")
        .await;
    let before = store.now() + chrono::TimeDelta::minutes(30);
    assert_eq!(activity::prune(store, before).await, Ok(2_299));
    assert_eq!(
        bed.count("SELECT MIN(seq) FROM activity").await,
        2_300,
        "2301 is old and stays: from the beginning only"
    );
    assert_eq!(activity::prune(store, before).await, Ok(0));
    let found = walk(&bed, &[]).await;
    let faults: Vec<_> = found.faults.iter().map(|fault| fault.seq).collect();
    assert_eq!(faults, [2_300, 2_302], "those that this test has changed");
}

async fn rows_from_before_the_chain_are_counted(bed: Bed) {
    put(&bed, 5).await;
    log(&bed).await;
    // As the migration finds a history that was there before it.
    let start = Hash::START.to_string();
    let zero = match bed.kind {
        crate::bed::Kind::Sqlite => format!("x'{start}'"),
        crate::bed::Kind::Postgres => format!("decode('{start}', 'hex')"),
    };
    bed.sql(&format!(
        "UPDATE activity SET hash = NULL, record_digest = NULL;
         UPDATE chain SET begun_after = 5, anchor_seq = 5, last_seq = 5, anchor_hash = {zero}, last_hash = {zero}"
    ))
    .await;
    logged(&bed, 4).await;
    let found = walk(&bed, &[]).await;
    assert!(found.is_sound() && found.signed, "{found:?}");
    assert_eq!((found.before, found.checked, found.first), (5, 4, 6));
    bed.sql("UPDATE activity SET hash = NULL, record_digest = NULL WHERE seq = 7")
        .await;
    assert_eq!(first_fault(&bed).await.0, 7);
    let later = bed.store.now() + chrono::TimeDelta::hours(1);
    assert_eq!(activity::prune(&bed.store, later).await, Ok(9));
    let found = walk(&bed, &[]).await;
    assert!(found.is_sound() && found.before == 0, "{found:?}");
}

async fn what_was_not_written_while_the_history_was_off_is_no_fault(bed: Bed) {
    logged(&bed, 5).await;
    put(&bed, 5).await;
    let later = bed.store.now() + chrono::TimeDelta::hours(1);
    // Switched off, so retention does not wait for it.
    record::prune(&bed.store, later, 8, &[]).await.unwrap();
    put(&bed, 3).await;
    log(&bed).await;
    let found = walk(&bed, &[]).await;
    assert!(found.is_sound() && found.signed, "{found:?}");
    assert_eq!(found.passed_over, [(6, 8)]);
    assert_eq!(found.checked, 10);
    // But it may not be pretended.
    bed.sql("DELETE FROM activity WHERE seq = 10").await;
    assert_eq!(first_fault(&bed).await.0, 10);
}

async fn after_an_operator_has_looked_a_new_chain_begins(bed: Bed) {
    logged(&bed, 12).await;
    bed.sql(WORKED_OUT_ANEW).await;
    put(&bed, 5).await;
    log(&bed).await;
    assert!(!walk(&bed, &[]).await.is_sound());
    let begun = head::renew(&bed.store).await.unwrap();
    assert_eq!(
        begun,
        Place {
            seq: 15,
            hash: Hash::START
        }
    );
    let found = walk(&bed, &[]).await;
    assert!(
        found.is_sound() && found.signed && found.before == 15,
        "{found:?}"
    );
    put(&bed, 5).await;
    log(&bed).await;
    let found = walk(&bed, &[]).await;
    assert!(found.is_sound() && found.checked == 5, "{found:?}");
}

async fn two_loggers_make_one_chain(bed: Bed) {
    logged(&bed, 1).await;
    put(&bed, 300).await;
    let other = bed.another().await;
    other.sign_with(Arc::new(Signing::new(signer(), true)));
    let loggers = [bed.store.clone(), other.clone(), bed.store.clone()].map(|store| {
        tokio::spawn(async move {
            loop {
                let cursor = ActivitySink::cursor(&store).await.unwrap();
                let batch = record::after(&store, cursor, 7).await.unwrap();
                if batch.is_empty() {
                    return;
                }
                ActivitySink::write(&store, batch).await.unwrap();
            }
        })
    });
    let pruner = bed.store.clone();
    let pruned = tokio::spawn(async move {
        let later = pruner.now() + chrono::TimeDelta::hours(1);
        activity::prune(&pruner, later).await.unwrap()
    });
    // Whoever walks meanwhile takes none of it for a fault.
    for _ in 0..20 {
        let found = walk(&bed, &[]).await;
        assert!(found.is_sound(), "{found:?}");
    }
    for logger in loggers {
        logger.await.unwrap();
    }
    let pruned = pruned.await.unwrap();
    let found = walk(&bed, &[]).await;
    assert!(found.is_sound() && found.signed, "{found:?}");
    assert_eq!(found.checked + pruned, 301);
    other.close().await;
}
