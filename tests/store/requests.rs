//! What outlives a request: idempotency keys, and sockets that can be resumed.

use std::time::Duration;

use callboard::store::idempotency::{self, Claim, Claimed, Given, Scope};
use callboard::store::{Store, episodes, resumes, secrets};
use callboard_actors::model::identity::Origin;
use callboard_actors::model::room::{Channel, Namespace, Room};
use callboard_actors::ports::{Resumable, Resumes};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::bed::{Bed, fields};

on_both!(
    the_same_key_and_body_get_the_first_answer,
    a_path_of_any_length_can_have_a_key,
    of_many_requests_with_one_key_one_runs,
    a_released_key_is_free_again,
    a_key_is_free_after_a_day_and_a_claim_whose_process_died_after_a_while,
    a_late_answer_does_not_replace_that_of_who_took_over,
    a_socket_is_found_with_its_rooms_until_it_is_pruned,
    sockets_that_join_together_are_kept_together_if_their_episode_is_there,
    a_secret_is_made_once_and_is_the_same_for_all_nodes,
);

fn scope(key: &str) -> Scope {
    Scope {
        user_id: Uuid::nil(),
        method: "POST".into(),
        path: "/api/v1/episodes".into(),
        key: key.into(),
    }
}

fn given(body: &[u8]) -> Given {
    Given {
        status: 201,
        headers: vec![("etag".into(), "\"1\"".into())],
        body: body.into(),
    }
}

async fn claim(store: &Store, key: &str) -> Claimed {
    idempotency::claim(store, scope(key), b"body")
        .await
        .unwrap()
}

async fn new(store: &Store, key: &str) -> Claim {
    match claim(store, key).await {
        Claimed::New(claim) => claim,
        other => panic!("{other:?}"),
    }
}

async fn the_same_key_and_body_get_the_first_answer(bed: Bed) {
    let store = &bed.store;
    let first = new(store, "k").await;
    assert!(matches!(claim(store, "k").await, Claimed::InProgress));
    idempotency::complete(store, first, given(b"\xff\0answer"))
        .await
        .unwrap();
    for _ in 0..2 {
        match claim(store, "k").await {
            Claimed::Replay(answer) => assert_eq!(answer, given(b"\xff\0answer")),
            other => panic!("{other:?}"),
        }
    }
    let other_body = idempotency::claim(store, scope("k"), b"other")
        .await
        .unwrap();
    assert!(matches!(other_body, Claimed::Mismatch));
    // Other users, paths and methods have keys of their own.
    for scope in [
        Scope {
            user_id: Uuid::now_v7(),
            ..scope("k")
        },
        Scope {
            path: "/api/v1/jobs".into(),
            ..scope("k")
        },
        Scope {
            method: "PUT".into(),
            ..scope("k")
        },
    ] {
        let fresh = idempotency::claim(store, scope, b"other").await.unwrap();
        assert!(matches!(fresh, Claimed::New(_)));
    }
    assert!(idempotency::claim(store, scope("\0"), b"").await.is_err());
}

/// An index takes only so much, and what is as random as this cannot be compressed.
async fn a_path_of_any_length_can_have_a_key(bed: Bed) {
    let long = |length: usize| -> String {
        let ids = std::iter::repeat_with(|| Uuid::new_v4().simple().to_string());
        format!("/{}", ids.take(length / 32).collect::<String>())
    };
    for path in [long(2_000), long(100_000)] {
        let scope = Scope { path, ..scope("k") };
        let again = scope.clone();
        let Claimed::New(first) = idempotency::claim(&bed.store, scope, b"body")
            .await
            .unwrap()
        else {
            panic!("it is new");
        };
        idempotency::complete(&bed.store, first, given(b"answer"))
            .await
            .unwrap();
        let again = idempotency::claim(&bed.store, again, b"body")
            .await
            .unwrap();
        assert!(matches!(again, Claimed::Replay(_)), "{again:?}");
    }
}

async fn of_many_requests_with_one_key_one_runs(bed: Bed) {
    for round in 0..5 {
        let key = round.to_string();
        let claims = join_all((0..12).map(|_| claim(&bed.store, &key))).await;
        let ran = claims
            .iter()
            .filter(|claim| matches!(claim, Claimed::New(_)));
        assert_eq!(ran.count(), 1, "{claims:?}");
        let waiting = claims
            .iter()
            .filter(|claim| matches!(claim, Claimed::InProgress));
        assert_eq!(waiting.count(), 11, "{claims:?}");
    }
}

async fn a_released_key_is_free_again(bed: Bed) {
    let first = new(&bed.store, "k").await;
    idempotency::release(&bed.store, first.clone())
        .await
        .unwrap();
    let second = new(&bed.store, "k").await;
    // A second release of the first does not touch it.
    idempotency::release(&bed.store, first).await.unwrap();
    assert!(matches!(claim(&bed.store, "k").await, Claimed::InProgress));
    idempotency::release(&bed.store, second).await.unwrap();
    new(&bed.store, "k").await;
}

