//! Many small writes as one: what comes while one is under way waits, and goes with the next.
//!
//! Whoever comes first is not held up: its write begins at once. So nothing is slower when little is asked, and when
//! much is asked a commit, and each statement of it, is shared by all that came meanwhile. In a herd, a write waits for
//! [`PAUSE`] after the last one, which was counted to make one commit for nine sockets one for twenty.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Result, StoreError};

/// Items that one write takes.
const MOST: usize = 512;
/// So many written together are of a herd.
const HERD: usize = 4;
const PAUSE: Duration = Duration::from_millis(2);
/// Items that wait: as many sockets as may come at once, and some.
const WAITING: usize = 32_768;

/// Where items of a kind come together.
pub(super) struct Gather<T, R>(Arc<Mutex<State<T, R>>>);

struct State<T, R> {
    waiting: Vec<(T, oneshot::Sender<Result<R>>)>,
    /// Somebody writes, and takes what waits when that is done.
    busy: bool,
}

impl<T, R> Default for Gather<T, R> {
    fn default() -> Self {
        Gather(Arc::new(Mutex::new(State {
            waiting: Vec::new(),
            busy: false,
        })))
    }
}

impl<T: Send + 'static, R: Send + 'static> Gather<T, R> {
    /// Has the item written by `write`, which gives a result for each of its items, and gives this one's. Once it
    /// waits, it is written also if nobody waits for the result any more.
    pub async fn write<W, F>(&self, item: T, write: W) -> Result<R>
    where
        W: Fn(Vec<T>) -> F + Send + 'static,
        F: Future<Output = Result<Vec<R>>> + Send,
    {
        let (answer, result) = oneshot::channel();
        let begins = {
            let mut state = self.0.lock();
            if state.waiting.len() >= WAITING {
                return Err(StoreError::Unavailable(
                    "too many small writes are waiting".into(),
                ));
            }
            state.waiting.push((item, answer));
            !std::mem::replace(&mut state.busy, true)
        };
        if begins {
            let mut turn = Turn {
                state: self.0.clone(),
                over: false,
            };
            tokio::spawn(async move {
                while let Some((items, answers)) = turn.next() {
                    let written = items.len();
                    match write(items).await {
                        // Nobody may be waiting any more; the write's fate is the same.
                        Ok(results) => answers.into_iter().zip(results).for_each(|(to, result)| {
                            let _ = to.send(Ok(result));
                        }),
                        Err(error) => answers.into_iter().for_each(|to| {
                            let _ = to.send(Err(error.clone()));
                        }),
                    }
                    if written >= HERD {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            });
        }
        result.await.unwrap_or(Err(StoreError::Panicked))
    }
}

/// Whoever holds it writes.
struct Turn<T, R> {
    state: Arc<Mutex<State<T, R>>>,
    /// Nothing waited. Whoever comes since then has a turn of its own.
    over: bool,
}

impl<T, R> Turn<T, R> {
    /// What waits, or the end of the turn.
    #[allow(clippy::type_complexity)]
    fn next(&mut self) -> Option<(Vec<T>, Vec<oneshot::Sender<Result<R>>>)> {
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            state.busy = false;
            self.over = true;
            return None;
        }
        let count = state.waiting.len().min(MOST);
        Some(state.waiting.drain(..count).unzip())
    }
}

impl<T, R> Drop for Turn<T, R> {
    /// A turn that ends in a panic, or with its thread: those who wait are told, and the next one begins anew.
    fn drop(&mut self) {
        if !self.over {
            let mut state = self.state.lock();
            state.busy = false;
            state.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// Notes the sizes of its writes, each of which wants a permit.
    #[derive(Clone)]
    struct Slow {
        sizes: Arc<Mutex<Vec<usize>>>,
        permits: Arc<Semaphore>,
    }

    impl Slow {
        fn new(permits: usize) -> Slow {
            Slow {
                sizes: Arc::default(),
                permits: Arc::new(Semaphore::new(permits)),
            }
        }

        async fn write(self, items: Vec<u32>) -> Result<Vec<u32>> {
            self.permits.acquire().await.unwrap().forget();
            self.sizes.lock().push(items.len());
            match items.contains(&13) {
                true => Err(StoreError::NotFound),
                false => Ok(items.into_iter().map(|item| item * 2).collect()),
            }
        }
    }

    fn all(
        gather: &Gather<u32, u32>,
        slow: &Slow,
        items: std::ops::Range<u32>,
    ) -> Vec<impl Future<Output = Result<u32>>> {
        let one = |item| {
            let slow = slow.clone();
            gather.write(item, move |items| slow.clone().write(items))
        };
        items.map(one).collect()
    }

    #[tokio::test]
    async fn what_comes_while_one_is_written_goes_together_and_each_gets_its_own_result() {
        let (gather, slow) = (Gather::default(), Slow::new(100));
        let results = join_all(all(&gather, &slow, 100..1200)).await;
        let expected: Vec<_> = (100..1200).map(|item| Ok(item * 2)).collect();
        assert_eq!(results, expected);
        assert_eq!(*slow.sizes.lock(), [512, 512, 76]);
        // And anew when all was quiet.
        assert_eq!(join_all(all(&gather, &slow, 1..2)).await, [Ok(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_herd_the_next_write_waits_a_moment_and_else_it_does_not() {
        for (before, sizes) in [(3, vec![3, 1, 1]), (4, vec![4, 2])] {
            let (gather, slow) = (Gather::default(), Slow::new(100));
            let later = all(&gather, &slow, 10..12).into_iter().zip([10, 20]);
            let later = later.map(async |(item, turns)| {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                item.await
            });
            let _ = tokio::join!(join_all(all(&gather, &slow, 0..before)), join_all(later));
            assert_eq!(*slow.sizes.lock(), sizes);
        }
    }

    #[tokio::test]
    async fn a_write_that_fails_fails_those_in_it_and_no_others() {
        let (gather, slow) = (Gather::default(), Slow::new(2));
        let (first, second) = (all(&gather, &slow, 0..512), all(&gather, &slow, 512..514));
        let (first, second) = tokio::join!(join_all(first), join_all(second));
        assert!(
            first
                .iter()
                .all(|result| *result == Err(StoreError::NotFound))
        );
        assert_eq!(second, [Ok(1024), Ok(1026)]);
    }

    #[tokio::test]
    async fn a_panic_is_told_to_those_who_wait_and_the_next_one_is_served() {
        let gather: Gather<u32, u32> = Gather::default();
        let panics = |_: Vec<u32>| async { panic!("on purpose") };
        assert_eq!(gather.write(1, panics).await, Err(StoreError::Panicked));
        let slow = Slow::new(1);
        assert_eq!(join_all(all(&gather, &slow, 3..4)).await, [Ok(6)]);
    }

    #[tokio::test]
    async fn what_waits_is_bounded_and_is_written_though_nobody_waits_for_it() {
        let (gather, slow) = (Gather::default(), Slow::new(0));
        let many = u32::try_from(WAITING).unwrap() + 100;
        {
            let mut waiting = join_all(all(&gather, &slow, 100..many));
            assert!((&mut waiting).now_or_never().is_none());
        }
        let refused = all(&gather, &slow, 0..1).remove(0).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
        slow.permits.add_permits(1000);
        assert_eq!(join_all(all(&gather, &slow, 0..1)).await.len(), 1);
        while slow.sizes.lock().iter().sum::<usize>() < WAITING {
            tokio::task::yield_now().await;
        }
    }
}
