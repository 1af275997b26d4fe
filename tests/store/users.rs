//! Users, their credentials, their refresh tokens, and failed log-ins.

use std::time::Duration;

use callboard::store::refresh_tokens::{self, Rotation};
use callboard::store::users::{self, Filter, NewUser, Outsider, PasswordHash, UserPatch};
use callboard::store::{By, StoreError, login_attempts, record};
use callboard_actors::model::identity::{Origin, Role, User};
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bed::{Bed, reference};

on_both!(
    a_user_is_found_by_its_email_in_any_case_and_nobody_else_can_have_it,
    what_is_recorded_of_a_user_has_no_secret_in_it,
    a_change_of_a_user_is_recorded_with_old_and_new_values,
    the_last_admin_who_can_log_in_stays_one,
    two_admins_who_demote_each_other_at_once_do_not_both_succeed,
    the_first_admin_is_made_once_also_by_nodes_that_start_together,
    an_outsider_is_made_at_first_sight_and_adopts_the_account_with_its_email,
    users_are_listed_newest_first,
    a_refresh_token_is_good_for_one_use_and_a_second_use_ends_its_family,
    two_uses_of_a_refresh_token_at_once_are_one_use_and_one_reuse,
    a_refresh_token_ends_by_its_time_by_log_out_and_with_its_user,
    the_token_itself_is_nowhere_in_the_database,
    five_failures_block_the_account_and_the_address_until_one_is_too_old,
    attempts_at_once_count_against_each_other,
);

fn new(email: &str, role: Role) -> NewUser {
    NewUser {
        email: email.into(),
        name: "N".into(),
        role,
        team: None,
        password_hash: Some("$argon2id$s3cret".into()),
    }
}

async fn a_user_is_found_by_its_email_in_any_case_and_nobody_else_can_have_it(bed: Bed) {
    let store = &bed.store;
    let made = users::insert(store, new("Ärne@Example.org", Role::Viewer), By::nobody());
    let user = made.await.unwrap().0;
    assert_eq!(user.email, "Ärne@Example.org", "spelt as it was given");
    assert_eq!(users::get(store, user.id).await, Ok(user.clone()));
    let found = users::find_by_email(store, "äRNE@example.ORG").await;
    assert_eq!(found, Ok(Some(user.clone())));
    assert_eq!(users::find_by_email(store, "a\0").await, Ok(None));
    assert_eq!(
        users::get(store, Uuid::now_v7()).await,
        Err(StoreError::NotFound)
    );
    let credential = users::credential(store, "ärne@example.org")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(credential.user, user);
    assert_eq!(
        credential.password_hash.as_deref(),
        Some("$argon2id$s3cret")
    );

    let again = users::insert(store, new("ärne@EXAMPLE.org", Role::Viewer), By::nobody()).await;
    let code = "email_taken";
    assert_eq!(again.unwrap_err(), StoreError::Conflict { code });
    let nul = users::insert(store, new("a\0@b", Role::Viewer), By::nobody()).await;
    assert!(matches!(
        nul,
        Err(StoreError::Invalid { field: "email", .. })
    ));
    assert_eq!(record::span(store).await.unwrap().last, 1);
}

