//! Pages of the history, and its figures: who sees what, in which order, while rows are added.

use callboard::store::activity::{self, Filter, Reader};
use callboard::store::record;
use callboard_actors::model::activity::Activity;
use callboard_actors::model::identity::{Origin, Role, UserRef};
use callboard_actors::model::notice::Audience;
use callboard_actors::model::record::{NewEntry, Resource, Seq};
use callboard_actors::ports::{ActivitySink, NotificationSink};
use callboard_actors::testing::{notice, store_notices};
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bed::{Bed, entry, reference};

on_both!(
    everybody_sees_what_a_simple_model_says_whatever_the_filters,
    a_page_stays_right_while_rows_are_added,
    the_address_of_others_is_the_admins_business,
    a_team_is_who_is_a_member_now,
    figures_are_those_of_the_rows_that_one_may_see,
    figures_follow_the_rows_that_are_removed,
    the_dashboard_counts_everything,
);

/// An entry to be.
#[derive(Clone)]
pub struct Said {
    pub event: String,
    pub actor: Option<UserRef>,
    pub resource: Option<Resource>,
    pub data: Value,
    pub at: Option<DateTime<Utc>>,
}

impl Said {
    pub fn about(kind: &str, id: &str) -> Said {
        Said {
            event: "something_happened".into(),
            actor: None,
            resource: Some(Resource {
                kind: kind.into(),
                id: id.into(),
            }),
            data: json!({}),
            at: None,
        }
    }
}

/// Puts it on the Record, and the rows into the history. Gives the place of the first.
pub async fn history(bed: &Bed, said: Vec<Said>) -> Seq {
    let first = record::span(&bed.store).await.unwrap().last + 1;
    say(bed, said).await;
    first
}

pub async fn say(bed: &Bed, said: Vec<Said>) {
    for said in said.chunks(1000) {
        let entries: Vec<NewEntry> = said
            .iter()
            .map(|said| {
                let mut new = entry(Uuid::now_v7());
                new.event = said.event.clone();
                new.actor = said.actor.clone();
                new.resource = said.resource.clone();
                new.data = serde_json::value::to_raw_value(&said.data).unwrap();
                new.at = said.at.unwrap_or(new.at);
                new.origin = Origin {
                    ip: Some("192.0.2.7".into()),
                    ..Origin::default()
                };
                new
            })
            .collect();
        let write = bed.store.write(move |tx| {
            Box::pin(async move {
                for new in entries {
                    tx.append(new)?;
                }
                Ok(())
            })
        });
        write.await.unwrap();
    }
    loop {
        let cursor = ActivitySink::cursor(&bed.store).await.unwrap();
        let batch = record::after(&bed.store, cursor, 1000).await.unwrap();
        if batch.is_empty() {
            return;
        }
        ActivitySink::write(&bed.store, batch).await.unwrap();
    }
}

pub fn admin() -> Reader {
    Reader {
        id: Uuid::nil(),
        role: Role::Admin,
    }
}

fn somebody(name: &str) -> UserRef {
    UserRef {
        id: Uuid::now_v7(),
        name: name.into(),
    }
}

async fn walk(bed: &Bed, filter: &Filter, limit: u32, reader: Reader) -> Vec<Activity> {
    let (mut rows, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = activity::feed(&bed.store, filter, limit, cursor.as_deref(), reader);
        let page = page.await.unwrap();
        rows.extend(page.rows);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return rows;
        }
    }
}

fn seqs(rows: &[Activity]) -> Vec<Seq> {
    rows.iter().map(|row| row.seq).collect()
}

const KINDS: [(&str, &str); 6] = [
    ("episode_updated", "episode"),
    ("job_failed", "job"),
    ("file_download", "file"),
    ("file_uploaded", "file"),
    ("user_updated", "user"),
    ("admin_action", "episode"),
];