async fn a_key_is_free_after_a_day_and_a_claim_whose_process_died_after_a_while(bed: Bed) {
    let store = &bed.store;
    let done = new(store, "done").await;
    idempotency::complete(store, done, given(b""))
        .await
        .unwrap();
    new(store, "died").await;
    bed.clock.advance(Duration::from_secs(15 * 60 - 1));
    assert!(matches!(claim(store, "died").await, Claimed::InProgress));
    bed.clock.advance(Duration::from_secs(1));
    new(store, "died").await;
    assert!(matches!(claim(store, "done").await, Claimed::Replay(_)));
    assert_eq!(idempotency::prune(store).await, Ok(0));
    bed.clock.advance(Duration::from_secs(24 * 3600 - 15 * 60));
    assert_eq!(idempotency::prune(store).await, Ok(1));
    new(store, "done").await;
    bed.clock.advance(Duration::from_secs(24 * 3600));
    new(store, "done").await;
}

async fn a_late_answer_does_not_replace_that_of_who_took_over(bed: Bed) {
    let store = &bed.store;
    let late = new(store, "k").await;
    bed.clock.advance(Duration::from_secs(15 * 60));
    let heir = new(store, "k").await;
    idempotency::complete(store, heir, given(b"heir"))
        .await
        .unwrap();
    idempotency::complete(store, late, given(b"late"))
        .await
        .unwrap();
    assert!(matches!(claim(store, "k").await, Claimed::Replay(answer) if answer.body == b"heir"));
}

async fn a_socket_is_found_with_its_rooms_until_it_is_pruned(bed: Bed) {
    let store = &bed.store;
    let resumable = |sid: &str, rooms: usize| Resumable {
        sid: sid.into(),
        user_id: Uuid::now_v7(),
        rooms: (0..rooms)
            .map(|_| Channel::room(Namespace::Episodes, Room::Episode(Uuid::now_v7())))
            .collect(),
        ended: false,
    };
    let find = async |sid: &str| Resumes::find(store, sid.into()).await.unwrap();
    let (one, two) = (resumable("one", 2), resumable("two", 0));
    for resumable in [&one, &two] {
        store.save(resumable.clone()).await.unwrap();
    }
    assert_eq!(find("one").await, Some(one.clone()));
    assert_eq!(find("two").await, Some(two));
    assert_eq!(find("three").await, None);
    assert_eq!(find("\0").await, None);
    let ended = Resumable {
        ended: true,
        rooms: Vec::new(),
        ..one
    };
    store.save(ended.clone()).await.unwrap();
    assert_eq!(find("one").await, Some(ended.clone()));

    let begin = store.now();
    bed.clock.advance(Duration::from_secs(60));
    store.touch(Vec::new()).await.unwrap();
    store
        .touch(vec!["one".into(), "unknown \"'".into()])
        .await
        .unwrap();
    assert_eq!(resumes::prune(store, begin).await, Ok(0));
    assert_eq!(resumes::prune(store, store.now()).await, Ok(1));
    assert_eq!(find("one").await, Some(ended));
    assert_eq!(find("two").await, None);
    // After a restart it is still there.
    let again = bed.another().await;
    assert!(Resumes::find(&again, "one".into()).await.unwrap().is_some());
    again.close().await;
}

async fn sockets_that_join_together_are_kept_together_if_their_episode_is_there(bed: Bed) {
    let store = &bed.store;
    let user = bed.editor().await;
    let (episode, _) = episodes::insert(store, fields("Pilot", 1), user, Origin::default())
        .await
        .unwrap();
    let resumable = |number: usize, ended| Resumable {
        sid: format!("{number} '\"\\"),
        user_id: Uuid::now_v7(),
        rooms: vec![Channel::room(
            Namespace::Feed,
            Room::Team(format!("\0 {number}")),
        )],
        ended,
    };
    let all: Vec<_> = (0..1_000).map(|number| resumable(number, false)).collect();
    let saves = all.iter().enumerate().map(|(number, resumable)| {
        // Every third one names an episode that is not there.
        let id = match number % 3 {
            0 => Uuid::now_v7(),
            _ => episode.id,
        };
        store.save_if(resumable.clone(), id)
    });
    let last = resumable(1, true);
    // Said last of the same socket, and so what counts.
    let (saved, ()) = tokio::join!(join_all(saves), async {
        store.save(last.clone()).await.unwrap();
    });
    for (number, saved) in saved.into_iter().enumerate() {
        assert_eq!(saved.unwrap(), number % 3 != 0, "{number}");
    }
    for (number, saved) in all.into_iter().enumerate() {
        let found = Resumes::find(store, saved.sid.clone()).await.unwrap();
        match number {
            1 => assert_eq!(found.as_ref(), Some(&last)),
            _ if number % 3 == 0 => assert_eq!(found, None),
            _ => assert_eq!(found, Some(saved)),
        }
    }
}

async fn a_secret_is_made_once_and_is_the_same_for_all_nodes(bed: Bed) {
    let other = bed.another().await;
    let (one, two) = tokio::join!(
        secrets::get_or_make(&bed.store, "a"),
        secrets::get_or_make(&other, "a")
    );
    assert_eq!(one, two);
    assert_ne!(
        one.unwrap(),
        secrets::get_or_make(&other, "b").await.unwrap()
    );
    other.close().await;
}
