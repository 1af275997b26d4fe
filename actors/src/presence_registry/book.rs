//! Who is online and who looks at what, as plain state: each change of it gives the event that
//! tells of it, so that lists and events cannot disagree.
//!
//! ```text
//! hold.rs    what keeps somebody there
//! views.rs   who looks at what
//! parted.rs  what those looked at who may come back at once
//! memory.rs  what outlives somebody's presence
//! lists.rs   what is, as lists and figures
//! rows.rs    what the book gives
//! ```
//!
//! A person is online, and views something, through a *hold*: sockets, or a lease that ends by
//! itself. The last socket leaves a lease of a few seconds behind (a reload is no departure); who
//! comes by REST alone has a lease of some minutes. A socket takes the place of a lease.
//!
//! Who wants to be seen `offline` is in no list and no event, as if it were not there.

mod hold;
mod lists;
mod memory;
mod parted;
mod rows;
mod views;

pub use rows::{ByStatus, Change, Figures, Own, Part, Place, Row, Viewer};

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::sight::{LastLook, Sight};
use crate::model::identity::UserRef;
use crate::model::presence::{Choice, Memo, Presence, Status, Subject};
use crate::runtime::Trim;
use crate::session::Outbox;
use hold::{End, Ends, Hold};
use memory::Memory;
use parted::Parted;
use views::Views;

/// How long somebody stays when its last socket has gone.
pub const GRACE: Duration = Duration::from_secs(3);
/// Whoever looked by REST within so long looks at this moment; one that has looked longer ago may have gone since.
pub const GLANCE: Duration = Duration::from_secs(10);
/// Subjects that one socket views: as many as it may join rooms, each of which makes it a viewer.
const SUBJECTS_OF_SOCKET: usize = 500;
/// Changes that nobody was told of yet: more than one turn makes, unless the Broadcaster stands still.
const CHANGES: usize = 100_000;

/// The time of a change.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub clock: Duration,
    pub wall: DateTime<Utc>,
}

pub struct Book {
    /// The lease of who comes by REST alone.
    timeout: Duration,
    people: HashMap<Uuid, Person>,
    /// Those of them who are seen.
    listed: BTreeSet<Place>,
    views: Views,
    /// Boxed: a table has twice as many places as it needs.
    sockets: HashMap<Arc<str>, Box<Socket>>,
    parted: Parted,
    ends: Ends,
    memory: Memory,
    changes: VecDeque<Change>,
    dropped: u64,
}

struct Person {
    user: UserRef,
    hold: Hold,
    since: DateTime<Utc>,
    last_activity: DateTime<Utc>,
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

impl Book {
    /// `choices`: how users wanted to be seen when this program last ran.
    pub fn new(
        timeout: Duration,
        sight: Sight,
        choices: impl IntoIterator<Item = (Uuid, Choice)>,
    ) -> Book {
        Book {
            timeout,
            people: HashMap::new(),
            listed: BTreeSet::new(),
            views: Views::new(sight),
            sockets: HashMap::new(),
            parted: Parted::default(),
            ends: Ends::default(),
            memory: Memory::new(choices),
            changes: VecDeque::new(),
            dropped: 0,
        }
    }

    /// The next change that nobody was told of yet.
    pub fn next_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// That one could not be told: it is the next again.
    pub fn untold(&mut self, change: Change) {
        self.changes.push_front(change);
    }

    /// When [`Book::expire`] has something to do.
    pub fn next_end(&self) -> Option<Duration> {
        self.ends.first()
    }

    // What happens

    pub fn connected(&mut self, sid: Arc<str>, user: &UserRef, outbox: Outbox, now: Now) {
        let before = self.seen(user.id);
        self.enter(user, now);
        if let Some(person) = self.people.get_mut(&user.id) {
            person.hold.take(sid.clone(), &mut self.ends);
        }
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
        let looked_at = self.parted.take(&sid, user.id);
        self.sockets.insert(sid.clone(), Box::new(socket));
        self.tell_presence(user.id, before);
        for subject in looked_at {
            self.view(Some(&sid), user, (*subject).clone(), now);
        }
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
        self.touch(socket.user, now);
        let until = now.clock + GRACE;
        for subject in &socket.subjects {
            let Some(view) = self.views.get_mut(subject, socket.user) else {
                continue;
            };
            if view.hold.release(sid) {
                let end = End::View(subject.clone(), socket.user);
                // It may have looked by REST as well, and that looks on.
                let by_rest = view.last_look.at().map(|at| at + self.timeout);
                let by_rest = by_rest.filter(|end| *end > until);
                let (until, is_by_rest) = (by_rest.unwrap_or(until), by_rest.is_some());
                view.hold.lease(end, until, is_by_rest, &mut self.ends);
            }
        }
        self.parted
            .keep(sid.clone(), socket.user, socket.subjects, until);
        if let Some(person) = self.people.get_mut(&socket.user)
            && person.hold.release(sid)
        {
            let end = End::Person(socket.user);
            person.hold.lease(end, until, false, &mut self.ends);
        }
    }