async fn everybody_sees_what_a_simple_model_says_whatever_the_filters(bed: Bed) {
    let mut dice = StdRng::seed_from_u64(3);
    let people = ["Ann", "Bob", "Cleo"].map(somebody);
    let noon = entry(Uuid::nil()).at;
    let said: Vec<Said> = (0..300)
        .map(|index| {
            let (event, kind) = KINDS[dice.random_range(0..KINDS.len())];
            let actor = &people[dice.random_range(0..3)];
            let id = match kind {
                "user" => people[dice.random_range(0..3)].id.to_string(),
                _ => dice.random_range(0..3).to_string(),
            };
            Said {
                event: event.into(),
                actor: Some(actor.clone()),
                at: Some(noon + TimeDelta::minutes(index)),
                ..Said::about(kind, &id)
            }
        })
        .collect();
    let first = history(&bed, said.clone()).await;
    let mut seen = 0;
    for _ in 0..150 {
        let who = &people[dice.random_range(0..3)];
        let role = [Role::Viewer, Role::Editor, Role::Admin][dice.random_range(0..3)];
        let maybe = |dice: &mut StdRng| dice.random_bool(0.3);
        let (event, kind) = KINDS[dice.random_range(0..KINDS.len())];
        let minute = |dice: &mut StdRng| noon + TimeDelta::minutes(dice.random_range(0..300));
        let filter = Filter {
            action: maybe(&mut dice).then(|| event.into()),
            resource_type: maybe(&mut dice).then(|| kind.into()),
            resource_id: maybe(&mut dice).then(|| "1".into()),
            user_id: maybe(&mut dice).then_some(people[0].id),
            from: maybe(&mut dice).then(|| minute(&mut dice)),
            to: maybe(&mut dice).then(|| minute(&mut dice)),
        };
        if let (Some(from), Some(to)) = (filter.from, filter.to)
            && from > to
        {
            continue;
        }
        let fits = |said: &Said| {
            let (resource, at) = (said.resource.as_ref().unwrap(), said.at.unwrap());
            let actor = said.actor.as_ref().unwrap().id;
            filter.action.as_ref().is_none_or(|it| *it == said.event)
                && filter
                    .resource_type
                    .as_ref()
                    .is_none_or(|it| *it == resource.kind)
                && filter
                    .resource_id
                    .as_ref()
                    .is_none_or(|it| *it == resource.id)
                && filter.user_id.is_none_or(|it| it == actor)
                && filter.from.is_none_or(|it| at >= it)
                && filter.to.is_none_or(|it| at <= it)
        };
        let may = |said: &Said| {
            let own = said.actor.as_ref().unwrap().id == who.id;
            role == Role::Admin
                || match &*said.event {
                    "admin_action" => false,
                    "file_download" => own,
                    "user_updated" => said.resource.as_ref().unwrap().id == who.id.to_string(),
                    _ => true,
                }
        };
        let mut expected: Vec<Seq> = said
            .iter()
            .zip(first..)
            .filter(|(said, _)| fits(said) && may(said))
            .map(|(_, seq)| seq)
            .collect();
        expected.reverse();
        // The users' own entries, which the bed made, are nobody's here.
        let reader = Reader { id: who.id, role };
        let rows = walk(&bed, &filter, 11, reader).await;
        assert_eq!(seqs(&rows), expected, "{role} {filter:?}");
        seen += rows.len();
        if filter.resource_id.is_none() {
            let within = Filter {
                from: filter.from.or(Some(noon)),
                to: filter.to.or(Some(noon + TimeDelta::days(1))),
                ..filter
            };
            let stats = activity::stats(&bed.store, &within, reader).await.unwrap();
            assert_eq!(stats.total, expected.len() as i64, "{role} {within:?}");
        }
    }
    assert!(seen > 1000, "{seen}");
}

async fn a_page_stays_right_while_rows_are_added(bed: Bed) {
    let some = |count: usize| vec![Said::about("episode", "1"); count];
    let first = history(&bed, some(50)).await;
    let viewer = Reader {
        id: Uuid::now_v7(),
        role: Role::Viewer,
    };
    let (mut met, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let all = Filter::default();
        let page = activity::feed(&bed.store, &all, 7, cursor.as_deref(), viewer);
        let page = page.await.unwrap();
        met.extend(page.rows.iter().map(|row| row.seq));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
        say(&bed, some(3)).await;
    }
    let expected: Vec<_> = (first..first + 50).rev().collect();
    assert_eq!(met, expected);
}

