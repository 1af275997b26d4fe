//! The activity history: one row for each entry, whatever happens meanwhile.

use std::sync::Arc;

use callboard::store::activity::{self, Filter, Reader};
use callboard::store::{Store, StoreError, episodes, record};
use callboard_actors::model::activity::Activity;
use callboard_actors::model::identity::{Origin, Role, UserRef};
use callboard_actors::model::page::Page;
use callboard_actors::model::record::{Entry, Resource, Seq};
use callboard_actors::ports::ActivitySink;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bed::{Bed, change, entry, fields, update};

on_both!(
    each_entry_becomes_a_row_that_says_what_happened,
    a_batch_is_written_once_however_often_it_is_handed_in,
    while_the_table_is_away_nothing_is_lost_and_afterwards_every_row_is_there,
    two_loggers_on_one_record_write_each_row_once,
    what_is_private_is_seen_by_its_user_and_the_admins_only,
    rows_are_filtered_and_walked_newest_first,
    text_with_a_nul_in_it_is_no_obstacle,
);

async fn entries(store: &Store) -> Vec<Arc<Entry>> {
    record::after(store, 0, 10_000).await.unwrap()
}

async fn catch_up(store: &Store) -> Seq {
    ActivitySink::write(store, entries(store).await)
        .await
        .unwrap()
        .0
}

/// What happened to one thing.
async fn for_resource(
    store: &Store,
    kind: &str,
    id: &str,
    filter: &Filter,
    limit: u32,
    cursor: Option<&str>,
    reader: Reader,
) -> Result<Page<Activity>, StoreError> {
    let filter = Filter {
        resource_type: Some(kind.into()),
        resource_id: Some(id.into()),
        ..filter.clone()
    };
    activity::feed(store, &filter, limit, cursor, reader).await
}

async fn rows(store: &Store, kind: &str, id: &str, reader: Reader) -> Vec<Activity> {
    let page = for_resource(store, kind, id, &Filter::default(), 100, None, reader).await;
    page.unwrap().rows
}

fn admin() -> Reader {
    Reader {
        id: Uuid::nil(),
        role: Role::Admin,
    }
}

async fn each_entry_becomes_a_row_that_says_what_happened(bed: Bed) {
    let who = bed.editor().await;
    let origin = Origin {
        ip: Some("192.0.2.1".into()),
        ..Origin::default()
    };
    let (episode, _) = episodes::insert(&bed.store, fields("Pilot", 1), who.clone(), origin)
        .await
        .unwrap();
    let (_, updated) = update(&bed.store, episode.id, change(&who), |fields| {
        fields.title = "New".into();
    })
    .await
    .unwrap();
    assert_eq!(catch_up(&bed.store).await, updated.as_ref().unwrap().seq);
    let rows = rows(&bed.store, "episode", &episode.id.to_string(), admin()).await;
    let [new, first] = &rows[..] else {
        panic!("{rows:?}")
    };
    assert_eq!(
        (&*first.action, &*new.action),
        ("episode_created", "episode_updated")
    );
    assert_eq!(first.user, Some(who));
    assert_eq!(first.ip.as_deref(), Some("192.0.2.1"));
    assert_eq!(first.resource_name.as_deref(), Some("Pilot"));
    assert!(first.changes.is_none());
    assert_eq!(first.created_at, episode.created_at);
    assert_eq!(new.seq, updated.unwrap().seq);
    let changes: Value = serde_json::from_str(new.changes.as_ref().unwrap().get()).unwrap();
    assert_eq!(changes, json!({"title": {"old": "Pilot", "new": "New"}}));
}

