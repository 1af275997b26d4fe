//! The book against a simple model, and what its events tell against what its lists say, at each step.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Connect(u8),
    Disconnect(u8),
    /// Its line is closed and nobody is told.
    Vanish(u8),
    /// As often as the registry does it.
    Sweep,
    View(Option<u8>, u8, u8),
    /// By REST, where a list that is laid out is answered with.
    Look(u8, u8),
    Unview(Option<u8>, u8, u8),
    /// Through a socket or by REST.
    Choose(Option<u8>, u8, Status),
    /// A request or a command that is not about presence.
    Act(u8),
    Wait(u64),
}

/// Socket `n` is of user `n % 3`, always.
fn owner(socket: u8) -> u8 {
    socket % 3
}

fn step() -> impl Strategy<Value = Step> {
    let socket = || 0..6u8;
    let by = || prop_oneof![3 => (0..6u8).prop_map(Some), 1 => Just(None)];
    let status = prop_oneof![
        2 => Just(Status::Offline),
        1 => Just(Status::Online),
        1 => Just(Status::Away),
        1 => Just(Status::Dnd),
    ];
    prop_oneof![
        5 => socket().prop_map(Step::Connect),
        3 => socket().prop_map(Step::Disconnect),
        2 => socket().prop_map(Step::Vanish),
        2 => Just(Step::Sweep),
        4 => (by(), 0..3u8, 0..2u8).prop_map(|(by, who, what)| Step::View(by, who, what)),
        4 => (0..3u8, 0..2u8).prop_map(|(who, what)| Step::Look(who, what)),
        3 => (by(), 0..3u8, 0..2u8).prop_map(|(by, who, what)| Step::Unview(by, who, what)),
        3 => (by(), 0..3u8, status).prop_map(|(by, who, status)| Step::Choose(by, who, status)),
        1 => (0..3u8).prop_map(Step::Act),
        4 => prop_oneof![Just(1000u64), Just(2999), Just(3000), Just(150_000)].prop_map(Step::Wait),
    ]
}

/// What the book should say, without timers or indexes: sets, and a moment for each who lingers.
#[derive(Default)]
struct Model {
    /// Sockets and what they view.
    sockets: BTreeMap<u8, BTreeSet<u8>>,
    /// Lines that are closed, and whether a sweep has seen it.
    vanished: BTreeMap<u8, bool>,
    /// Until when a user is there without a socket, and whether because of a request.
    lingers: BTreeMap<u8, (u64, bool)>,
    /// Until when it views something whether it has one or not: because it was there, or because of a request.
    looks: BTreeMap<(u8, u8), u64>,
    /// When it last looked at something by a request, unless it turned away since.
    glances: BTreeMap<(u8, u8), u64>,
    /// What sockets viewed that have gone, and until when they may come back to it.
    parted: BTreeMap<u8, (u64, BTreeSet<u8>)>,
    statuses: BTreeMap<u8, Status>,
}

impl Model {
    fn status(&self, who: u8) -> Status {
        self.statuses.get(&who).copied().unwrap_or(Status::Online)
    }

    fn has_socket(&self, who: u8) -> bool {
        self.sockets.keys().any(|socket| owner(*socket) == who)
    }

    fn has_view(&self, who: u8, what: u8) -> bool {
        let sockets = self.sockets.iter();
        sockets
            .filter(|(socket, _)| owner(**socket) == who)
            .any(|(_, views)| views.contains(&what))
    }

    fn there(&self, who: u8, at: u64) -> bool {
        self.has_socket(who) || self.lingers.get(&who).is_some_and(|(until, _)| *until > at)
    }

    fn views(&self, who: u8, what: u8, at: u64) -> bool {
        let looks = self.looks.get(&(who, what));
        self.has_view(who, what) || looks.is_some_and(|until| *until > at)
    }

    /// It looks by a request.
    fn glance(&mut self, who: u8, what: u8, at: u64) {
        let until = self.looks.entry((who, what)).or_default();
        *until = (*until).max(at + 300_000);
        self.glances.insert((who, what), at);
    }

    /// It looks at this very moment.
    fn stares(&self, who: u8, what: u8, at: u64) -> bool {
        let glance = self.glances.get(&(who, what));
        self.has_view(who, what) || glance.is_some_and(|when| when + 10_000 > at)
    }

    fn linger(&mut self, who: u8, until: u64, by_rest: bool) {
        if !self.has_socket(who) {
            let longer = self.lingers.get(&who).is_none_or(|(end, _)| *end < until);
            if longer {
                self.lingers.insert(who, (until, by_rest));
            }
        }
    }

    /// The user does something: who is there by requests alone stays.
    fn act(&mut self, who: u8, at: u64) {
        if self
            .lingers
            .get(&who)
            .is_some_and(|(until, by_rest)| *by_rest && *until > at)
        {
            self.linger(who, at + 300_000, true);
        }
    }

