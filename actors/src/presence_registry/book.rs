//! Who is online and who looks at what, as plain state: each change of it gives the event that
//! tells of it, so that lists and events cannot disagree.
//!
//! A person is online, and views something, through a *hold*: sockets, or a lease that ends by
//! itself. The last socket leaves a lease of a few seconds behind (a reload is no departure); who
//! comes by REST alone has a lease of some minutes. A socket takes the place of a lease.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::model::identity::UserRef;
use crate::model::presence::{Presence, Status, Subject};
use crate::runtime::Trim;
use crate::session::Outbox;

/// How long somebody stays when its last socket has gone.
pub const GRACE: Duration = Duration::from_secs(3);
/// Subjects that one socket views: as many as it may join rooms, each of which makes it a viewer.
const SUBJECTS_OF_SOCKET: usize = 500;
/// Pairs of a user and a subject, over all.
const VIEWS: usize = 200_000;

/// The time of a change.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub clock: Duration,
    pub wall: DateTime<Utc>,
}

/// Somebody who looks at something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Viewer {
    pub id: Uuid,
    pub name: String,
    pub viewing_since: DateTime<Utc>,
}

/// A row of those who are online.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Online {
    #[serde(flatten)]
    pub presence: Presence,
    pub socket_count: usize,
}

/// What has changed for others. A viewer's change says which socket caused it, if one did.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Presence(Presence),
    Joined(Subject, Viewer, Option<Arc<str>>),
    Left(Subject, Viewer, Option<Arc<str>>),
}

/// Figures for the admins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    pub online_users: usize,
    pub sockets: usize,
    pub viewed_resources: usize,
    pub viewers: usize,
    /// Views refused because there were too many.
    pub refused: u64,
}

pub struct Book {
    /// The lease of who comes by REST alone.
    timeout: Duration,
    people: HashMap<Uuid, Person>,
    views: HashMap<Arc<Subject>, HashMap<Uuid, View>>,
    view_count: usize,
    sockets: HashMap<Arc<str>, Socket>,
    ends: Ends,
    changes: VecDeque<Change>,
    refused: u64,
}

struct Person {
    user: UserRef,
    hold: Hold,
    status: Status,
    message: Option<String>,
    last_activity: DateTime<Utc>,
}

struct View {
    viewer: Viewer,
    hold: Hold,
}

struct Socket {
    user: Uuid,
    /// A socket that is resumed keeps its `sid`: the end of its old line must not touch the new.
    outbox: Outbox,
    /// In no order, and not many.
    subjects: Vec<Arc<Subject>>,
    /// Its line was closed when the last sweep came by.
    suspect: bool,
}

/// What keeps somebody there.
#[derive(Default)]
struct Hold {
    sockets: HashSet<Arc<str>>,
    lease: Option<(Duration, u64)>,
}

/// The leases by their end.
#[derive(Default)]
struct Ends {
    by_time: BTreeMap<(Duration, u64), End>,
    next: u64,
}

#[derive(Clone)]
enum End {
    Person(Uuid),
    View(Arc<Subject>, Uuid),
}

impl Book {
    pub fn new(timeout: Duration) -> Book {
        Book {
            timeout,
            people: HashMap::new(),
            views: HashMap::new(),
            view_count: 0,
            sockets: HashMap::new(),
            ends: Ends::default(),
            changes: VecDeque::new(),
            refused: 0,
        }
    }

    /// The next change that nobody was told of yet.
    pub fn next_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// When [`Book::expire`] has something to do.
    pub fn next_end(&self) -> Option<Duration> {
        let ((end, _), _) = self.ends.by_time.first_key_value()?;
        Some(*end)
    }

    // What happens

    pub fn connected(&mut self, sid: Arc<str>, user: &UserRef, outbox: Outbox, now: Now) {
        let before = self.seen(user.id);
        let person = self
            .people
            .entry(user.id)
            .or_insert_with(|| Person::new(user, now));
        person.user = user.clone();
        person.last_activity = now.wall;
        person.hold.take(sid.clone(), &mut self.ends);
        let subjects = match self.sockets.remove(&sid) {
            Some(old) => old.subjects,
            None => Vec::new(),
        };
        let socket = Socket {
            user: user.id,
            outbox,
            subjects,
            suspect: false,
        };
        self.sockets.insert(sid, socket);
        self.tell_presence(user.id, before, now);
    }

    pub fn disconnected(&mut self, sid: &Arc<str>, outbox: &Outbox, now: Now) {
        if self
            .sockets
            .get(sid)
            .is_none_or(|socket| !socket.outbox.is(outbox))
        {
            return;
        }
        let Some(socket) = self.sockets.remove(sid) else {
            return;
        };
        self.sockets.trim();
        let lease = now.clock + GRACE;
        for subject in socket.subjects {
            let view = self.view_mut(&subject, socket.user);
            if view.is_some_and(|view| view.hold.release(sid)) {
                self.lease(End::View(subject, socket.user), lease);
            }
        }
        if let Some(person) = self.people.get_mut(&socket.user) {
            person.last_activity = now.wall;
            if person.hold.release(sid) {
                self.lease(End::Person(socket.user), lease);
            }
        }
    }

