//! A crowd that comes and goes at once, with the real Broadcaster behind: more changes than it has places for.

use std::collections::BTreeSet;

use super::*;
use crate::broadcaster::{Broadcaster, Enter, Places};
use crate::hub::Hubs;
use crate::testing::{Client, MemoryRecord};

/// More than twice the places.
const CROWD: u128 = 2_500;

fn somebody(number: u128) -> UserRef {
    UserRef {
        id: Uuid::from_u128(number + 1),
        name: format!("user {number}"),
    }
}

/// Who is online and who looks, as the client knows it that heard every event; and how often it was told what it knew.
fn heard(client: &Client) -> (BTreeSet<String>, BTreeSet<String>, usize) {
    let (mut online, mut viewers, mut stale) = (BTreeSet::new(), BTreeSet::new(), 0);
    for event in client.events() {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let (data, name) = (&event["data"], text(&event["event"]));
        let news = match (name.as_str(), data["status"].as_str()) {
            ("viewer_joined", _) => viewers.insert(text(&data["viewer"]["id"])),
            ("viewer_left", _) => viewers.remove(&text(&data["viewer"]["id"])),
            ("presence_changed", Some("offline")) => online.remove(&text(&data["id"])),
            ("presence_changed", _) => online.insert(text(&data["id"])),
            _ => true, // what else goes by
        };
        stale += usize::from(!news);
    }
    (online, viewers, stale)
}

#[test]
fn of_a_crowd_that_leaves_at_once_everybody_is_told_though_the_broadcasters_queue_is_full() {
    on_actix(async {
        let clock = Clock::manual(noon());
        let ledger = Ledger::new(clock.clone());
        let broadcaster = supervise_here(Broadcaster::SPEC, &ledger, |_| {
            Broadcaster::new(MemoryRecord::new(), ledger.clone(), 0)
        });
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let registry = supervise_here(PresenceRegistry::SPEC, &ledger, |_| {
            let book = Book::new(minutes(5), Sight::default(), []);
            let places = Places::default().teller(&broadcaster);
            PresenceRegistry::new(book, places, clock.clone(), minutes(1))
        });
        let client = Client::open(&Hubs::new(&ledger));
        let room = Channel::room(Namespace::Episodes, Room::Episode(Uuid::from_u128(7)));
        let enter = Enter {
            subscriber: client.subscriber.clone(),
            channels: vec![
                Channel::all(Namespace::Feed),
                Channel::all(Namespace::Root),
                room.clone(),
            ],
        };
        broadcaster.ask(enter).await.unwrap();
        // In two rooms by turns: each waits for the other's to be done.
        let typing = |number: usize| Ephemeral {
            audience: vec![match number % 2 {
                0 => room.clone(),
                _ => Channel::all(Namespace::Root),
            }],
            ..Ephemeral::for_admins(Kind::Typing, noon(), &serde_json::json!({}))
        };
        let line = Outbox::new(100);
        // Others talk too, and fill what may be dropped.
        let chatter = || {
            for number in 0..2_000 {
                broadcaster.tell(Publish(typing(number))).unwrap();
            }
        };
        chatter();
        for number in 0..CROWD {
            let sid: Arc<str> = format!("s{number}").into();
            let user = somebody(number);
            let outbox = line.clone();
            let connected = Connected {
                sid: sid.clone(),
                user: user.clone(),
                outbox,
            };
            registry.tell(connected).unwrap();
            let view = View {
                sid: Some(sid),
                user,
                subject: pilot(),
            };
            registry.tell(view).unwrap();
        }
        clock.wind(20 * AGAIN).await;
        settle().await;
        let (online, viewers, stale) = heard(&client);
        assert_eq!(online.len(), CROWD as usize);
        assert_eq!((viewers.len(), stale), (CROWD as usize, 0));

        for number in 0..CROWD {
            let sid = format!("s{number}").into();
            let outbox = line.clone();
            registry.tell(Disconnected { sid, outbox }).unwrap();
        }
        settle().await;
        chatter();
        clock.wind(GRACE + 20 * AGAIN).await;
        settle().await;
        let figures = registry.ask(Stats).await.unwrap();
        assert_eq!((figures.online_users, figures.viewers), (0, 0));
        assert_eq!(heard(&client), (BTreeSet::new(), BTreeSet::new(), 0));
        assert_eq!(figures.events_dropped, 0);
        let typed = client
            .names()
            .iter()
            .filter(|name| *name == "typing")
            .count();
        assert!(typed < 4_000, "what may be dropped was: {typed}");
    });
}
