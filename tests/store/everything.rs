//! Looking for words in everything: one ranked list, the same on both databases, of what is there now.

use std::collections::BTreeSet;

use callboard::store::activity::Reader;
use callboard::store::words::Query;
use callboard::store::{Store, StoreError, episodes, search};
use callboard_actors::model::episode::{Episode, Fields};
use callboard_actors::model::identity::{Origin, Role, UserRef};
use callboard_actors::model::page::Page;
use callboard_actors::model::search::{Hit, Kind};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use uuid::Uuid;

use crate::bed::{Bed, change, fields, replace};
use crate::feed::{Said, admin, history};
use crate::search::{Texts, WORDS, has, words, written};

on_both!(
    what_is_written_is_found_and_what_is_gone_is_not,
    a_change_that_fails_changes_nothing_of_what_is_found,
    an_index_of_what_is_changed_all_the_time_stays_small,
    what_is_found_is_what_a_simple_model_finds,
    the_best_come_first_and_things_before_their_history,
    what_is_called_so_is_not_pushed_out_by_what_mentions_it,
    a_walk_meets_each_once_in_falling_order,
    of_the_history_one_finds_what_one_may_see,
    a_type_leaves_the_others_out,
    episodes_of_earlier_versions_are_found_after_the_migration,
    whatever_is_asked_is_answered,
);

async fn make(bed: &Bed, who: &UserRef, fields: Fields) -> Episode {
    let made = episodes::insert(&bed.store, fields, who.clone(), Origin::default()).await;
    bed.clock.advance(std::time::Duration::from_secs(1));
    made.unwrap().0
}

async fn page(
    store: &Store,
    q: &str,
    kind: Option<Kind>,
    limit: u32,
    cursor: Option<&str>,
) -> Page<Hit> {
    let query = Query::parse(q).unwrap();
    let page = search::search(store, &query, kind, limit, cursor, admin()).await;
    page.unwrap()
}

async fn find(bed: &Bed, q: &str) -> Vec<Hit> {
    page(&bed.store, q, None, 100, None).await.rows
}

async fn titles(bed: &Bed, q: &str) -> Vec<String> {
    let hits = find(bed, q).await.into_iter();
    hits.map(|hit| hit.title).collect()
}

async fn what_is_written_is_found_and_what_is_gone_is_not(bed: Bed) {
    let ann = bed.editor().await;
    let episode = Fields {
        description: Some("Where <it> all begins".into()),
        season: Some(2),
        team: Some("Drama".into()),
        metadata: json!({"director": "Agnès Varda", "tags": [{"mood": "quiet"}]})
            .as_object()
            .cloned(),
        ..fields("The Pilot", 7)
    };
    let made = make(&bed, &ann, episode.clone()).await;
    for q in [
        "pilot",
        "PIL*",
        "begins",
        "drama",
        "s02e07",
        "7",
        "agnes",
        "\"agnès varda\"",
        "quiet",
        "director",
    ] {
        let hits = find(&bed, q).await;
        let [hit] = &hits[..] else {
            panic!("{q}: {hits:?}")
        };
        assert_eq!((hit.kind, hit.id), (Kind::Episode, made.id), "{q}");
        assert_eq!(hit.updated_at, made.updated_at);
        assert!(hit.snippet.contains("<mark>"), "{q}: {}", hit.snippet);
    }
    assert_eq!(
        find(&bed, "begins").await[0].snippet,
        "Where &lt;it&gt; all <mark>begins</mark>"
    );
    assert!(find(&bed, "\"pilot where\"").await.is_empty());
    let new = Fields {
        title: "The Finale".into(),
        description: None,
        ..episode
    };
    replace(&bed.store, made.id, new, change(&ann))
        .await
        .unwrap();
    assert!(find(&bed, "pilot").await.is_empty());
    assert!(find(&bed, "begins").await.is_empty());
    assert_eq!(titles(&bed, "finale agnes").await, ["The Finale"]);
    episodes::delete(&bed.store, made.id, change(&ann))
        .await
        .unwrap();
    assert!(find(&bed, "finale").await.is_empty());
    assert_eq!(bed.count("SELECT COUNT(*) FROM search").await, 0);
}

