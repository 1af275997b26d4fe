//! Who may come in: origin and capacity, the token, the namespaces and rooms asked for, and whether
//! the socket can be given back what it had.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::ResponseError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callboard_actors::model::identity::Identity;
use callboard_actors::model::policy;
use callboard_actors::model::record::Seq;
use callboard_actors::model::room::{Channel, Namespace, Room};
use callboard_actors::ports::{Denied, Unavailable};
use callboard_actors::session::{Admission, Connect, Protocol, Refused, Visit, Welcome};
use callboard_actors::socket_registry::WasForced;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use super::Live;
use super::pid::Sealed;
use super::query::Query;
use super::state::State;
use crate::error::{ApiError, PROBLEM_JSON};

/// One of the connections that may be open, until it is dropped. Taken before anything is awaited, so
/// that a burst cannot pass the limit together.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Place {
        open.fetch_add(1, Ordering::AcqRel);
        Place(open.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a client puts into its CONNECT packet. Other members are the client's own business.
#[derive(Default, Deserialize)]
struct Auth {
    token: Option<String>,
    pid: Option<String>,
    offset: Option<String>,
}

impl Live {
    pub(super) fn may_visit(&self, visit: &Visit) -> Result<Admission, Refused> {
        if self.draining() {
            return Err(refused(ApiError::draining()));
        }
        if let Some(origin) = visit.header("origin")
            && !self.settings.allows_origin(origin, visit.header("host"))
        {
            return Err(refused(ApiError::origin_not_allowed(origin)));
        }
        let place = Place::take(&self.open);
        if self.open.load(Ordering::Acquire) > self.settings.max_connections {
            let most = self.settings.max_connections;
            return Err(refused(ApiError::too_many_connections(most)));
        }
        Ok(Box::new(place))
    }

    pub(super) async fn let_in(&self, connect: Connect) -> Result<Welcome, Refused> {
        match connect.protocol {
            Protocol::Plain | Protocol::Sse => self.let_in_plain(connect).await,
            _ => self.let_in_socket(connect).await,
        }
    }

    async fn let_in_socket(&self, connect: Connect) -> Result<Welcome, Refused> {
        let namespace = connect
            .namespace
            .as_deref()
            .and_then(|text| Namespace::parse(text).filter(|it| it.path() == text))
            .ok_or_else(|| refused(ApiError::invalid_namespace()))?;
        let auth = connect.auth.as_ref().map_or_else(Auth::default, |raw| {
            // Not an object, or of other types: as good as none.
            serde_json::from_str(raw.get()).unwrap_or_default()
        });
        let identity = self.identify(auth.token, &connect.visit).await?;
        may_connect(&identity, &[namespace])?;
        let resume = match (auth.pid, auth.offset.and_then(|it| it.parse().ok())) {
            (Some(pid), Some(offset)) => self
                .resume(&pid, offset, namespace, &identity)
                .await
                .map_err(unavailable)?,
            _ => None,
        };
        let (sid, since, rooms) = match resume {
            Some((sid, offset, rooms)) => (sid, Some(offset), rooms),
            None => (new_sid(self.parts.clock.now()), None, Vec::new()),
        };
        let pid = self.sealer.seal(&Sealed {
            sid: sid.clone(),
            user_id: identity.user.id,
            namespace: Some(namespace),
        });
        let namespaces = vec![namespace];
        let state = State::new(identity, namespaces, connect.protocol, since, rooms);
        Ok(Welcome {
            sid,
            pid: Some(pid),
            state: Arc::new(state),
        })
    }

    /// The socket that this recovery id stands for, if it may be had back.
    async fn resume(
        &self,
        pid: &str,
        offset: Seq,
        namespace: Namespace,
        identity: &Identity,
    ) -> Result<Option<(String, Seq, Vec<Channel>)>, Unavailable> {
        let Some(sealed) = self.sealer.open(pid) else {
            return Ok(None);
        };
        if sealed.user_id != identity.user.id || sealed.namespace != Some(namespace) {
            return Ok(None);
        }
        let span = self.parts.record.span().await?;
        self.pages.saw(span.last);
        if !span.reaches(offset) {
            return Ok(None);
        }
        // Who was forced off is known here before it knows it; on disk it stands a moment later.
        let forced = WasForced(sealed.sid.as_str().into());
        if self.parts.sockets.ask(forced).await != Ok(false) {
            return Ok(None);
        }
        let kept = self.parts.resumes.find(sealed.sid.clone()).await?;
        if kept
            .as_ref()
            .is_some_and(|it| it.ended || it.user_id != identity.user.id)
        {
            return Ok(None);
        }
        let mut rooms = kept.map(|it| it.rooms).unwrap_or_default();
        rooms.retain(|channel| policy::may_join(identity, channel));
        Ok(Some((sealed.sid, offset, rooms)))
    }

    async fn let_in_plain(&self, connect: Connect) -> Result<Welcome, Refused> {
        let mut query = Query::parse(connect.visit.query());
        // What is wrong with the query is said last, as everywhere: first who asks, and whether they may.
        let identity = self.identify(query.token.take(), &connect.visit).await?;
        let namespaces = query.namespaces();
        may_connect(&identity, &namespaces)?;
        let rooms = query.rooms(&namespaces);
        if let Some(channel) = rooms.iter().find(|room| !policy::may_join(&identity, room)) {
            let detail = format!("{channel} is not yours to join");
            return Err(refused(ApiError::forbidden(detail)));
        }
        for channel in &rooms {
            self.must_exist(channel).await?;
        }
        let last_event_id = match connect.protocol {
            Protocol::Sse => connect.visit.header("last-event-id"),
            _ => None,
        };
        let since = query.since(last_event_id);
        query.finish().map_err(refused)?;
        let since = match since {
            Some(seq) => {
                let span = self.parts.record.span().await.map_err(unavailable)?;
                self.pages.saw(span.last);
                span.reaches(seq).then_some(seq)
            }
            None => None,
        };
        let state = State::new(identity, namespaces, connect.protocol, since, rooms);
        Ok(Welcome {
            sid: new_sid(self.parts.clock.now()),
            pid: None,
            state: Arc::new(state),
        })
    }

    /// The bearer of the token: from the packet or the query, else from the header.
    async fn identify(&self, token: Option<String>, visit: &Visit) -> Result<Identity, Refused> {
        let token = token
            .or_else(|| {
                let (scheme, token) = visit.header("authorization")?.split_once(' ')?;
                scheme
                    .eq_ignore_ascii_case("bearer")
                    .then(|| token.trim().to_owned())
            })
            .or_else(|| {
                let mut query = form_urlencoded::parse(visit.query().as_bytes());
                query
                    .find(|(key, _)| key == "token")
                    .map(|(_, token)| token.into_owned())
            });
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err(denied(Denied::Missing));
        };
        self.authenticate(token)
            .await
            .map_err(unavailable)?
            .map_err(denied)
    }

    /// Rooms of things that do not exist are not to be joined.
    pub(super) async fn must_exist(&self, channel: &Channel) -> Result<(), Refused> {
        if let Some(Room::Episode(id)) = &channel.room
            && !self
                .parts
                .catalogue
                .episode_exists(*id)
                .await
                .map_err(unavailable)?
        {
            return Err(no_episode(*id));
        }
        Ok(())
    }
}

