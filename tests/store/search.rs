//! Looking for words in the history: both databases find what a simple model finds.

use std::collections::BTreeSet;

use callboard::store::Store;
use callboard::store::activity::{self, Filter, Reader};
use callboard::store::words::Query;
use callboard_actors::model::activity::Activity;
use callboard_actors::model::identity::{Role, UserRef};
use callboard_actors::model::page::Page;
use callboard_actors::model::record::Seq;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bed::Bed;
use crate::feed::{Said, admin, history, say};

on_both!(
    what_is_found_is_what_a_simple_model_finds,
    the_best_match_comes_first_and_then_the_newest,
    a_walk_meets_each_row_once_while_rows_are_added,
    what_lies_far_back_is_found_like_what_is_new,
    what_one_may_not_see_one_cannot_find,
    filters_narrow_a_search,
    whatever_is_asked_is_answered,
    what_is_removed_is_not_found_any_more,
    rows_of_earlier_versions_can_be_found_after_the_migration,
);

async fn find(store: &Store, q: &str, filter: &Filter, reader: Reader) -> Vec<Activity> {
    let query = Query::parse(q).unwrap();
    let page = activity::search(store, &query, filter, 100, None, reader).await;
    page.unwrap().rows
}

fn names(rows: &[Activity]) -> Vec<&str> {
    rows.iter()
        .map(|row| row.resource_name.as_deref().unwrap())
        .collect()
}

/// Words as they are written, and as they are compared.
pub const WORDS: &[(&str, &str)] = &[
    ("Night", "night"),
    ("nightly", "nightly"),
    ("CAFÉ", "cafe"),
    ("cafe\u{301}", "cafe"),
    ("cafeteria", "cafeteria"),
    ("Ångström", "angstrom"),
    ("S01E02", "s01e02"),
    ("42", "42"),
    ("420", "420"),
    ("ночь", "ночь"),
    ("НОЧЬЮ", "ночью"),
    ("or", "or"),
    ("NOT", "not"),
    ("near", "near"),
    ("映", "映"),
];
/// None of these is in a word.
const BETWEEN: &[&str] = &[
    " ", "-", " — ", "_", "'", "\"", " & ", "* ", ":", "(", " · ", "\t", "🎬", ", ", "\\", "%",
];

pub fn words(dice: &mut StdRng, most: usize) -> Vec<(&'static str, &'static str)> {
    let count = dice.random_range(1..=most);
    (0..count)
        .map(|_| WORDS[dice.random_range(0..WORDS.len())])
        .collect()
}

pub fn written(dice: &mut StdRng, words: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (word, _) in words {
        text.push_str(word);
        text.push_str(BETWEEN[dice.random_range(0..BETWEEN.len())]);
    }
    text
}

/// A row as the model has it: its texts, each a list of folded words.
pub type Texts = Vec<Vec<&'static str>>;

pub fn has(texts: &Texts, term: &[&str], prefix: bool) -> bool {
    texts.iter().any(|text| {
        text.windows(term.len()).any(|run| {
            let (last, before) = term.split_last().unwrap();
            let (end, start) = run.split_last().unwrap();
            start == before && (end == last || prefix && end.starts_with(last))
        })
    })
}