async fn a_change_that_fails_changes_nothing_of_what_is_found(bed: Bed) {
    let ann = bed.editor().await;
    make(&bed, &ann, fields("Pilot", 1)).await;
    let second = make(&bed, &ann, fields("Finale", 2)).await;
    let taken = fields("Interlude", 1);
    let refused = replace(&bed.store, second.id, taken.clone(), change(&ann)).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    let refused = episodes::insert(&bed.store, taken, ann, Origin::default()).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    assert!(find(&bed, "interlude").await.is_empty());
    assert_eq!(titles(&bed, "finale").await, ["Finale"]);
    assert_eq!(bed.count("SELECT COUNT(*) FROM search").await, 2);
}

async fn an_index_of_what_is_changed_all_the_time_stays_small(bed: Bed) {
    let ann = bed.editor().await;
    let mut made = Vec::new();
    for number in 0..3 {
        made.push(make(&bed, &ann, fields("Take", number)).await.id);
    }
    for take in 3..603 {
        let number = take % 3;
        let new = fields(&format!("Take {take}t"), number);
        replace(&bed.store, made[number as usize], new, change(&ann))
            .await
            .unwrap();
    }
    for (take, found) in [(599, 0), (600, 1), (601, 1), (602, 1)] {
        let hits = find(&bed, &format!("{take}t")).await;
        assert_eq!(hits.len(), found, "{take}: {hits:?}");
    }
    let words = match bed.store.kind() {
        "sqlite" => "SELECT COUNT(*) FROM search_words_docsize",
        _ => "SELECT COUNT(*) FROM search",
    };
    let words = bed.count(words).await;
    assert!(words <= 3 + 256, "{words}");
    // What was changed last goes, and its place in the index is not taken by another.
    let last = made.pop().unwrap();
    episodes::delete(&bed.store, last, change(&ann))
        .await
        .unwrap();
    let new = fields("After all", 0);
    replace(&bed.store, made[0], new, change(&ann))
        .await
        .unwrap();
    assert!(find(&bed, "602t").await.is_empty());
    assert_eq!(titles(&bed, "after").await, ["After all"]);
}