async fn what_is_recorded_of_a_user_has_no_secret_in_it(bed: Bed) {
    let store = &bed.store;
    let (user, _) = users::insert(store, new("a@b", Role::Viewer), By::nobody())
        .await
        .unwrap();
    refresh_tokens::insert(store, user.id, "token", store.now() + TimeDelta::days(1))
        .await
        .unwrap();
    let set_password = |id| {
        let patch = UserPatch {
            password: Some(PasswordHash("$argon2id$0ther".into())),
            ..UserPatch::default()
        };
        assert!(!format!("{patch:?}").contains("argon2"));
        users::update(store, id, patch, By::nobody())
    };
    let (_, entry) = set_password(user.id).await.unwrap();
    assert!(
        entry
            .unwrap()
            .data
            .get()
            .contains(r#""changes":{"password":{}}"#)
    );
    let hash = users::credential(store, "a@b")
        .await
        .unwrap()
        .unwrap()
        .password_hash;
    assert_eq!(hash.as_deref(), Some("$argon2id$0ther"));
    let rotated = refresh_tokens::rotate(store, "token", "next", store.now()).await;
    assert_eq!(
        rotated,
        Ok(Rotation::Invalid),
        "the old password's sessions have ended"
    );
    let entries = record::after(store, 0, 10).await.unwrap();
    assert_eq!(entries.len(), 2);
    for entry in &entries {
        assert!(!format!("{entry:?}").contains("argon2"), "{entry:?}");
        let audience: Vec<_> = entry.audience.iter().map(ToString::to_string).collect();
        assert_eq!(audience, ["/admin"]);
    }
    let missing = set_password(Uuid::now_v7()).await;
    assert_eq!(missing.unwrap_err(), StoreError::NotFound);
}

async fn a_change_of_a_user_is_recorded_with_old_and_new_values(bed: Bed) {
    let admin = bed.user("Ada", Role::Admin, None).await;
    let user = bed.user("Ed", Role::Editor, Some("north")).await;
    bed.clock.advance(Duration::from_secs(1));
    let patch = UserPatch {
        role: Some(Role::Viewer),
        team: Some(None),
        ..UserPatch::default()
    };
    let by = By::user(reference(&admin), Origin::default());
    let changed = users::update(&bed.store, user.id, patch.clone(), by.clone()).await;
    let (changed, entry) = changed.unwrap();
    assert_eq!(
        (changed.role, changed.team.as_deref()),
        (Role::Viewer, None)
    );
    assert_eq!(users::get(&bed.store, user.id).await, Ok(changed.clone()));
    let entry = entry.unwrap();
    assert_eq!((&*entry.event, &entry.actor), ("user_updated", &by.user));
    let data: Value = serde_json::from_str(entry.data.get()).unwrap();
    assert_eq!(
        data["changes"],
        json!({"role": {"old": "editor", "new": "viewer"}, "team": {"old": "north", "new": null}})
    );
    let (same, none) = users::update(&bed.store, user.id, patch, by.clone())
        .await
        .unwrap();
    assert_eq!(same, changed);
    assert!(none.is_none());
    let nobody = users::update(&bed.store, Uuid::now_v7(), UserPatch::default(), by).await;
    assert_eq!(nobody.unwrap_err(), StoreError::NotFound);
}

async fn the_last_admin_who_can_log_in_stays_one(bed: Bed) {
    let one = bed.user("One", Role::Admin, None).await;
    let two = bed.user("Two", Role::Admin, None).await;
    let disable = UserPatch {
        disabled: Some(true),
        ..UserPatch::default()
    };
    let demote = UserPatch {
        role: Some(Role::Editor),
        ..UserPatch::default()
    };
    let update = async |user: &User, patch: &UserPatch| {
        users::update(&bed.store, user.id, patch.clone(), By::nobody())
            .await
            .map(|_| ())
    };
    assert_eq!(update(&one, &disable).await, Ok(()));
    let refused = Err(StoreError::Conflict { code: "last_admin" });
    assert_eq!(update(&two, &disable).await, refused);
    assert_eq!(update(&two, &demote).await, refused);
    let rename = UserPatch {
        name: Some("Zwei".into()),
        ..UserPatch::default()
    };
    assert_eq!(update(&two, &rename).await, Ok(()));
    assert_eq!(update(&one, &demote).await, Ok(()), "it could not log in");
    assert_eq!(users::count_admins(&bed.store).await, Ok(1));
}

async fn two_admins_who_demote_each_other_at_once_do_not_both_succeed(bed: Bed) {
    for round in 0..10 {
        let one = bed.user(&format!("a{round}"), Role::Admin, None).await;
        let two = bed.user(&format!("b{round}"), Role::Admin, None).await;
        let demote = |id| {
            let patch = UserPatch {
                role: Some(Role::Viewer),
                ..UserPatch::default()
            };
            users::update(&bed.store, id, patch, By::nobody())
        };
        let (first, second) = tokio::join!(demote(one.id), demote(two.id));
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        assert_eq!(users::count_admins(&bed.store).await, Ok(1));
        let left = if first.is_ok() { two } else { one };
        // Makes room for the next round.
        bed.sql(&format!(
            "UPDATE users SET role = 'viewer' WHERE name = '{}'",
            left.name
        ))
        .await;
    }
}

async fn the_first_admin_is_made_once_also_by_nodes_that_start_together(bed: Bed) {
    let other = bed.another().await;
    let make = |store| users::insert_first_admin(store, new("admin@localhost", Role::Admin));
    let made = tokio::join!(make(&bed.store), make(&other), make(&bed.store));
    let made = [made.0, made.1, made.2].map(|made| made.unwrap().is_some());
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    assert_eq!(users::count_admins(&bed.store).await, Ok(1));
    other.close().await;
}

async fn an_outsider_is_made_at_first_sight_and_adopts_the_account_with_its_email(bed: Bed) {
    let store = &bed.store;
    let outsider = |subject: &str, email: &str| Outsider {
        subject: subject.into(),
        email: email.into(),
        name: "Out".into(),
        role: Role::Viewer,
        team: None,
    };
    let ensure = async |outsider| users::ensure_user_from_issuer(store, outsider).await;
    let (first, again) = tokio::join!(
        ensure(outsider("i|1", "o@x")),
        ensure(outsider("i|1", "o@x"))
    );
    assert_eq!(first.as_ref().unwrap(), &again.unwrap());
    let later = ensure(outsider("i|1", "renamed@x")).await.unwrap();
    assert_eq!(later.id, first.unwrap().id);

    let local = bed.user("Local", Role::Editor, None).await;
    let adopted = ensure(outsider("i|2", "LOCAL@example.org")).await.unwrap();
    assert_eq!((adopted.id, adopted.role), (local.id, Role::Editor));
    let stranger = ensure(outsider("i|3", "local@example.org")).await;
    let code = "email_taken";
    assert_eq!(stranger, Err(StoreError::Conflict { code }));
    assert!(ensure(outsider("\0", "n@x")).await.is_err());
}

async fn users_are_listed_newest_first(bed: Bed) {
    let mut made = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        made.insert(0, bed.user(name, Role::Viewer, None).await);
    }
    let first = users::list(&bed.store, &Filter::default(), 3, None)
        .await
        .unwrap();
    let second = users::list(
        &bed.store,
        &Filter::default(),
        3,
        first.next_cursor.as_deref(),
    )
    .await
    .unwrap();
    assert_eq!([first.rows, second.rows].concat(), made);
    assert_eq!(second.next_cursor, None);
    assert!(
        users::list(&bed.store, &Filter::default(), 3, Some("x"))
            .await
            .is_err()
    );
}