    /// By a socket or, without one, by REST.
    pub fn view(&mut self, sid: Option<&Arc<str>>, user: &UserRef, subject: Subject, now: Now) {
        self.touch(user.id, now);
        // A socket that is not known (any more) counts as a request: it can leave nothing behind.
        let known = sid.filter(|sid| self.sockets.contains_key(*sid));
        let there = self.view_mut(&subject, user.id).is_some();
        let crowded = known.is_some_and(|sid| {
            let subjects = &self.sockets[sid].subjects;
            subjects.len() >= SUBJECTS_OF_SOCKET && !subjects.iter().any(|it| **it == subject)
        });
        if crowded || !there && self.view_count >= VIEWS {
            self.refused += 1;
            if self.refused.is_power_of_two() {
                tracing::warn!(refused = self.refused, "too many views");
            }
            return;
        }
        // Shared by all who look at it.
        let subject = match self.views.get_key_value(&subject) {
            Some((shared, _)) => shared.clone(),
            None => Arc::new(subject),
        };
        if !there {
            let viewer = Viewer {
                id: user.id,
                name: user.name.clone(),
                viewing_since: now.wall,
            };
            let joined = Change::Joined((*subject).clone(), viewer.clone(), sid.cloned());
            let view = View {
                viewer,
                hold: Hold::default(),
            };
            let views = self.views.entry(subject.clone()).or_default();
            views.insert(user.id, view);
            self.view_count += 1;
            self.changes.push_back(joined);
        }
        match known {
            Some(sid) => {
                if let Some(socket) = self.sockets.get_mut(sid) {
                    let subjects = &mut socket.subjects;
                    if !subjects.contains(&subject) {
                        if subjects.is_empty() {
                            subjects.reserve_exact(1); // most look at one thing
                        }
                        subjects.push(subject.clone());
                    }
                }
                let views = self.views.get_mut(&subject);
                if let Some(view) = views.and_then(|views| views.get_mut(&user.id)) {
                    view.hold.take(sid.clone(), &mut self.ends);
                }
            }
            None => self.lease(End::View(subject, user.id), now.clock + self.timeout),
        }
    }

    /// A socket, or (without one) the user with all it has, turns away: at once, since it says so.
    pub fn unview(&mut self, sid: Option<&Arc<str>>, user: Uuid, subject: &Subject, now: Now) {
        self.touch(user, now);
        let Some(view) = self.view_mut(subject, user) else {
            return;
        };
        let gone: Vec<Arc<str>> = match sid {
            Some(sid) => vec![sid.clone()],
            None => view.hold.sockets.iter().cloned().collect(),
        };
        let held = gone
            .iter()
            .filter(|sid| view.hold.sockets.remove(*sid))
            .count();
        let over = view.hold.sockets.is_empty() && (held > 0 || sid.is_none());
        for sid in &gone {
            if let Some(socket) = self.sockets.get_mut(sid) {
                socket.subjects.retain(|it| **it != *subject);
            }
        }
        if over {
            self.end_view(subject, user, sid.cloned());
        }
    }

    pub fn set_status(
        &mut self,
        user: &UserRef,
        status: Status,
        message: Option<String>,
        now: Now,
    ) {
        let before = self.seen(user.id);
        let person = self
            .people
            .entry(user.id)
            .or_insert_with(|| Person::new(user, now));
        person.status = status;
        person.message = message;
        person.last_activity = now.wall;
        self.lease(End::Person(user.id), now.clock + self.timeout);
        self.tell_presence(user.id, before, now);
    }

    /// Ends every lease that is over.
    pub fn expire(&mut self, now: Now) {
        while let Some(first) = self.ends.by_time.first_entry() {
            if first.key().0 > now.clock {
                break;
            }
            match first.remove() {
                End::Person(user) => {
                    let before = self.seen(user);
                    self.people.remove(&user);
                    self.people.trim();
                    self.tell_offline(before, now.wall);
                }
                End::View(subject, user) => self.end_view(&subject, user, None),
            }
        }
    }

    /// Sockets whose line is closed and whose end was not told are let go all the same.
    pub fn sweep(&mut self, now: Now) {
        let mut lost = Vec::new();
        for (sid, socket) in &mut self.sockets {
            if socket.outbox.closed().is_some() {
                if socket.suspect {
                    lost.push((sid.clone(), socket.outbox.clone()));
                }
                socket.suspect = true;
            }
        }
        for (sid, outbox) in lost {
            self.disconnected(&sid, &outbox, now);
        }
    }

    // What is

    /// Everybody who is seen online, by name.
    pub fn online(&self) -> Vec<Online> {
        let mut online: Vec<_> = self
            .people
            .values()
            .filter(|person| person.status != Status::Offline)
            .map(|person| Online {
                presence: person.presence(),
                socket_count: person.hold.sockets.len(),
            })
            .collect();
        online.sort_by(|a, b| {
            (&a.presence.name, a.presence.id).cmp(&(&b.presence.name, b.presence.id))
        });
        online
    }

