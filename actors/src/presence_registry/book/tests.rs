//! The book against a simple model, and what its events tell against what its lists say.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(300);

fn now(millis: u64) -> Now {
    let clock = Duration::from_millis(millis);
    Now {
        clock,
        wall: crate::testing::noon() + clock,
    }
}

fn user(number: u8) -> UserRef {
    UserRef {
        id: Uuid::from_u128(number.into()),
        name: format!("user {number}"),
    }
}

fn sid(number: u8) -> Arc<str> {
    format!("sid {number}").into()
}

fn subject(number: u8) -> Subject {
    Subject {
        kind: "episode".into(),
        id: Uuid::from_u128(number.into()).to_string(),
    }
}

fn changes(book: &mut Book) -> Vec<Change> {
    std::iter::from_fn(|| book.next_change()).collect()
}

thread_local! {
    static LINES: Vec<Outbox> = (0..10).map(|_| Outbox::new(1000)).collect();
}

/// The line of that socket, always the same.
fn line(socket: u8) -> Outbox {
    LINES.with(|lines| lines[usize::from(socket)].clone())
}

fn connect(book: &mut Book, socket: u8, who: u8, at: u64) -> Outbox {
    let outbox = line(socket);
    book.connected(sid(socket), &user(who), outbox.clone(), now(at));
    outbox
}

#[test]
fn a_reload_is_no_departure_and_a_departure_is_told_after_the_grace() {
    let mut book = Book::new(TIMEOUT);
    connect(&mut book, 1, 1, 0);
    book.view(Some(&sid(1)), &user(1), subject(1), now(0));
    assert_eq!(changes(&mut book).len(), 2);
    book.disconnected(&sid(1), &line(1), now(1000));
    book.expire(now(3999));
    connect(&mut book, 2, 1, 3999);
    book.view(Some(&sid(2)), &user(1), subject(1), now(3999));
    book.expire(now(100_000));
    assert_eq!(changes(&mut book), []);
    book.disconnected(&sid(2), &line(2), now(100_000));
    assert_eq!(book.next_end(), Some(Duration::from_millis(103_000)));
    book.expire(now(103_000));
    let told = changes(&mut book);
    assert!(matches!(told[0], Change::Left(..)), "{told:?}");
    assert!(matches!(&told[1], Change::Presence(gone) if gone.status == Status::Offline));
    assert_eq!(told.len(), 2);
    assert_eq!(
        (book.online().len(), book.viewers(&subject(1)).len()),
        (0, 0)
    );
}

#[test]
fn the_same_person_views_once_however_many_sockets_it_has() {
    let mut book = Book::new(TIMEOUT);
    for socket in [1, 2] {
        connect(&mut book, socket, 1, 0);
        book.view(Some(&sid(socket)), &user(1), subject(1), now(0));
    }
    book.view(None, &user(1), subject(1), now(0));
    assert_eq!(book.viewers(&subject(1)).len(), 1);
    assert_eq!(changes(&mut book).len(), 2);
    book.unview(Some(&sid(1)), user(1).id, &subject(1), now(1));
    assert_eq!(changes(&mut book), []);
    book.unview(Some(&sid(2)), user(1).id, &subject(1), now(1));
    let told = changes(&mut book);
    assert!(
        matches!(&told[..], [Change::Left(_, _, Some(cause))] if *cause == sid(2)),
        "at once, since it said so: {told:?}"
    );
}

#[test]
fn who_comes_by_rest_alone_stays_for_the_timeout_and_may_leave_before() {
    let mut book = Book::new(TIMEOUT);
    for at in [0, 100_000] {
        book.view(None, &user(1), subject(1), now(at));
    }
    book.expire(now(399_999));
    assert_eq!(book.viewers(&subject(1)).len(), 1);
    book.expire(now(400_000));
    assert_eq!(book.viewers(&subject(1)), []);
    book.view(None, &user(1), subject(1), now(400_000));
    book.unview(None, user(1).id, &subject(1), now(400_001));
    assert_eq!(book.viewers(&subject(1)), []);
    assert_eq!(changes(&mut book).len(), 4);
    assert_eq!(book.next_end(), None, "nothing is left behind");
}