async fn the_address_of_others_is_the_admins_business(bed: Bed) {
    let (ann, bob) = (somebody("Ann"), somebody("Bob"));
    let did = |who: &UserRef| Said {
        actor: Some(who.clone()),
        ..Said::about("episode", "1")
    };
    history(
        &bed,
        vec![did(&ann), did(&bob), Said::about("episode", "1")],
    )
    .await;
    let sees = async |role| {
        let rows = walk(&bed, &Filter::default(), 10, Reader { id: ann.id, role }).await;
        rows.into_iter()
            .map(|row| row.ip.is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(sees(Role::Editor).await, [false, false, true]);
    assert_eq!(sees(Role::Admin).await, [true, true, true]);
}

async fn a_team_is_who_is_a_member_now(bed: Bed) {
    let mut said = Vec::new();
    for (name, team) in [
        ("Ann", Some("drama")),
        ("Bob", Some("news")),
        ("Cleo", Some("drama")),
        ("Dan", None),
    ] {
        let user = bed.user(name, Role::Editor, team).await;
        for _ in 0..15 {
            said.push(Said {
                actor: Some(reference(&user)),
                ..Said::about("episode", name)
            });
        }
    }
    // A team that is too large to be read member by member.
    for index in 0..110 {
        bed.user(&format!("extra-{index}"), Role::Viewer, Some("crowd"))
            .await;
    }
    let extra = bed.user("Eve", Role::Editor, Some("crowd")).await;
    said.push(Said {
        actor: Some(reference(&extra)),
        ..Said::about("episode", "Eve")
    });
    let first = history(&bed, said.clone()).await;
    let of = async |team: Option<&str>, limit: u32| {
        let (mut rows, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let filter = Filter::default();
            let page = activity::of_team(
                &bed.store,
                team,
                &filter,
                limit,
                cursor.as_deref(),
                Reader::PROGRAM,
            );
            let page = page.await.unwrap();
            rows.extend(page.rows.into_iter().map(|row| row.seq));
            cursor = page.next_cursor;
            if cursor.is_none() {
                return rows;
            }
        }
    };
    let expected = |names: &[&str]| {
        let rows = said.iter().zip(first..);
        let of = rows.filter(|(said, _)| names.contains(&&*said.actor.as_ref().unwrap().name));
        let mut seqs: Vec<_> = of.map(|(_, seq)| seq).collect();
        seqs.reverse();
        seqs
    };
    assert_eq!(of(Some("drama"), 4).await, expected(&["Ann", "Cleo"]));
    assert_eq!(of(Some("crowd"), 4).await, expected(&["Eve"]));
    assert_eq!(of(Some("nobody's"), 4).await, [] as [Seq; 0]);
    assert_eq!(
        of(None, 100).await,
        expected(&["Ann", "Bob", "Cleo", "Dan", "Eve"])
    );
}

async fn figures_are_those_of_the_rows_that_one_may_see(bed: Bed) {
    let (ann, bob) = (
        reference(&bed.user("Ann", Role::Editor, None).await),
        reference(&bed.user("Bob", Role::Editor, None).await),
    );
    let noon = entry(Uuid::nil()).at;
    let did = |who: &UserRef, event: &str, kind: &str, days_ago: i64| Said {
        event: event.into(),
        actor: Some(who.clone()),
        at: Some(noon - TimeDelta::days(days_ago)),
        ..Said::about(kind, "1")
    };
    history(
        &bed,
        vec![
            did(&ann, "episode_updated", "episode", 40),
            did(&ann, "episode_updated", "episode", 2),
            did(&ann, "episode_created", "episode", 1),
            did(&bob, "episode_updated", "episode", 0),
            did(&bob, "file_download", "file", 0),
            did(&bob, "admin_action", "episode", 0),
        ],
    )
    .await;
    let of = async |who: &UserRef, role, filter: Filter| {
        let stats = activity::stats(&bed.store, &filter, Reader { id: who.id, role }).await;
        json!(stats.unwrap())
    };
    let day = |ago: i64| json!((noon - TimeDelta::days(ago)).date_naive());
    let of_ann = of(&ann, Role::Editor, Filter::default()).await;
    assert_eq!(
        of_ann["total"], 4,
        "and that her account was made: {of_ann}"
    );
    assert_eq!(
        of_ann["by_action"],
        json!([{"action": "episode_updated", "count": 2}, {"action": "episode_created", "count": 1},
               {"action": "user_created", "count": 1}])
    );
    assert_eq!(
        of_ann["by_day"],
        json!([{"day": day(2), "count": 1}, {"day": day(1), "count": 1}, {"day": day(0), "count": 2}])
    );
    assert_eq!(
        of_ann["by_user"],
        json!([{"user": ann, "count": 2}, {"user": bob, "count": 1}])
    );
    assert_eq!(
        of_ann["by_resource_type"],
        json!([{"resource_type": "episode", "count": 3}, {"resource_type": "user", "count": 1}])
    );
    assert_eq!(of(&bob, Role::Editor, Filter::default()).await["total"], 5);
    assert_eq!(of(&bob, Role::Admin, Filter::default()).await["total"], 7);
    let since = |from: DateTime<Utc>| Filter {
        from: Some(from),
        ..Filter::default()
    };
    let long_ago = since(noon - TimeDelta::days(100));
    assert_eq!(of(&ann, Role::Editor, long_ago).await["total"], 5);
    // Within a day: from the rows.
    let exact = since(noon - TimeDelta::days(1) + TimeDelta::microseconds(1));
    assert_eq!(of(&ann, Role::Editor, exact).await["total"], 2);
    let exact = since(noon - TimeDelta::days(1));
    assert_eq!(of(&ann, Role::Editor, exact.clone()).await["total"], 3);
    let by_ann = Filter {
        user_id: Some(ann.id),
        ..exact
    };
    assert_eq!(of(&bob, Role::Admin, by_ann).await["total"], 1);
}

async fn figures_follow_the_rows_that_are_removed(bed: Bed) {
    let noon = entry(Uuid::nil()).at;
    let said: Vec<_> = (0..100)
        .map(|index| Said {
            at: Some(noon - TimeDelta::days(9 - index / 10)),
            ..Said::about("episode", "1")
        })
        .collect();
    let first = history(&bed, said).await;
    bed.sql(&format!("DELETE FROM activity WHERE seq < {}", first + 35))
        .await;
    let stats = activity::stats(&bed.store, &Filter::default(), admin())
        .await
        .unwrap();
    assert_eq!(stats.total, 65);
    assert_eq!(stats.by_day.len(), 7);
    assert_eq!(
        bed.count("SELECT COUNT(*) FROM activity_counts").await,
        7,
        "nothing is left of the rest"
    );
}

async fn the_dashboard_counts_everything(bed: Bed) {
    let ann = reference(&bed.user("Ann", Role::Editor, None).await);
    let noon = entry(Uuid::nil()).at;
    let said = [0, 0, 3, 20].map(|days| Said {
        actor: Some(ann.clone()),
        at: Some(noon - TimeDelta::days(days)),
        ..Said::about("episode", "1")
    });
    history(&bed, said.into()).await;
    let found = activity::dashboard(&bed.store).await.unwrap();
    assert_eq!(
        (found.total, found.today.total, found.week.total),
        (5, 3, 4)
    );
    assert_eq!(found.week.by_user[0].user, ann);
    assert_eq!(found.users_by_role, [("editor".to_owned(), 1)]);
    assert_eq!((found.users_disabled, found.notifications_unread), (0, 0));
    // Of two that nobody has read one has expired: it is in nobody's list.
    let notices = [false, true].map(|expired| {
        let seq = 100 + u64::from(expired);
        let mut one = notice(seq, "call_sheet", "06:30".into(), Audience::all(), noon);
        one.draft.expires_at = expired.then(|| bed.store.now() - TimeDelta::seconds(1));
        one
    });
    let after = NotificationSink::position(&bed.store).await.unwrap().seq;
    store_notices(&bed.store, after, after, notices.into())
        .await
        .unwrap();
    let found = activity::dashboard(&bed.store).await.unwrap();
    assert_eq!(found.notifications_unread, 1);
}