async fn what_is_found_is_what_a_simple_model_finds(bed: Bed) {
    let mut dice = StdRng::seed_from_u64(7);
    let mut said = Vec::new();
    let mut rows: Vec<Texts> = Vec::new();
    for _ in 0..150 {
        let (name, old, new) = (
            words(&mut dice, 5),
            words(&mut dice, 2),
            words(&mut dice, 3),
        );
        let changes =
            json!({"f": {"old": written(&mut dice, &old), "new": written(&mut dice, &new)}});
        said.push(Said {
            data: json!({"title": written(&mut dice, &name), "changes": changes}),
            ..Said::about("episode", "1")
        });
        let folded =
            |words: Vec<(&str, &'static str)>| words.into_iter().map(|word| word.1).collect();
        rows.push(vec![folded(name), folded(old), folded(new)]);
    }
    let first = history(&bed, said).await;
    let mut hits = 0;
    for round in 0..300 {
        let (mut q, mut terms) = (String::new(), Vec::new());
        for _ in 0..dice.random_range(1..=2) {
            let words = words(&mut dice, 2);
            let prefix = dice.random_bool(0.3);
            let mut term: Vec<_> = words.iter().map(|word| word.1.to_owned()).collect();
            let mut asked: Vec<_> = words.iter().map(|word| word.0.to_owned()).collect();
            if prefix {
                // Cut somewhere, between two letters that belong together in neither spelling.
                let last = term.last_mut().unwrap();
                let keep = dice.random_range(1..=last.chars().count());
                *last = last.chars().take(keep).collect();
                *asked.last_mut().unwrap() = last.to_uppercase();
            }
            let star = if prefix { "*" } else { "" };
            let blank = BETWEEN[dice.random_range(0..BETWEEN.len())];
            match dice.random_bool(0.5) || blank.contains(['"', '*', ' ', '\t']) {
                true => q.push_str(&format!(" \"{}{star}\"", asked.join(" "))),
                // What is written without a blank belongs together.
                false => q.push_str(&format!(" {}{star}", asked.join(blank))),
            }
            terms.push((term, prefix));
        }
        let expected: BTreeSet<Seq> = rows
            .iter()
            .zip(first..)
            .filter(|(texts, _)| {
                terms.iter().all(|(term, prefix)| {
                    let term: Vec<_> = term.iter().map(String::as_str).collect();
                    has(texts, &term, *prefix)
                })
            })
            .map(|(_, seq)| seq)
            .collect();
        let found = walk(&bed.store, &q, 40).await;
        assert_eq!(
            found.len(),
            found.iter().collect::<BTreeSet<_>>().len(),
            "{q}"
        );
        assert_eq!(
            found.into_iter().collect::<BTreeSet<_>>(),
            expected,
            "{round}: {q}"
        );
        hits += usize::from(!expected.is_empty());
    }
    assert!(hits > 100, "{hits} of the queries found something");
}

async fn page(store: &Store, q: &str, limit: u32, cursor: Option<&str>) -> Page<Activity> {
    page_of(admin(), store, q, limit, cursor).await
}

async fn page_of(
    reader: Reader,
    store: &Store,
    q: &str,
    limit: u32,
    cursor: Option<&str>,
) -> Page<Activity> {
    let (query, filter) = (Query::parse(q).unwrap(), Filter::default());
    activity::search(store, &query, &filter, limit, cursor, reader)
        .await
        .unwrap()
}

async fn walk(store: &Store, q: &str, limit: u32) -> Vec<Seq> {
    walk_of(admin(), store, q, limit).await
}

async fn walk_of(reader: Reader, store: &Store, q: &str, limit: u32) -> Vec<Seq> {
    let (mut seqs, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = page_of(reader, store, q, limit, cursor.as_deref()).await;
        seqs.extend(page.rows.iter().map(|row| row.seq));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return seqs;
        }
    }
}

fn titled(title: &str) -> Said {
    Said {
        data: json!({"title": title}),
        ..Said::about("episode", "1")
    }
}

async fn the_best_match_comes_first_and_then_the_newest(bed: Bed) {
    let changed = |title: &str, to: &str| Said {
        data: json!({"title": title, "changes": {"note": {"old": null, "new": to}}}),
        ..Said::about("episode", "1")
    };
    history(
        &bed,
        vec![
            titled("Harbour"),
            titled("Harbours"),
            changed("Valley", "seen from the harbour"),
            titled("Old harbour"),
            titled("Something else"),
        ],
    )
    .await;
    let all = Filter::default();
    let found = find(&bed.store, "harbour*", &all, admin()).await;
    assert_eq!(
        names(&found),
        ["Old harbour", "Harbour", "Harbours", "Valley"]
    );
    let found = find(&bed.store, "\"the harbour\"", &all, admin()).await;
    assert_eq!(names(&found), ["Valley"]);
    // The end of one text and the beginning of the next do not belong together.
    assert!(
        find(&bed.store, "\"valley x\"", &all, admin())
            .await
            .is_empty()
    );
}