#[test]
fn one_who_wants_to_be_seen_offline_is_told_as_gone_and_not_listed() {
    let mut book = Book::new(TIMEOUT);
    connect(&mut book, 1, 1, 0);
    book.set_status(&user(1), Status::Busy, Some("cutting".into()), now(1));
    book.set_status(&user(1), Status::Busy, Some("cutting".into()), now(2));
    book.set_status(&user(1), Status::Offline, Some("hidden".into()), now(3));
    book.set_status(&user(1), Status::Offline, None, now(4));
    let told: Vec<_> = changes(&mut book)
        .into_iter()
        .map(|change| match change {
            Change::Presence(presence) => (presence.status, presence.status_message),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            (Status::Online, None),
            (Status::Busy, Some("cutting".into())),
            (Status::Offline, None),
        ]
    );
    assert_eq!(book.online(), []);
    assert!(book.presence(user(1).id).is_some());
    book.disconnected(&sid(1), &line(1), now(5));
    book.expire(now(10_000));
    assert_eq!(changes(&mut book), [], "it was gone for others already");
}

#[test]
fn a_socket_whose_end_got_lost_is_noticed_by_its_closed_line() {
    let mut book = Book::new(TIMEOUT);
    let outbox = connect(&mut book, 1, 1, 0);
    outbox.close(crate::session::Reason::ClientClosed);
    book.sweep(now(0));
    assert_eq!(book.figures().sockets, 1, "its end may be on the way");
    book.sweep(now(60_000));
    book.expire(now(63_000));
    assert_eq!(book.online(), []);
}

#[test]
fn the_end_of_a_socket_that_was_resumed_meanwhile_touches_nothing() {
    let mut book = Book::new(TIMEOUT);
    connect(&mut book, 1, 1, 0);
    book.view(Some(&sid(1)), &user(1), subject(1), now(0));
    book.connected(sid(1), &user(1), line(2), now(1));
    book.disconnected(&sid(1), &line(1), now(2));
    book.expire(now(10_000));
    assert_eq!(book.viewers(&subject(1)).len(), 1);
    book.disconnected(&sid(1), &line(2), now(10_000));
    book.expire(now(13_000));
    assert_eq!(
        (book.online().len(), book.viewers(&subject(1)).len()),
        (0, 0)
    );
}

#[test]
fn a_socket_views_a_bounded_number_of_things() {
    let mut book = Book::new(TIMEOUT);
    connect(&mut book, 1, 1, 0);
    for _ in 0..600 {
        let subject = Subject {
            kind: "job".into(),
            id: Uuid::new_v4().to_string(),
        };
        book.view(Some(&sid(1)), &user(1), subject, now(0));
    }
    let figures = book.figures();
    assert_eq!((figures.viewers, figures.refused), (500, 100));
}

#[derive(Clone, Debug)]
enum Step {
    Connect(u8),
    Disconnect(u8),
    View(Option<u8>, u8, u8),
    Unview(Option<u8>, u8, u8),
    Status(u8, bool),
    Wait(u64),
}

/// Socket `n` is of user `n % 3`, always.
fn step() -> impl Strategy<Value = Step> {
    let socket = || 0..6u8;
    let by = || prop_oneof![3 => (0..6u8).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        4 => socket().prop_map(Step::Connect),
        4 => socket().prop_map(Step::Disconnect),
        4 => (by(), 0..3u8, 0..2u8).prop_map(|(by, who, what)| Step::View(by, who, what)),
        3 => (by(), 0..3u8, 0..2u8).prop_map(|(by, who, what)| Step::Unview(by, who, what)),
        1 => (0..3u8, any::<bool>()).prop_map(|(who, hide)| Step::Status(who, hide)),
        4 => prop_oneof![Just(1000u64), Just(2999), Just(3000), Just(150_000)].prop_map(Step::Wait),
    ]
}

/// What the book should say, without timers or indexes: sets, and a moment for each who lingers.
#[derive(Default)]
struct Model {
    /// Sockets and what they view.
    sockets: BTreeMap<u8, BTreeSet<u8>>,
    /// Until when a user is there without a socket, and views without one.
    lingers: BTreeMap<u8, u64>,
    looks: BTreeMap<(u8, u8), u64>,
    hidden: BTreeSet<u8>,
}

impl Model {
    fn has_socket(&self, who: u8) -> bool {
        self.sockets.keys().any(|socket| socket % 3 == who)
    }

    fn has_view(&self, who: u8, what: u8) -> bool {
        let sockets = self.sockets.iter();
        sockets
            .filter(|(socket, _)| *socket % 3 == who)
            .any(|(_, views)| views.contains(&what))
    }

    fn there(&self, who: u8, at: u64) -> bool {
        self.has_socket(who) || self.lingers.get(&who).is_some_and(|until| *until > at)
    }

    fn views(&self, who: u8, what: u8, at: u64) -> bool {
        self.has_view(who, what)
            || self
                .looks
                .get(&(who, what))
                .is_some_and(|until| *until > at)
    }

