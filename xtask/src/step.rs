//! Running a program as one step of a command: its heading, its end, and its end when we are told to end.
//!
//! Each step is its own process group, so that a signal to us can take down the step with all that it started
//! (cargo, the test binary, the servers and clients of the tests) and leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Result;

/// The step that runs now. One at a time, so one place: the signal thread has to find it.
static CURRENT: Mutex<Option<u32>> = Mutex::new(None);

/// From here on Ctrl-C and SIGTERM end the running step as well as us. What outlives a step (the throwaway
/// PostgreSQL) watches for our end by itself: see `postgres`.
pub fn end_with_us_on_signals() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
        return;
    };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            eprintln!("\nstopped by signal {signal}");
            // Held until we are gone, so that no next step begins.
            let current = CURRENT.lock();
            if let Ok(Some(group)) = current.as_deref() {
                // KILL, because a server under test may be one that ignores TERM by intent.
                let group = format!("-{group}");
                let _ = Command::new("kill")
                    .args(["-s", "KILL", "--", &group])
                    .status();
            }
            std::process::exit(128 + signal);
        }
    });
}

/// Says what comes next.
pub fn heading(text: &str) {
    println!("\n== {text}");
}

/// Runs `command` to its end; an exit other than 0 is the error.
pub fn run(command: &mut Command) -> Result<()> {
    let child = start(command)?;
    finish(child, command)
}

/// Runs `command` and hands each line of its output to `line`, after having printed it.
pub fn run_reading(command: &mut Command, mut line: impl FnMut(&str)) -> Result<()> {
    let mut child = start(command.stdout(Stdio::piped()))?;
    if let Some(output) = child.stdout.take() {
        // Bytes, not `lines()`: one byte of a test's output that is no UTF-8 must not end the reading.
        for bytes in BufReader::new(output)
            .split(b'\n')
            .map_while(std::result::Result::ok)
        {
            let text = String::from_utf8_lossy(&bytes);
            println!("{text}");
            line(&text);
        }
    }
    finish(child, command)
}

/// The trimmed output of a program that only answers a question; `None` when it is missing or fails.
pub fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn start(command: &mut Command) -> Result<Child> {
    // Taken first: between the start and the note of it no signal may end us.
    let current = CURRENT.lock();
    let child = command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", name(command)))?;
    if let Ok(mut current) = current {
        *current = Some(child.id());
    }
    Ok(child)
}

fn finish(mut child: Child, command: &Command) -> Result<()> {
    let status = child.wait();
    if let Ok(mut current) = CURRENT.lock() {
        *current = None;
    }
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{} ended with {status}", name(command))),
        Err(error) => Err(format!("{}: {error}", name(command))),
    }
}

fn name(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}