async fn a_walk_meets_each_row_once_while_rows_are_added(bed: Bed) {
    // More than are ranked; every third in a place that counts more.
    let count = 2 * activity::RANKED + 30;
    let said = |from: usize, to: usize| {
        (from..to)
            .map(|index| match index % 3 {
                0 => titled("needle"),
                _ => Said {
                    data: json!({"title": "hay", "changes": {"x": {"old": "needle", "new": index}}}),
                    ..Said::about("episode", "1")
                },
            })
            .collect::<Vec<_>>()
    };
    let first = history(&bed, said(0, count)).await;
    let (mut met, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let page = page(&bed.store, "needle", 37, cursor.as_deref()).await;
        met.extend(page.rows);
        pages += 1;
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
        say(&bed, said(0, 20)).await;
    }
    assert_eq!(pages, count.div_ceil(37));
    let seqs: Vec<_> = met.iter().map(|row| row.seq).collect();
    let ranked = &met[..activity::RANKED];
    let best = ranked
        .iter()
        .take_while(|row| row.resource_name.as_deref() == Some("needle"));
    assert_eq!(
        best.count(),
        ranked.len().div_ceil(3),
        "the best of the ranked ones come first"
    );
    assert!(
        seqs[activity::RANKED..].is_sorted_by(|a, b| a > b),
        "behind them the newest first"
    );
    let all: BTreeSet<_> = (first..first + count as u64).collect();
    assert_eq!(
        (seqs.len(), seqs.into_iter().collect::<BTreeSet<_>>()),
        (count, all)
    );
}

/// PostgreSQL looks for what is new, for what there is little of, and for the rest, in different ways.
async fn what_lies_far_back_is_found_like_what_is_new(bed: Bed) {
    const ROWS: u64 = 4000;
    // These lie close together, long ago.
    const OLD: u64 = 3000;
    let ann = bed.editor().await;
    let said = |number: u64| {
        let mut title = String::from("common");
        for (word, is_in) in [
            ("third", number.is_multiple_of(3)),
            ("rare", number.is_multiple_of(150)),
            ("old", number < OLD),
            ("even", number.is_multiple_of(2)),
            ("odd", !number.is_multiple_of(2)),
        ] {
            if is_in {
                title.push(' ');
                title.push_str(word);
            }
        }
        let private = number % 5 < 2;
        Said {
            event: if private {
                "file_download"
            } else {
                "file_uploaded"
            }
            .into(),
            actor: Some(ann.clone()),
            data: json!({"title": title}),
            ..Said::about("file", "1")
        }
    };
    let first = history(&bed, (0..ROWS).map(said).collect()).await;
    // As if many others lay between the rest.
    let place = |number: u64| match number < OLD {
        true => first + number,
        false => 100_000 + (number - OLD) * 100,
    };
    let new = first + OLD;
    bed.sql(&format!(
        "UPDATE activity SET seq = -seq;
         UPDATE activity SET seen_by = NULL,
             seq = CASE WHEN -seq < {new} THEN -seq ELSE 100000 + (-seq - {new}) * 100 END;
         DELETE FROM activity_search; DELETE FROM activity_counts"
    ))
    .await;
    bed.store.migrate().await.unwrap();
    let stranger = Uuid::now_v7();
    let role = Role::Viewer;
    let readers = [
        admin(),
        Reader { id: ann.id, role },
        Reader { id: stranger, role },
    ];
    type Matches = fn(u64) -> bool;
    let asked: [(&str, Matches); 11] = [
        ("common", |_| true),
        ("third", |number| number.is_multiple_of(3)),
        ("rare", |number| number.is_multiple_of(150)),
        ("old", |number| number < OLD),
        ("comm* rare", |number| number.is_multiple_of(150)),
        ("comm* o*", |number| {
            !number.is_multiple_of(2) || number < OLD
        }),
        ("\"common third\"", |number| number.is_multiple_of(3)),
        ("\"third common\"", |_| false),
        ("\"common ra*\"", |number| {
            number.is_multiple_of(150) && !number.is_multiple_of(3)
        }),
        ("odd even", |_| false),
        ("download", |number| number % 5 < 2),
    ];
    for reader in readers {
        for (q, matches) in asked {
            let seen = |number: &u64| reader.id != stranger || number % 5 >= 2;
            let numbers = (0..ROWS).filter(|number| matches(*number) && seen(number));
            let expected: Vec<Seq> = numbers.map(place).collect();
            let found = walk_of(reader, &bed.store, q, 100).await;
            let in_order = found.iter().skip(activity::RANKED);
            assert!(in_order.is_sorted_by(|a, b| a > b), "{q}");
            let newest = found.iter().take(activity::RANKED).min();
            assert_eq!(
                newest,
                expected.iter().rev().take(activity::RANKED).min(),
                "{q}"
            );
            let found: BTreeSet<_> = found.iter().copied().collect();
            assert_eq!(found, expected.into_iter().collect(), "{q}");
        }
    }
}

