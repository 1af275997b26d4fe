//! What one user can do with what is another's, tried as somebody would who means harm: every address of the document,
//! with every id of the other. It is driven by the document's own table, so that an address that nobody has thought about
//! fails the test.
//!
//! (Rooms, sockets and recovery ids are tried in `tests/server/permissions.rs`.)

use callboard::http::openapi::operations;
use callboard::store::By;
use callboard::store::users::{self, UserPatch};
use callboard_actors::model::identity::{Role, User};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;

use crate::bed::{Answer, Bed, Client, Kind, answer, on_both_databases};

on_both_databases!(
    nothing_private_of_a_user_is_in_any_answer_to_another,
    what_is_somebodys_own_is_not_there_for_anybody_else,
    what_is_for_admins_is_for_nobody_else,
    an_answer_kept_for_one_user_is_not_given_to_another,
    a_place_in_ones_list_is_no_place_in_anothers,
);

/// Of those with a parameter in the path that are not for admins alone: what is the id of?
#[derive(Clone, Copy, PartialEq)]
enum Whose {
    /// Everybody may read it; who may write is a matter of the role.
    Everybodys,
    /// The caller's own; another's is not there.
    Own,
    /// Concerns the caller alone, whatever the id is of.
    Caller,
}

/// A line for each; see the first test's message.
const WHOSE: &[(&str, Whose)] = &[
    ("show_episode", Whose::Everybodys),
    ("replace_episode", Whose::Everybodys),
    ("update_episode", Whose::Everybodys),
    ("delete_episode", Whose::Everybodys),
    ("publish_episode", Whose::Everybodys),
    // Of its rows those that the caller may see.
    ("activity_of_resource", Whose::Everybodys),
    ("read_notification", Whose::Own),
    ("delete_notification", Whose::Own),
    ("list_resource_viewers", Whose::Everybodys),
    ("stop_viewing", Whose::Caller),
];

fn whose(id: &str) -> Option<Whose> {
    let row = WHOSE.iter().find(|(name, _)| *name == id);
    row.map(|(_, whose)| *whose)
}

#[test]
fn of_every_address_with_an_id_it_is_known_whose_that_is() {
    let rows = operations();
    let open = rows.iter().filter(|row| row.path.contains('{'));
    let unknown: Vec<_> = open
        .filter(|row| row.role != Some("admin") && whose(row.id).is_none())
        .map(|row| row.id)
        .collect();
    assert!(
        unknown.is_empty(),
        "say in WHOSE whose the ids are of {unknown:?}, and see that the tests of this file try them"
    );
}

/// The one who is attacked.
struct Ada {
    user: User,
    client: Client,
    notifications: Vec<String>,
    episode: String,
    connection: String,
    _socket: Box<dyn std::any::Any>,
}

/// A user agent that nobody else has.
const AGENT: &str = "the-agent-of-ada/1";

impl Ada {
    async fn new(bed: &Bed) -> Ada {
        // As an admin she is told of episodes; then she is an editor.
        let user = bed.user(Role::Admin).await;
        let client = bed.anonymous().with_token(&bed.token(&user));
        let ben = bed.editor().await;
        for number in 1..=3 {
            let body = json!({"title": "x", "episode_number": number});
            ben.post("episodes", body).await.data();
        }
        bed.flushed().await;
        let lowered = UserPatch {
            role: Some(Role::Editor),
            ..UserPatch::default()
        };
        let changed = users::update(bed.store(), user.id, lowered, By::nobody());
        let (user, entry) = changed.await.unwrap();
        bed.state.auth.forget(user.id);
        bed.state.announce(entry.unwrap());
        // She is told of that, too.
        bed.flushed().await;
        let url = format!(
            "{}/ws?token={}",
            bed.url.replace("http", "ws"),
            bed.token(&user)
        );
        let (mut socket, _) = connect_async(url).await.unwrap();
        let ready = socket.next().await.unwrap().unwrap().into_text().unwrap();
        let ready: Value = serde_json::from_str(&ready).unwrap();
        let body = json!({"title": "ada's", "episode_number": 9});
        let made = client
            .request(Method::POST, "episodes")
            .header("user-agent", AGENT);
        let made = answer(made.json(&body)).await;
        let listed = client.get("notifications").await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let ids = listed.data().as_array().unwrap().iter();
        let notifications: Vec<_> = ids.map(|row| text(&row["id"])).collect();
        assert!(notifications.len() >= 3, "{}", listed.body);
        Ada {
            episode: text(&made.data()["id"]),
            connection: text(&ready["data"]["connection_id"]),
            user,
            client,
            notifications,
            _socket: Box::new(socket),
        }
    }

