//! When users were last seen, and how they want to be seen.

use callboard::store::presence;
use callboard::store::{Store, StoreError};
use callboard_actors::model::identity::Role;
use callboard_actors::model::presence::{Choice, Memo, Status};
use callboard_actors::ports::PresenceMemory;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::bed::Bed;

on_both!(
    a_user_was_last_seen_at_the_latest_moment_that_anybody_wrote,
    a_choice_stays_until_another_is_written_and_the_ordinary_one_needs_no_keeping,
    who_is_no_user_is_passed_over_and_the_others_are_written,
    as_many_as_a_batch_holds_are_written_at_once,
);

async fn last_seen(store: &Store, user: Uuid) -> Result<Option<DateTime<Utc>>, StoreError> {
    let asked = [Uuid::now_v7(), user];
    let seen = presence::last_seen(store, &asked).await?;
    assert_eq!(seen.len(), usize::from(seen.contains_key(&user)));
    Ok(seen.get(&user).copied())
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 123_456_000).unwrap()
}

fn seen(user: Uuid, second: i64) -> Memo {
    Memo {
        user,
        last_seen: at(second),
        choice: None,
    }
}

fn chose(user: Uuid, second: i64, status: Status, message: Option<&str>) -> Memo {
    let message = message.map(str::to_owned);
    Memo {
        choice: Some(Choice { status, message }),
        ..seen(user, second)
    }
}

async fn a_user_was_last_seen_at_the_latest_moment_that_anybody_wrote(bed: Bed) {
    let ada = bed.user("ada", Role::Editor, None).await.id;
    assert_eq!(last_seen(&bed.store, ada).await, Ok(None));
    bed.store.remember(vec![seen(ada, 10)]).await.unwrap();
    assert_eq!(last_seen(&bed.store, ada).await, Ok(Some(at(10))));
    bed.store.remember(vec![seen(ada, 5)]).await.unwrap();
    assert_eq!(last_seen(&bed.store, ada).await, Ok(Some(at(10))));
    let other = bed.another().await;
    other.remember(vec![seen(ada, 20)]).await.unwrap();
    assert_eq!(last_seen(&bed.store, ada).await, Ok(Some(at(20))));
    other.close().await;
    assert_eq!(bed.store.choices().await.unwrap(), []);
}

async fn a_choice_stays_until_another_is_written_and_the_ordinary_one_needs_no_keeping(bed: Bed) {
    let ada = bed.user("ada", Role::Editor, None).await.id;
    let bob = bed.user("bob", Role::Viewer, None).await.id;
    let message = "im Schnitt \u{1f3ac} bis „vier“";
    let memos = vec![chose(ada, 1, Status::Busy, Some(message)), seen(bob, 1)];
    bed.store.remember(memos).await.unwrap();
    bed.store.remember(vec![seen(ada, 2)]).await.unwrap();
    let busy = Choice {
        status: Status::Busy,
        message: Some(message.into()),
    };
    assert_eq!(bed.store.choices().await.unwrap(), [(ada, busy)]);
    // An earlier moment, and a choice all the same: it was made here.
    let memos = vec![
        chose(ada, 0, Status::Online, None),
        chose(bob, 3, Status::Online, Some("back at two")),
    ];
    bed.store.remember(memos).await.unwrap();
    let back = Choice {
        status: Status::Online,
        message: Some("back at two".into()),
    };
    assert_eq!(bed.store.choices().await.unwrap(), [(bob, back)]);
    for status in Status::ALL {
        bed.store
            .remember(vec![chose(bob, 4, status, None)])
            .await
            .unwrap();
        let choices = bed.store.choices().await.unwrap();
        let hidden = choices.first().map(|(_, choice)| choice.status);
        assert_eq!(hidden, (status != Status::Online).then_some(status));
    }
}

async fn who_is_no_user_is_passed_over_and_the_others_are_written(bed: Bed) {
    let ada = bed.user("ada", Role::Editor, None).await.id;
    let memos = vec![
        chose(Uuid::now_v7(), 1, Status::Away, None),
        seen(ada, 1),
        seen(Uuid::nil(), 1),
    ];
    bed.store.remember(memos).await.unwrap();
    assert_eq!(last_seen(&bed.store, ada).await, Ok(Some(at(1))));
    assert_eq!(bed.count("SELECT COUNT(*) FROM user_presence").await, 1);
    bed.store.remember(Vec::new()).await.unwrap();
}

async fn as_many_as_a_batch_holds_are_written_at_once(bed: Bed) {
    let mut memos = Vec::new();
    for number in 0..40 {
        let user = bed.user(&format!("u{number}"), Role::Viewer, None).await.id;
        memos.push(match number % 2 {
            0 => seen(user, number),
            _ => chose(user, number, Status::Dnd, Some("\"'\\ { } \u{85}")),
        });
    }
    for _ in 0..500 {
        memos.push(seen(Uuid::now_v7(), 1));
    }
    bed.store.remember(memos.clone()).await.unwrap();
    bed.store.remember(memos.clone()).await.unwrap();
    assert_eq!(bed.store.choices().await.unwrap().len(), 20);
    assert_eq!(
        last_seen(&bed.store, memos[39].user).await,
        Ok(Some(at(39)))
    );
}
