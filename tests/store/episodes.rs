//! Episodes, and the entries that their changes put on the Record.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use callboard::store::episodes::{self, Change, Expected, Filter};
use callboard::store::{StoreError, record};
use callboard_actors::model::episode::{Fields, Status};
use callboard_actors::model::identity::Origin;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bed::{Bed, change, fields, publish, replace, update};

on_both!(
    an_episode_is_read_back_as_it_was_written_and_its_entry_says_the_same,
    a_change_is_recorded_with_old_and_new_values_and_counts_the_version_up,
    a_change_that_changes_nothing_is_not_recorded,
    another_version_than_expected_is_refused_and_nothing_changed,
    a_version_that_must_be_stated_is_asked_for_also_when_nothing_would_change,
    changes_of_one_episode_at_once_are_made_one_after_the_other,
    what_somebody_changed_since_it_was_seen_is_kept,
    whoever_reads_gets_nothing_older_than_what_was_answered,
    what_is_known_of_an_episode_is_what_its_row_says_however_it_was_changed,
    publishing_is_recorded_as_such_and_only_once,
    a_deleted_episode_is_gone_and_its_last_state_is_on_the_record,
    a_number_is_unique_within_team_and_season_and_null_is_a_value,
    a_refused_change_leaves_neither_row_nor_entry,
    a_list_is_walked_newest_first_without_a_gap_by_cursors_bound_to_their_filters,
    filters_find_what_they_say_in_any_case_and_any_script,
    a_nul_is_refused_and_long_searches_find_nothing,
);

fn full() -> Fields {
    let Value::Object(metadata) = json!({"b": 1.0, "a": {"x": [null, "\u{0}"]}}) else {
        unreachable!()
    };
    Fields {
        title: "Pilot “ä”".into(),
        episode_number: 7,
        season: Some(2),
        description: Some("An opening".into()),
        air_date: "2026-11-20".parse().ok(),
        team: Some("north".into()),
        status: Status::InProduction,
        metadata: Some(metadata),
    }
}

fn data(entry: &callboard_actors::model::record::Entry) -> Value {
    serde_json::from_str(entry.data.get()).unwrap()
}

async fn last(bed: &Bed) -> u64 {
    record::span(&bed.store).await.unwrap().last
}

async fn an_episode_is_read_back_as_it_was_written_and_its_entry_says_the_same(bed: Bed) {
    let who = bed.editor().await;
    let origin = Origin {
        request_id: Some("r1".into()),
        ip: Some("::1".into()),
        user_agent: None,
    };
    let (episode, entry) = episodes::insert(&bed.store, full(), who.clone(), origin.clone())
        .await
        .unwrap();
    assert_eq!(episode.fields, full());
    assert_eq!((episode.version, episode.created_by), (1, who.id));
    assert_eq!(
        episodes::get(&bed.store, episode.id).await,
        Ok(episode.clone())
    );
    assert_eq!(episodes::find(&bed.store, Uuid::now_v7()).await, Ok(None));

    let read = record::after(&bed.store, entry.seq - 1, 10).await.unwrap();
    assert_eq!(read.len(), 1);
    for entry in [&entry, &read[0]] {
        assert_eq!(entry.event, "episode_created");
        assert_eq!((&entry.actor, &entry.origin), (&Some(who.clone()), &origin));
        assert_eq!(entry.at, episode.created_at);
        let audience: Vec<_> = entry.audience.iter().map(ToString::to_string).collect();
        assert_eq!(audience, ["/episodes", "/"]);
        let resource = entry.resource.clone().unwrap();
        assert_eq!(
            (resource.kind, resource.id),
            ("episode".into(), episode.id.to_string())
        );
        assert_eq!(data(entry), serde_json::to_value(&episode).unwrap());
    }
    assert_eq!(entry.data.get(), read[0].data.get(), "byte for byte");
}