    fn disconnect(&mut self, socket: u8, at: u64) {
        let who = owner(socket);
        let Some(views) = self.sockets.remove(&socket) else {
            return;
        };
        for what in &views {
            if !self.has_view(who, *what) {
                let until = self.looks.entry((who, *what)).or_default();
                *until = (*until).max(at + 3000);
            }
        }
        self.parted.insert(socket, (at + 3000, views));
        self.linger(who, at + 3000, false);
    }

    fn step(&mut self, step: &Step, at: u64) {
        self.lingers.retain(|_, (until, _)| *until > at);
        self.looks.retain(|_, until| *until > at);
        self.parted.retain(|_, (until, _)| *until > at);
        match *step {
            Step::Connect(socket) => {
                self.vanished.remove(&socket);
                let views = self.sockets.entry(socket).or_default();
                if let Some((_, viewed)) = self.parted.remove(&socket) {
                    views.extend(viewed);
                }
                self.lingers.remove(&owner(socket));
            }
            Step::Disconnect(socket) => {
                self.vanished.remove(&socket);
                self.disconnect(socket, at);
            }
            Step::Vanish(socket) => {
                if self.sockets.contains_key(&socket) {
                    self.vanished.entry(socket).or_default();
                }
            }
            Step::Sweep => {
                for (socket, seen) in std::mem::take(&mut self.vanished) {
                    if seen {
                        self.disconnect(socket, at);
                    } else {
                        self.vanished.insert(socket, true);
                    }
                }
            }
            Step::Look(who, what) => {
                self.act(who, at);
                self.glance(who, what, at);
            }
            Step::View(by, who, what) => {
                let who = by.map_or(who, owner);
                self.act(who, at);
                match by.and_then(|socket| self.sockets.get_mut(&socket)) {
                    Some(views) => {
                        views.insert(what);
                    }
                    None => self.glance(who, what, at),
                }
            }
            Step::Unview(by, who, what) => {
                let who = by.map_or(who, owner);
                self.act(who, at);
                let viewed = self.has_view(who, what);
                for (socket, views) in &mut self.sockets {
                    if by.map_or(owner(*socket) == who, |by| by == *socket) {
                        views.remove(&what);
                    }
                }
                // Its last socket says that it looks no longer, or the user itself does.
                if by.is_none() || viewed && !self.has_view(who, what) {
                    self.looks.remove(&(who, what));
                    self.glances.remove(&(who, what));
                }
                if by.is_none() {
                    for (socket, (_, views)) in &mut self.parted {
                        if owner(*socket) == who {
                            views.remove(&what);
                        }
                    }
                }
            }
            Step::Choose(by, who, status) => {
                let who = by.map_or(who, owner);
                self.act(who, at);
                self.statuses.insert(who, status);
                if status != Status::Offline {
                    self.linger(who, at + 300_000, true);
                }
            }
            Step::Act(who) => self.act(who, at),
            Step::Wait(_) => {}
        }
    }
}

/// The same done with the book.
fn apply(book: &mut Book, sight: &Sight, lines: &mut BTreeMap<u8, Outbox>, step: &Step, at: u64) {
    let now = now(at);
    match *step {
        Step::Connect(socket) => {
            let there = lines.get(&socket).filter(|line| line.closed().is_none());
            let line = there.cloned().unwrap_or_else(|| Outbox::new(1000));
            lines.insert(socket, line.clone());
            book.connected(sid(socket), &user(owner(socket)), line, now);
        }
        Step::Disconnect(socket) => {
            if let Some(line) = lines.remove(&socket) {
                book.disconnected(&sid(socket), &line, now);
            }
        }
        Step::Vanish(socket) => {
            if let Some(line) = lines.get(&socket) {
                line.close(crate::session::Reason::PingTimeout);
            }
        }
        Step::Sweep => book.sweep(now),
        Step::View(by, who, what) => {
            let who = by.map_or(who, owner);
            book.view(by.map(sid).as_ref(), &user(who), subject(what), now);
        }
        Step::Look(who, what) => {
            let id = user(who).id;
            if sight.look(id, &subject(what), now.clock, TIMEOUT).is_none() {
                book.view(None, &user(who), subject(what), now);
            }
            book.active(id, now); // as the gate tells of every request
        }
        Step::Unview(by, who, what) => {
            let who = by.map_or(who, owner);
            book.unview(by.map(sid).as_ref(), user(who).id, &subject(what), now);
        }
        Step::Choose(by, who, status) => {
            let who = by.map_or(who, owner);
            let choice = Choice {
                status,
                message: None,
            };
            book.choose(by.map(sid).as_ref(), &user(who), choice, now);
        }
        Step::Act(who) => book.active(user(who).id, now),
        Step::Wait(_) => {}
    }
}