async fn a_refresh_token_is_good_for_one_use_and_a_second_use_ends_its_family(bed: Bed) {
    let store = &bed.store;
    let user = bed.user("u", Role::Viewer, None).await;
    let later = store.now() + TimeDelta::days(30);
    refresh_tokens::insert(store, user.id, "one", later)
        .await
        .unwrap();
    refresh_tokens::insert(store, user.id, "another device", later)
        .await
        .unwrap();
    let rotate = async |old: &str, new: &str| {
        refresh_tokens::rotate(store, old, new, later)
            .await
            .unwrap()
    };
    assert_eq!(rotate("never seen", "x").await, Rotation::Invalid);
    assert_eq!(rotate("one", "two").await, Rotation::Rotated(user.clone()));
    assert_eq!(
        rotate("two", "three").await,
        Rotation::Rotated(user.clone())
    );
    assert_eq!(rotate("one", "thief").await, Rotation::Reused);
    for ended in ["one", "two", "three", "thief"] {
        assert_eq!(rotate(ended, "y").await, Rotation::Invalid, "{ended}");
    }
    assert_eq!(rotate("another device", "z").await, Rotation::Rotated(user));
}

async fn two_uses_of_a_refresh_token_at_once_are_one_use_and_one_reuse(bed: Bed) {
    let store = &bed.store;
    let user = bed.user("u", Role::Viewer, None).await;
    let later = store.now() + TimeDelta::days(30);
    for round in 0..10 {
        let token = format!("token {round}");
        refresh_tokens::insert(store, user.id, &token, later)
            .await
            .unwrap();
        let (a, b) = (format!("a {round}"), format!("b {round}"));
        let (first, second) = tokio::join!(
            refresh_tokens::rotate(store, &token, &a, later),
            refresh_tokens::rotate(store, &token, &b, later),
        );
        let both = [first.unwrap(), second.unwrap()];
        assert!(both.contains(&Rotation::Rotated(user.clone())), "{both:?}");
        assert!(both.contains(&Rotation::Reused), "{both:?}");
        for next in [a, b] {
            let ended = refresh_tokens::rotate(store, &next, "x", later)
                .await
                .unwrap();
            assert_eq!(ended, Rotation::Invalid);
        }
    }
}

async fn a_refresh_token_ends_by_its_time_by_log_out_and_with_its_user(bed: Bed) {
    let store = &bed.store;
    let user = bed.user("u", Role::Viewer, None).await;
    let soon = store.now() + TimeDelta::seconds(10);
    for token in ["old", "out", "disabled"] {
        let end = if token == "old" {
            soon
        } else {
            soon + TimeDelta::days(1)
        };
        refresh_tokens::insert(store, user.id, token, end)
            .await
            .unwrap();
    }
    bed.clock.advance(Duration::from_secs(10));
    assert_eq!(refresh_tokens::revoke(store, "out").await, Ok(true));
    assert_eq!(refresh_tokens::revoke(store, "unknown").await, Ok(false));
    let disable = UserPatch {
        disabled: Some(true),
        ..UserPatch::default()
    };
    let enable = UserPatch {
        disabled: Some(false),
        ..UserPatch::default()
    };
    for patch in [disable, enable] {
        users::update(store, user.id, patch, By::nobody())
            .await
            .unwrap();
        for token in ["old", "out", "disabled"] {
            let outcome = refresh_tokens::rotate(store, token, "x", soon).await;
            assert_eq!(outcome, Ok(Rotation::Invalid), "{token}");
        }
    }
    assert_eq!(refresh_tokens::prune(store, store.now()).await, Ok(0));
    let after = store.now() + TimeDelta::seconds(1);
    assert_eq!(refresh_tokens::prune(store, after).await, Ok(1));
}

