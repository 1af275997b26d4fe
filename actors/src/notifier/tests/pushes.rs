//! What is stored as sent is pushed, with the right number, whatever comes in between.

use super::*;

fn quiet(start: &str, end: &str) -> Preferences {
    let text = format!(r#"{{"start":"{start}","end":"{end}","time_zone":"UTC"}}"#);
    Preferences {
        quiet_hours: serde_json::from_str(&text).unwrap(),
        ..Preferences::default()
    }
}

#[test]
fn a_batch_for_more_than_the_broadcaster_has_places_for_is_pushed_to_each_once() {
    on_actix(async {
        let settings = Settings {
            batch_size: 10_000,
            ..Settings::default()
        };
        let world = World::with(2_000, settings).await;
        let mut clients = Vec::new();
        for user in &world.sink.users[1..] {
            clients.push(world.open(*user).await);
        }
        world.change("episode_created");
        for _ in 0..10 {
            settle().await;
            world.clock.wind(Duration::from_millis(50)).await;
        }
        settle().await;
        let missed = clients
            .iter()
            .filter(|client| client.names() != ["notification"]);
        assert_eq!(missed.count(), 0);
        assert_eq!(world.client.names(), ["notification"]);
        world.clock.wind(Duration::from_secs(60)).await;
        settle().await;
        let twice = clients.iter().filter(|client| client.names().len() > 1);
        assert_eq!(twice.count(), 0);
    });
}

#[test]
fn a_broadcaster_that_stands_still_does_not_keep_anything_from_being_stored_and_is_told_later() {
    on_actix(async {
        let world = World::with(1, Settings::default()).await;
        world.deaf.store(true, Ordering::Relaxed);
        world.change("episode_created");
        world.change("episode_deleted");
        settle().await;
        world.clock.wind(Duration::from_secs(2)).await;
        settle().await;
        assert_eq!(world.stored().len(), 2);
        world.clock.wind(Duration::from_secs(60)).await;
        settle().await;
        assert_eq!(world.client.names(), [""; 0]);
        world.deaf.store(false, Ordering::Relaxed);
        world.clock.wind(Duration::from_secs(60)).await;
        settle().await;
        assert_eq!(world.client.names(), ["notification", "notification"]);
        world.clock.wind(Duration::from_secs(60)).await;
        assert_eq!(world.client.names().len(), 2, "once");
    });
}

#[test]
fn a_batch_that_takes_too_long_and_is_written_all_the_same_is_pushed_later_and_once() {
    on_actix(async {
        let settings = Settings {
            batch_timeout: Duration::from_secs(1),
            ..Settings::default()
        };
        let world = World::with(2, settings).await;
        world.sink.silent.store(true, Ordering::Relaxed);
        world.change("episode_created");
        settle().await;
        world.clock.wind(Duration::from_millis(999)).await;
        world.change("episode_deleted");
        settle().await;
        assert_eq!(world.stored().len(), 2, "the second waits for the first");
        world.clock.wind(Duration::from_secs(5)).await;
        settle().await;
        assert_eq!(
            world.stored().len(),
            4,
            "the first was given up and not written twice"
        );
        assert_eq!(world.client.names(), ["notification"], "the second");
        world.clock.wind(Duration::from_secs(60)).await;
        settle().await;
        let pushed = world.client.events();
        let kinds: Vec<_> = pushed.iter().map(|event| &event["data"]["type"]).collect();
        assert_eq!(kinds, ["episode_deleted", "episode_created"]);
    });
}

#[test]
fn what_a_push_says_is_unread_is_counted_when_nobody_else_can_tell_the_user_anything() {
    on_actix(async {
        let world = World::new().await;
        let user = world.sink.users[0];
        // Somebody else is about to tell the user what it has read.
        let turn = world.tidings.turn([user]).await;
        world.change("episode_created");
        world.change("episode_deleted");
        settle().await;
        let row = world.sink.rows()[0].clone();
        assert_eq!(row.user_id, user);
        assert_eq!(world.client.names(), [""; 0]);
        world.sink.read(row.id);
        drop(turn);
        settle().await;
        let unread = |events: Vec<serde_json::Value>| -> Vec<u64> {
            let counts = events
                .iter()
                .map(|event| event["data"]["unread_count"].as_u64());
            counts.map(Option::unwrap).collect()
        };
        let counts = unread(world.client.events());
        assert_eq!(
            counts,
            [0, 1],
            "as it is now, not as it was when it was stored"
        );
    });
}

#[test]
fn a_fold_that_grows_is_pushed_again_and_not_more_often_than_every_few_seconds() {
    on_actix(async {
        let settings = Settings {
            limit: 1,
            ..Settings::default()
        };
        let world = World::with(1, settings).await;
        let change = |world: &World| {
            let entry = world.record.append_at("episode_created", world.clock.now());
            world.notifier.tell(Told(entry)).unwrap();
        };
        let folds = |world: &World| -> Vec<(String, u64)> {
            let events = world.client.events().into_iter();
            let folds = events.filter(|event| event["data"]["type"] == FOLDED);
            let fold = |event: serde_json::Value| {
                let data = &event["data"];
                let id = data["id"].as_str().unwrap().to_owned();
                (id, data["data"]["count"].as_u64().unwrap())
            };
            folds.map(fold).collect()
        };
        change(&world);
        change(&world);
        settle().await;
        let begun = folds(&world);
        assert_eq!(begun.len(), 1);
        for _ in 0..11 {
            change(&world);
            world.clock.wind(Duration::from_millis(200)).await;
            settle().await;
        }
        assert_eq!(folds(&world), begun);
        world.clock.wind(Duration::from_secs(4)).await;
        settle().await;
        let (id, count) = (begun[0].0.clone(), 12);
        assert_eq!(folds(&world), [begun[0].clone(), (id, count)]);
        world.clock.wind(Duration::from_secs(120)).await;
        settle().await;
        assert_eq!(folds(&world).len(), 2, "it has not grown since");
    });
}

#[test]
fn a_push_that_came_due_while_nobody_was_there_waits_if_it_is_quiet_again() {
    on_actix(async {
        let world = World::new().await;
        let user = world.sink.users[0];
        // It is 08:00 by UTC at the tests' noon.
        world.sink.prefer(user, quiet("07:00", "09:00"));
        world.change("episode_created");
        settle().await;
        // Due at nine; but when somebody looks it is quiet until ten.
        world.sink.prefer(user, quiet("08:30", "10:00"));
        world.clock.wind(Duration::from_secs(3_700)).await;
        settle().await;
        assert_eq!(world.client.names(), [""; 0]);
        world.clock.wind(Duration::from_secs(3_600)).await;
        settle().await;
        assert_eq!(world.client.names(), ["notification"]);
    });
}