async fn what_is_found_is_what_a_simple_model_finds(bed: Bed) {
    let ann = bed.editor().await;
    let mut dice = StdRng::seed_from_u64(5);
    let mut model: Vec<(Uuid, Texts)> = Vec::new();
    for number in 0..60 {
        let (title, description) = (words(&mut dice, 4), words(&mut dice, 6));
        let new = Fields {
            description: Some(written(&mut dice, &description)),
            ..fields(&written(&mut dice, &title), 1000 + number)
        };
        let made = make(&bed, &ann, new).await;
        let folded =
            |words: Vec<(&str, &'static str)>| words.into_iter().map(|word| word.1).collect();
        model.push((made.id, vec![folded(title), folded(description)]));
    }
    for _ in 0..150 {
        let (word, prefix) = (
            WORDS[dice.random_range(0..WORDS.len())],
            dice.random_bool(0.3),
        );
        let other = WORDS[dice.random_range(0..WORDS.len())];
        let star = if prefix { "*" } else { "" };
        let (q, term) = match dice.random_bool(0.4) {
            true => (
                format!("\"{} {}{star}\"", other.0, word.0),
                vec![other.1, word.1],
            ),
            false => (format!("{}{star}", word.0), vec![word.1]),
        };
        let expected: BTreeSet<_> = model
            .iter()
            .filter(|(_, texts)| has(texts, &term, prefix))
            .map(|(id, _)| *id)
            .collect();
        let hits = page(&bed.store, &q, Some(Kind::Episode), 100, None)
            .await
            .rows;
        let found: BTreeSet<_> = hits.iter().map(|hit| hit.id).collect();
        assert_eq!(found, expected, "{q}");
        assert!(hits.iter().all(|hit| hit.snippet.contains("<mark>")), "{q}");
    }
}

async fn the_best_come_first_and_things_before_their_history(bed: Bed) {
    let ann = bed.editor().await;
    let told = |title: &str, description: &str, number| Fields {
        description: Some(description.into()),
        ..fields(title, number)
    };
    make(&bed, &ann, told("Harbour", "", 1)).await;
    make(&bed, &ann, told("Valley", "seen from the harbour", 2)).await;
    make(&bed, &ann, told("Harbours", "", 3)).await;
    make(&bed, &ann, told("Mountains", "beyond two harbours", 4)).await;
    make(&bed, &ann, told("Old harbour", "", 5)).await;
    make(&bed, &ann, told("Something else", "", 6)).await;
    history(&bed, Vec::new()).await;
    let ranked = async |kind| {
        let hits = page(&bed.store, "harbour*", kind, 100, None).await.rows;
        let ranked = hits.into_iter().map(|hit| (hit.kind, hit.title, hit.score));
        ranked.collect::<Vec<_>>()
    };
    let of = |kind, title: &str, score| (kind, title.to_owned(), score);
    assert_eq!(
        ranked(Some(Kind::Episode)).await,
        [
            of(Kind::Episode, "Old harbour", 1.0),
            of(Kind::Episode, "Harbour", 1.0),
            of(Kind::Episode, "Harbours", 0.5),
            of(Kind::Episode, "Valley", 0.5),
            of(Kind::Episode, "Mountains", 0.25),
        ]
    );
    // Their history has their names.
    let all = ranked(None).await;
    assert_eq!(all[1], of(Kind::Episode, "Harbour", 1.0));
    assert!(all.contains(&of(Kind::Activity, "Harbour", 0.5)));
    assert!(all.is_sorted_by(|a, b| a.2 >= b.2), "{all:?}");
    // All words are wanted.
    assert_eq!(titles(&bed, "old harbour").await[0], "Old harbour");
}

async fn what_is_called_so_is_not_pushed_out_by_what_mentions_it(bed: Bed) {
    let ann = bed.editor().await;
    make(&bed, &ann, fields("Night shift", 0)).await;
    for number in 1..=search::RANKED as i64 + 5 {
        let mention = Fields {
            description: Some("after the night shift".into()),
            ..fields("Another", number)
        };
        make(&bed, &ann, mention).await;
    }
    for q in ["night", "\"night shift\"", "nig* shi*"] {
        let first = &page(&bed.store, q, Some(Kind::Episode), 1, None).await.rows[0];
        assert_eq!(first.title, "Night shift", "{q}");
    }
}

async fn a_walk_meets_each_once_in_falling_order(bed: Bed) {
    let ann = bed.editor().await;
    for number in 0..25 {
        let episode = match number % 3 {
            0 => fields("needle", number),
            1 => fields("needles and pins", number),
            _ => Fields {
                description: Some("hay needle".into()),
                ..fields("hay", number)
            },
        };
        make(&bed, &ann, episode).await;
    }
    let (mut met, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = page(
            &bed.store,
            "needle*",
            Some(Kind::Episode),
            4,
            cursor.as_deref(),
        )
        .await;
        assert!(page.rows.len() == 4 || page.next_cursor.is_none());
        met.extend(page.rows);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let ids: BTreeSet<_> = met.iter().map(|hit| hit.id).collect();
    assert_eq!((met.len(), ids.len()), (25, 25));
    assert!(met.is_sorted_by(|a, b| (a.score, a.updated_at) >= (b.score, b.updated_at)));
    // A cursor is its own list's, and its reader's.
    let first = page(&bed.store, "needle*", None, 1, None).await;
    let cursor = first.next_cursor.as_deref();
    let another = Reader {
        id: Uuid::now_v7(),
        ..admin()
    };
    for (q, reader) in [("needle", admin()), ("needle*", another)] {
        let query = Query::parse(q).unwrap();
        let other = search::search(&bed.store, &query, None, 1, cursor, reader).await;
        assert!(
            matches!(
                other,
                Err(StoreError::Invalid {
                    field: "cursor",
                    ..
                })
            ),
            "{q}"
        );
    }
}

async fn of_the_history_one_finds_what_one_may_see(bed: Bed) {
    let ann = bed.editor().await;
    let said = |event: &str, kind: &str, actor: Option<&UserRef>| Said {
        event: event.into(),
        actor: actor.cloned(),
        data: json!({"title": "harbour"}),
        ..Said::about(kind, &ann.id.to_string())
    };
    history(
        &bed,
        vec![
            said("file_uploaded", "file", Some(&ann)),
            said("file_download", "file", Some(&ann)),
            said("user_updated", "user", None),
            said("admin_action", "socket", None),
        ],
    )
    .await;
    let query = Query::parse("harbour").unwrap();
    let sees = async |id: Uuid, role: Role| {
        let reader = Reader { id, role };
        let page = search::search(&bed.store, &query, None, 100, None, reader).await;
        page.unwrap().rows.len()
    };
    assert_eq!(sees(ann.id, Role::Editor).await, 3);
    assert_eq!(sees(Uuid::now_v7(), Role::Editor).await, 1);
    assert_eq!(sees(Uuid::now_v7(), Role::Viewer).await, 1);
    // The name of what an admin did is not in its row; the words of its particulars are.
    assert_eq!(sees(Uuid::now_v7(), Role::Admin).await, 4);
}

async fn a_type_leaves_the_others_out(bed: Bed) {
    let ann = bed.editor().await;
    make(&bed, &ann, fields("Harbour", 1)).await;
    let said = Said {
        data: json!({"title": "Harbour"}),
        ..Said::about("episode", "1")
    };
    history(&bed, vec![said]).await;
    let kinds = async |kind| {
        let rows = page(&bed.store, "harbour", kind, 100, None).await.rows;
        rows.iter().map(|hit| hit.kind).collect::<BTreeSet<_>>()
    };
    let both = BTreeSet::from([Kind::Episode, Kind::Activity]);
    assert_eq!(kinds(None).await, both);
    for kind in Kind::ALL {
        let expected = both.iter().copied().filter(|one| *one == kind).collect();
        assert_eq!(kinds(Some(kind)).await, expected);
    }
}

async fn episodes_of_earlier_versions_are_found_after_the_migration(bed: Bed) {
    let ann = bed.editor().await;
    for number in 0..250 {
        make(&bed, &ann, fields("needle", number)).await;
    }
    // As they were.
    bed.sql("UPDATE episodes SET words = NULL; DELETE FROM search")
        .await;
    let found = async || {
        page(&bed.store, "needle", Some(Kind::Episode), 100, None)
            .await
            .rows
    };
    assert!(found().await.is_empty());
    bed.store.migrate().await.unwrap();
    assert_eq!(found().await.len(), 100);
    assert_eq!(bed.count("SELECT COUNT(*) FROM search").await, 250);
}

async fn whatever_is_asked_is_answered(bed: Bed) {
    let ann = bed.editor().await;
    make(&bed, &ann, fields("or and not near", 1)).await;
    let mut dice = StdRng::seed_from_u64(13);
    let alphabet: Vec<char> = "ab \"*'()\\:^-+&|!<>{}[]~%_\0\u{301}é映🎬·\n,;.?/#@$=0"
        .chars()
        .collect();
    for _ in 0..200 {
        let length = dice.random_range(0..40);
        let q: String = (0..length)
            .map(|_| alphabet[dice.random_range(0..alphabet.len())])
            .collect();
        if let Some(query) = Query::parse(&q) {
            let found = search::search(&bed.store, &query, None, 10, None, admin()).await;
            assert!(found.is_ok(), "{q:?}: {found:?}");
        }
    }
    assert_eq!(titles(&bed, "not OR and").await, ["or and not near"]);
}
