//! Where the log's lines go: to standard error, from a thread of its own. Who reads the log may hang, and a full pipe must
//! not stop whoever has something to say. Lines wait there up to a bound; what is beyond it is lost, and counted.
//!
//! (`tracing-appender` wakes its thread for each line, which cost a PUT that comes alone 7 % of its time. Here the first
//! line wakes it, and those of the next moment go along.)

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait at most, and as many may be on their way.
const MOST: usize = 4 * 1024 * 1024;

/// What the thread keeps for lines that come.
const KEPT: usize = 64 * 1024;

/// How long the first line waits for others.
const GATHER: Duration = Duration::from_millis(20);

/// What the last lines have at most.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What a subscriber writes to, a line at a time. Clones are one.
#[derive(Clone, Default)]
pub struct Log(Arc<Shared>);

#[derive(Default)]
struct Shared {
    lines: Mutex<Lines>,
    /// The first line has come, or the last.
    come: Condvar,
    lost: AtomicU64,
}

/// Those that wait.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    count: u64,
    closed: bool,
}

impl Log {
    /// How many lines found no room, or could not be written.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl Write for &Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lines.lock();
        if lines.closed || lines.text.len() + line.len() > MOST {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            return Ok(line.len());
        }
        lines.text.extend_from_slice(line);
        lines.count += 1;
        if lines.count == 1 {
            self.0.come.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = &'w Log;

    fn make_writer(&'w self) -> &'w Log {
        self
    }
}

/// The thread that writes them. It ends with this, when it has written what waits.
pub struct Writing {
    log: Log,
    /// What it has for that.
    left: Duration,
    /// Nothing is sent: it ends with the thread.
    end: mpsc::Receiver<()>,
}

impl Writing {
    /// `tell` is called on that thread, with how many lines were lost since the last time, when one could be written
    /// again; it may write to the log.
    ///
    /// # Errors
    /// The system has no thread left. Then nothing is written.
    pub fn start(
        log: &Log,
        out: impl Write + Send + 'static,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Writing> {
        let (ends, end) = mpsc::channel();
        let writes = log.clone();
        let thread = std::thread::Builder::new().name("log".into());
        thread.spawn(move || {
            write(&writes, out, tell);
            drop::<mpsc::Sender<()>>(ends);
        })?;
        Ok(Writing {
            log: log.clone(),
            left: LAST_LINES,
            end,
        })
    }

    /// Ends, if that takes no longer than this.
    pub fn finish(mut self, left: Duration) {
        self.left = left.min(LAST_LINES);
    }
}

/// Also when a panic ends the program: it is one of the last lines.
impl Drop for Writing {
    fn drop(&mut self) {
        self.log.0.lines.lock().closed = true;
        self.log.0.come.notify_one();
        let _ = self.end.recv_timeout(self.left);
    }
}

/// Until the log is closed.
fn write(log: &Log, mut out: impl Write, tell: impl Fn(u64)) {
    let Shared { lines, come, lost } = &*log.0;
    let mut text = Vec::new();
    let mut told = 0;
    loop {
        let mut waiting = lines.lock();
        come.wait_while(&mut waiting, |lines| lines.count == 0 && !lines.closed);
        come.wait_while_for(&mut waiting, |lines| !lines.closed, GATHER);
        std::mem::swap(&mut text, &mut waiting.text);
        let count = std::mem::take(&mut waiting.count);
        let closed = waiting.closed;
        drop(waiting);
        let written = write_whole(&mut out, &text);
        if written.is_err() {
            // Whoever read it has gone, and may come back.
            lost.fetch_add(count, Ordering::Relaxed);
        }
        text.clear();
        text.shrink_to(KEPT);
        if closed {
            return;
        }
        // Not to nobody: what is told would be lost itself, and so be told again, without end.
        let lines = log.lost() - told;
        if lines > 0 && written.is_ok() {
            told += lines;
            tell(lines);
        }
    }
}

/// The log says so itself.
pub fn tell_losses(lines: u64) {
    tracing::warn!(
        lines,
        "lines of the log were lost: nobody read them as fast as they came"
    );
}

/// Also to what is full and says so: standard error may be shared with a program that has set it not to block.
fn write_whole(out: &mut impl Write, mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match out.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => text = &text[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::park_timeout(GATHER);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes when it may.
    #[derive(Clone, Default)]
    struct Paper {
        hold: Arc<Mutex<()>>,
        torn: Arc<Mutex<bool>>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Paper {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _may = self.hold.lock();
            if *self.torn.lock() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.text.lock().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn say(mut log: &Log, line: &str) {
        log.write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn whoever_writes_does_not_wait_and_each_line_is_written_or_counted() {
        let (log, paper) = (Log::default(), Paper::default());
        let writing = Writing::start(&log, paper.clone(), drop).unwrap();
        let held = paper.hold.lock();
        let mut lines = 0;
        while log.lost() < 10 {
            say(&log, &format!("line {lines}\n"));
            lines += 1;
        }
        drop(held);
        writing.finish(Duration::MAX);
        say(&log, "too late\n");
        let text = String::from_utf8(paper.text.lock().clone()).unwrap();
        let written = text.lines().zip(0..);
        assert!(
            written
                .clone()
                .all(|(line, count)| line == format!("line {count}"))
        );
        assert_eq!(written.count() as u64 + log.lost(), lines + 1);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let (log, paper) = (Log::default(), Paper::default());
        *paper.torn.lock() = true;
        let writing = Writing::start(&log, paper.clone(), drop).unwrap();
        say(&log, "one\n");
        say(&log, "two\n");
        drop(writing);
        assert_eq!(log.lost(), 2);
        assert!(paper.text.lock().is_empty());
    }

    #[test]
    fn what_was_lost_is_told_once_when_somebody_reads_again() {
        let (log, paper) = (Log::default(), Paper::default());
        *paper.torn.lock() = true;
        let told = Arc::new(Mutex::new(Vec::new()));
        let (tells, tells_by) = (told.clone(), log.clone());
        let tell = move |lines| {
            tells.lock().push(lines);
            say(&tells_by, "some were lost\n");
        };
        let writing = Writing::start(&log, paper.clone(), tell).unwrap();
        for lost in 1..=3 {
            say(&log, "to nobody\n");
            while log.lost() < lost {
                std::thread::yield_now();
            }
        }
        assert!(told.lock().is_empty(), "{told:?}");
        *paper.torn.lock() = false;
        say(&log, "to somebody\n");
        while told.lock().is_empty() {
            std::thread::yield_now();
        }
        writing.finish(Duration::MAX);
        assert_eq!(*told.lock(), [3]);
        assert_eq!(*paper.text.lock(), b"to somebody\nsome were lost\n");
        assert_eq!(log.lost(), 3);
    }

    #[test]
    fn what_takes_little_at_once_gets_all_of_it() {
        /// Takes three bytes each second time.
        struct Little(Paper, bool);

        impl Write for Little {
            fn write(&mut self, text: &[u8]) -> io::Result<usize> {
                self.1 = !self.1;
                match self.1 {
                    true => Err(io::ErrorKind::WouldBlock.into()),
                    false => self.0.write(&text[..text.len().min(3)]),
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let (log, paper) = (Log::default(), Paper::default());
        let writing = Writing::start(&log, Little(paper.clone(), false), drop).unwrap();
        say(&log, "line one\n");
        writing.finish(Duration::MAX);
        assert_eq!(*paper.text.lock(), b"line one\n");
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn an_end_does_not_wait_for_ever() {
        let (log, paper) = (Log::default(), Paper::default());
        let writing = Writing::start(&log, paper.clone(), drop).unwrap();
        let held = paper.hold.lock();
        say(&log, "one\n");
        writing.finish(Duration::from_millis(1));
        drop(held);
    }
}