async fn a_change_is_recorded_with_old_and_new_values_and_counts_the_version_up(bed: Bed) {
    let who = bed.editor().await;
    let (old, _) = episodes::insert(&bed.store, full(), who.clone(), Origin::default())
        .await
        .unwrap();
    bed.clock.advance(std::time::Duration::from_secs(1));
    let (new, entry) = update(&bed.store, old.id, change(&who), |fields| {
        fields.title = "Second".into();
        fields.season = None;
    })
    .await
    .unwrap();
    assert_eq!((new.version, &*new.fields.title), (2, "Second"));
    assert!(new.updated_at > old.updated_at && new.created_at == old.created_at);
    assert_eq!(episodes::get(&bed.store, old.id).await, Ok(new.clone()));
    let entry = entry.unwrap();
    assert_eq!(entry.event, "episode_updated");
    assert_eq!(
        data(&entry)["changes"],
        json!({"title": {"old": "Pilot “ä”", "new": "Second"}, "season": {"old": 2, "new": null}})
    );
    assert_eq!(data(&entry)["version"], 2);

    let (replaced, _) = replace(&bed.store, old.id, fields("Third", 9), change(&who))
        .await
        .unwrap();
    assert_eq!((replaced.version, replaced.fields), (3, fields("Third", 9)));
}

async fn a_change_that_changes_nothing_is_not_recorded(bed: Bed) {
    let who = bed.editor().await;
    let (old, entry) = episodes::insert(&bed.store, full(), who.clone(), Origin::default())
        .await
        .unwrap();
    let (same, none) = replace(&bed.store, old.id, full(), change(&who))
        .await
        .unwrap();
    assert_eq!(same, old);
    assert!(none.is_none());
    assert_eq!(last(&bed).await, entry.seq);
}

async fn another_version_than_expected_is_refused_and_nothing_changed(bed: Bed) {
    let who = bed.editor().await;
    let (old, entry) = episodes::insert(&bed.store, full(), who.clone(), Origin::default())
        .await
        .unwrap();
    let mut stale = change(&who);
    stale.expected = Expected::OneOf(vec![2]);
    let refused = StoreError::Precondition { current: 1 };
    let (store, id) = (&bed.store, old.id);
    let replaced = replace(store, id, fields("x", 1), stale.clone()).await;
    assert_eq!(replaced.unwrap_err(), refused);
    let published = publish(store, id, stale.clone()).await;
    assert_eq!(published.unwrap_err(), refused);
    assert_eq!(
        episodes::delete(store, id, stale.clone())
            .await
            .unwrap_err(),
        refused
    );
    assert_eq!(episodes::get(store, id).await, Ok(old));
    assert_eq!(last(&bed).await, entry.seq);

    stale.expected = Expected::OneOf(vec![1]);
    assert!(publish(store, id, stale).await.is_ok());
}

async fn a_version_that_must_be_stated_is_asked_for_also_when_nothing_would_change(bed: Bed) {
    let who = bed.editor().await;
    let insert = async |number| {
        episodes::insert(
            &bed.store,
            fields("x", number),
            who.clone(),
            Origin::default(),
        )
        .await
        .unwrap()
    };
    let ((episode, _), (_, entry)) = (insert(1).await, insert(2).await);
    let (store, id) = (&bed.store, episode.id);
    let with = |expected: &Expected| Change {
        expected: expected.clone(),
        ..change(&who)
    };
    let stale = Expected::OneOf(vec![7, 8]);
    for (expected, refused) in [
        (Expected::Unstated, StoreError::PreconditionRequired),
        (stale, StoreError::Precondition { current: 1 }),
    ] {
        let same = replace(store, id, fields("x", 1), with(&expected)).await;
        assert_eq!(same.unwrap_err(), refused);
        let other = replace(store, id, fields("y", 1), with(&expected)).await;
        assert_eq!(other.unwrap_err(), refused);
        assert_eq!(
            publish(store, id, with(&expected)).await.unwrap_err(),
            refused
        );
        assert_eq!(
            episodes::delete(store, id, with(&expected))
                .await
                .unwrap_err(),
            refused
        );
        // What is wrong with it in itself is heard first.
        let taken = replace(store, id, fields("x", 2), with(&expected)).await;
        let code = "episode_number_taken";
        assert_eq!(taken.unwrap_err(), StoreError::Conflict { code });
        let missing = publish(store, Uuid::now_v7(), with(&expected)).await;
        assert_eq!(missing.unwrap_err(), StoreError::NotFound);
    }
    assert_eq!(episodes::get(store, id).await, Ok(episode));
    assert_eq!(last(&bed).await, entry.seq);
}

