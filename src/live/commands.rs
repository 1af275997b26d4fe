//! What a client may ask of its socket: `join`, `leave`, `view`, `unview`, `status`, `typing`,
//! `refresh`; `read` and `delivered` are in [`super::reading`]. One table for every protocol; an answer is `{"ok": true, …}` or
//! `{"ok": false, "error": {"code", "message"}}`.

use std::sync::Arc;

use callboard_actors::broadcaster::{Enter, Leave, Publish};
use callboard_actors::model::envelope::Ephemeral;
use callboard_actors::model::event::Kind;
use callboard_actors::model::identity::Identity;
use callboard_actors::model::policy;
use callboard_actors::model::presence::{Choice, LONGEST_MESSAGE, Status, Subject};
use callboard_actors::model::record::Seq;
use callboard_actors::model::room::{Channel, Namespace, Room};
use callboard_actors::ports::{Resumable, Unavailable};
use callboard_actors::presence_registry::{Choose, Unview, View, Viewed};
use callboard_actors::runtime::AskError;
use callboard_actors::session::{Arguments, Protocol, Refused, Socket};
use callboard_actors::socket_registry::{Left, Renewed};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use uuid::Uuid;

use super::admission::{MOST_ROOMS, channel, code_of, no_episode};
use super::asked::{Asked, Id};
use super::errands::Entered;
use super::state::State;
use super::{Live, once};

/// Why a command was not done.
pub(super) struct Fault {
    code: String,
    message: String,
}

