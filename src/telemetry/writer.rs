//! Where the log's lines go: to standard error, from a thread of its own. Who reads the log may hang, and a full pipe must
//! not stop whoever has something to say. Lines wait there up to a bound; what is beyond it is lost, and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait at most.
const WAITING: usize = 8192;

/// Bytes that are written at once, unless one line has more.
const AT_ONCE: usize = 64 * 1024;

/// What the last lines have at most.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How many lines of the log were lost. Clones are one; that of no log counts none.
#[derive(Clone, Default)]
pub struct Losses(Arc<Counts>);

#[derive(Default)]
struct Counts {
    /// Those that found no room.
    dropped: OnceLock<ErrorCounter>,
    /// Those that could not be written.
    unwritten: AtomicU64,
}

impl Losses {
    pub fn lines(&self) -> u64 {
        let dropped = self.0.dropped.get().map_or(0, ErrorCounter::dropped_lines);
        dropped as u64 + self.0.unwritten.load(Ordering::Relaxed)
    }
}

/// The thread that writes.
pub struct LogThread(WorkerGuard);

impl LogThread {
    /// What a subscriber writes to, the thread behind it, and what is lost on the way.
    pub fn start(out: impl Write + Send + 'static) -> (NonBlocking, LogThread, Losses) {
        let losses = Losses::default();
        let lines = Lines {
            out,
            waiting: Vec::new(),
            count: 0,
            losses: losses.clone(),
            told: 0,
        };
        let builder = NonBlockingBuilder::default()
            .buffered_lines_limit(WAITING)
            .thread_name("log");
        let (writer, guard) = builder.finish(lines);
        // Here only, once.
        let _ = losses.0.dropped.set(writer.error_counter());
        (writer, LogThread(guard), losses)
    }

    /// Writes what waits, if that takes no longer than this.
    pub fn finish(self, left: Duration) {
        // The guard says on standard output that the thread does not listen, and who reads that may hang as well.
        let LogThread(guard) = self;
        let (done, over) = mpsc::channel();
        std::thread::spawn(move || {
            drop(guard);
            let _ = done.send(());
        });
        let _ = over.recv_timeout(left.min(LAST_LINES));
    }
}

/// Standard error without the lock of [`io::stderr`], which nobody else could have while this waits for a reader.
#[cfg(unix)]
pub fn standard_error() -> Box<dyn Write + Send> {
    use std::os::fd::AsFd;
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(own) => Box::new(std::fs::File::from(own)),
        Err(_) => Box::new(io::stderr()),
    }
}

#[cfg(not(unix))]
pub fn standard_error() -> Box<dyn Write + Send> {
    Box::new(io::stderr())
}

/// Gathers what comes at the same time, and knows what was lost.
struct Lines<W> {
    out: W,
    waiting: Vec<u8>,
    /// Lines in it.
    count: u64,
    losses: Losses,
    /// Losses that the log has heard of.
    told: u64,
}

impl<W: Write> Lines<W> {
    fn put(&mut self) {
        if self.out.write_all(&self.waiting).is_err() {
            // Whoever read it has gone, and may come back.
            let unwritten = &self.losses.0.unwritten;
            unwritten.fetch_add(self.count, Ordering::Relaxed);
        }
        self.waiting.clear();
        self.count = 0;
    }
}

/// It is given whole lines.
impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.waiting.len() + line.len() > AT_ONCE {
            self.put();
        }
        self.waiting.extend_from_slice(line);
        self.count += 1;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.count > 0 {
            self.put();
        }
        let lost = self.losses.lines();
        let lines = lost - self.told;
        if lines > 0 {
            self.told = lost;
            tracing::warn!(
                lines,
                "lines of the log were lost: nobody read them as fast as they came"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// Writes when it may.
    #[derive(Clone, Default)]
    struct Paper {
        hold: Arc<Mutex<()>>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Paper {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _may = self.hold.lock();
            self.text.lock().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whoever_writes_does_not_wait_and_each_line_is_written_or_counted() {
        let paper = Paper::default();
        let (mut log, thread, losses) = LogThread::start(paper.clone());
        let held = paper.hold.lock();
        let lines = 2 * WAITING;
        for line in 0..lines {
            log.write_all(format!("line {line}\n").as_bytes()).unwrap();
        }
        assert!(losses.lines() > 0);
        drop(held);
        drop(log);
        thread.finish(Duration::MAX);
        let text = String::from_utf8(paper.text.lock().clone()).unwrap();
        let written = text
            .lines()
            .inspect(|line| assert!(line.starts_with("line ")));
        assert_eq!(written.count() as u64 + losses.lines(), lines as u64);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_what_comes_later_is_written() {
        /// Refuses the first time.
        struct Gone(Paper, bool);

        impl Write for Gone {
            fn write(&mut self, text: &[u8]) -> io::Result<usize> {
                match std::mem::replace(&mut self.1, true) {
                    true => self.0.write(text),
                    false => Err(io::ErrorKind::BrokenPipe.into()),
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let paper = Paper::default();
        let mut lines = Lines {
            out: Gone(paper.clone(), false),
            waiting: Vec::new(),
            count: 0,
            losses: Losses::default(),
            told: 0,
        };
        for line in ["one\n", "two\n"] {
            lines.write_all(line.as_bytes()).unwrap();
        }
        lines.flush().unwrap();
        assert_eq!(lines.losses.lines(), 2);
        lines.write_all(b"three\n").unwrap();
        lines.flush().unwrap();
        assert_eq!(*paper.text.lock(), b"three\n");
        assert_eq!(lines.losses.lines(), 2);
    }
}