async fn what_one_may_not_see_one_cannot_find(bed: Bed) {
    let somebody = |name: &str| UserRef {
        id: Uuid::now_v7(),
        name: name.into(),
    };
    let (ann, bob) = (somebody("Ann"), somebody("Bob"));
    let of = |event: &str, kind: &str, id: &str| Said {
        event: event.into(),
        actor: Some(ann.clone()),
        data: json!({"name": "treasure"}),
        ..Said::about(kind, id)
    };
    history(
        &bed,
        vec![
            of("file_uploaded", "file", "1"),
            of("file_download", "file", "1"),
            of("user_updated", "user", &bob.id.to_string()),
            Said {
                data: json!({"action": "treasure"}),
                ..of("admin_action", "file", "1")
            },
        ],
    )
    .await;
    let sees = async |who: &UserRef, role| {
        let reader = Reader { id: who.id, role };
        let rows = find(&bed.store, "treasure", &Filter::default(), reader).await;
        let mut actions: Vec<_> = rows.into_iter().map(|row| row.action).collect();
        actions.sort();
        actions
    };
    assert_eq!(
        sees(&ann, Role::Editor).await,
        ["file_download", "file_uploaded"]
    );
    assert_eq!(
        sees(&bob, Role::Viewer).await,
        ["file_uploaded", "user_updated"]
    );
    assert_eq!(
        sees(&somebody("Eve"), Role::Editor).await,
        ["file_uploaded"]
    );
    assert_eq!(sees(&bob, Role::Admin).await.len(), 4);
}

async fn filters_narrow_a_search(bed: Bed) {
    let ann = bed.editor().await;
    let said = |event: &str, kind: &str, id: &str, actor: Option<&UserRef>| Said {
        event: event.into(),
        actor: actor.cloned(),
        data: json!({"title": format!("harbour {event}")}),
        ..Said::about(kind, id)
    };
    history(
        &bed,
        vec![
            said("episode_created", "episode", "1", Some(&ann)),
            said("episode_updated", "episode", "2", None),
            said("job_failed", "job", "1", Some(&ann)),
        ],
    )
    .await;
    let found = async |filter: Filter| {
        let rows = find(&bed.store, "harbour", &filter, admin()).await;
        rows.into_iter().map(|row| row.action).collect::<Vec<_>>()
    };
    let any = Filter::default;
    let (action, kind) = (Some("job_failed".into()), Some("episode".into()));
    assert_eq!(found(Filter { action, ..any() }).await, ["job_failed"]);
    assert_eq!(
        found(Filter {
            resource_type: kind,
            ..any()
        })
        .await,
        ["episode_updated", "episode_created"]
    );
    assert_eq!(
        found(Filter {
            resource_id: Some("1".into()),
            ..any()
        })
        .await,
        ["job_failed", "episode_created"]
    );
    assert_eq!(
        found(Filter {
            user_id: Some(ann.id),
            ..any()
        })
        .await,
        ["job_failed", "episode_created"]
    );
    let later = Some(bed.store.now() + chrono::TimeDelta::seconds(1));
    assert!(
        found(Filter {
            from: later,
            ..any()
        })
        .await
        .is_empty()
    );
    assert_eq!(found(Filter { to: later, ..any() }).await.len(), 3);
    // A key is no word, and no filter matches half of one.
    let action = Some("job".into());
    assert!(found(Filter { action, ..any() }).await.is_empty());
}

