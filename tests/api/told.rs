//! What of a notification reaches a device: not what its user sees anyway, and what waits when its time has come.

use std::time::Duration;

use callboard_actors::model::identity::Role;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::bed::{Bed, Client, Kind, on_both_databases};

on_both_databases!(
    who_looks_at_it_has_seen_it,
    who_has_looked_a_while_ago_is_told,
    who_looks_at_what_is_deleted_is_told,
    what_waits_for_the_end_of_quiet_hours_arrives_then,
);

/// A plain WebSocket of the user's.
struct Device(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Device {
    async fn of(bed: &Bed, client: &Client) -> Device {
        let address = bed.url.replacen("http", "ws", 1);
        let token = client.token();
        let url = format!("{address}/ws?namespaces=episodes,feed&token={token}");
        let (socket, _) = connect_async(url).await.unwrap();
        let mut device = Device(socket);
        device.next("ready").await;
        device
    }

    async fn next(&mut self, name: &str) -> Value {
        loop {
            let message = self.0.next().await.expect("open").unwrap();
            if let Message::Text(text) = message {
                let said: Value = serde_json::from_str(&text).unwrap();
                if said["event"] == name {
                    return said;
                }
            }
        }
    }

    async fn view(&mut self, episode: &Value) {
        let view =
            json!({"id": 1, "type": "view", "resource_type": "episode", "resource_id": episode});
        let text = Message::Text(view.to_string().into());
        self.0.send(text).await.unwrap();
        loop {
            if let Message::Text(text) = self.0.next().await.expect("open").unwrap() {
                let said: Value = serde_json::from_str(&text).unwrap();
                if said["id"] == 1 {
                    assert_eq!(said["ok"], true, "{said}");
                    return;
                }
            }
        }
    }

    /// What has come of these, shortly.
    async fn heard(&mut self, name: &str) -> Option<Value> {
        let soon = Duration::from_millis(150);
        tokio::time::timeout(soon, self.next(name)).await.ok()
    }
}

struct World {
    bed: Bed,
    admin: Client,
}

impl World {
    async fn new(kind: Kind) -> World {
        let bed = Bed::of(kind).await;
        let admin = bed.admin().await;
        World { bed, admin }
    }

    /// Somebody of the team north.
    async fn somebody(&self, role: Role) -> (Value, Client) {
        let user = self.bed.user(role).await;
        let path = format!("users/{}", user.id);
        let patch = self.admin.patch(&path, json!({"team": "north"})).await;
        assert_eq!(patch.status, 200);
        let client = self.bed.anonymous().with_token(&self.bed.token(&user));
        (json!(user.id), client)
    }

    async fn episode(&self, number: u32) -> Value {
        let body = json!({"title": "Pilot", "episode_number": number, "team": "north"});
        let made = self.admin.post("episodes", body).await;
        assert_eq!(made.status, 201);
        self.bed.flushed().await;
        made.data()["id"].clone()
    }

    /// Gives the place on the Record.
    async fn publish(&self, episode: &Value) -> u64 {
        let path = format!("episodes/{}/publish", episode.as_str().unwrap());
        assert_eq!(self.admin.post(&path, json!({})).await.status, 200);
        self.settled().await
    }

    async fn settled(&self) -> u64 {
        self.bed.flushed().await;
        let span = callboard::store::record::span(self.bed.store()).await;
        span.unwrap().last
    }

    async fn why(&self, seq: u64, user: &Value) -> (Value, Value) {
        let user = user.as_str().unwrap();
        let path = format!("notifications/explain?event_seq={seq}&user_id={user}");
        let why = self.admin.get(&path).await.data().clone();
        (why["result"].clone(), why["rule"].clone())
    }
}

fn path(episode: &Value) -> String {
    format!("episodes/{}", episode.as_str().unwrap())
}

async fn who_looks_at_it_has_seen_it(kind: Kind) {
    let world = World::new(kind).await;
    let (ada, by_rest) = world.somebody(Role::Viewer).await;
    let (bob, by_socket) = world.somebody(Role::Viewer).await;
    let (eve, elsewhere) = world.somebody(Role::Viewer).await;
    let episode = world.episode(1).await;
    let mut devices = Vec::new();
    for client in [&by_rest, &by_socket, &elsewhere] {
        devices.push(Device::of(&world.bed, client).await);
    }
    devices[1].view(&episode).await;
    // A socket looks for as long as it is there.
    world.bed.clock.advance(Duration::from_secs(20));
    assert_eq!(by_rest.get(&path(&episode)).await.status, 200);
    let seq = world.publish(&episode).await;
    for (user, client) in [(&ada, &by_rest), (&bob, &by_socket)] {
        assert_eq!(
            world.why(seq, user).await,
            (json!("seen"), json!("viewing"))
        );
        let rows = client.get("notifications").await;
        assert!(rows.data()[0]["read_at"].is_string(), "{}", rows.body);
    }
    assert_eq!(
        world.why(seq, &eve).await,
        (json!("sent"), json!("default"))
    );
    assert!(devices[2].heard("notification").await.is_some());
    for device in &mut devices[..2] {
        assert_eq!(device.heard("notification").await, None);
    }
}

async fn who_has_looked_a_while_ago_is_told(kind: Kind) {
    let world = World::new(kind).await;
    let (ada, client) = world.somebody(Role::Viewer).await;
    let episode = world.episode(1).await;
    assert_eq!(client.get(&path(&episode)).await.status, 200);
    world.bed.clock.advance(Duration::from_secs(11));
    let listed = path(&episode).replace("episodes", "presence/resource-viewers/episode");
    let viewers = client.get(&listed).await;
    assert_eq!(viewers.data()[0]["id"], ada, "listed it is for minutes");
    let seq = world.publish(&episode).await;
    assert_eq!(
        world.why(seq, &ada).await,
        (json!("sent"), json!("default"))
    );
}

async fn who_looks_at_what_is_deleted_is_told(kind: Kind) {
    let world = World::new(kind).await;
    let (alan, client) = world.somebody(Role::Admin).await;
    let episode = world.episode(1).await;
    let mut device = Device::of(&world.bed, &client).await;
    device.view(&episode).await;
    assert_eq!(world.admin.delete(&path(&episode)).await.status, 200);
    let seq = world.settled().await;
    assert_eq!(
        world.why(seq, &alan).await,
        (json!("sent"), json!("default"))
    );
    let pushed = device.next("notification").await;
    assert_eq!(pushed["data"]["type"], "episode_deleted");
}

async fn what_waits_for_the_end_of_quiet_hours_arrives_then(kind: Kind) {
    let world = World::new(kind).await;
    let (ada, client) = world.somebody(Role::Viewer).await;
    let now = world.bed.clock.now();
    let at = |minutes: i64| {
        let then = now + chrono::TimeDelta::minutes(minutes);
        then.format("%H:%M").to_string()
    };
    let quiet = json!({"quiet_hours": {"start": at(-60), "end": at(3), "time_zone": "UTC"}});
    let held = client.post("notifications/preferences", quiet).await;
    assert_eq!(held.status, 200);
    let mut device = Device::of(&world.bed, &client).await;
    let body = json!({"user_id": ada, "type": "call_sheet", "message": "06:30"});
    let sent = world.admin.post("notifications", body).await;
    assert_eq!(sent.data()["deferred"], 1, "{}", sent.body);
    assert_eq!(device.heard("notification").await, None);
    let wound = async {
        loop {
            world.bed.clock.advance(Duration::from_millis(500));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let pushed = tokio::select! {
        pushed = device.next("notification") => pushed,
        () = wound => unreachable!("it goes on for ever"),
    };
    assert_eq!(pushed["data"]["message"], "06:30");
    assert_eq!(pushed["data"]["unread_count"], 1);
    assert!(world.bed.clock.now() - now >= chrono::TimeDelta::minutes(2));
    assert_eq!(device.heard("notification").await, None, "once");
}
