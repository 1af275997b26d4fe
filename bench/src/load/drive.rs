//! Ways of publishing.

use std::time::{Duration, Instant};

use super::{Load, Mark, PATIENCE, Request};
use crate::Result;

/// What one run has done.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub deliveries: u64,
    pub took: Duration,
    /// Nanoseconds of the load's own processor time.
    pub load: u64,
}

impl Load {
    /// Publishes `total` messages to `receivers` clients, with `window` of them under way: a publisher goes on when its
    /// request is answered and its message is everywhere. The requests are taken in turn.
    pub fn window(
        &mut self,
        requests: &[Request],
        receivers: usize,
        window: usize,
        total: usize,
    ) -> Result<Run> {
        self.publishers(window)?;
        let mut left = total;
        let begun = Start::new(self)?;
        let mut progress = Progress::new();
        loop {
            let mut idle = true;
            for publisher in 0..window {
                if self.publishers[publisher].waits
                    || receivers > 0 && !self.book.is_clear(publisher)
                {
                    idle = false;
                } else if left > 0 {
                    let request = &requests[left % requests.len()];
                    self.publish(publisher, request, receivers, Instant::now())?;
                    left -= 1;
                    idle = false;
                }
            }
            if idle && self.book.is_all_clear() {
                return begun.run(self);
            }
            self.turn(Some(Duration::from_millis(100)))?;
            progress.check(self, left)?;
        }
    }

    /// Publishes at a pace, for so long, and takes the time of each delivery from the moment at which its message was
    /// due. It does not sleep: the load has a core of its own.
    pub fn paced(
        &mut self,
        request: &Request,
        receivers: usize,
        every: Duration,
        lasts: Duration,
    ) -> Result<Vec<f64>> {
        const WINDOW: usize = super::book::PUBLISHERS;
        self.publishers(WINDOW)?;
        self.book.times = Some(Vec::new());
        let mut progress = Progress::new();
        let mut due = Instant::now();
        let until = due + lasts;
        let mut next = 0;
        loop {
            let now = Instant::now();
            if now >= due
                && due < until
                && let Some(publisher) = (next..next + WINDOW)
                    .map(|number| number % WINDOW)
                    .find(|one| !self.publishers[*one].waits)
            {
                // In turn, so that none idles so long that its connection is ended.
                next = publisher + 1;
                self.publish(publisher, request, receivers, due)?;
                due += every;
            }
            if due >= until && self.is_quiet() {
                return Ok(self.book.times.take().unwrap_or_default());
            }
            self.turn(Some(Duration::ZERO))?;
            progress.check(self, 0)?;
        }
    }

    /// Publishes one message and waits until it is answered and everywhere. From sending to the answer, and from the
    /// answer to the last client (negative: it was there first), in microseconds.
    pub fn once(&mut self, request: &Request, receivers: usize) -> Result<(f64, f64)> {
        self.publishers(1)?;
        self.book.times = Some(Vec::new());
        self.publish(0, request, receivers, Instant::now())?;
        let mut progress = Progress::new();
        while !self.is_quiet() {
            self.turn(Some(Duration::ZERO))?;
            progress.check(self, 0)?;
        }
        self.book.times = None;
        let publisher = &self.publishers[0];
        let answer = publisher.answered.duration_since(publisher.sent);
        let last = self.book.completed.duration_since(publisher.sent);
        Ok((
            answer.as_secs_f64() * 1e6,
            (last.as_secs_f64() - answer.as_secs_f64()) * 1e6,
        ))
    }

    /// Serves the sockets for a while, publishing nothing.
    pub fn idle(&mut self, lasts: Duration) -> Result<()> {
        let until = Instant::now() + lasts;
        while Instant::now() < until {
            self.turn(Some(Duration::from_millis(20)))?;
        }
        Ok(())
    }

    /// A message goes out; it is known by its number from here on. One for nobody is not kept in the book.
    pub fn publish(
        &mut self,
        publisher: usize,
        request: &Request,
        receivers: usize,
        since: Instant,
    ) -> Result<()> {
        let mark = match receivers {
            0 => self.for_nobody(),
            _ => self.book.publish(publisher, receivers as u32, since),
        };
        self.publishers[publisher].send(request, mark)
    }

    /// A mark that differs from the last one, so that a change is one.
    fn for_nobody(&mut self) -> Mark {
        self.unheard += 1;
        Mark {
            publisher: 0,
            number: self.unheard,
        }
    }

    /// Every request is answered, every message everywhere.
    pub fn is_quiet(&self) -> bool {
        self.book.is_all_clear() && !self.publishers.iter().any(|publisher| publisher.waits)
    }
}

/// Notices that nothing comes any more.
struct Progress {
    deliveries: u64,
    left: usize,
    since: Instant,
}

impl Progress {
    fn new() -> Self {
        Self {
            deliveries: 0,
            left: 0,
            since: Instant::now(),
        }
    }

    fn check(&mut self, load: &Load, left: usize) -> Result<()> {
        if (load.book.deliveries, left) != (self.deliveries, self.left) {
            (self.deliveries, self.left) = (load.book.deliveries, left);
            self.since = Instant::now();
        } else if self.since.elapsed() > PATIENCE {
            return Err(format!(
                "nothing came for {} s; missing: {}; {} requests unanswered",
                PATIENCE.as_secs(),
                load.book.missing(),
                load.publishers
                    .iter()
                    .filter(|publisher| publisher.waits)
                    .count(),
            ));
        }
        Ok(())
    }
}

struct Start {
    at: Instant,
    load: u64,
    deliveries: u64,
}

impl Start {
    fn new(load: &Load) -> Result<Self> {
        Ok(Self {
            load: Load::processor_time()?,
            deliveries: load.book.deliveries,
            at: Instant::now(),
        })
    }

    fn run(&self, load: &Load) -> Result<Run> {
        Ok(Run {
            took: self.at.elapsed(),
            deliveries: load.book.deliveries - self.deliveries,
            load: Load::processor_time()? - self.load,
        })
    }
}