async fn changes_of_one_episode_at_once_are_made_one_after_the_other(bed: Bed) {
    let who = bed.editor().await;
    let (episode, _) = episodes::insert(&bed.store, fields("x", 0), who.clone(), Origin::default())
        .await
        .unwrap();
    let writers = (0..20).map(|_| {
        let (store, id, change) = (bed.store.clone(), episode.id, change(&who));
        tokio::spawn(async move {
            let count_up = |fields: &mut Fields| fields.episode_number += 1;
            update(&store, id, change, count_up).await.unwrap()
        })
    });
    let mut seen = Vec::new();
    for writer in join_all(writers).await {
        let (episode, entry) = writer.unwrap();
        seen.push((
            entry.unwrap().seq,
            episode.version,
            episode.fields.episode_number,
        ));
    }
    seen.sort_unstable();
    let expected: Vec<_> = (1..=20).map(|n| (n as u64 + 2, n + 1, n)).collect();
    assert_eq!(seen, expected, "the Record's order is the versions' order");
}

async fn what_somebody_changed_since_it_was_seen_is_kept(bed: Bed) {
    let who = bed.editor().await;
    let store = &bed.store;
    let (seen, _) = episodes::insert(store, fields("x", 0), who.clone(), Origin::default())
        .await
        .unwrap();
    let title = |fields: &mut Fields| fields.title = "y".into();
    update(store, seen.id, change(&who), title).await.unwrap();
    // Another field: both changes stay.
    let number = |fields: &mut Fields| fields.episode_number = 7;
    let (both, entry) = episodes::update(store, seen.clone(), change(&who), number)
        .await
        .unwrap();
    assert_eq!((both.version, both.fields), (3, fields("y", 7)));
    let expected = json!({"episode_number": {"old": 0, "new": 7}});
    assert_eq!(data(&entry.unwrap())["changes"], expected);
    // The same change: nothing is left to do.
    let (same, none) = episodes::update(store, seen.clone(), change(&who), title)
        .await
        .unwrap();
    assert!(none.is_none());
    assert_eq!(same, episodes::get(store, seen.id).await.unwrap());
    // What is expected is compared with what is there, not with what was seen.
    let expecting = |version| Change {
        expected: Expected::OneOf(vec![version]),
        ..change(&who)
    };
    let before = last(&bed).await;
    for edit in [|fields: &mut Fields| fields.title = "z".into(), title] {
        let stale = episodes::update(store, seen.clone(), expecting(1), edit).await;
        assert_eq!(stale.unwrap_err(), StoreError::Precondition { current: 3 });
    }
    assert_eq!(last(&bed).await, before);
    publish(store, seen.id, change(&who)).await.unwrap();
    let code = "already_published";
    let again = episodes::publish(store, seen.clone(), expecting(1)).await;
    assert_eq!(again.unwrap_err(), StoreError::Conflict { code });
    episodes::delete(store, seen.id, change(&who))
        .await
        .unwrap();
    let gone = episodes::update(store, seen, change(&who), title).await;
    assert_eq!(gone.unwrap_err(), StoreError::NotFound);
}