    /// Nobody online: `None`. One who wants to be seen offline sees itself so.
    pub fn presence(&self, user: Uuid) -> Option<Presence> {
        self.people.get(&user).map(Person::presence)
    }

    /// In the order in which they came.
    pub fn viewers(&self, subject: &Subject) -> Vec<Viewer> {
        let views = self.views.get(subject).into_iter().flatten();
        let mut viewers: Vec<_> = views.map(|(_, view)| view.viewer.clone()).collect();
        viewers.sort_by_key(|viewer| (viewer.viewing_since, viewer.id));
        viewers
    }

    pub fn figures(&self) -> Figures {
        let seen = |person: &&Person| person.status != Status::Offline;
        Figures {
            online_users: self.people.values().filter(seen).count(),
            sockets: self.sockets.len(),
            viewed_resources: self.views.len(),
            viewers: self.view_count,
            refused: self.refused,
        }
    }

    // How

    fn view_mut(&mut self, subject: &Subject, user: Uuid) -> Option<&mut View> {
        self.views.get_mut(subject)?.get_mut(&user)
    }

    fn touch(&mut self, user: Uuid, now: Now) {
        if let Some(person) = self.people.get_mut(&user) {
            person.last_activity = now.wall;
        }
    }

    /// Whoever has no socket stays until then at least.
    fn lease(&mut self, end: End, until: Duration) {
        let hold = match &end {
            End::Person(user) => self.people.get_mut(user).map(|person| &mut person.hold),
            End::View(subject, user) => self
                .views
                .get_mut(subject)
                .and_then(|views| views.get_mut(user))
                .map(|view| &mut view.hold),
        };
        if let Some(hold) = hold {
            hold.lease(end, until, &mut self.ends);
        }
    }

    fn end_view(&mut self, subject: &Subject, user: Uuid, cause: Option<Arc<str>>) {
        let Some(views) = self.views.get_mut(subject) else {
            return;
        };
        let Some(view) = views.remove(&user) else {
            return;
        };
        if views.is_empty() {
            self.views.remove(subject);
        }
        self.ends.forget(view.hold.lease);
        self.view_count -= 1;
        let left = Change::Left(subject.clone(), view.viewer, cause);
        self.changes.push_back(left);
    }

    /// As others see the user; `None`: offline.
    fn seen(&self, user: Uuid) -> Option<Presence> {
        let person = self.people.get(&user)?;
        (person.status != Status::Offline).then(|| person.presence())
    }

    fn tell_presence(&mut self, user: Uuid, before: Option<Presence>, now: Now) {
        let after = self.seen(user);
        let sight = |presence: &Option<Presence>| {
            let presence = presence.as_ref();
            presence.map(|presence| (presence.status, presence.status_message.clone()))
        };
        match after {
            _ if sight(&before) == sight(&after) => {}
            Some(after) => self.changes.push_back(Change::Presence(after)),
            None => self.tell_offline(before, now.wall),
        }
    }

    fn tell_offline(&mut self, before: Option<Presence>, last_activity: DateTime<Utc>) {
        if let Some(before) = before {
            self.changes.push_back(Change::Presence(Presence {
                status: Status::Offline,
                status_message: None,
                last_activity,
                ..before
            }));
        }
    }
}

impl Person {
    fn new(user: &UserRef, now: Now) -> Person {
        Person {
            user: user.clone(),
            hold: Hold::default(),
            status: Status::Online,
            message: None,
            last_activity: now.wall,
        }
    }

    fn presence(&self) -> Presence {
        Presence {
            id: self.user.id,
            name: self.user.name.clone(),
            status: self.status,
            status_message: self.message.clone(),
            last_activity: self.last_activity,
        }
    }
}

impl Hold {
    fn take(&mut self, sid: Arc<str>, ends: &mut Ends) {
        self.sockets.insert(sid);
        ends.forget(self.lease.take());
    }

    /// Whether that was the last socket.
    fn release(&mut self, sid: &Arc<str>) -> bool {
        let was_there = self.sockets.remove(sid);
        self.sockets.trim();
        was_there && self.sockets.is_empty()
    }

    fn lease(&mut self, end: End, until: Duration, ends: &mut Ends) {
        let longer = self.lease.is_none_or(|(lease, _)| lease < until);
        if self.sockets.is_empty() && longer {
            ends.forget(self.lease.take());
            self.lease = Some(ends.note(until, end));
        }
    }
}

impl Ends {
    fn note(&mut self, until: Duration, end: End) -> (Duration, u64) {
        self.next += 1;
        let key = (until, self.next);
        self.by_time.insert(key, end);
        key
    }

    fn forget(&mut self, key: Option<(Duration, u64)>) {
        if let Some(key) = key {
            self.by_time.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
