//! What the book does with those who come, look, hide and go.

mod property;

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

fn book() -> Book {
    Book::new(TIMEOUT, Sight::default(), [])
}

fn choose(book: &mut Book, who: u8, status: Status, message: Option<&str>, at: u64) {
    let choice = Choice {
        status,
        message: message.map(str::to_owned),
    };
    book.choose(None, &user(who), choice, now(at));
}

const ALL: Part = Part {
    after: None,
    most: usize::MAX,
};

fn online(book: &Book) -> Vec<Row> {
    book.online(None, ALL)
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
    let mut book = book();
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
        (online(&book).len(), book.viewers(&subject(1)).len()),
        (0, 0)
    );
}

#[test]
fn the_same_person_views_once_however_many_sockets_it_has() {
    let mut book = book();
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
    let mut book = book();
    for at in [0, 100_000] {
        book.view(None, &user(1), subject(1), now(at));
    }
    book.expire(now(399_999));
    assert_eq!(book.viewers(&subject(1)).len(), 1);
    book.expire(now(400_000));
    assert!(book.viewers(&subject(1)).is_empty());
    book.view(None, &user(1), subject(1), now(400_000));
    book.unview(None, user(1).id, &subject(1), now(400_001));
    assert!(book.viewers(&subject(1)).is_empty());
    assert_eq!(changes(&mut book).len(), 4);
    assert_eq!(book.next_end(), None, "nothing is left behind");
}

#[test]
fn one_who_wants_to_be_seen_offline_is_told_as_gone_and_not_listed() {
    let mut book = book();
    connect(&mut book, 1, 1, 0);
    choose(&mut book, 1, Status::Busy, Some("cutting"), 1);
    choose(&mut book, 1, Status::Busy, Some("cutting"), 2);
    choose(&mut book, 1, Status::Offline, Some("hidden"), 3);
    choose(&mut book, 1, Status::Offline, None, 4);
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
    assert_eq!(online(&book), []);
    let own = book.own(&user(1), now(4));
    assert_eq!(
        (own.presence.status, own.connected),
        (Status::Offline, true)
    );
    book.disconnected(&sid(1), &line(1), now(5));
    book.expire(now(10_000));
    assert_eq!(changes(&mut book), [], "it was gone for others already");
}

#[test]
fn a_socket_whose_end_got_lost_is_noticed_by_its_closed_line() {
    let mut book = book();
    let outbox = connect(&mut book, 1, 1, 0);
    outbox.close(crate::session::Reason::ClientClosed);
    book.sweep(now(0));
    assert_eq!(book.figures().sockets, 1, "its end may be on the way");
    book.sweep(now(60_000));
    book.expire(now(63_000));
    assert_eq!(online(&book), []);
}

#[test]
fn the_end_of_a_socket_that_was_resumed_meanwhile_touches_nothing() {
    let mut book = book();
    connect(&mut book, 1, 1, 0);
    book.view(Some(&sid(1)), &user(1), subject(1), now(0));
    book.connected(sid(1), &user(1), line(2), now(1));
    book.disconnected(&sid(1), &line(1), now(2));
    book.expire(now(10_000));
    assert_eq!(book.viewers(&subject(1)).len(), 1);
    book.disconnected(&sid(1), &line(2), now(10_000));
    book.expire(now(13_000));
    assert_eq!(
        (online(&book).len(), book.viewers(&subject(1)).len()),
        (0, 0)
    );
}

#[test]
fn a_socket_views_a_bounded_number_of_things() {
    let mut book = book();
    connect(&mut book, 1, 1, 0);
    for _ in 0..600 {
        let subject = Subject {
            kind: "job".into(),
            id: Uuid::new_v4().to_string(),
        };
        book.view(Some(&sid(1)), &user(1), subject, now(0));
    }
    let figures = book.figures();
    assert_eq!((figures.viewers, figures.views_refused), (500, 100));
}

#[test]
fn a_user_that_is_renamed_is_shown_by_its_new_name_and_told_once() {
    let mut book = book();
    connect(&mut book, 1, 1, 0);
    book.view(Some(&sid(1)), &user(1), subject(1), now(0));
    changes(&mut book);
    let renamed = UserRef {
        name: "Countess".into(),
        ..user(1)
    };
    for _ in 0..2 {
        book.changed(&renamed, false);
    }
    let told = changes(&mut book);
    assert!(
        matches!(&told[..], [Change::Presence(presence)] if presence.name == "Countess"),
        "{told:?}"
    );
    assert_eq!(online(&book)[0].presence.name, "Countess");
    let names: Vec<_> = book
        .viewers(&subject(1))
        .iter()
        .map(|it| it.name.clone())
        .collect();
    assert_eq!(names, ["Countess"]);
}

