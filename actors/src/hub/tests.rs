//! Everything to everybody, once and in order: also in the middle of a round, and after a panic.

use tokio::net::UdpSocket;

use super::*;
use crate::broadcaster::Window;
use crate::runtime::{Clock, How};
use crate::testing::{Client, delivery, noon, on_actix, settle};

struct World {
    ledger: Ledger,
    hubs: Hubs,
    window: Arc<Window>,
}

impl World {
    fn new() -> World {
        let ledger = Ledger::new(Clock::manual(noon()));
        ledger.allow_faults();
        World {
            hubs: Hubs::new(&ledger),
            ledger,
            window: Window::new(WINDOW),
        }
    }

    fn clients(&self, count: usize) -> Vec<Client> {
        (0..count).map(|_| Client::open(&self.hubs)).collect()
    }

    fn tell(&self, members: &Members, tick: u64) {
        let deliver = Deliver {
            members: members.clone(),
            events: vec![self.event(tick)],
        };
        self.hubs.here().tell(deliver).unwrap();
    }

    fn event(&self, tick: u64) -> Event {
        Event {
            delivery: delivery(tick),
            token: Arc::new(self.window.token()),
        }
    }
}

/// Until every other task that is ready has had its turn.
async fn next_turn() {
    let mut had = false;
    std::future::poll_fn(|task| {
        if std::mem::replace(&mut had, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

fn members(clients: &[Client]) -> Members {
    let subscribers = clients.iter().map(|client| client.subscriber.clone());
    Arc::new(subscribers.collect())
}

#[test]
fn what_waits_is_handed_out_in_order_and_settles_its_tokens() {
    on_actix(async {
        let world = World::new();
        let clients = [(); 200].map(|()| Client::open(&world.hubs));
        let (all, some) = (members(&clients), members(&clients[..70]));
        for tick in 1..=20 {
            world.tell(if tick % 5 == 0 { &some } else { &all }, tick);
        }
        assert_eq!(world.window.flying(), 20);
        settle().await;
        assert_eq!(world.window.flying(), 0);
        for (number, client) in clients.iter().enumerate() {
            let due = |tick: &u64| number < 70 || !tick.is_multiple_of(5);
            assert_eq!(client.ticks(), (1..=20).filter(due).collect::<Vec<_>>());
        }
        assert!(world.ledger.row("Hub").unwrap().balances());
    });
}

#[test]
fn events_that_wait_for_the_same_members_wake_each_transport_once() {
    on_actix(async {
        let world = World::new();
        let client = Client::open(&world.hubs);
        let wakes = client.count_wakes();
        let members = Arc::new(vec![client.subscriber.clone()]);
        for tick in 1..=20 {
            world.tell(&members, tick);
        }
        settle().await;
        assert_eq!(client.ticks().len(), 20);
        assert_eq!(wakes.count(), 1);
    });
}

#[test]
fn a_burst_of_many_times_its_bound_does_not_close_an_outbox_that_is_drained() {
    on_actix(async {
        let world = World::new();
        let limit = BYTES + BYTES / 8;
        let client = Arc::new(Client::bounded(&world.hubs, limit));
        client.release(0);
        let reads = actix_rt::spawn({
            let client = client.clone();
            async move { client.drain_when_woken().await }
        });
        let members = Arc::new(vec![client.subscriber.clone()]);
        let each = delivery(1).envelope.json().len();
        assert!(WINDOW * each > limit, "what waits would not fit at once");
        let count = 20 * limit / each;
        for tick in 1..=count {
            while world.window.is_full() {
                tokio::task::yield_now().await;
            }
            world.tell(&members, tick as u64);
        }
        std::future::poll_fn(|task| world.window.poll_still(task)).await;
        settle().await;
        assert_eq!(client.subscriber.outbox().closed(), None);
        assert_eq!(client.ticks().len(), count);
        reads.abort();
    });
}

#[test]
fn other_tasks_of_the_thread_have_their_turn_in_the_middle_of_a_list() {
    on_actix(async {
        let world = World::new();
        let clients = Arc::new(world.clients(10 * MEMBERS));
        settle().await;
        world.tell(&members(&clients), 1);
        let watching = actix_rt::spawn({
            let (clients, window) = (clients.clone(), world.window.clone());
            async move {
                let mut had = Vec::new();
                while window.flying() > 0 {
                    had.push(clients.iter().filter(|it| !it.ticks().is_empty()).count());
                    next_turn().await;
                }
                had.dedup();
                had
            }
        });
        let had = watching.await.unwrap();
        assert!(had.len() >= 5, "{had:?}");
    });
}

#[test]
fn what_comes_over_a_socket_is_heard_before_the_next_turn() {
    on_actix(async {
        let world = World::new();
        let clients = Arc::new(world.clients(10 * MEMBERS));
        let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        far.connect(near.local_addr().unwrap()).await.unwrap();
        let hearing = actix_rt::spawn({
            let clients = clients.clone();
            async move {
                near.recv(&mut [0]).await.unwrap();
                clients.iter().filter(|it| !it.ticks().is_empty()).count()
            }
        });
        settle().await;
        world.tell(&members(&clients), 1);
        far.send(b"!").await.unwrap();
        let had = hearing.await.unwrap();
        assert!(had <= 2 * MEMBERS, "{had} had the event by then");
    });
}

#[test]
fn an_event_gets_on_where_the_hub_is_and_each_member_gets_all_in_order_with_one_wake_a_round() {
    on_actix(async {
        let world = World::new();
        let clients = world.clients(3 * MEMBERS);
        let wakes: Vec<_> = clients.iter().map(Client::count_wakes).collect();
        let members = members(&clients);
        let mut hub = Hub::default();
        let event = |tick| (members.clone(), world.event(tick));
        hub.waiting.push_back(event(1));
        assert!(hub.turn());
        hub.waiting.extend([event(2), event(3)]);
        assert!(hub.turn());
        hub.waiting.push_back(event(4));
        assert!(hub.turn(), "1 has been everywhere");
        assert_eq!(world.window.flying(), 3);
        assert!(hub.turn(), "2 and 3 have");
        assert_eq!(world.window.flying(), 1);
        assert!(!hub.turn(), "4 has");
        assert_eq!(world.window.flying(), 0);
        for (number, client) in clients.iter().enumerate() {
            // No transport has its turn before the end here.
            assert_eq!(wakes[number].count(), 1);
            assert_eq!(client.ticks(), [1, 2, 3, 4]);
        }
    });
}

#[test]
fn an_event_for_others_ends_the_round_so_that_the_order_holds() {
    on_actix(async {
        let world = World::new();
        let clients = world.clients(2 * MEMBERS);
        let (all, some) = (members(&clients), members(&clients[..1]));
        let mut hub = Hub::default();
        let event = |members: &Members, tick| (members.clone(), world.event(tick));
        hub.waiting.push_back(event(&all, 1));
        assert!(hub.turn());
        hub.waiting.extend([event(&some, 2), event(&all, 3)]);
        while hub.turn() {}
        assert_eq!(clients[0].ticks(), [1, 2, 3]);
        assert_eq!(clients[2 * MEMBERS - 1].ticks(), [1, 3]);
    });
}

#[test]
fn a_member_whose_line_is_closed_is_passed_over() {
    on_actix(async {
        let world = World::new();
        let clients = [(); 3].map(|()| Client::open(&world.hubs));
        clients[0].subscriber.outbox().close(Reason::Forced);
        world.tell(&members(&clients), 1);
        settle().await;
        assert!(clients[0].ticks().is_empty());
        for client in &clients[1..] {
            assert_eq!(client.ticks(), [1]);
        }
    });
}

#[test]
fn after_a_panic_the_member_in_hand_is_closed_and_the_rest_still_get_everything() {
    on_actix(async {
        let world = World::new();
        let clients = [(); 3].map(|()| Client::open(&world.hubs));
        clients[1].panic_at_next_push();
        let members = members(&clients);
        world.tell(&members, 1);
        world.tell(&members, 2);
        settle().await;
        assert_eq!(clients[0].ticks(), [1, 2]);
        assert_eq!(clients[1].subscriber.outbox().closed(), Some(Reason::Fault));
        assert_eq!(clients[2].ticks(), [1, 2]);
        assert_eq!(world.window.flying(), 0);
        let row = world.ledger.row("Hub").unwrap();
        assert_eq!((row.restarts, row.lost), (1, 0));
    });
}

#[test]
fn told_to_panic_in_any_way_it_loses_nothing() {
    on_actix(async {
        let world = World::new();
        let clients = [(); 100].map(|()| Client::open(&world.hubs));
        let members = members(&clients);
        for (tick, how) in (1..).zip([How::Now, How::InFuture, How::InSpawned]) {
            world.tell(&members, tick);
            world.ledger.poke("Hub", how);
            tokio::task::yield_now().await;
            world.tell(&members, tick + 100);
        }
        settle().await;
        // 2 and 3 came after 101.
        for client in &clients {
            assert_eq!(client.ticks(), [1, 101, 102, 103]);
        }
        assert_eq!(world.ledger.row("Hub").unwrap().restarts, 3);
        assert_eq!(world.window.flying(), 0);
    });
}

#[test]
fn there_is_one_for_each_thread_and_none_is_left_when_nobody_can_tell_it_anything() {
    on_actix(async {
        let world = World::new();
        assert_eq!(world.hubs.here(), world.hubs.here());
        let other = actix_rt::Arbiter::new();
        let hubs = world.hubs.clone();
        let (send, there) = tokio::sync::oneshot::channel();
        other.spawn_fn(move || {
            let _ = send.send(hubs.here());
        });
        assert_ne!(there.await.unwrap(), world.hubs.here());
        assert_eq!(world.ledger.row("Hub").unwrap().instances, 2);
        assert_eq!(world.ledger.ready(), Ok(()));
        other.stop();
        other.join().unwrap();
        drop(world.hubs);
        settle().await;
        assert_eq!(world.ledger.row("Hub").unwrap().instances, 0);
    });
}