async fn whoever_reads_gets_nothing_older_than_what_was_answered(bed: Bed) {
    let who = bed.editor().await;
    let new = episodes::insert(&bed.store, fields("x", 0), who.clone(), Origin::default());
    let (seen, _) = new.await.unwrap();
    let (id, answered) = (seen.id, AtomicI64::new(seen.version));
    let over = AtomicBool::new(false);
    let write = async {
        for number in 0..200 {
            let title = format!("Take {number}");
            let edit = move |fields: &mut Fields| fields.title = title.clone();
            let seen = episodes::get(&bed.store, id).await.unwrap();
            let done = episodes::update(&bed.store, seen, change(&who), edit).await;
            answered.store(done.unwrap().0.version, Ordering::SeqCst);
            // So that what was read is also read again with nothing in between.
            tokio::task::yield_now().await;
        }
        over.store(true, Ordering::SeqCst);
    };
    let read = || async {
        while !over.load(Ordering::SeqCst) {
            let least = answered.load(Ordering::SeqCst);
            let episode = episodes::get(&bed.store, id).await.unwrap();
            assert!(episode.version >= least, "{} < {least}", episode.version);
            assert_eq!(episode.version == 1, episode.fields == seen.fields);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, read(), read(), read());
    episodes::delete(&bed.store, id, change(&who))
        .await
        .unwrap();
    assert_eq!(episodes::find(&bed.store, id).await, Ok(None));
}

async fn what_is_known_of_an_episode_is_what_its_row_says_however_it_was_changed(bed: Bed) {
    let (who, store) = (bed.editor().await, &bed.store);
    let insert = |fields| episodes::insert(store, fields, who.clone(), Origin::default());
    let (seen, _) = insert(full()).await.unwrap();
    let (other, _) = insert(fields("other", 9)).await.unwrap();
    let check = async |version| {
        let page = episodes::list(store, &Filter::default(), 10, None).await;
        let row = page.unwrap().rows.into_iter().find(|row| row.id == seen.id);
        // Read, and then known.
        for _ in 0..2 {
            assert_eq!(episodes::find(store, seen.id).await.unwrap(), row);
        }
        assert_eq!(row.map(|row| row.version), version);
    };
    check(Some(1)).await;
    let title = |title: &'static str| move |fields: &mut Fields| fields.title = title.into();
    let update = |edit| episodes::update(store, seen.clone(), change(&who), edit);
    update(title("as it was seen")).await.unwrap();
    check(Some(2)).await;
    update(title("changed meanwhile")).await.unwrap();
    check(Some(3)).await;
    let taken = |it: &mut Fields| (it.season, it.team, it.episode_number) = (None, None, 9);
    let refused = episodes::update(store, seen.clone(), change(&who), taken).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    check(Some(3)).await;
    let stale = Change {
        expected: Expected::OneOf(vec![1]),
        ..change(&who)
    };
    let refused = episodes::update(store, seen.clone(), stale, title("stale")).await;
    assert_eq!(
        refused.unwrap_err(),
        StoreError::Precondition { current: 3 }
    );
    check(Some(3)).await;
    // Two in one commit, of which one has to look again; another one's beside them.
    let one = |number: i64| move |fields: &mut Fields| fields.season = Some(number);
    let now = episodes::get(store, seen.id).await.unwrap();
    let (first, second, third) = tokio::join!(
        episodes::update(store, now.clone(), change(&who), one(5)),
        episodes::update(store, now, change(&who), one(6)),
        episodes::update(store, other, change(&who), one(7)),
    );
    let versions = [first, second, third].map(|it| it.unwrap().0.version);
    assert_eq!(versions.iter().sum::<i64>(), 4 + 5 + 2, "{versions:?}");
    check(Some(5)).await;
    publish(store, seen.id, change(&who)).await.unwrap();
    check(Some(6)).await;
    // Too large to be kept.
    let long = |fields: &mut Fields| fields.description = Some("long ".repeat(10_000));
    episodes::update(store, seen.clone(), change(&who), long)
        .await
        .unwrap();
    check(Some(7)).await;
    // The Record does not take it.
    bed.sql("ALTER TABLE record RENAME TO away").await;
    let seen_now = episodes::get(store, seen.id).await.unwrap();
    let lost = episodes::update(store, seen_now, change(&who), title("lost")).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    bed.sql("ALTER TABLE away RENAME TO record").await;
    check(Some(7)).await;
    episodes::delete(store, seen.id, change(&who))
        .await
        .unwrap();
    check(None).await;
}

async fn publishing_is_recorded_as_such_and_only_once(bed: Bed) {
    let who = bed.editor().await;
    let (old, _) = episodes::insert(&bed.store, full(), who.clone(), Origin::default())
        .await
        .unwrap();
    assert_eq!(old.published_at, None);
    let (published, entry) = publish(&bed.store, old.id, change(&who)).await.unwrap();
    assert_eq!(published.fields.status, Status::Published);
    assert_eq!(published.published_at, Some(bed.store.now()));
    assert_eq!(entry.event, "episode_published");
    assert_eq!(
        data(&entry)["changes"]["status"],
        json!({"old": "in_production", "new": "published"})
    );
    let again = publish(&bed.store, old.id, change(&who)).await;
    let code = "already_published";
    assert_eq!(again.unwrap_err(), StoreError::Conflict { code });
    assert_eq!(last(&bed).await, entry.seq);

    // By another way it is a publication as well.
    let store = &bed.store;
    let to = |status| move |fields: &mut Fields| fields.status = status;
    let (draft, _) = update(store, old.id, change(&who), to(Status::Draft))
        .await
        .unwrap();
    assert_eq!(draft.published_at, None);
    let (_, entry) = update(store, old.id, change(&who), to(Status::Published))
        .await
        .unwrap();
    assert_eq!(entry.unwrap().event, "episode_published");
}

async fn a_deleted_episode_is_gone_and_its_last_state_is_on_the_record(bed: Bed) {
    let who = bed.editor().await;
    let (old, _) = episodes::insert(&bed.store, full(), who.clone(), Origin::default())
        .await
        .unwrap();
    let (last, entry) = episodes::delete(&bed.store, old.id, change(&who))
        .await
        .unwrap();
    assert_eq!(last, old);
    assert_eq!(entry.event, "episode_deleted");
    assert_eq!(data(&entry), serde_json::to_value(&old).unwrap());
    assert_eq!(
        episodes::get(&bed.store, old.id).await,
        Err(StoreError::NotFound)
    );
    let again = episodes::delete(&bed.store, old.id, change(&who)).await;
    assert_eq!(again.unwrap_err(), StoreError::NotFound);
}

async fn a_number_is_unique_within_team_and_season_and_null_is_a_value(bed: Bed) {
    let who = bed.editor().await;
    let insert = async |team: Option<&str>, season, number| {
        let fields = Fields {
            team: team.map(Into::into),
            season,
            ..fields("x", number)
        };
        episodes::insert(&bed.store, fields, who.clone(), Origin::default())
            .await
            .map(|(episode, _)| episode.id)
    };
    let taken = Err(StoreError::Conflict {
        code: "episode_number_taken",
    });
    let all = [
        (None, None),
        (None, Some(0)),
        (None, Some(1)),
        (Some(""), None),
        (Some("a"), None),
        (Some("a"), Some(1)),
        (Some("b"), Some(1)),
    ];
    for (team, season) in all {
        assert!(insert(team, season, 1).await.is_ok(), "{team:?} {season:?}");
    }
    for (team, season) in all {
        assert_eq!(insert(team, season, 1).await, taken, "{team:?} {season:?}");
        assert!(insert(team, season, 2).await.is_ok(), "{team:?} {season:?}");
    }
    let id = insert(None, None, 3).await.unwrap();
    let moved = replace(&bed.store, id, fields("x", 1), change(&who)).await;
    assert_eq!(moved.map(|_| id), taken);
}

async fn a_refused_change_leaves_neither_row_nor_entry(bed: Bed) {
    let who = bed.editor().await;
    let before = last(&bed).await;
    // The row is fine, but the Record does not take its entry.
    bed.sql("ALTER TABLE record RENAME TO away").await;
    let failed = episodes::insert(&bed.store, full(), who.clone(), Origin::default()).await;
    assert!(
        matches!(failed, Err(StoreError::Unavailable(_))),
        "{failed:?}"
    );
    bed.sql("ALTER TABLE away RENAME TO record").await;
    let page = episodes::list(&bed.store, &Filter::default(), 10, None)
        .await
        .unwrap();
    assert!(page.rows.is_empty(), "a row without its entry");
    assert_eq!(last(&bed).await, before, "a number was given away");

    let (_, entry) = episodes::insert(&bed.store, full(), who.clone(), Origin::default())
        .await
        .unwrap();
    assert_eq!(entry.seq, before + 1);
    // The row is refused: no entry.
    let taken = episodes::insert(&bed.store, full(), who, Origin::default()).await;
    assert!(
        matches!(taken, Err(StoreError::Conflict { .. })),
        "{taken:?}"
    );
    assert_eq!(last(&bed).await, before + 1);
    assert!(record::verify(&bed.store).await.unwrap().is_sound());
}

async fn a_list_is_walked_newest_first_without_a_gap_by_cursors_bound_to_their_filters(bed: Bed) {
    let who = bed.editor().await;
    let mut made = Vec::new();
    for number in 0..7 {
        // Several of one moment: the id decides.
        if number % 3 == 0 {
            bed.clock.advance(std::time::Duration::from_micros(1));
        }
        let (episode, _) = episodes::insert(
            &bed.store,
            fields("x", number),
            who.clone(),
            Origin::default(),
        )
        .await
        .unwrap();
        made.insert(0, episode);
    }
    let all = Filter::default();
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = episodes::list(&bed.store, &all, 3, cursor.as_deref())
            .await
            .unwrap();
        seen.extend(page.rows);
        pages += 1;
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(seen, made);

    let first = episodes::list(&bed.store, &all, 3, None).await.unwrap();
    let drafts = Filter {
        status: Some(Status::Draft),
        ..Filter::default()
    };
    for (filter, cursor) in [
        (&drafts, first.next_cursor.as_deref()),
        (&all, Some("junk")),
    ] {
        let refused = episodes::list(&bed.store, filter, 3, cursor).await;
        assert!(
            matches!(
                refused,
                Err(StoreError::Invalid {
                    field: "cursor",
                    ..
                })
            ),
            "{refused:?}"
        );
    }
}

async fn filters_find_what_they_say_in_any_case_and_any_script(bed: Bed) {
    let who = bed.editor().await;
    let insert = async |fields: Fields| {
        episodes::insert(&bed.store, fields, who.clone(), Origin::default())
            .await
            .unwrap()
            .0
            .id
    };
    let one = insert(full()).await;
    let two = insert(Fields {
        description: Some("100% ÄRGER_".into()),
        ..fields("Other", 1)
    })
    .await;
    let find = async |filter: Filter| -> Vec<Uuid> {
        let page = episodes::list(&bed.store, &filter, 10, None).await.unwrap();
        page.rows.into_iter().map(|row| row.id).collect()
    };
    let q = |q: &str| Filter {
        q: Some(q.into()),
        ..Filter::default()
    };
    assert_eq!(find(Filter::default()).await, [two, one]);
    assert_eq!(find(q("pilot")).await, [one]);
    assert_eq!(find(q("ä")).await, [two, one]);
    assert_eq!(find(q("ärger")).await, [two]);
    assert_eq!(find(q("0%")).await, [two]);
    assert_eq!(find(q("1%%")).await, [] as [Uuid; 0]);
    assert_eq!(find(q("ärge__")).await, [] as [Uuid; 0]);
    let status = Some(Status::InProduction);
    assert_eq!(
        find(Filter {
            status,
            ..Filter::default()
        })
        .await,
        [one]
    );
    let season = Some(2);
    assert_eq!(
        find(Filter {
            season,
            ..Filter::default()
        })
        .await,
        [one]
    );
    let team = Some("north".into());
    assert_eq!(
        find(Filter {
            team,
            season: Some(1),
            ..Filter::default()
        })
        .await,
        [] as [Uuid; 0]
    );
}

async fn a_nul_is_refused_and_long_searches_find_nothing(bed: Bed) {
    let who = bed.editor().await;
    let invalid = |error: &StoreError| matches!(error, StoreError::Invalid { .. });
    for bad in [
        fields("a\0b", 1),
        Fields {
            team: Some("\0".into()),
            ..fields("x", 1)
        },
        Fields {
            description: Some("\0".into()),
            ..fields("x", 1)
        },
    ] {
        let refused =
            episodes::insert(&bed.store, bad.clone(), who.clone(), Origin::default()).await;
        assert!(invalid(&refused.unwrap_err()));
    }
    let q = |q: String| Filter {
        q: Some(q),
        ..Filter::default()
    };
    let refused = episodes::list(&bed.store, &q("\0".into()), 10, None).await;
    assert!(invalid(&refused.unwrap_err()));
    let page = episodes::list(&bed.store, &q("%".repeat(200_000)), 10, None)
        .await
        .unwrap();
    assert!(page.rows.is_empty());
}