async fn a_batch_is_written_once_however_often_it_is_handed_in(bed: Bed) {
    let who = bed.editor().await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let (episode, _) = episodes::insert(
            &bed.store,
            fields("x", number),
            who.clone(),
            Origin::default(),
        )
        .await
        .unwrap();
        ids.push(episode.id.to_string());
    }
    let all = entries(&bed.store).await;
    let write = async |entries: &[Arc<Entry>]| {
        ActivitySink::write(&bed.store, entries.to_vec())
            .await
            .unwrap()
            .0
    };
    assert_eq!(write(&[]).await, 0);
    assert_eq!(
        write(&all[1..]).await,
        0,
        "begins behind the cursor: nothing"
    );
    assert_eq!(write(&all[..2]).await, 2);
    assert_eq!(write(&all[..2]).await, 2);
    assert_eq!(write(&all).await, 2, "overlaps: nothing");
    assert_eq!(write(&all[2..]).await, 4);
    assert_eq!(ActivitySink::cursor(&bed.store).await.unwrap(), 4);
    for id in ids {
        assert_eq!(rows(&bed.store, "episode", &id, admin()).await.len(), 1);
    }
    let holey = vec![all[0].clone(), all[2].clone()];
    assert!(ActivitySink::write(&bed.store, holey).await.is_err());
}

async fn while_the_table_is_away_nothing_is_lost_and_afterwards_every_row_is_there(bed: Bed) {
    let who = bed.editor().await;
    bed.sql("ALTER TABLE activity RENAME TO away").await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let (episode, _) = episodes::insert(
            &bed.store,
            fields("x", number),
            who.clone(),
            Origin::default(),
        )
        .await
        .expect("the request does not care");
        ids.push(episode.id.to_string());
        let failed = ActivitySink::write(&bed.store, entries(&bed.store).await).await;
        assert!(failed.is_err());
        assert_eq!(
            ActivitySink::cursor(&bed.store).await.unwrap(),
            0,
            "the cursor ran ahead"
        );
    }
    bed.sql("ALTER TABLE away RENAME TO activity").await;
    assert_eq!(catch_up(&bed.store).await, 6);
    for id in ids {
        assert_eq!(rows(&bed.store, "episode", &id, admin()).await.len(), 1);
    }
}

