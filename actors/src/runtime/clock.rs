//! The one place from which time is read, so that a test can wind it by hand.
//!
//! [`Clock::system`] is the machine's. [`Clock::manual`] stands still until [`Clock::advance`] or [`Clock::wind`]
//! moves it; whoever sleeps on it is woken in the order in which the sleeps end.
//! Wall time ([`Clock::now`]) is for what is stored and shown, [`Clock::monotonic`] for measuring how long something took:
//! the first may be set back by an administrator, the second cannot.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

/// As good as never.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A source of time. Cheap to clone; clones of a manual clock are one clock.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { origin: Instant },
    Manual(Arc<Manual>),
}

struct Manual {
    start: DateTime<Utc>,
    hands: Mutex<Hands>,
}

#[derive(Default)]
struct Hands {
    elapsed: Duration,
    next_id: u64,
    /// By the end of the sleep, then by who slept first.
    sleepers: BTreeMap<(Duration, u64), Waker>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System {
            origin: Instant::now(),
        })
    }

    /// A clock that shows `start` until it is moved by hand.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self(Source::Manual(Arc::new(Manual {
            start,
            hands: Mutex::default(),
        })))
    }

    /// Wall time.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::System { .. } => Utc::now(),
            Source::Manual(manual) => {
                let elapsed = manual.hands.lock().elapsed;
                chrono::Duration::from_std(elapsed)
                    .ok()
                    .and_then(|elapsed| manual.start.checked_add_signed(elapsed))
                    .unwrap_or(DateTime::<Utc>::MAX_UTC)
            }
        }
    }

    /// Time since this clock was made. Never goes back.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { origin } => origin.elapsed(),
            Source::Manual(manual) => manual.hands.lock().elapsed,
        }
    }

    /// Ends `duration` after this call (not after its first poll).
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.monotonic().saturating_add(duration))
    }

    /// Ends at that moment of [`Clock::monotonic`].
    pub fn sleep_until(&self, moment: Duration) -> Sleep {
        Sleep(match &self.0 {
            Source::System { origin } => {
                let end = origin.checked_add(moment).unwrap_or(*origin + FAR);
                SleepOn::System(Box::pin(tokio::time::sleep_until(end.into())))
            }
            Source::Manual(manual) => {
                let mut hands = manual.hands.lock();
                let id = hands.next_id;
                hands.next_id += 1;
                drop(hands);
                SleepOn::Manual(Box::new((Arc::clone(manual), (moment, id))))
            }
        })
    }

    /// When a sleep on this clock ends, on [`Clock::monotonic`].
    pub fn end_of(&self, sleep: &Sleep) -> Duration {
        match (&self.0, &sleep.0) {
            (Source::System { origin }, SleepOn::System(sleep)) => sleep
                .deadline()
                .into_std()
                .saturating_duration_since(*origin),
            (_, SleepOn::Manual(sleep)) => sleep.1.0,
            (Source::Manual(_), SleepOn::System(_)) => Duration::MAX, // another clock's
        }
    }

    /// Ticks every `period`, the first time one period from now. Whoever is late gets one tick, not a burst, and the
    /// ticks stay on their grid.
    pub fn interval(&self, period: Duration) -> Interval {
        let period = period.max(Duration::from_millis(1));
        Interval {
            clock: self.clone(),
            period,
            due: self.monotonic() + period,
            sleep: self.sleep(period),
        }
    }

    /// Runs `future` for at most `limit`. `None` when the time was up first.
    pub async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let future = std::pin::pin!(future);
        match futures_util::future::select(future, self.sleep(limit)).await {
            futures_util::future::Either::Left((output, _)) => Some(output),
            futures_util::future::Either::Right(_) => None,
        }
    }

    /// Moves a manual clock forward in one jump, and wakes whoever slept until then, in order.
    ///
    /// # Panics
    /// On the system clock, which nobody can wind.
    pub fn advance(&self, by: Duration) {
        let target = self.monotonic().saturating_add(by);
        while let Some(end) = self.next_end(target) {
            self.move_to(end);
        }
        self.move_to(target);
    }

    /// Moves a manual clock forward from one sleeper to the next, and lets the tasks of this thread run in between: an
    /// interval of one second sees each of its ten ticks when ten seconds are wound.
    ///
    /// # Panics
    /// On the system clock.
    pub async fn wind(&self, by: Duration) {
        let target = self.monotonic().saturating_add(by);
        settle().await;
        while let Some(end) = self.next_end(target) {
            self.move_to(end);
            settle().await;
        }
        self.move_to(target);
        settle().await;
    }

    /// How many sleeps of a manual clock somebody is waiting for.
    pub fn sleeping(&self) -> usize {
        match &self.0 {
            Source::System { .. } => 0,
            Source::Manual(manual) => manual.hands.lock().sleepers.len(),
        }
    }

    fn hands(&self) -> &Mutex<Hands> {
        match &self.0 {
            Source::System { .. } => panic!("only a manual clock can be moved by hand"),
            Source::Manual(manual) => &manual.hands,
        }
    }

    fn next_end(&self, until: Duration) -> Option<Duration> {
        let hands = self.hands().lock();
        let (end, _) = hands.sleepers.first_key_value()?.0;
        (*end <= until).then_some(*end)
    }

    fn move_to(&self, moment: Duration) {
        let mut due = Vec::new();
        {
            let mut hands = self.hands().lock();
            hands.elapsed = hands.elapsed.max(moment);
            let elapsed = hands.elapsed;
            while let Some(first) = hands.sleepers.first_entry() {
                if first.key().0 > elapsed {
                    break;
                }
                due.push(first.remove());
            }
        }
        // Woken with the lock released: a waker may run what it wakes.
        due.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::System { .. } => "Clock(system)",
            Source::Manual(_) => "Clock(manual)",
        })
    }
}