    /// By a socket or, without one, by REST. `false`: there is no place for one more view.
    pub fn view(
        &mut self,
        sid: Option<&Arc<str>>,
        user: &UserRef,
        subject: Subject,
        now: Now,
    ) -> bool {
        self.touch(user.id, now);
        // A socket that is not known (any more) counts as a request: it can leave nothing behind.
        let known = sid.filter(|sid| self.sockets.contains_key(*sid));
        let there = self.views.get(&subject, user.id).is_some();
        let crowded = known.is_some_and(|sid| {
            let subjects = &self.sockets[sid].subjects;
            subjects.len() >= SUBJECTS_OF_SOCKET && !subjects.iter().any(|it| **it == subject)
        });
        if crowded || !there && !self.views.has_place_for(user.id) {
            self.views.refuse();
            return false;
        }
        let subject = self.views.shared(subject);
        if !there {
            let viewer = self.views.add(&subject, user, now.wall);
            if self.is_seen(user.id) {
                self.push(Change::Joined(subject.clone(), viewer, sid.cloned()));
            }
        }
        let Some(view) = self.views.get_mut(&subject, user.id) else {
            return false;
        };
        match known {
            Some(sid) => {
                view.hold.take(sid.clone(), &mut self.ends);
                if let Some(socket) = self.sockets.get_mut(sid) {
                    let subjects = &mut socket.subjects;
                    if !subjects.contains(&subject) {
                        if subjects.is_empty() {
                            subjects.reserve_exact(1); // most look at one thing
                        }
                        subjects.push(subject);
                    }
                }
            }
            None => {
                let end = End::View(subject, user.id);
                let until = now.clock + self.timeout;
                view.last_look.note(now.clock);
                view.hold.lease(end, until, true, &mut self.ends);
            }
        }
        true
    }

    /// A socket, or (without one) the user with all it has, turns away: at once, since it says so.
    pub fn unview(&mut self, sid: Option<&Arc<str>>, user: Uuid, subject: &Subject, now: Now) {
        self.touch(user, now);
        if sid.is_none() {
            self.parted.turn_away(user, subject);
        }
        let Some(view) = self.views.get_mut(subject, user) else {
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
            let subject = self.views.shared(subject.clone());
            self.end_view(&subject, user, sid.cloned());
        }
    }

    /// How the user wants to be seen from now on. Who says so by REST alone is there for a while; to be seen offline
    /// makes nobody be there.
    pub fn choose(&mut self, sid: Option<&Arc<str>>, user: &UserRef, choice: Choice, now: Now) {
        let before = self.seen(user.id);
        let was_seen = self.is_seen(user.id);
        self.memory.choose(user.id, choice, now.wall);
        let is_seen = self.is_seen(user.id);
        if is_seen {
            self.enter(user, now);
            if let Some(person) = self.people.get_mut(&user.id) {
                let until = now.clock + self.timeout;
                let end = End::Person(user.id);
                person.hold.lease(end, until, true, &mut self.ends);
            }
        } else {
            self.touch(user.id, now);
            if let Some(person) = self.people.get(&user.id) {
                self.listed.remove(&person.place());
            }
            if was_seen {
                self.tell_views(user.id, sid, false);
            }
        }
        self.tell_presence(user.id, before);
        if is_seen && !was_seen {
            self.tell_views(user.id, sid, true);
        }
    }

    /// The user does something that is not presence's business.
    pub fn active(&mut self, user: Uuid, now: Now) {
        self.touch(user, now);
    }

    /// The user has another name, or is locked out: then nothing that it did by REST keeps it there. (Its sockets
    /// are ended by others.)
    pub fn changed(&mut self, user: &UserRef, locked_out: bool) {
        let before = self.seen(user.id);
        if let Some(person) = self.people.get_mut(&user.id) {
            person.user = user.clone();
        }
        for subject in self.views.subjects_of(user.id).to_vec() {
            let Some(view) = self.views.get_mut(&subject, user.id) else {
                continue;
            };
            if locked_out {
                view.last_look = LastLook::default();
            }
            if locked_out && view.hold.sockets.is_empty() {
                self.end_view(&subject, user.id, None);
            } else if view.viewer.name != user.name {
                view.viewer = Arc::new(Viewer {
                    name: user.name.clone(),
                    ..(*view.viewer).clone()
                });
            }
        }
        let alone = |person: &Person| person.hold.sockets.is_empty();
        if locked_out && self.people.get(&user.id).is_some_and(alone) {
            self.leave(user.id);
        }
        self.tell_presence(user.id, before);
    }

