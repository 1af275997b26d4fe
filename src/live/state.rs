//! What Callboard keeps with a socket.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use callboard_actors::model::envelope::Form;
use callboard_actors::model::identity::Identity;
use callboard_actors::model::policy;
use callboard_actors::model::record::Seq;
use callboard_actors::model::room::{Channel, Namespace};
use callboard_actors::session::{Protocol, Socket};
use callboard_actors::socket_registry::Bearer;
use callboard_actors::subscriber::Subscriber;
use parking_lot::Mutex;
use serde_json::Value;

use super::answered::Answered;

/// A socket's own state; the engine carries it along as [`Socket::state`].
pub struct State {
    pub namespaces: Box<[Namespace]>,
    pub form: Form,
    /// Where the client says it has come to, if the Record still reaches back to it.
    pub since: Option<Seq>,
    /// There from `connected` on.
    pub subscriber: OnceLock<Arc<Subscriber>>,
    inner: Mutex<Inner>,
}

struct Inner {
    identity: Arc<Identity>,
    /// Joined by name, in the order of joining.
    rooms: Vec<Channel>,
    /// Most clients listen, so it is made when one does more.
    lively: Option<Box<Lively>>,
}

/// What is kept of a client that types, or gives its commands ids.
#[derive(Default)]
struct Lively {
    typing: Allowance,
    repeatable: Allowance,
    answered: Answered,
}

impl State {
    pub fn new(
        identity: Identity,
        namespaces: Vec<Namespace>,
        protocol: Protocol,
        since: Option<Seq>,
        rooms: Vec<Channel>,
    ) -> State {
        let form = match protocol {
            Protocol::Plain => Form::Plain,
            Protocol::Sse => Form::Sse,
            _ => Form::SocketIo(namespaces[0]),
        };
        State {
            namespaces: namespaces.into(),
            form,
            since,
            subscriber: OnceLock::new(),
            inner: Mutex::new(Inner {
                identity: Arc::new(identity),
                rooms,
                lively: None,
            }),
        }
    }

    /// Whether the socket got its old `sid` and rooms back.
    pub fn recovered(&self) -> bool {
        self.since.is_some()
    }

    /// The state that this application gave the socket.
    pub fn of(socket: &Socket) -> Option<Arc<State>> {
        Arc::downcast(socket.state.clone() as Arc<dyn Any + Send + Sync>).ok()
    }

    pub fn identity(&self) -> Arc<Identity> {
        self.inner.lock().identity.clone()
    }

    pub fn set_identity(&self, identity: Identity) {
        self.inner.lock().identity = Arc::new(identity);
    }

    pub fn rooms(&self) -> Vec<Channel> {
        self.inner.lock().rooms.clone()
    }

    pub fn is_in(&self, channel: &Channel) -> bool {
        self.inner.lock().rooms.contains(channel)
    }

    /// Notes a room; false if it was there already.
    pub fn joined(&self, channel: Channel) -> bool {
        let mut inner = self.inner.lock();
        let new = !inner.rooms.contains(&channel);
        if new {
            if inner.rooms.is_empty() {
                inner.rooms.reserve_exact(1); // most join one
            }
            inner.rooms.push(channel);
        }
        new
    }

    /// Forgets a room; false if it was not there.
    pub fn left(&self, channel: &Channel) -> bool {
        let mut inner = self.inner.lock();
        let before = inner.rooms.len();
        inner.rooms.retain(|room| room != channel);
        inner.rooms.len() != before
    }

    /// Every channel the socket hears: those of its namespaces and identity, and its rooms.
    pub fn channels(&self) -> Vec<Channel> {
        let inner = self.inner.lock();
        let mut channels = self.own_channels(&inner.identity);
        channels.extend(inner.rooms.iter().cloned());
        channels
    }

    /// Those that it is in by itself, if this is its user.
    pub fn own_channels(&self, identity: &Identity) -> Vec<Channel> {
        let namespaces = self.namespaces.iter();
        namespaces
            .flat_map(|namespace| policy::own_channels(identity, *namespace))
            .collect()
    }

    /// Whether one more `typing` is allowed in the second of `now` (seconds since any epoch).
    pub fn may_type(&self, now: i64) -> bool {
        self.inner.lock().lively().typing.take(now, TYPING_A_SECOND)
    }

    /// The same of a command with an id.
    pub fn may_repeat(&self, now: i64) -> bool {
        let mut inner = self.inner.lock();
        inner.lively().repeatable.take(now, REPEATABLE_A_SECOND)
    }

    /// What a command of this id was answered, if it was this command.
    pub fn answer_of(&self, id: &str, command: &str) -> Option<Value> {
        let inner = self.inner.lock();
        inner.lively.as_ref()?.answered.find(id, command).cloned()
    }

    pub fn keep_answer(&self, id: String, command: String, answer: Value) {
        let mut inner = self.inner.lock();
        inner.lively().answered.keep(id, command, answer);
    }
}

impl Inner {
    fn lively(&mut self) -> &mut Lively {
        self.lively.get_or_insert_default()
    }
}

/// As the SocketRegistry sees it, which tells it what its user has become.
impl Bearer for State {
    fn identity(&self) -> Arc<Identity> {
        State::identity(self)
    }

    fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    fn subscriber(&self) -> Option<&Arc<Subscriber>> {
        self.subscriber.get()
    }

    fn revise(&self, identity: Identity) {
        self.set_identity(identity);
    }

    fn forfeit(&self) -> Vec<Channel> {
        let mut inner = self.inner.lock();
        let Inner {
            identity, rooms, ..
        } = &mut *inner;
        let may = |channel: &Channel| policy::may_join(identity, channel);
        let lost = rooms.iter().filter(|it| !may(it)).cloned().collect();
        rooms.retain(may);
        lost
    }
}

const TYPING_A_SECOND: u32 = 10;
/// Commands whose answer is kept for a day.
const REPEATABLE_A_SECOND: u32 = 10;

/// So many a second, counted by calendar second.
#[derive(Default)]
struct Allowance {
    second: i64,
    taken: u32,
}

impl Allowance {
    fn take(&mut self, now: i64, most: u32) -> bool {
        if now != self.second {
            *self = Allowance {
                second: now,
                taken: 0,
            };
        }
        self.taken += 1;
        self.taken <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is one for each socket: see `actors/src/session/footprint.rs`.
    #[test]
    fn it_is_as_small_as_it_was_made() {
        let size = size_of::<State>() + 16; // the counts of an `Arc`
        assert!(size <= 128, "{size}");
    }

    #[test]
    fn ten_a_second_and_then_none_until_the_next() {
        let mut allowance = Allowance::default();
        let taken = (0..25).filter(|_| allowance.take(7, 10)).count();
        assert_eq!(taken, 10);
        assert!(allowance.take(8, 10));
    }
}