impl Fault {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Fault {
        Fault {
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub(super) fn busy() -> Fault {
        Fault::new("unavailable", "the server is too busy; try again")
    }

    fn answer(self) -> Value {
        json!({
            "ok": false,
            "error": { "code": self.code, "message": self.message },
        })
    }
}

impl From<Unavailable> for Fault {
    fn from(error: Unavailable) -> Fault {
        tracing::warn!(%error, "a command could not be done");
        Fault::new("unavailable", "the database does not answer; try again")
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Fault {
        Fault {
            code: code_of(&refused),
            message: refused.message,
        }
    }
}

/// The members of a successful answer, after `ok`.
pub(super) type Done = Result<Value, Fault>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InRoom {
    room: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Looking {
    resource_type: String,
    resource_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Says {
    status: String,
    status_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Types {
    room: String,
    field: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: String,
}

/// Every one. (What they take and give is described in `http/asyncapi/commands.rs`.)
pub const COMMANDS: [&str; 9] = [
    "join",
    "leave",
    "view",
    "unview",
    "status",
    "typing",
    "read",
    "delivered",
    "refresh",
];

impl Live {
    /// What a client asked, and what it is answered.
    pub(super) async fn answer(
        &self,
        socket: &Socket,
        state: &Arc<State>,
        name: String,
        arguments: &Arguments,
    ) -> Value {
        let mut asked = match Asked::read(socket, name, arguments) {
            Ok(asked) => asked,
            Err(fault) => return fault.answer(),
        };
        match asked.id.take().filter(|_| once::writes(&asked.name)) {
            // Boxed: few commands have an id.
            Some(Id::OfUser(id)) => Box::pin(self.once(socket, state, asked, id))
                .await
                .unwrap_or_else(|fault| fault.answer()),
            Some(Id::OfConnection(id)) => Box::pin(self.once_here(socket, state, asked, id)).await,
            None => {
                let body = asked.body.as_deref();
                self.command(socket, state, &asked.name, body).await
            }
        }
    }

    /// Does the command and gives the whole answer.
    pub(super) async fn command(
        &self,
        socket: &Socket,
        state: &State,
        name: &str,
        body: Option<&RawValue>,
    ) -> Value {
        self.parts.signs.of(state.identity().user.id);
        let done = match name {
            "join" => self.join(socket, state, body).await,
            "leave" => self.leave(socket, state, body).await,
            "view" => self.view(socket, state, body).await,
            "unview" => self.unview(socket, state, body).await,
            "status" => self.status(socket, state, body).await,
            "typing" => self.typing(socket, state, body),
            // Boxed: the future of a question to the database is larger than all others, and every command has room for it.
            "read" => Box::pin(self.read_one(state, body)).await,
            "delivered" => self.delivered(state, body).await,
            "refresh" => self.refresh(socket, state, body).await,
            other => Err(Fault::new(
                "unknown_command",
                format!(
                    "`{}` is no command; accepted: {}",
                    other.chars().take(64).collect::<String>(),
                    COMMANDS.join(", ")
                ),
            )),
        };
        match done {
            Ok(mut members) => {
                let mut answer = json!({ "ok": true });
                if let (Some(answer), Some(members)) =
                    (answer.as_object_mut(), members.as_object_mut())
                {
                    answer.append(members);
                }
                answer
            }
            Err(fault) => fault.answer(),
        }
    }

    async fn join(&self, socket: &Socket, state: &State, body: Option<&RawValue>) -> Done {
        let asked: InRoom = read(body)?;
        let channel = wanted(state, &asked.room)?;
        if !policy::may_join(&state.identity(), &channel) {
            return Err(Fault::new(
                "forbidden",
                format!("{} is not yours to join", asked.room),
            ));
        }
        if state.rooms().len() >= MOST_ROOMS && !state.is_in(&channel) {
            return Err(Fault::new(
                "too_many_rooms",
                format!("a socket has {MOST_ROOMS} at most"),
            ));
        }
        let new = state.joined(channel.clone());
        let done = self.go_in(socket, state, &channel, new).await;
        if done.is_err() && new {
            state.left(&channel);
        }
        let (seq, viewers) = done?;
        Ok(json!({ "room": asked.room, "seq": seq, "viewers": viewers? }))
    }

    /// Gives the place from which on the room is heard, and who looks at what it is about.
    async fn go_in(
        &self,
        socket: &Socket,
        state: &State,
        channel: &Channel,
        new: bool,
    ) -> Result<(Seq, Done), Fault> {
        let subscriber = state.subscriber.get().ok_or_else(Fault::busy)?;
        let id = match &channel.room {
            Some(Room::Episode(id)) => Some(*id),
            _ => None,
        };
        // On disk before the answer: who was told that it is in gets the room back after a crash.
        match id.filter(|_| new && is_kept(socket)) {
            Some(id) => {
                let resumable = resumable(socket, state);
                if !self.parts.resumes.save_if(resumable, id).await? {
                    return Err(no_episode(id).into());
                }
            }
            None => {
                self.must_exist(channel).await?;
                if new {
                    self.keep_rooms(socket, state).await?;
                }
            }
        }
        let (subscriber, subject) = (subscriber.clone(), id.map(Subject::episode));
        let entered = self.enter(socket, state, subscriber, channel.clone(), subject);
        match entered.await {
            Ok(Entered { seq, viewers }) => Ok((seq, listed(viewers))),
            Err(_) => {
                if new {
                    self.go_out(socket, state, channel).await?;
                }
                Err(Fault::busy())
            }
        }
    }

    /// What is told of a room that a socket is no longer in.
    async fn go_out(&self, socket: &Socket, state: &State, channel: &Channel) -> Result<(), Fault> {
        self.note(self.parts.sockets.tell(Left {
            connection: socket.connection.id().clone(),
            sid: socket.sid.clone(),
            channel: channel.clone(),
        }));
        match &channel.room {
            Some(Room::Episode(id)) => self.look_away(socket, state, Subject::episode(*id)).await,
            _ => Ok(()),
        }
    }

    async fn leave(&self, socket: &Socket, state: &State, body: Option<&RawValue>) -> Done {
        let asked: InRoom = read(body)?;
        let channel = wanted(state, &asked.room)?;
        if !state.left(&channel) {
            return Err(Fault::new(
                "not_joined",
                format!("the socket is not in {}", asked.room),
            ));
        }
        self.keep_rooms(socket, state).await?;
        if let Some(subscriber) = state.subscriber.get() {
            let leave = Leave {
                key: subscriber.key,
                channels: vec![channel.clone()],
            };
            self.parts
                .broadcaster
                .ask(leave)
                .await
                .map_err(|_| Fault::busy())?;
        }
        self.go_out(socket, state, &channel).await?;
        Ok(json!({ "room": asked.room }))
    }

    async fn view(&self, socket: &Socket, state: &State, body: Option<&RawValue>) -> Done {
        let subject = subject(body)?;
        // Of the others nothing is told to anybody, so a view of one that is not there costs its place alone.
        if let Some(id) = subject.as_episode() {
            let channel = Channel::room(Namespace::Episodes, Room::Episode(id));
            self.must_exist(&channel).await?;
        }
        let viewed = self.look(socket, state, subject).await?;
        if viewed.as_ref().is_some_and(|viewed| viewed.refused) {
            return Err(Fault::new(
                "too_many_views",
                "a socket, and a user, views only so many things at once",
            ));
        }
        let viewers = listed(viewed.map(Ok))?;
        Ok(json!({ "viewers": viewers }))
    }

    async fn unview(&self, socket: &Socket, state: &State, body: Option<&RawValue>) -> Done {
        self.look_away(socket, state, subject(body)?).await?;
        Ok(json!({}))
    }

    async fn status(&self, socket: &Socket, state: &State, body: Option<&RawValue>) -> Done {
        let says: Says = read(body)?;
        let status: Status = says.status.parse().map_err(|it: String| invalid(it))?;
        let message = says.status_message.map(|text| text.trim().to_owned());
        if message
            .as_ref()
            .is_some_and(|text| text.chars().count() > LONGEST_MESSAGE || text.contains('\0'))
        {
            return Err(invalid(format!(
                "status_message: {LONGEST_MESSAGE} characters at most, and no U+0000"
            )));
        }
        let message = message.filter(|text| !text.is_empty());
        let Some(presence) = &self.parts.presence else {
            return Err(Fault::new("disabled", "presence is switched off"));
        };
        let choose = Choose {
            sid: Some(socket.sid.clone()),
            user: state.identity().user.clone(),
            choice: Choice {
                status,
                message: message.clone(),
            },
        };
        presence.ask(choose).await.map_err(|_| Fault::busy())?;
        Ok(json!({ "status": status, "status_message": message }))
    }

    fn typing(&self, socket: &Socket, state: &State, body: Option<&RawValue>) -> Done {
        let types: Types = read(body)?;
        let channel = wanted(state, &types.room)?;
        if !matches!(channel.room, Some(Room::Episode(_))) || !state.is_in(&channel) {
            return Err(Fault::new(
                "not_joined",
                format!("the socket is not in {}", types.room),
            ));
        }
        if types.field.is_empty() || types.field.chars().count() > 64 {
            return Err(invalid("field: 1 to 64 characters"));
        }
        let now = self.parts.clock.now();
        if !state.may_type(now.timestamp()) {
            self.dropped_typing();
            return Err(Fault::new("rate_limited", "10 typing a second at most"));
        }
        let data = json!({ "room": types.room, "field": types.field });
        self.note(self.parts.broadcaster.tell(Publish(Ephemeral {
            id: Uuid::now_v7(),
            event: Kind::Typing.name().to_owned(),
            at: now,
            user: Some(state.identity().user.clone()),
            data: to_raw_value(&data).unwrap_or_default(),
            audience: vec![channel],
            except: Some(socket.sid.clone()),
        })));
        Ok(json!({}))
    }

    async fn refresh(&self, socket: &Socket, state: &State, body: Option<&RawValue>) -> Done {
        let asked: Token = read(body)?;
        let identity = self
            .authenticate(asked.token)
            .await?
            .map_err(|denied| Fault::new(denied.code(), denied.message()))?;
        if identity.user.id != state.identity().user.id {
            return Err(Fault::new("forbidden", "the token is another user's"));
        }
        let expires_at = identity.expires_at;
        let lost: Vec<Channel> = state
            .rooms()
            .into_iter()
            .filter(|channel| !policy::may_join(&identity, channel))
            .collect();
        self.change_rooms(state, &identity).await?;
        state.set_identity(identity);
        self.note(self.parts.sockets.tell(Renewed {
            connection: socket.connection.id().clone(),
            sid: socket.sid.clone(),
            expires_at,
        }));
        for channel in lost {
            let room = channel
                .room
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            let body = to_raw_value(&json!({ "room": room })).ok();
            self.leave(socket, state, body.as_deref()).await?;
        }
        Ok(json!({ "expires_at": callboard_actors::model::envelope::timestamp(expires_at) }))
    }

    /// The channels that a socket is in by itself follow from who its user is.
    async fn change_rooms(&self, state: &State, identity: &Identity) -> Result<(), Fault> {
        let subscriber = state.subscriber.get().ok_or_else(Fault::busy)?;
        let (before, after) = (
            state.own_channels(&state.identity()),
            state.own_channels(identity),
        );
        let only = |these: &[Channel], those: &[Channel]| -> Vec<Channel> {
            let these = these.iter().filter(|it| !those.contains(it));
            these.cloned().collect()
        };
        let (lost, gained) = (only(&before, &after), only(&after, &before));
        if !lost.is_empty() {
            let key = subscriber.key;
            let leave = Leave {
                key,
                channels: lost,
            };
            let left = self.parts.broadcaster.ask(leave).await;
            left.map_err(|_| Fault::busy())?;
        }
        if !gained.is_empty() {
            let enter = Enter {
                subscriber: subscriber.clone(),
                channels: gained,
            };
            let entered = self.parts.broadcaster.ask(enter).await;
            entered.map_err(|_| Fault::busy())?;
        }
        Ok(())
    }

    /// Writes down what the socket gets back when it is resumed.
    async fn keep_rooms(&self, socket: &Socket, state: &State) -> Result<(), Unavailable> {
        match is_kept(socket) {
            true => self.parts.resumes.save(resumable(socket, state)).await,
            false => Ok(()),
        }
    }

    /// A socket that came with rooms looks at what they are about.
    pub(super) async fn look_around(&self, socket: &Socket, state: &State) {
        for channel in state.rooms() {
            if let Some(Room::Episode(id)) = channel.room
                && let Err(fault) = self.look(socket, state, Subject::episode(id)).await
            {
                tracing::warn!(%id, error = fault.message, "a viewer could not be noted");
            }
        }
    }

    /// `None`: presence is switched off.
    async fn look(
        &self,
        socket: &Socket,
        state: &State,
        subject: Subject,
    ) -> Result<Option<Viewed>, Fault> {
        let Some(presence) = &self.parts.presence else {
            return Ok(None);
        };
        let view = View {
            sid: Some(socket.sid.clone()),
            user: state.identity().user.clone(),
            subject,
        };
        let viewed = presence.ask(view).await;
        viewed.map(Some).map_err(|_| Fault::busy())
    }

    async fn look_away(
        &self,
        socket: &Socket,
        state: &State,
        subject: Subject,
    ) -> Result<(), Fault> {
        let Some(presence) = &self.parts.presence else {
            return Ok(());
        };
        presence
            .ask(Unview {
                sid: Some(socket.sid.clone()),
                user: state.identity().user.id,
                subject,
            })
            .await
            .map_err(|_| Fault::busy())?;
        Ok(())
    }
}

/// Plain connections name their rooms each time they come.
fn is_kept(socket: &Socket) -> bool {
    socket.connection.protocol() == Protocol::SocketIo
}

fn resumable(socket: &Socket, state: &State) -> Resumable {
    Resumable {
        sid: socket.sid.to_string(),
        user_id: state.identity().user.id,
        rooms: state.rooms(),
        ended: false,
    }
}

/// Nobody, where presence is switched off.
fn listed(viewed: Option<Result<Viewed, AskError>>) -> Done {
    let viewed = viewed.transpose().map_err(|_| Fault::busy())?;
    let viewers = viewed.map(|viewed| viewed.viewers).unwrap_or_default();
    serde_json::to_value(viewers).map_err(|_| Fault::busy())
}

pub(super) fn read<T: DeserializeOwned>(body: Option<&RawValue>) -> Result<T, Fault> {
    match body.map(RawValue::get) {
        // A list of the right length would do for serde.
        Some(text) if text.starts_with('{') => {
            serde_json::from_str(text).map_err(|error| invalid(error.to_string()))
        }
        _ => Err(invalid("the body is an object")),
    }
}

pub(super) fn invalid(message: impl Into<String>) -> Fault {
    Fault::new("validation_failed", message)
}

fn wanted(state: &State, room: &str) -> Result<Channel, Fault> {
    channel(room, &state.namespaces).map_err(|message| Fault::new("invalid_room", message))
}

fn subject(body: Option<&RawValue>) -> Result<Subject, Fault> {
    let looking: Looking = read(body)?;
    if !Subject::KINDS.contains(&looking.resource_type.as_str()) {
        return Err(invalid(format!(
            "resource_type: one of {}",
            Subject::KINDS.join(", ")
        )));
    }
    let id =
        uuid::Uuid::try_parse(&looking.resource_id).map_err(|_| invalid("resource_id: a UUID"))?;
    Ok(Subject::new(&looking.resource_type, id))
}