    /// Everything by which she could be asked for.
    fn ids(&self) -> Vec<String> {
        let mut ids = self.notifications.clone();
        ids.extend([
            self.user.id.to_string(),
            self.episode.clone(),
            self.connection.clone(),
        ]);
        ids
    }

    /// What nobody else may be told.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = self.notifications.clone();
        secrets.extend([
            self.user.email.clone(),
            self.connection.clone(),
            AGENT.to_owned(),
        ]);
        secrets
    }
}

/// The path with each id in each place.
fn paths(path: &str, ids: &[String]) -> Vec<String> {
    let mut all = vec![path.to_owned()];
    let kinds = [
        "episode",
        "user",
        "notification",
        "job",
        "file",
        "composition",
    ];
    let kinds = kinds.map(str::to_owned);
    let rooms: Vec<_> = ids.iter().map(|id| format!("user:{id}")).collect();
    for (place, values) in [
        ("{type}", &kinds[..]),
        ("{id}", ids),
        ("{socket_id}", ids),
        ("{room}", &rooms[..]),
    ] {
        let with = |path: String| -> Vec<String> {
            match path.contains(place) {
                true => values
                    .iter()
                    .map(|value| path.replace(place, value))
                    .collect(),
                false => vec![path],
            }
        };
        all = all.into_iter().flat_map(with).collect();
    }
    for path in &all {
        assert!(!path.contains('{'), "what is put there? {path}");
    }
    all
}

async fn send(client: &Client, method: &str, path: &str) -> Answer {
    let method: Method = method.to_uppercase().parse().unwrap();
    let request = client.request(method.clone(), path);
    match method {
        Method::GET | Method::DELETE => answer(request).await,
        _ => answer(request.json(&json!({}))).await,
    }
}

