//! To those who are members, in order, as few messages as can be.

use super::*;
use crate::broadcaster::Window;
use crate::hub::Hubs;
use crate::runtime::{Clock, Ledger};
use crate::testing::{Client, delivery, noon, on_actix, settle};

struct World {
    ledger: Ledger,
    hubs: Hubs,
    window: Arc<Window>,
    under_way: Arc<Window>,
    room: Room,
}

impl World {
    fn new() -> World {
        let ledger = Ledger::new(Clock::manual(noon()));
        World {
            hubs: Hubs::new(&ledger),
            ledger,
            window: Window::new(256),
            under_way: Window::new(256),
            room: Room::default(),
        }
    }

    fn join(&mut self, client: &Client) {
        self.room.join(client.subscriber.clone());
    }

    fn deliver(&mut self, tick: u64) {
        self.wait(tick);
        self.room.hand_on();
    }

    fn wait(&mut self, tick: u64) {
        self.room.waiting.push(Waiting {
            event: Event {
                delivery: delivery(tick),
                token: Arc::new(self.under_way.token()),
            },
            _token: self.window.token(),
        });
    }
}

#[test]
fn an_event_reaches_those_who_were_members_when_it_was_handed_on() {
    on_actix(async {
        let mut world = World::new();
        let clients = [(); 3].map(|()| Client::open(&world.hubs));
        world.join(&clients[0]);
        world.join(&clients[1]);
        world.wait(1);
        // It has yet to be handed on.
        world.join(&clients[2]);
        world.wait(2);
        world.room.leave(clients[0].subscriber.key);
        world.deliver(3);
        assert_eq!(world.window.flying(), 0, "handed on");
        assert_eq!(world.under_way.flying(), 3, "not handed out");
        settle().await;
        assert_eq!(world.under_way.flying(), 0);
        assert_eq!(clients[0].ticks(), [1, 2]);
        assert_eq!(clients[1].ticks(), [1, 2, 3]);
        assert_eq!(clients[2].ticks(), [2, 3]);
    });
}

#[test]
fn events_that_wait_together_are_one_message() {
    on_actix(async {
        let mut world = World::new();
        let client = Client::open(&world.hubs);
        world.join(&client);
        (1..=8).for_each(|tick| world.wait(tick));
        world.room.hand_on();
        settle().await;
        assert_eq!(client.ticks(), (1..=8).collect::<Vec<_>>());
        assert_eq!(world.ledger.row("Hub").unwrap().handled, 1);
    });
}

#[test]
fn members_come_and_go_in_any_order_and_none_is_left_behind() {
    on_actix(async {
        let mut world = World::new();
        let clients: Vec<_> = (0..100).map(|_| Client::open(&world.hubs)).collect();
        let (early, late) = clients.split_at(60);
        // Not in the order in which they came to the server, and some twice.
        late.iter()
            .chain(early.iter().rev())
            .for_each(|client| world.join(client));
        clients.iter().for_each(|client| world.join(client));
        for client in clients.iter().step_by(3) {
            world.room.leave(client.subscriber.key);
            world.room.leave(client.subscriber.key);
        }
        world.deliver(1);
        settle().await;
        for (number, client) in clients.iter().enumerate() {
            assert_eq!(client.ticks().len(), usize::from(number % 3 != 0));
            world.room.leave(client.subscriber.key);
        }
        assert!(world.room.groups[0].members.is_empty());
        assert!(world.room.groups[0].members.capacity() < 16);
    });
}

#[test]
fn members_on_two_threads_cost_one_message_to_each() {
    on_actix(async {
        let mut world = World::new();
        let other = actix_rt::Arbiter::new();
        let (hubs, clients) = (world.hubs.clone(), [(); 3]);
        let (send, there) = tokio::sync::oneshot::channel();
        other.spawn_fn(move || {
            let _ = send.send(clients.map(|()| Client::open(&hubs)));
        });
        let there = there.await.unwrap();
        let here = [(); 3].map(|()| Client::open(&world.hubs));
        for client in there.iter().chain(&here) {
            world.join(client);
        }
        world.deliver(1);
        std::future::poll_fn(|task| world.under_way.poll_still(task)).await;
        for client in there.iter().chain(&here) {
            assert_eq!(client.ticks(), [1]);
        }
        let hubs = world.ledger.row("Hub").unwrap();
        assert_eq!((hubs.instances, hubs.handled), (2, 2));
        other.stop();
        other.join().unwrap();
    });
}

#[test]
fn an_event_that_a_hub_cannot_take_ends_its_members_rather_than_leave_a_hole() {
    on_actix(async {
        let mut world = World::new();
        let other = actix_rt::Arbiter::new();
        let hubs = world.hubs.clone();
        let (send, there) = tokio::sync::oneshot::channel();
        other.spawn_fn(move || {
            let _ = send.send(Client::open(&hubs));
        });
        let there = there.await.unwrap();
        let here = Client::open(&world.hubs);
        world.join(&there);
        world.join(&here);
        other.stop();
        other.join().unwrap();
        world.deliver(1);
        settle().await;
        assert_eq!(there.subscriber.outbox().closed(), Some(Reason::Fault));
        assert_eq!(here.ticks(), [1]);
        assert_eq!(world.under_way.flying(), 0);
    });
}