#[test]
fn who_is_locked_out_is_not_kept_by_what_it_did_before() {
    let mut book = book();
    choose(&mut book, 1, Status::Busy, None, 0);
    book.view(None, &user(1), subject(1), now(0));
    connect(&mut book, 2, 2, 0);
    book.view(None, &user(2), subject(1), now(0));
    changes(&mut book);
    book.changed(&user(1), true);
    book.changed(&user(2), true);
    let told = changes(&mut book);
    assert!(matches!(&told[0], Change::Left(_, viewer, None) if viewer.id == user(1).id));
    assert!(matches!(&told[1], Change::Presence(gone) if gone.status == Status::Offline));
    assert!(matches!(&told[2], Change::Left(..)), "{told:?}");
    assert_eq!(told.len(), 3);
    let left: Vec<_> = online(&book).iter().map(|row| row.presence.id).collect();
    assert_eq!(left, [user(2).id], "until its sockets are ended");
    book.disconnected(&sid(2), &line(2), now(0));
    book.expire(now(3000));
    assert_eq!((online(&book).len(), book.next_end()), (0, None));
}

#[test]
fn a_socket_that_comes_back_within_the_grace_views_what_it_viewed_and_a_new_one_does_not() {
    let mut book = book();
    let line = connect(&mut book, 1, 1, 0);
    for what in 1..=2 {
        book.view(Some(&sid(1)), &user(1), subject(what), now(0));
    }
    changes(&mut book);
    book.disconnected(&sid(1), &line, now(1000));
    // One it leaves meanwhile, over REST.
    book.unview(None, user(1).id, &subject(2), now(1500));
    changes(&mut book);
    connect(&mut book, 2, 1, 2000);
    let line = connect(&mut book, 1, 1, 2000);
    book.expire(now(600_000));
    assert_eq!(changes(&mut book), [], "nobody has left");
    assert_eq!(book.viewers(&subject(1)).len(), 1);
    assert_eq!(book.viewers(&subject(2)).len(), 0);
    // Too late, and it is a new thing; and of another user it is nothing.
    book.disconnected(&sid(1), &line, now(600_000));
    book.expire(now(603_000));
    assert!(matches!(&changes(&mut book)[..], [Change::Left(..)]));
    let line = connect(&mut book, 1, 1, 603_000);
    assert_eq!(book.viewers(&subject(1)).len(), 0);
    book.view(Some(&sid(1)), &user(1), subject(1), now(603_000));
    book.disconnected(&sid(1), &line, now(604_000));
    book.connected(sid(1), &user(3), Outbox::new(10), now(604_000));
    assert!(!book.viewers(&subject(1)).has(user(3).id));
}

#[test]
fn a_socket_that_comes_back_views_again_what_its_user_left_through_another() {
    let mut book = book();
    let line = connect(&mut book, 1, 1, 0);
    connect(&mut book, 2, 1, 0);
    for socket in 1..=2 {
        book.view(Some(&sid(socket)), &user(1), subject(1), now(0));
    }
    book.disconnected(&sid(1), &line, now(0));
    book.unview(Some(&sid(2)), user(1).id, &subject(1), now(1000));
    changes(&mut book);
    connect(&mut book, 1, 1, 2000);
    assert!(matches!(&changes(&mut book)[..], [Change::Joined(..)]));
}

#[test]
fn at_this_moment_looks_who_does_through_a_socket_or_has_by_rest_just_now() {
    let mut book = book();
    let looks = |book: &Book, at| book.viewing(&subject(1), vec![user(1).id], now(at)).len();
    assert_eq!(looks(&book, 0), 0);
    book.view(None, &user(1), subject(1), now(0));
    assert_eq!((looks(&book, 9_999), looks(&book, 10_000)), (1, 0));
    assert_eq!(
        book.viewers(&subject(1)).len(),
        1,
        "it is listed for longer"
    );
    let line = connect(&mut book, 1, 1, 20_000);
    book.view(Some(&sid(1)), &user(1), subject(1), now(20_000));
    assert_eq!(looks(&book, 500_000), 1);
    book.disconnected(&sid(1), &line, now(500_000));
    assert_eq!(
        looks(&book, 500_000),
        0,
        "it is gone, though nobody was told yet"
    );
}