async fn nothing_private_of_a_user_is_in_any_answer_to_another(kind: Kind) {
    let bed = Bed::of(kind).await;
    let ada = Ada::new(&bed).await;
    let mut asked = 0;
    for eve in [bed.viewer().await, bed.editor().await] {
        for row in operations() {
            if row.method != "get" || row.role.is_none() || row.id == "events" {
                continue;
            }
            let mut tries = paths(row.path, &ada.ids());
            for (name, _) in row.query {
                let value = match *name {
                    "user_id" => ada.user.id.to_string(),
                    "q" => "ada".to_owned(),
                    "room" => format!("user:{}", ada.user.id),
                    _ => continue,
                };
                tries.extend(
                    paths(row.path, &ada.ids())
                        .iter()
                        .map(|path| format!("{path}?{name}={value}")),
                );
            }
            for path in tries {
                let answer = send(&eve, row.method, &path).await;
                assert!(answer.status < 500, "{path}: {}", answer.body);
                // What she asked for stands in `instance`.
                let mut body = answer.body.clone();
                if let Some(members) = body.as_object_mut() {
                    members.remove("instance");
                }
                let body = body.to_string();
                for secret in ada.secrets() {
                    assert!(
                        !body.contains(&secret),
                        "{}: {path}: {secret}: {body}",
                        row.id
                    );
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 40, "{asked}");
    // To herself they are told: the search above can find them.
    let own = ada.client.get("notifications").await.body.to_string();
    assert!(own.contains(&ada.notifications[0]));
    let admin = bed
        .admin()
        .await
        .get("users?limit=100")
        .await
        .body
        .to_string();
    assert!(admin.contains(&ada.user.email));
}

async fn what_is_somebodys_own_is_not_there_for_anybody_else(kind: Kind) {
    let bed = Bed::of(kind).await;
    let ada = Ada::new(&bed).await;
    let before = ada.client.get("notifications").await.body;
    let others = [bed.viewer().await, bed.editor().await, bed.admin().await];
    let mut tried = 0;
    for row in operations() {
        if whose(row.id) != Some(Whose::Own) {
            continue;
        }
        for eve in &others {
            for path in paths(row.path, &ada.notifications) {
                send(eve, row.method, &path).await.refused(404, "not_found");
                tried += 1;
            }
        }
    }
    assert!(tried >= 18, "{tried}");
    assert_eq!(ada.client.get("notifications").await.body, before);
    // What all of one's own does, it does to one's own alone.
    for eve in &others {
        eve.post("notifications/read-all", json!({})).await.data();
    }
    assert_eq!(ada.client.get("notifications").await.body, before);
    // She herself can: it was not for nothing that the others could not.
    let path = format!("notifications/{}", ada.notifications[0]);
    ada.client
        .post(&format!("{path}/read"), json!({}))
        .await
        .data();
    ada.client.delete(&path).await.data();
}

async fn what_is_for_admins_is_for_nobody_else(kind: Kind) {
    let bed = Bed::of(kind).await;
    let ada = Ada::new(&bed).await;
    let mut tried = 0;
    let ids = [ada.user.id.to_string(), ada.connection.clone()];
    for eve in [bed.viewer().await, bed.editor().await] {
        for row in operations().iter().filter(|row| row.role == Some("admin")) {
            for path in paths(row.path, &ids) {
                send(&eve, row.method, &path)
                    .await
                    .refused(403, "forbidden");
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
    // And what is for editors is not for viewers, whatever is written.
    let viewer = bed.viewer().await;
    for row in operations().iter().filter(|row| row.role == Some("editor")) {
        for path in paths(row.path, std::slice::from_ref(&ada.episode)) {
            send(&viewer, row.method, &path)
                .await
                .refused(403, "forbidden");
        }
    }
    let shown = bed
        .admin()
        .await
        .get(&format!("users/{}", ada.user.id))
        .await;
    assert_eq!(shown.data()["email"], ada.user.email);
    ada.client
        .get(&format!("episodes/{}", ada.episode))
        .await
        .data();
    assert_eq!(ada.client.get("auth/me").await.data()["role"], "editor");
}

async fn an_answer_kept_for_one_user_is_not_given_to_another(kind: Kind) {
    let bed = Bed::of(kind).await;
    let ada = Ada::new(&bed).await;
    let eve = bed.admin().await;
    let post = async |client: &Client, path: &str, body: &Value| {
        let request = client.request(Method::POST, path);
        answer(request.header("idempotency-key", "the-same").json(body)).await
    };
    let episode = json!({"title": "hers", "episode_number": 100});
    let read = format!("notifications/{}/read", ada.notifications[0]);
    let theirs = post(&ada.client, "episodes", &episode).await.data()["id"].clone();
    post(&ada.client, &read, &json!({})).await.data();
    let other = post(&eve, "episodes", &episode).await;
    other.refused(409, "episode_number_taken");
    post(&eve, &read, &json!({}))
        .await
        .refused(404, "not_found");
    let again = post(&ada.client, "episodes", &episode).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.data()["id"], theirs);
}

/// The list in which a place is the same for everybody.
const ALIKE: &str = "/api/v1/episodes";

async fn a_place_in_ones_list_is_no_place_in_anothers(kind: Kind) {
    let bed = Bed::of(kind).await;
    let ada = Ada::new(&bed).await;
    let eve = bed.viewer().await;
    let mut tried = 0;
    for row in operations() {
        let pages = row.query.iter().any(|(name, _)| *name == "cursor");
        if !pages || row.role == Some("admin") || row.path.contains('{') {
            continue;
        }
        let needs_words =
            row.query.iter().any(|(name, _)| *name == "q") && row.id.contains("search");
        let words = if needs_words { "&q=x" } else { "" };
        let page = ada
            .client
            .get(&format!("{}?limit=1{words}", row.path))
            .await;
        let Some(cursor) = page.body["meta"]["next_cursor"].as_str() else {
            continue;
        };
        let path = format!("{}?limit=100{words}&cursor={cursor}", row.path);
        let body = eve.get(&path).await;
        match row.path == ALIKE {
            true => assert!(matches!(body.status, 200 | 422), "{path}: {}", body.body),
            false => assert_eq!(body.wrong_fields(), ["cursor"], "{path}"),
        }
        for secret in ada.secrets() {
            assert!(!body.body.to_string().contains(&secret), "{path}: {secret}");
        }
        tried += 1;
    }
    assert!(tried >= 3, "{tried}");
}
