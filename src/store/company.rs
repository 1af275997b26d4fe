//! Waiting for company: a commit that begins a moment later is shared by more.
//!
//! Those who come again as soon as they are answered (render workers, an import, a form that saves as one types) fall into
//! step if a commit waits for those who shared the last one. Else they come apart, each commit has a few of them, and what
//! is told of their changes leaves in as many pieces. So when a commit is over, those who shared it and those who wait by
//! then are expected together, up to as many as is worth waiting for. The next one waits for them as long as somebody
//! comes in each millisecond, and for three at most.
//!
//! Nobody waits where few are expected: not who writes alone, nor who writes now and then. And where nobody came, the next
//! two commits do not wait, or four, or up to 32, so that waiting in vain costs next to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Fewer than that are not waited for.
const FEW: usize = 4;
/// Nobody comes for so long: nobody will.
const LULL: Duration = Duration::from_millis(1);
/// The longest wait, in lulls.
const LULLS: u32 = 3;
/// Of the commits that do not wait after one that waited in vain, a power of two.
const MOST_SPARED: u32 = 5;

/// Rung by those who come, and heard by who waits for them.
#[derive(Clone)]
pub(super) struct Bell(Arc<Inner>);

struct Inner {
    wanted: AtomicUsize,
    there: Notify,
}

impl Default for Bell {
    fn default() -> Self {
        Bell(Arc::new(Inner {
            wanted: AtomicUsize::new(usize::MAX),
            there: Notify::new(),
        }))
    }
}

impl Bell {
    /// Somebody has come, and so many wait now. (If that crosses with somebody who begins to wait, it is not heard, and
    /// seen when the lull is over.)
    pub fn ring(&self, waiting: usize) {
        if waiting >= self.0.wanted.load(Ordering::SeqCst) {
            self.0.there.notify_one();
        }
    }
}

/// What whoever commits knows of those who come.
pub(super) struct Company {
    bell: Bell,
    /// More than that are not waited for: what they would save is little by then.
    enough: usize,
    expected: usize,
    /// How often in a row nobody came.
    vain: u32,
    /// Commits that do not wait.
    spared: u32,
}

impl Company {
    pub fn new(bell: Bell, enough: usize) -> Company {
        Company {
            bell,
            enough,
            expected: 0,
            vain: 0,
            spared: 0,
        }
    }

    /// A commit is over that so many shared, and so many wait.
    pub fn done(&mut self, shared: usize, waiting: usize) {
        self.expected = shared + waiting;
    }

    /// Waits for those who are expected, if that is worth it; `waiting` counts who has come.
    pub async fn gather(&mut self, waiting: impl Fn() -> usize) {
        let wanted = self.expected.min(self.enough);
        if self.expected < FEW || waiting() >= wanted {
            return;
        }
        if self.spared > 0 {
            self.spared -= 1;
            return;
        }
        let inner = self.bell.0.clone();
        // Those who came after the last one who was wanted rang as well.
        let _ = inner.there.notified().now_or_never();
        inner.wanted.store(wanted, Ordering::SeqCst);
        let mut there = waiting();
        let mut came = true;
        for _ in 0..LULLS {
            if !came || there >= wanted {
                break;
            }
            // Who has come by the end is counted, so that it makes no difference whether the bell was heard.
            let _ = timeout(LULL, inner.there.notified()).await;
            let before = std::mem::replace(&mut there, waiting());
            came = there > before;
        }
        inner.wanted.store(usize::MAX, Ordering::SeqCst);
        if came {
            self.vain = 0;
        } else {
            self.vain = (self.vain + 1).min(MOST_SPARED);
            self.spared = 1 << self.vain;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;

    use super::*;

    /// How many milliseconds it waits, if `there` wait at first and in each millisecond so many as `come` says. It is
    /// told of those who come, so that the millisecond is not counted in which the last comes who is wanted.
    async fn waits(company: &mut Company, there: usize, come: &[usize]) -> usize {
        let (bell, waiting) = (company.bell.clone(), Cell::new(there));
        let mut gathering = pin!(company.gather(|| waiting.get()));
        let mut passed = 0;
        while (&mut gathering).now_or_never().is_none() {
            if let Some(now) = come.get(passed) {
                waiting.set(*now);
                bell.ring(*now);
                if (&mut gathering).now_or_never().is_some() {
                    break;
                }
            }
            tokio::time::advance(LULL).await;
            passed += 1;
        }
        passed
    }

    fn company() -> Company {
        Company::new(Bell::default(), 8)
    }

    #[tokio::test(start_paused = true)]
    async fn who_writes_alone_or_with_few_does_not_wait() {
        let mut company = company();
        for (shared, waiting) in [(0, 0), (1, 0), (1, 2), (3, 0)] {
            company.done(shared, waiting);
            assert_eq!(waits(&mut company, 1, &[]).await, 0, "{shared}, {waiting}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_shared_the_last_and_those_who_wait_are_waited_for() {
        let mut company = company();
        company.done(3, 2);
        assert_eq!(waits(&mut company, 2, &[4, 5]).await, 1);
        // All are there already, or as many as are worth it.
        assert_eq!(waits(&mut company, 5, &[]).await, 0);
        company.done(30, 10);
        assert_eq!(waits(&mut company, 8, &[]).await, 0);
        assert_eq!(waits(&mut company, 6, &[7, 8]).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_while_somebody_comes_and_not_for_long() {
        let mut company = company();
        company.done(8, 0);
        assert_eq!(waits(&mut company, 1, &[2, 2, 3, 8]).await, 2, "a lull");
        let mut company = self::company();
        company.done(8, 0);
        let trickle = [2, 3, 4, 5];
        for _ in 0..2 {
            assert_eq!(waits(&mut company, 1, &trickle).await, 3, "long enough");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_waiting_in_vain_it_waits_ever_more_seldom_until_somebody_comes() {
        let mut company = company();
        company.done(8, 0);
        for spared in [2, 4, 8, 16, 32, 32] {
            assert_eq!(waits(&mut company, 1, &[]).await, 1);
            for _ in 0..spared {
                assert_eq!(waits(&mut company, 1, &[]).await, 0);
            }
        }
        for _ in 0..3 {
            assert_eq!(waits(&mut company, 1, &[2, 8]).await, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_rang_when_enough_were_there_does_not_end_the_next_wait() {
        let mut company = company();
        company.done(8, 0);
        assert_eq!(waits(&mut company, 1, &[8]).await, 0);
        company.bell.0.wanted.store(8, Ordering::SeqCst);
        company.bell.ring(9);
        assert_eq!(waits(&mut company, 1, &[2, 8]).await, 1);
    }
}
