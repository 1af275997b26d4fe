//! Events that admins send themselves: to everybody, to a user, to a room. Each call is put on the
//! Record, as something that an admin did; so is the event, in the same transaction, unless it is
//! meant for the moment only.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use callboard_actors::broadcaster::Publish;
use callboard_actors::model::envelope::Ephemeral;
use callboard_actors::model::event::CustomName;
use callboard_actors::model::policy::Action;
use callboard_actors::model::record::{NewEntry, Resource, Seq};
use callboard_actors::model::room::{Channel, Namespace, Room};

use super::call::{Answer, Call};
use super::fields::{Body, Fields};
use crate::error::ApiError;
use crate::store::admin_actions::{self, AdminAction};
use crate::store::users;

pub fn routes(scope: &mut web::ServiceConfig) {
    scope
        .service(web::resource("/socket/broadcast").route(web::post().to(broadcast)))
        .service(web::resource("/socket/notify-user/{id}").route(web::post().to(notify_user)))
        .service(web::resource("/socket/notify-room/{room}").route(web::post().to(notify_room)));
}

async fn broadcast(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::ManageSockets)?;
    call.no_query()?;
    let mut body = body.fields()?;
    let namespace = body.one_of::<Namespace>("namespace").into_option();
    let custom = Custom::read(&mut body);
    body.finish()?;
    let to = To {
        what: "socket/broadcast",
        resource: namespace.map(|namespace| Resource {
            kind: "namespace".into(),
            id: namespace.path().into(),
        }),
        room: None,
        audience: match namespace {
            Some(namespace) => vec![Channel::all(namespace)],
            None => Namespace::ALL.into_iter().map(Channel::all).collect(),
        },
    };
    send(&call, to, custom).await
}

async fn notify_user(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::ManageSockets)?;
    let id = call.id("user")?;
    if users::find(&call.state.store, id).await?.is_none() {
        return Err(ApiError::not_found("user"));
    }
    call.no_query()?;
    let mut body = body.fields()?;
    let custom = Custom::read(&mut body);
    body.finish()?;
    let resource = Resource {
        kind: "user".into(),
        id: id.to_string(),
    };
    let to = To::room("socket/notify-user", resource, Room::User(id));
    send(&call, to, custom).await
}

/// Nobody is asked whether what the room is named after exists: a room is an address, and at one where nobody is an
/// event reaches nobody.
async fn notify_room(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::ManageSockets)?;
    let room = room(&call)?;
    call.no_query()?;
    let mut body = body.fields()?;
    let custom = Custom::read(&mut body);
    body.finish()?;
    let resource = Resource {
        kind: "room".into(),
        id: room.to_string(),
    };
    let to = To::room("socket/notify-room", resource, room);
    send(&call, to, custom).await
}

/// The `{room}` of the path. (The router leaves some percent signs as they are: a team may have a `/` in its name.)
fn room(call: &Call) -> Result<Room, ApiError> {
    let text: Option<String> = call.req.match_info().load().ok();
    text.and_then(|text| text.parse().ok())
        .filter(|room| match room {
            Room::Team(name) => !name.contains('\0'),
            Room::Episode(_) | Room::Job(_) | Room::User(_) => true,
            Room::Role(_) => false,
        })
        .ok_or_else(|| ApiError::not_found("room"))
}

/// The event, as the body says it.
struct Custom {
    name: CustomName,
    data: Box<RawValue>,
    recorded: bool,
}

impl Custom {
    fn read(body: &mut Fields) -> Custom {
        let data = body.required_json("data");
        Custom {
            name: body.one_of("event").into_option().unwrap_or_default(),
            // A JSON value is written as such.
            data: to_raw_value(&data).unwrap_or_default(),
            recorded: body.boolean("recorded").into_option().unwrap_or(true),
        }
    }
}

/// Whom it shall reach, and what the Record says was done.
struct To {
    what: &'static str,
    resource: Option<Resource>,
    room: Option<String>,
    audience: Vec<Channel>,
}

impl To {
    fn room(what: &'static str, resource: Resource, room: Room) -> To {
        To {
            what,
            resource: Some(resource),
            room: Some(room.to_string()),
            audience: room.channels(),
        }
    }
}

/// What was sent, for the answer.
#[derive(Serialize)]
struct Sent<'a> {
    id: Uuid,
    event: &'a str,
    recorded: bool,
    seq: Option<Seq>,
    room: Option<String>,
    namespaces: Vec<Namespace>,
}

async fn send(call: &Call, to: To, custom: Custom) -> Result<HttpResponse, ApiError> {
    let (state, id, name) = (&call.state, Uuid::now_v7(), custom.name.into_string());
    let at = state.store.now();
    let namespaces = to
        .audience
        .iter()
        .map(|channel| channel.namespace)
        .collect();
    let action = AdminAction {
        what: to.what,
        resource: to.resource,
        data: Map::from_iter([
            ("event".to_owned(), Value::from(name.as_str())),
            ("event_id".to_owned(), json!(id)),
            ("recorded".to_owned(), custom.recorded.into()),
            ("room".to_owned(), json!(to.room)),
            ("namespaces".to_owned(), json!(namespaces)),
        ]),
    };
    let seq = if custom.recorded {
        let event = NewEntry {
            id,
            at,
            event: name.clone(),
            actor: Some(call.who.user.clone()),
            resource: None,
            audience: to.audience,
            data: custom.data,
            origin: call.origin(),
        };
        let entries =
            admin_actions::insert_with_event(&state.store, event, action, call.by()).await?;
        let seq = entries[0].seq;
        entries.into_iter().for_each(|entry| state.announce(entry));
        Some(seq)
    } else {
        let entry = admin_actions::insert(&state.store, action, call.by()).await?;
        let event = Publish(Ephemeral {
            id,
            event: name.clone(),
            at,
            user: Some(call.who.user.clone()),
            data: custom.data,
            audience: to.audience,
            except: None,
        });
        // Before the answer: what one admin sends one after the other arrives so. A mailbox that is
        // full counts what it refused, as with every momentary event.
        let broadcaster = state.actors.broadcaster.clone();
        state.actors.courier.send(move || {
            let _ = broadcaster.tell(event);
        });
        state.announce(entry);
        None
    };
    let sent = Sent {
        id,
        event: &name,
        recorded: custom.recorded,
        seq,
        room: to.room,
        namespaces,
    };
    Answer::ok(sent).message("Event sent").respond()
}