/// Lets every task of this thread that is ready run, several times over, since one may make the next ready.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

/// The future of [`Clock::sleep`]. Small: many hold one for what hardly ever happens.
pub struct Sleep(SleepOn);

enum SleepOn {
    System(Pin<Box<tokio::time::Sleep>>),
    Manual(Box<(Arc<Manual>, (Duration, u64))>),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.get_mut().0 {
            SleepOn::System(sleep) => sleep.as_mut().poll(cx),
            SleepOn::Manual(sleep) => {
                let (manual, key) = &**sleep;
                let mut hands = manual.hands.lock();
                if hands.elapsed >= key.0 {
                    return Poll::Ready(());
                }
                hands.sleepers.insert(*key, cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let SleepOn::Manual(sleep) = &self.0 {
            let (manual, key) = &**sleep;
            manual.hands.lock().sleepers.remove(key);
        }
    }
}

/// See [`Clock::interval`].
pub struct Interval {
    clock: Clock,
    period: Duration,
    due: Duration,
    sleep: Sleep,
}

impl Interval {
    /// Waits for the next tick.
    pub async fn tick(&mut self) {
        std::future::poll_fn(|cx| self.poll_tick(cx)).await;
    }

    /// [`Interval::tick`] for whoever writes futures by hand.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        std::task::ready!(Pin::new(&mut self.sleep).poll(cx));
        let now = self.clock.monotonic();
        self.due += self.period;
        if self.due <= now {
            // Late by more than a period: skip what was missed, stay on the grid.
            let missed = (now - self.due).as_nanos() / self.period.as_nanos() + 1;
            let missed = u32::try_from(missed).unwrap_or(u32::MAX);
            self.due = self.due.saturating_add(self.period.saturating_mul(missed));
        }
        self.sleep = self.clock.sleep(self.due.saturating_sub(now));
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn a_manual_clock_stands_still_until_it_is_moved() {
        let clock = Clock::manual(noon());
        let other = clock.clone();
        assert_eq!(clock.now(), noon());
        other.advance(Duration::from_secs(90));
        assert_eq!(clock.now(), noon() + chrono::Duration::seconds(90));
        assert_eq!(clock.monotonic(), Duration::from_secs(90));
    }

    #[test]
    fn sleepers_wake_in_the_order_in_which_their_sleeps_end() {
        actix_rt::System::new().block_on(async {
            let clock = Clock::manual(noon());
            let woken = Arc::new(Mutex::new(Vec::new()));
            for seconds in [30, 10, 20, 10] {
                let (clock, woken) = (clock.clone(), Arc::clone(&woken));
                actix_rt::spawn(async move {
                    clock.sleep(Duration::from_secs(seconds)).await;
                    woken.lock().push((seconds, clock.monotonic().as_secs()));
                });
            }
            settle().await;
            assert_eq!(clock.sleeping(), 4);
            clock.wind(Duration::from_secs(25)).await;
            assert_eq!(*woken.lock(), vec![(10, 10), (10, 10), (20, 20)]);
            clock.wind(Duration::from_secs(5)).await;
            assert_eq!(woken.lock().len(), 4);
            assert_eq!(clock.sleeping(), 0);
        });
    }

    #[test]
    fn a_dropped_sleep_leaves_nothing_behind() {
        actix_rt::System::new().block_on(async {
            let clock = Clock::manual(noon());
            let never = std::future::pending::<()>();
            assert!(
                futures_util::FutureExt::now_or_never(clock.within(Duration::from_secs(1), never))
                    .is_none()
            );
            assert_eq!(clock.sleeping(), 0);
        });
    }

    #[test]
    fn an_interval_sees_each_tick_when_wound_and_one_tick_after_a_jump() {
        actix_rt::System::new().block_on(async {
            let clock = Clock::manual(noon());
            let ticks = Arc::new(Mutex::new(Vec::new()));
            let (inner, seen) = (clock.clone(), Arc::clone(&ticks));
            let task = actix_rt::spawn(async move {
                let mut interval = inner.interval(Duration::from_secs(1));
                loop {
                    interval.tick().await;
                    seen.lock().push(inner.monotonic().as_millis());
                }
            });
            clock.wind(Duration::from_millis(3_500)).await;
            assert_eq!(*ticks.lock(), vec![1_000, 2_000, 3_000]);
            clock.advance(Duration::from_secs(5));
            clock.wind(Duration::from_secs(1)).await;
            assert_eq!(*ticks.lock(), vec![1_000, 2_000, 3_000, 8_500, 9_000]);
            task.abort();
        });
    }

    #[test]
    fn within_gives_up_when_the_time_is_up() {
        actix_rt::System::new().block_on(async {
            let clock = Clock::manual(noon());
            assert_eq!(
                clock.within(Duration::from_secs(1), async { 7 }).await,
                Some(7)
            );
            let patient = clock.clone();
            let task = actix_rt::spawn(async move {
                patient
                    .within(Duration::from_secs(1), std::future::pending::<()>())
                    .await
            });
            clock.wind(Duration::from_secs(1)).await;
            assert_eq!(task.await.unwrap(), None);
        });
    }
}