fn may_connect(identity: &Identity, namespaces: &[Namespace]) -> Result<(), Refused> {
    let closed = |it: &&Namespace| !policy::may_connect(identity, **it);
    match namespaces.iter().find(closed) {
        Some(namespace) => {
            let detail = format!("{} is for admins", namespace.path());
            Err(refused(ApiError::forbidden(detail)))
        }
        None => Ok(()),
    }
}

/// Rooms of one socket that it joined by name.
pub(super) const MOST_ROOMS: usize = 500;

/// The channel of a room that a client names: rooms have a namespace where they are at home, and
/// the socket must be in it.
pub(super) fn channel(name: &str, namespaces: &[Namespace]) -> Result<Channel, String> {
    let room: Room = name.parse()?;
    let home = match (&room, room.home()) {
        (_, Some(home)) => home,
        // The user's own room is joined by itself; joining it again does no harm.
        (Room::User(_), None) => namespaces[0],
        _ => return Err(format!("`{name}` is not joined by name")),
    };
    if !namespaces.contains(&home) {
        return Err(format!(
            "`{name}` is a room of {}, where this socket is not",
            home.path()
        ));
    }
    Ok(Channel::room(home, room))
}

/// A socket's id, spelt as Socket.IO's own are: 40 bits of the time in milliseconds and 80 random ones. Sockets that come
/// together are together in the index of those that can be resumed, so that a commit writes few of its pages.
fn new_sid(now: DateTime<Utc>) -> String {
    let mut id: [u8; 15] = rand::random();
    let [_, _, _, time @ ..] = now.timestamp_millis().to_be_bytes();
    id[..5].copy_from_slice(&time);
    URL_SAFE_NO_PAD.encode(id)
}

pub(super) fn no_episode(id: Uuid) -> Refused {
    refused(ApiError::no_episode(id))
}

/// As the engine passes it on: to a namespace of Socket.IO as words and code, to all others as the answer that REST would
/// give. Path and request id are put in where they are known.
pub(super) fn refused(error: ApiError) -> Refused {
    let problem = error.problem();
    let headers = error.error_response().headers().clone();
    let headers = headers.iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.to_string(), value.to_owned()))
    });
    Refused {
        status: problem.status.as_u16(),
        message: problem.detail.clone(),
        data: to_raw_value(&json!({ "code": problem.code })).ok(),
        body: Some((PROBLEM_JSON.into(), problem.body("", ""))),
        headers: headers.collect(),
    }
}

/// The word of a refusal of ours.
pub(super) fn code_of(refused: &Refused) -> String {
    #[derive(Deserialize)]
    struct Data {
        code: String,
    }
    let data = refused.data.as_ref();
    data.and_then(|raw| serde_json::from_str::<Data>(raw.get()).ok())
        .map_or_else(|| "refused".to_owned(), |data| data.code)
}

fn denied(denied: Denied) -> Refused {
    refused(ApiError::denied(denied))
}

pub(super) fn unavailable(error: Unavailable) -> Refused {
    tracing::warn!(%error, "a socket could not be let in");
    refused(ApiError::no_socket_now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_come_together_have_ids_that_begin_alike_and_are_not_to_be_guessed() {
        let at = |millis: i64| DateTime::from_timestamp_millis(1_800_000_000_000 + millis).unwrap();
        let ids = [at(0), at(0), at(1), at(100_000)].map(new_sid);
        assert!(ids.iter().all(|id| id.len() == 20));
        assert_eq!(ids[0][..6], ids[1][..6]);
        assert_ne!(ids[0][7..], ids[1][7..]);
        assert_eq!(ids[0][..5], ids[2][..5]);
        assert_ne!(ids[0][..6], ids[3][..6]);
    }

    #[test]
    fn a_room_is_joined_in_its_home_alone() {
        let id = uuid::Uuid::now_v7();
        let episodes = [Namespace::Episodes];
        assert!(channel(&format!("episode:{id}"), &episodes).is_ok());
        assert!(channel(&format!("episode:{id}"), &[Namespace::Jobs]).is_err());
        assert!(channel("role:admin", &episodes).is_err());
    }
}