async fn two_loggers_on_one_record_write_each_row_once(bed: Bed) {
    let who = bed.editor().await;
    let (episode, _) = episodes::insert(&bed.store, fields("x", 0), who.clone(), Origin::default())
        .await
        .unwrap();
    for number in 1..150 {
        let edit = move |fields: &mut callboard_actors::model::episode::Fields| {
            fields.episode_number = number;
        };
        update(&bed.store, episode.id, change(&who), edit)
            .await
            .unwrap();
    }
    let other = bed.another().await;
    let loggers = [bed.store.clone(), other.clone(), bed.store.clone()].map(|store| {
        tokio::spawn(async move {
            let mut cursor = ActivitySink::cursor(&store).await.unwrap();
            let (mut took, mut lost) = (0, 0);
            loop {
                let batch = record::after(&store, cursor, 7).await.unwrap();
                let Some(last) = batch.last().map(|entry| entry.seq) else {
                    return (took, lost);
                };
                let wrote;
                (cursor, wrote) = ActivitySink::write(&store, batch)
                    .await
                    .expect("no conflict");
                assert!(!wrote || cursor == last);
                if wrote { took += 1 } else { lost += 1 }
            }
        })
    });
    for logger in loggers {
        let (took, lost) = logger.await.unwrap();
        println!("took {took}, was too late {lost} times");
    }
    let (mut seqs, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let id = episode.id.to_string();
        let filter = Filter::default();
        let page = for_resource(
            &bed.store,
            "episode",
            &id,
            &filter,
            40,
            cursor.as_deref(),
            admin(),
        );
        let page = page.await.unwrap();
        seqs.extend(page.rows.iter().map(|row| row.seq));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    seqs.reverse();
    assert_eq!(seqs, (2..=151).collect::<Vec<_>>());
    other.close().await;
}

async fn append(bed: &Bed, event: &str, actor: &UserRef, kind: &str, id: &str, data: Value) {
    let mut new = entry(Uuid::now_v7());
    new.event = event.into();
    new.actor = Some(actor.clone());
    new.resource = Some(Resource {
        kind: kind.into(),
        id: id.into(),
    });
    new.data = serde_json::value::to_raw_value(&data).unwrap();
    let write = bed
        .store
        .write(move |tx| Box::pin(async move { tx.append(new) }));
    write.await.unwrap();
}

async fn what_is_private_is_seen_by_its_user_and_the_admins_only(bed: Bed) {
    let somebody = |name: &str| UserRef {
        id: Uuid::now_v7(),
        name: name.into(),
    };
    let (ann, bob) = (somebody("Ann"), somebody("Bob"));
    append(&bed, "user_updated", &ann, "user", "1", json!({})).await;
    append(&bed, "admin_action", &ann, "episode", "1", json!({})).await;
    append(&bed, "job_failed", &ann, "job", "1", json!({})).await;
    catch_up(&bed.store).await;
    let sees = async |who: &UserRef, role, kind| {
        let reader = Reader { id: who.id, role };
        rows(&bed.store, kind, "1", reader).await.len()
    };
    for (kind, ann_sees, bob_sees) in [("user", 1, 0), ("episode", 0, 0), ("job", 1, 1)] {
        assert_eq!(sees(&ann, Role::Editor, kind).await, ann_sees, "{kind}");
        assert_eq!(sees(&bob, Role::Editor, kind).await, bob_sees, "{kind}");
        assert_eq!(sees(&bob, Role::Admin, kind).await, 1, "{kind}");
    }
}

async fn rows_are_filtered_and_walked_newest_first(bed: Bed) {
    let (ann, bob) = (bed.editor().await, Uuid::now_v7());
    let bob = UserRef {
        id: bob,
        name: "Bob".into(),
    };
    for (index, event) in ["a", "b", "a", "a", "b"].into_iter().enumerate() {
        let who = if index == 2 { &bob } else { &ann };
        append(
            &bed,
            event,
            who,
            "episode",
            "1",
            json!({"name": index.to_string()}),
        )
        .await;
    }
    catch_up(&bed.store).await;
    let names = async |filter: Filter| -> Vec<String> {
        let page = for_resource(&bed.store, "episode", "1", &filter, 10, None, admin());
        let rows = page.await.unwrap().rows;
        rows.into_iter()
            .map(|row| row.resource_name.unwrap())
            .collect()
    };
    let all = Filter::default();
    assert_eq!(names(all.clone()).await, ["4", "3", "2", "1", "0"]);
    let action = Some("a".into());
    assert_eq!(
        names(Filter {
            action,
            ..all.clone()
        })
        .await,
        ["3", "2", "0"]
    );
    let user_id = Some(bob.id);
    assert_eq!(
        names(Filter {
            user_id,
            ..all.clone()
        })
        .await,
        ["2"]
    );
    let from = Some(bed.store.now());
    assert_eq!(
        names(Filter {
            from,
            ..all.clone()
        })
        .await
        .len(),
        5
    );
    let to = Some(bed.store.now() - chrono::TimeDelta::seconds(1));
    assert_eq!(names(Filter { to, ..all.clone() }).await.len(), 0);

    let first = for_resource(&bed.store, "episode", "1", &all, 2, None, admin())
        .await
        .unwrap();
    let cursor = first.next_cursor.as_deref();
    let next = for_resource(&bed.store, "episode", "1", &all, 2, cursor, admin())
        .await
        .unwrap();
    assert_eq!(next.rows[0].resource_name.as_deref(), Some("2"));
    let other = for_resource(&bed.store, "episode", "2", &all, 2, cursor, admin()).await;
    assert!(matches!(
        other,
        Err(StoreError::Invalid {
            field: "cursor",
            ..
        })
    ));
}

async fn text_with_a_nul_in_it_is_no_obstacle(bed: Bed) {
    let who = bed.editor().await;
    let data =
        json!({"title": "a\u{0}b", "changes": {"metadata": {"old": "\u{0}", "new": "\u{1}"}}});
    append(&bed, "x", &who, "episode", "1", data.clone()).await;
    let read = entries(&bed.store).await;
    let back: Value = serde_json::from_str(read.last().unwrap().data.get()).unwrap();
    assert_eq!(back, data);
    catch_up(&bed.store).await;
    let rows = rows(&bed.store, "episode", "1", admin()).await;
    assert_eq!(rows[0].resource_name.as_deref(), Some("ab"));
    let changes: Value = serde_json::from_str(rows[0].changes.as_ref().unwrap().get()).unwrap();
    assert_eq!(changes, data["changes"]);
    let refused = for_resource(&bed.store, "\0", "1", &Filter::default(), 1, None, admin()).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })));
}