async fn whatever_is_asked_is_answered(bed: Bed) {
    history(
        &bed,
        vec![titled("or and not near"), titled("x".repeat(5000).as_str())],
    )
    .await;
    let mut dice = StdRng::seed_from_u64(11);
    let alphabet: Vec<char> = "ab \"*'()\\:^-+&|!<>{}[]~%_\0\u{301}é映🎬·\n,;.?/#@$=0"
        .chars()
        .collect();
    let mut queries: Vec<String> = [
        "a OR b",
        "NOT a",
        "near(a b)",
        "\"",
        "\"\"",
        "a*b*",
        "col : x",
        "' OR 1=1 --",
        "a <-> b",
        "!a & (b | c)",
        "'a':*",
        "\\",
        "a:A",
        "x*",
        "{words} : a",
        "^a",
        "- a",
        "·s",
        "or",
    ]
    .map(str::to_owned)
    .into();
    for _ in 0..300 {
        let length = dice.random_range(0..40);
        queries.push(
            (0..length)
                .map(|_| alphabet[dice.random_range(0..alphabet.len())])
                .collect(),
        );
    }
    queries.push("é".repeat(200));
    queries.push("映".repeat(200));
    queries.push("a ".repeat(100));
    let mut asked = 0;
    for q in queries {
        let Some(query) = Query::parse(&q) else {
            continue;
        };
        asked += 1;
        let found =
            activity::search(&bed.store, &query, &Filter::default(), 10, None, admin()).await;
        assert!(found.is_ok(), "{q:?}: {found:?}");
    }
    assert!(asked > 200, "{asked}");
    // Nothing of it is an operator.
    assert_eq!(
        find(&bed.store, "not OR and", &Filter::default(), admin())
            .await
            .len(),
        1
    );
    // A word that is too long is cut on both sides.
    assert_eq!(
        find(&bed.store, &"x".repeat(200), &Filter::default(), admin())
            .await
            .len(),
        1
    );
}

async fn what_is_removed_is_not_found_any_more(bed: Bed) {
    let first = history(&bed, (0..10).map(|_| titled("needle")).collect()).await;
    bed.sql(&format!("DELETE FROM activity WHERE seq < {}", first + 4))
        .await;
    assert_eq!(
        find(&bed.store, "needle", &Filter::default(), admin())
            .await
            .len(),
        6
    );
    let left = "SELECT COUNT(*) FROM activity_search";
    assert_eq!(
        bed.count(left).await,
        bed.count("SELECT COUNT(*) FROM activity").await
    );
}

async fn rows_of_earlier_versions_can_be_found_after_the_migration(bed: Bed) {
    history(&bed, (0..1200).map(|_| titled("needle")).collect()).await;
    // As they were.
    bed.sql("UPDATE activity SET seen_by = NULL; DELETE FROM activity_search; DELETE FROM activity_counts")
        .await;
    let viewer = Reader {
        id: Uuid::now_v7(),
        role: Role::Viewer,
    };
    assert!(
        find(&bed.store, "needle", &Filter::default(), viewer)
            .await
            .is_empty()
    );
    bed.store.migrate().await.unwrap();
    assert_eq!(
        find(&bed.store, "needle", &Filter::default(), viewer)
            .await
            .len(),
        100
    );
    let stats = activity::stats(&bed.store, &Filter::default(), viewer)
        .await
        .unwrap();
    assert_eq!(stats.total, 1200);
    assert_eq!(
        bed.count("SELECT COUNT(*) FROM activity WHERE seen_by IS NULL")
            .await,
        0
    );
    let _: Value = json!(stats);
}