async fn the_token_itself_is_nowhere_in_the_database(bed: Bed) {
    let user = bed.user("u", Role::Viewer, None).await;
    let later = bed.store.now() + TimeDelta::days(1);
    refresh_tokens::insert(&bed.store, user.id, "PlainToken", later)
        .await
        .unwrap();
    login_attempts::begin(&bed.store, "PlainAccount", "::1")
        .await
        .unwrap()
        .unwrap();
    let count = async |table: &str, column: &str, plain: &str| {
        let text = format!("SELECT COUNT(*) FROM {table} WHERE {column} = {plain}");
        bed.count(&text).await
    };
    let literal = |text: &str| match bed.kind {
        crate::bed::Kind::Sqlite => format!("CAST('{text}' AS BLOB)"),
        crate::bed::Kind::Postgres => format!("CAST('{text}' AS BYTEA)"),
    };
    assert_eq!(
        count("refresh_tokens", "hash", &literal("PlainToken")).await,
        0
    );
    assert_eq!(
        count("login_failures", "subject", &literal("PlainAccount")).await,
        0
    );
    assert_eq!(
        bed.count("SELECT COUNT(*) FROM refresh_tokens WHERE length(hash) = 32")
            .await,
        1
    );
    assert_eq!(
        bed.count("SELECT COUNT(*) FROM login_failures WHERE length(subject) = 32")
            .await,
        2
    );
}

async fn five_failures_block_the_account_and_the_address_until_one_is_too_old(bed: Bed) {
    let store = &bed.store;
    let blocked = async |account: &str, address: &str| {
        login_attempts::blocked_until(store, account, address)
            .await
            .unwrap()
    };
    let begin = async |account: &str, address: &str| {
        login_attempts::begin(store, account, address)
            .await
            .unwrap()
    };
    // One that was neither right nor wrong counts for nothing, one that was right not either.
    let attempt = begin("a@x", "::1").await.unwrap();
    login_attempts::withdraw(store, attempt).await.unwrap();
    let attempt = begin("c@x", "::3").await.unwrap();
    login_attempts::succeed(store, attempt, "c@x")
        .await
        .unwrap();
    assert_eq!(bed.count("SELECT COUNT(*) FROM login_failures").await, 0);
    let right = begin("a@x", "::2").await.unwrap();
    login_attempts::withdraw(store, right).await.unwrap();
    let first = store.now();
    for failure in 0..5 {
        assert_eq!(blocked("A@x", "::1").await, None, "{failure}");
        begin("a@X", "::1").await.unwrap();
        bed.clock.advance(Duration::from_secs(60));
    }
    let until = Some(first + login_attempts::WINDOW);
    assert_eq!(
        blocked("a@x", "::2").await,
        until,
        "the account, from anywhere"
    );
    assert_eq!(
        blocked("b@x", "::1").await,
        until,
        "the address, for anybody"
    );
    assert_eq!(blocked("b@x", "::2").await, None);
    assert_eq!(blocked("a\0", "\0").await, None);
    assert_eq!(begin("a@x", "::2").await.err(), until);
    login_attempts::succeed(store, right, "a@x").await.unwrap();
    assert_eq!(blocked("a@x", "::2").await, None);
    assert_eq!(blocked("a@x", "::1").await, until);
    bed.clock.advance(Duration::from_secs(10 * 60));
    assert_eq!(
        blocked("a@x", "::1").await,
        None,
        "the first no longer counts"
    );
    assert_eq!(login_attempts::prune(store).await, Ok(1));
    assert_eq!(login_attempts::prune(store).await, Ok(0));
}

async fn attempts_at_once_count_against_each_other(bed: Bed) {
    let others = [bed.another().await, bed.another().await];
    for round in 0..3 {
        let (account, address) = (format!("{round}@x"), format!("::{round}"));
        let begin = |number: usize| {
            let store = others.get(number % 3).unwrap_or(&bed.store);
            login_attempts::begin(store, &account, &address)
        };
        let begun = futures_util::future::join_all((0..20).map(begin)).await;
        let begun = begun.into_iter().filter(|it| matches!(it, Ok(Ok(_))));
        assert!(begun.count() <= 5, "{round}");
    }
    for store in others {
        store.close().await;
    }
}