    fn step(&mut self, step: &Step, at: u64) {
        match *step {
            Step::Connect(socket) => {
                self.sockets.entry(socket).or_default();
                self.lingers.remove(&(socket % 3));
            }
            Step::Disconnect(socket) => {
                let who = socket % 3;
                let Some(views) = self.sockets.remove(&socket) else {
                    return;
                };
                for what in views {
                    if !self.has_view(who, what) {
                        self.looks.insert((who, what), at + 3000);
                    }
                }
                if !self.has_socket(who) {
                    self.lingers.insert(who, at + 3000);
                }
            }
            Step::View(by, who, what) => {
                let who = by.map_or(who, |socket| socket % 3);
                let held = self.has_view(who, what);
                match by.and_then(|socket| self.sockets.get_mut(&socket)) {
                    Some(views) => {
                        views.insert(what);
                        self.looks.remove(&(who, what));
                    }
                    None if held => {}
                    None => {
                        let until = self.looks.entry((who, what)).or_default();
                        *until = (*until).max(at + 300_000);
                    }
                }
            }
            Step::Unview(by, who, what) => {
                let who = by.map_or(who, |socket| socket % 3);
                if by.is_none() {
                    self.looks.remove(&(who, what));
                }
                for (socket, views) in &mut self.sockets {
                    if by.map_or(socket % 3 == who, |by| by == *socket) {
                        views.remove(&what);
                    }
                }
            }
            Step::Status(who, hide) => {
                if !self.has_socket(who) {
                    let until = self.lingers.entry(who).or_default();
                    *until = (*until).max(at + 300_000);
                }
                if hide {
                    self.hidden.insert(who)
                } else {
                    self.hidden.remove(&who)
                };
            }
            Step::Wait(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn lists_and_events_agree_with_the_model_at_each_step(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut book = Book::new(TIMEOUT);
        let mut model = Model::default();
        let mut at = 0;
        // What somebody knows who heard every event.
        let (mut heard_online, mut heard_views) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            if let Step::Wait(millis) = step { at += millis; }
            book.expire(now(at));
            // A status goes with the presence that it was said of.
            model.hidden.retain(|who| {
                model.sockets.keys().any(|socket| socket % 3 == *who)
                    || model.lingers.get(who).is_some_and(|until| *until > at)
            });
            model.step(&step, at);
            match step {
                Step::Connect(socket) => { connect(&mut book, socket, socket % 3, at); }
                Step::Disconnect(socket) => book.disconnected(&sid(socket), &line(socket), now(at)),
                Step::View(by, who, what) => {
                    let who = by.map_or(who, |socket| socket % 3);
                    book.view(by.map(sid).as_ref(), &user(who), subject(what), now(at));
                }
                Step::Unview(by, who, what) => {
                    let who = by.map_or(who, |socket| socket % 3);
                    book.unview(by.map(sid).as_ref(), user(who).id, &subject(what), now(at));
                }
                Step::Status(who, hide) => {
                    let status = if hide { Status::Offline } else { Status::Away };
                    book.set_status(&user(who), status, None, now(at));
                }
                Step::Wait(_) => {}
            }
            for change in changes(&mut book) {
                let new = match change {
                    Change::Presence(presence) if presence.status == Status::Offline =>
                        heard_online.remove(&presence.id),
                    Change::Presence(presence) => { heard_online.insert(presence.id); true }
                    Change::Joined(what, viewer, _) => heard_views.insert((what.id, viewer.id)),
                    Change::Left(what, viewer, _) => heard_views.remove(&(what.id, viewer.id)),
                };
                prop_assert!(new, "told what was known");
            }
            let online: BTreeSet<_> = book.online().iter().map(|row| row.presence.id).collect();
            let mut views = BTreeSet::new();
            for what in 0..2 {
                let viewers = book.viewers(&subject(what)).into_iter();
                views.extend(viewers.map(|viewer| (subject(what).id, viewer.id)));
            }
            prop_assert_eq!(&online, &heard_online);
            prop_assert_eq!(&views, &heard_views);
            for who in 0..3 {
                let seen = model.there(who, at) && !model.hidden.contains(&who);
                prop_assert_eq!(online.contains(&user(who).id), seen, "user {} at {}", who, at);
                for what in 0..2 {
                    let views = views.contains(&(subject(what).id, user(who).id));
                    prop_assert_eq!(views, model.views(who, what, at), "{} {}", who, what);
                }
            }
        }
        // Everybody goes, and nothing is left.
        for socket in 0..6 {
            book.disconnected(&sid(socket), &line(socket), now(at));
        }
        book.expire(now(at + 300_000));
        prop_assert_eq!(book.next_end(), None);
        prop_assert!(book.people.is_empty() && book.views.is_empty() && book.view_count == 0);
    }
}
