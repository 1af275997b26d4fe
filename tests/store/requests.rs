//! What outlives a request: idempotency keys, and sockets that can be resumed.

use std::time::Duration;

use callboard::store::idempotency::{self, Asked, Claim, Claimed, Effect, Given, Scope};
use callboard::store::{Store, episodes, resumes, secrets};
use callboard_actors::model::identity::{Origin, Role, UserRef};
use callboard_actors::model::record::Resource;
use callboard_actors::model::room::{Channel, Namespace, Room};
use callboard_actors::ports::{Resumable, Resumes};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::bed::{Bed, Kind, fields};

on_both!(
    the_same_key_and_body_get_the_first_answer,
    a_path_of_any_length_can_have_a_key,
    of_many_requests_with_one_key_one_runs,
    a_released_key_is_free_again,
    a_key_is_free_after_a_day_and_a_claim_whose_process_died_after_a_while,
    a_late_answer_does_not_replace_that_of_who_took_over,
    the_claim_of_a_life_that_ended_is_free_at_once_where_there_is_one_process,
    what_a_request_that_was_cut_off_did_is_told_and_not_done_again,
    what_the_record_does_not_tell_any_more_is_not_done_again,
    an_answer_is_not_given_again_to_who_has_a_lower_role_now,
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

fn asked(scope: Scope) -> Asked {
    Asked {
        scope,
        role: Role::Editor,
        request_id: Some("the request".into()),
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
    idempotency::claim(store, asked(scope(key)), b"body")
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
    let other_body = idempotency::claim(store, asked(scope("k")), b"other")
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
        let fresh = idempotency::claim(store, asked(scope), b"other")
            .await
            .unwrap();
        assert!(matches!(fresh, Claimed::New(_)));
    }
    let nul = asked(scope("\0"));
    assert!(idempotency::claim(store, nul, b"").await.is_err());
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
        let Claimed::New(first) = idempotency::claim(&bed.store, asked(scope), b"body")
            .await
            .unwrap()
        else {
            panic!("it is new");
        };
        idempotency::complete(&bed.store, first, given(b"answer"))
            .await
            .unwrap();
        let again = idempotency::claim(&bed.store, asked(again), b"body")
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

async fn the_claim_of_a_life_that_ended_is_free_at_once_where_there_is_one_process(bed: Bed) {
    new(&bed.store, "k").await;
    let next_life = bed.another().await;
    match bed.kind {
        Kind::Sqlite => drop(new(&next_life, "k").await),
        Kind::Postgres => {
            // It may as well be another node.
            assert!(matches!(claim(&next_life, "k").await, Claimed::InProgress));
            bed.clock.advance(Duration::from_secs(15 * 60));
            new(&next_life, "k").await;
        }
    }
    assert!(matches!(claim(&next_life, "k").await, Claimed::InProgress));
    next_life.close().await;
}

/// Makes an episode, as the request that `asked` speaks of, or another.
async fn act(bed: &Bed, number: i64, request_id: &str) -> Effect {
    bed.sql(&format!(
        "INSERT INTO users (id, email, email_key, name, role, disabled, created_at, updated_at)
         VALUES ({}, 'e', 'e', 'Edith', 'editor', FALSE, 0, 0) ON CONFLICT DO NOTHING",
        match bed.kind {
            Kind::Sqlite => "zeroblob(16)",
            Kind::Postgres => "'00000000-0000-0000-0000-000000000000'",
        }
    ))
    .await;
    let edith = UserRef {
        id: Uuid::nil(),
        name: "Edith".into(),
    };
    let origin = Origin {
        request_id: Some(request_id.into()),
        ..Origin::default()
    };
    let inserted = episodes::insert(&bed.store, fields("x", number), edith, origin).await;
    let (episode, entry) = inserted.unwrap();
    Effect {
        seq: entry.seq,
        resource: Some(Resource {
            kind: "episode".into(),
            id: episode.id.to_string(),
        }),
    }
}

async fn what_a_request_that_was_cut_off_did_is_told_and_not_done_again(bed: Bed) {
    let store = &bed.store;
    // An earlier request of the same id, which is not this one.
    act(&bed, 1, "the request").await;
    let first = new(store, "k").await;
    let effect = act(&bed, 2, "the request").await;
    act(&bed, 3, "another").await;
    idempotency::abandon(store, first).await.unwrap();
    for _ in 0..2 {
        let told = claim(store, "k").await;
        assert!(
            matches!(&told, Claimed::Lost(Some(it)) if *it == effect),
            "{told:?}"
        );
    }
    // One that did nothing is done.
    let idle = new(store, "idle").await;
    act(&bed, 4, "another").await;
    idempotency::abandon(store, idle).await.unwrap();
    let heir = new(store, "idle").await;
    let effect = act(&bed, 5, "the request").await;
    idempotency::abandon(store, heir).await.unwrap();
    let told = claim(store, "idle").await;
    assert!(
        matches!(&told, Claimed::Lost(Some(it)) if *it == effect),
        "{told:?}"
    );
}

async fn what_the_record_does_not_tell_any_more_is_not_done_again(bed: Bed) {
    let store = &bed.store;
    let first = new(store, "k").await;
    act(&bed, 1, "another").await;
    idempotency::abandon(store, first).await.unwrap();
    bed.sql("DELETE FROM record").await;
    let told = claim(store, "k").await;
    assert!(matches!(told, Claimed::Lost(None)), "{told:?}");
}

async fn an_answer_is_not_given_again_to_who_has_a_lower_role_now(bed: Bed) {
    let store = &bed.store;
    let first = new(store, "k").await;
    idempotency::complete(store, first, given(b"answer"))
        .await
        .unwrap();
    let again = async |role: Role| {
        let asked = Asked {
            role,
            ..asked(scope("k"))
        };
        idempotency::claim(store, asked, b"body").await.unwrap()
    };
    assert!(matches!(again(Role::Viewer).await, Claimed::Lowered));
    assert!(matches!(again(Role::Editor).await, Claimed::Replay(_)));
    assert!(matches!(again(Role::Admin).await, Claimed::Replay(_)));
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