/// What somebody knows who heard every event and nothing else.
#[derive(Default)]
struct Ear {
    online: BTreeMap<Uuid, Status>,
    views: BTreeSet<(String, Uuid)>,
}

impl Ear {
    /// `false`: it was told what it knew.
    fn hear(&mut self, change: Change) -> bool {
        match change {
            Change::Presence(gone) if gone.status == Status::Offline => {
                self.online.remove(&gone.id).is_some()
            }
            Change::Presence(there) => {
                self.online.insert(there.id, there.status) != Some(there.status)
            }
            Change::Joined(what, viewer, _) => self.views.insert((what.id.clone(), viewer.id)),
            Change::Left(what, viewer, _) => self.views.remove(&(what.id.clone(), viewer.id)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn lists_and_events_agree_with_the_model_at_each_step(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let sight = Sight::default();
        let mut book = Book::new(TIMEOUT, sight.clone(), []);
        let (mut model, mut lines, mut at) = (Model::default(), BTreeMap::new(), 0);
        let mut ear = Ear::default();
        for step in steps {
            if let Step::Wait(millis) = step { at += millis; }
            book.expire(now(at));
            model.step(&step, at);
            apply(&mut book, &sight, &mut lines, &step, at);
            for change in changes(&mut book) {
                let told = format!("{change:?}");
                prop_assert!(ear.hear(change), "told what was known: {}", told);
            }
            let rows = online(&book);
            let listed: BTreeMap<_, _> = rows.iter().map(|row| (row.presence.id, row.presence.status)).collect();
            prop_assert_eq!(rows.len(), listed.len(), "nobody twice");
            prop_assert_eq!(&listed, &ear.online);
            let mut viewed = BTreeSet::new();
            for what in 0..2 {
                let laid_out = sight.find(&subject(what));
                let viewers = book.viewers(&subject(what));
                prop_assert!(laid_out.is_none_or(|before| before == viewers), "an old list is laid out");
                let rows = book.viewer_rows(&subject(what), ALL, now(at));
                prop_assert_eq!(rows.len(), viewers.len());
                viewed.extend(rows.into_iter().map(|row| (subject(what).id, row.presence.id)));
            }
            prop_assert_eq!(&viewed, &ear.views);
            for who in 0..3 {
                let (id, is_seen) = (user(who).id, model.status(who) != Status::Offline);
                let expected = (model.there(who, at) && is_seen).then(|| model.status(who));
                prop_assert_eq!(listed.get(&id).copied(), expected, "user {} at {}", who, at);
                prop_assert_eq!(book.own(&user(who), now(at)).connected, model.there(who, at));
                for what in 0..2 {
                    let views = model.views(who, what, at);
                    let looks = book.viewing(&subject(what), vec![id], now(at)) == [id];
                    prop_assert_eq!(looks, model.stares(who, what, at), "{} {}", who, what);
                    let shown = viewed.contains(&(subject(what).id, id));
                    prop_assert_eq!(shown, views && is_seen, "{} {}", who, what);
                }
            }
        }
        // Everybody goes, and nothing is left.
        for (socket, line) in lines {
            book.disconnected(&sid(socket), &line, now(at));
        }
        book.expire(now(at + 300_000));
        prop_assert_eq!(book.next_end(), None);
        let figures = book.figures();
        prop_assert_eq!((figures.sockets, figures.viewers, figures.viewed_resources), (0, 0, 0));
        prop_assert_eq!((figures.online_users, figures.hidden_users), (0, 0));
        prop_assert!(sight.is_empty());
        prop_assert!(book.views.subjects_of(user(0).id).is_empty());
    }

    #[test]
    fn pages_show_everybody_who_stays_once_while_others_come_and_go(
        before in proptest::collection::btree_set(0..40u8, 0..30),
        comes in proptest::collection::vec(0..40u8, 0..10),
        most in 1usize..7,
    ) {
        let mut book = book();
        let enter = |book: &mut Book, who: u8, at| {
            book.connected(format!("of {who}").into(), &user(who), line(0), now(at));
        };
        for who in &before {
            enter(&mut book, *who, u64::from(*who / 4)); // several at one moment
        }
        let (mut shown, mut after, mut comes) = (Vec::new(), None, comes.into_iter());
        loop {
            let page = book.online(None, Part { after, most });
            prop_assert!(page.windows(2).all(|rows| rows[0].place > rows[1].place));
            shown.extend(page.iter().map(|row| row.presence.id));
            if let Some(who) = comes.next() {
                enter(&mut book, who, 1000);
            }
            match page.last() {
                Some(last) => after = Some(last.place),
                None => break,
            }
        }
        let expected: BTreeSet<_> = before.iter().map(|who| user(*who).id).collect();
        prop_assert_eq!(shown.len(), expected.len(), "nobody twice");
        prop_assert_eq!(shown.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}