    /// Ends every lease that is over.
    pub fn expire(&mut self, now: Now) {
        self.parted.expire(now.clock);
        while let Some(end) = self.ends.take(now.clock) {
            match end {
                End::Person(user) => {
                    let before = self.seen(user);
                    self.leave(user);
                    self.tell_presence(user, before);
                }
                End::View(subject, user) => {
                    if !self.looked_again(&subject, user, now) {
                        self.end_view(&subject, user, None);
                    }
                }
            }
        }
    }

    /// Who looks by REST, and looks again, need not say so here: it is noted where it was read. Then its stay goes on.
    fn looked_again(&mut self, subject: &Arc<Subject>, user: Uuid, now: Now) -> bool {
        let timeout = self.timeout;
        let Some(view) = self.views.get_unseen(subject, user) else {
            return false;
        };
        let until = view.last_look.at().map(|at| at + timeout);
        let by_rest = view.hold.lease.is_some_and(|lease| lease.by_rest);
        let until = until.filter(|until| by_rest && *until > now.clock);
        if let Some(until) = until {
            let end = End::View(subject.clone(), user);
            view.hold.lease(end, until, true, &mut self.ends);
        }
        until.is_some()
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

    /// See [`Memo`]; they are given again until they are written.
    pub fn unwritten(&self, most: usize) -> Vec<Memo> {
        self.memory.unwritten(most)
    }

    /// Whether the user has chosen how to be seen and that is not written yet.
    pub fn has_chosen(&self, user: Uuid) -> bool {
        self.memory.has_chosen(user)
    }

    pub fn written(&mut self, memos: &[Memo]) {
        self.memory.written(memos);
    }

    // How

    /// Whoever was not there is; that it is seen is told by who calls this.
    fn enter(&mut self, user: &UserRef, now: Now) {
        let person = self.people.entry(user.id).or_insert_with(|| Person {
            user: user.clone(),
            hold: Hold::default(),
            since: now.wall,
            last_activity: now.wall,
        });
        if person.user != *user {
            person.user = user.clone();
        }
        let place = person.place();
        if self.is_seen(user.id) {
            self.listed.insert(place);
        }
        self.touch(user.id, now);
    }

    fn leave(&mut self, user: Uuid) {
        if let Some(person) = self.people.remove(&user) {
            self.listed.remove(&person.place());
            self.ends.forget(person.hold.lease);
        }
        self.people.trim();
    }

    fn touch(&mut self, user: Uuid, now: Now) {
        if let Some(person) = self.people.get_mut(&user) {
            person.last_activity = now.wall;
            if person.hold.lease.is_some_and(|lease| lease.by_rest) {
                let until = now.clock + self.timeout;
                person
                    .hold
                    .lease(End::Person(user), until, true, &mut self.ends);
            }
        }
        self.memory.note(user, now.wall);
    }

    fn end_view(&mut self, subject: &Arc<Subject>, user: Uuid, cause: Option<Arc<str>>) {
        if let Some(view) = self.views.remove(subject, user) {
            self.ends.forget(view.hold.lease);
            if self.is_seen(user) {
                self.push(Change::Left(subject.clone(), view.viewer, cause));
            }
        }
    }

    /// Everything that the user looks at, because it is seen from now on, or no longer is.
    fn tell_views(&mut self, user: Uuid, cause: Option<&Arc<str>>, is_seen: bool) {
        for subject in self.views.subjects_of(user).to_vec() {
            if let Some(view) = self.views.get_mut(&subject, user) {
                let (viewer, cause) = (view.viewer.clone(), cause.cloned());
                self.push(match is_seen {
                    true => Change::Joined(subject, viewer, cause),
                    false => Change::Left(subject, viewer, cause),
                });
            }
        }
    }

    fn is_seen(&self, user: Uuid) -> bool {
        self.memory.status(user) != Status::Offline
    }

    /// As others see the user; `None`: offline.
    fn seen(&self, user: Uuid) -> Option<Presence> {
        let person = self.people.get(&user)?;
        self.is_seen(user).then(|| self.presence(person))
    }

    fn presence(&self, person: &Person) -> Presence {
        let Choice { status, message } = self.memory.choice(person.user.id);
        Presence {
            id: person.user.id,
            name: person.user.name.clone(),
            status,
            status_message: message,
            last_activity: person.last_activity,
        }
    }

    fn tell_presence(&mut self, user: Uuid, before: Option<Presence>) {
        match (self.seen(user), before) {
            (Some(after), Some(before)) if before.looks_like(&after) => {}
            (Some(after), _) => self.push(Change::Presence(after)),
            (None, Some(before)) => self.push(Change::Presence(before.gone())),
            (None, None) => {}
        }
    }

    fn push(&mut self, change: Change) {
        if self.changes.len() >= CHANGES {
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                let dropped = self.dropped;
                tracing::warn!(dropped, "a change of presence is told to nobody");
            }
            return;
        }
        self.changes.push_back(change);
    }
}

impl Person {
    fn place(&self) -> Place {
        Place::new(self.since, self.user.id)
    }
}

#[cfg(test)]
mod tests;
