//! What a message costs: actix's `do_send` to a plain actor, and `Mailbox::tell` to a supervised one.
//!
//! `cargo run --release -p callboard-actors --example mailbox_cost`
//!
//! Prints nanoseconds a message, from the first offer to the last handled, in batches of 1,000 (so both queues stay
//! short), the median of eleven alternating rounds; on the actor's own thread, and from another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix::{Actor, Addr, Handler, Message, Supervised};
use callboard_actors::runtime::{Clock, Context, Ledger, Mailbox, Restart, Spec, supervise};

const BATCH: u64 = 1_000;
const BATCHES: u64 = 500;
const ROUNDS: usize = 11;

#[derive(Message)]
#[rtype(result = "()")]
struct Tick(u64);

struct Plain(Arc<AtomicU64>);

impl Actor for Plain {
    type Context = actix::Context<Self>;
}

impl Handler<Tick> for Plain {
    type Result = ();

    fn handle(&mut self, tick: Tick, _: &mut actix::Context<Self>) {
        self.0.fetch_add(tick.0, Ordering::Release);
    }
}

struct Supervisee(Arc<AtomicU64>);

impl Actor for Supervisee {
    type Context = Context<Self>;
}

impl Supervised for Supervisee {}

impl Handler<Tick> for Supervisee {
    type Result = ();

    fn handle(&mut self, tick: Tick, _: &mut Context<Self>) {
        self.0.fetch_add(tick.0, Ordering::Release);
    }
}

/// Offers all batches on the actor's own thread.
async fn here(count: &AtomicU64, offer: impl Fn()) -> f64 {
    let began = Instant::now();
    for _ in 0..BATCHES {
        let goal = count.load(Ordering::Acquire) + BATCH;
        (0..BATCH).for_each(|_| offer());
        while count.load(Ordering::Acquire) < goal {
            tokio::task::yield_now().await;
        }
    }
    per_message(began)
}

/// Offers all batches from another thread.
fn there(count: &AtomicU64, offer: impl Fn()) -> f64 {
    let began = Instant::now();
    for _ in 0..BATCHES {
        let goal = count.load(Ordering::Acquire) + BATCH;
        (0..BATCH).for_each(|_| offer());
        while count.load(Ordering::Acquire) < goal {
            std::thread::yield_now();
        }
    }
    per_message(began)
}

fn per_message(began: Instant) -> f64 {
    let messages = u32::try_from(BATCH * BATCHES).unwrap_or(u32::MAX);
    began.elapsed().as_secs_f64() * 1e9 / f64::from(messages)
}

fn report(place: &str, mut plain: Vec<f64>, mut ours: Vec<f64>) {
    plain.sort_by(f64::total_cmp);
    ours.sort_by(f64::total_cmp);
    let (plain, ours) = (plain[ROUNDS / 2], ours[ROUNDS / 2]);
    println!(
        "{place:<16} do_send {plain:>6.0} ns   tell {ours:>6.0} ns   ratio {:.2}",
        ours / plain
    );
}

fn start(
    arbiter: &actix_rt::ArbiterHandle,
    count: &Arc<AtomicU64>,
) -> (Addr<Plain>, Mailbox<Supervisee>) {
    let mine = Arc::clone(count);
    let plain = Plain::start_in_arbiter(arbiter, move |_| Plain(mine));
    let spec = Spec {
        name: "Supervisee",
        capacity: 4_096,
        restart: Restart::Permanent,
    };
    let ledger = Ledger::new(Clock::system());
    let mine = Arc::clone(count);
    let ours = supervise(spec, &ledger, arbiter, move |_| Supervisee(mine));
    (plain, ours)
}

fn main() {
    actix_rt::System::new().block_on(async {
        let count = Arc::new(AtomicU64::new(0));

        let (plain, ours) = start(&actix_rt::Arbiter::current(), &count);
        let (mut plains, mut tells) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            plains.push(here(&count, || plain.do_send(Tick(1))).await);
            tells.push(here(&count, || assert!(ours.tell(Tick(1)).is_ok())).await);
        }
        report("same thread", plains, tells);

        let arbiter = actix_rt::Arbiter::new();
        let (plain, ours) = start(&arbiter.handle(), &count);
        let (mut plains, mut tells) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            plains.push(there(&count, || plain.do_send(Tick(1))));
            tells.push(there(&count, || assert!(ours.tell(Tick(1)).is_ok())));
        }
        report("across threads", plains, tells);
        arbiter.stop();
    });
}
