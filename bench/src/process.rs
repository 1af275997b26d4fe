//! What the kernel says about a process: its processor time, its memory, its sockets' memory; and on which cores whom.

use std::collections::HashMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Result;

/// Nanoseconds of processor time that the calling thread has had.
pub fn own_thread() -> Result<u64> {
    schedule("/proc/thread-self/schedstat")
}

fn schedule(path: &str) -> Result<u64> {
    fs::read_to_string(path)
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| format!("processor time is read from {path}, which is not there"))
}

/// The processor time of a process, thread by thread, at one moment.
pub struct Clock {
    id: u32,
    threads: HashMap<String, u64>,
    /// In ticks of 10 ms, but with the threads that have ended.
    coarse: u64,
}

impl Clock {
    pub fn start(id: u32) -> Result<Self> {
        Ok(Self {
            id,
            threads: threads(id)?,
            coarse: coarse(id)?,
        })
    }

    /// Nanoseconds since then, over all threads. What a thread did that has ended meanwhile is known in ticks only.
    pub fn elapsed(&self) -> Result<u64> {
        let mut now = threads(self.id)?;
        let mut sum = 0;
        let mut ended = false;
        for (thread, before) in &self.threads {
            match now.remove(thread) {
                Some(after) => sum += after - before,
                None => ended = true,
            }
        }
        sum += now.values().sum::<u64>();
        if ended {
            sum = sum.max(coarse(self.id)?.saturating_sub(self.coarse));
        }
        Ok(sum)
    }
}

fn threads(id: u32) -> Result<HashMap<String, u64>> {
    let tasks = fs::read_dir(format!("/proc/{id}/task"))
        .map_err(|error| format!("the server's threads are read from /proc: {error}"))?;
    Ok(tasks
        .flatten()
        .filter_map(|task| {
            let name = task.file_name().into_string().ok()?;
            let time = schedule(&format!("/proc/{id}/task/{name}/schedstat")).ok()?;
            Some((name, time))
        })
        .collect())
}

/// `utime` and `stime`. A tick is 10 ms on every Linux there is (USER_HZ).
fn coarse(id: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).map_err(|error| error.to_string())?;
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(ticks * Duration::from_millis(10).as_nanos() as u64)
}

/// Resident memory in bytes.
pub fn resident(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))
        .map_err(|error| format!("memory is read from /proc: {error}"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| "/proc names no VmRSS".to_owned())
}

/// TCP segments with data that the server's ends of the connections to a port have sent so far: `None` where `ss` does not
/// say.
pub fn segments(port: u16) -> Option<u64> {
    sockets(port, "-tinH").map(|text| sum_of(&text, "data_segs_out:"))
}

/// The sum of the numbers behind a word.
fn sum_of(text: &str, word: &str) -> u64 {
    text.split(word)
        .skip(1)
        .filter_map(|rest| {
            let end = rest.find(|letter: char| !letter.is_ascii_digit());
            rest[..end.unwrap_or(rest.len())].parse::<u64>().ok()
        })
        .sum()
}

/// What the kernel holds for the server's ends of the connections to a port: `None` where `ss` does not say.
pub fn kernel_memory(port: u16) -> Option<u64> {
    sockets(port, "-tmnH").map(|text| sum_of_socket_memory(&text))
}

/// What `ss` says of the server's ends of the connections to a port.
fn sockets(port: u16, what: &str) -> Option<String> {
    let output = Command::new("ss")
        .args([what, "sport", "=", &format!(":{port}")])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

/// Of `skmem:(r0,rb131072,t0,tb2626560,f4096,w0,o0,bl0,d0)`: received, queued to send, and allocated ahead.
fn sum_of_socket_memory(text: &str) -> u64 {
    text.split("skmem:(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .flat_map(|list| list.split(','))
        .filter_map(|word| {
            let start = word.find(|letter: char| letter.is_ascii_digit())?;
            let (name, number) = word.split_at(start);
            matches!(name, "r" | "w" | "f").then(|| number.parse::<u64>().ok())?
        })
        .sum()
}

/// Which cores are whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// The server's, and the load's.
    Apart { server: usize, load: usize },
    /// One core, or no `taskset`.
    Unpinned,
}

impl Cores {
    /// The first and the last core that this process may use.
    pub fn found() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let allowed = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .map(|list| cores(list.trim()))
            .unwrap_or_default();
        match (allowed.first(), allowed.last()) {
            (Some(&server), Some(&load)) if server != load && has_taskset() => {
                Self::Apart { server, load }
            }
            _ => Self::Unpinned,
        }
    }

    pub fn told(self) -> String {
        match self {
            Self::Apart { server, load } => {
                format!("Server on core {server}, load on core {load} (taskset).")
            }
            Self::Unpinned => {
                "UNPINNED: server and load share what cores there are (one core, or no `taskset`)."
                    .to_owned()
            }
        }
    }

    /// A command that runs `program` on the server's core, or on all of them.
    pub fn command(self, program: &std::path::Path, on: On) -> Command {
        let list = match (self, on) {
            (Self::Unpinned, _) => return Command::new(program),
            (Self::Apart { server, .. }, On::Server) => server.to_string(),
            (Self::Apart { server, load }, On::Both) => format!("{server},{load}"),
        };
        let mut command = Command::new("taskset");
        command.args(["-c", &list]).arg(program);
        command
    }

    /// Puts this process on the load's core; what it starts later says itself where it runs.
    pub fn move_to_load(self) -> Result<()> {
        match self {
            Self::Unpinned => Ok(()),
            Self::Apart { load, .. } => pin(&load.to_string()),
        }
    }

    /// And back on both.
    pub fn move_back(self) -> Result<()> {
        match self {
            Self::Unpinned => Ok(()),
            Self::Apart { server, load } => pin(&format!("{server},{load}")),
        }
    }
}

/// Where a program is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Server,
    Both,
}

fn pin(list: &str) -> Result<()> {
    let id = std::process::id().to_string();
    let status = Command::new("taskset")
        .args(["-a", "-c", "-p", list, &id])
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("taskset -p {list}: {other:?}")),
    }
}

fn has_taskset() -> bool {
    Command::new("taskset")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// `0-2,5` are 0, 1, 2 and 5.
fn cores(list: &str) -> Vec<usize> {
    list.split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
        })
        .flatten()
        .collect()
}

/// Raises the limit of open files as far as it goes, for what we start as well, and gives how many clients that allows.
pub fn raise_open_files() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .saturating_sub(200)
}

/// Gives this thread the lowest priority. Where that does not work, it has the one it had.
pub fn step_back() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    if let Some(id) = thread.file_name() {
        let _ = Command::new("renice")
            .args(["-n", "19", "-p"])
            .arg(id)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cores_is_read() {
        assert_eq!(cores("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(cores("3"), [3]);
        assert!(cores("").is_empty());
    }

    #[test]
    fn the_memory_of_sockets_is_summed() {
        let text = "ESTAB 0 0 127.0.0.1:1 127.0.0.1:2\n\t skmem:(r100,rb131072,t7,tb2626560,f4096,w20,o9,bl0,d0)\n\
                    ESTAB 0 0\n\t skmem:(r1,rb131072,t0,tb1,f0,w0,o0,bl0,d3)";
        assert_eq!(sum_of_socket_memory(text), 100 + 4096 + 20 + 1);
    }

    #[test]
    fn segments_are_summed() {
        let text = "ESTAB 0 0 a b\n\t cubic segs_out:9 data_segs_out:12 data_segs_in:3\nESTAB 0 0 a c\n\t data_segs_out:30\n";
        assert_eq!(sum_of(text, "data_segs_out:"), 42);
    }

    #[test]
    fn processor_time_grows_with_work() {
        let clock = Clock::start(std::process::id()).expect("/proc is there");
        let own = own_thread().expect("/proc is there");
        let mut sum = 0_u64;
        while own_thread().expect("/proc is there") < own + 2_000_000 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(clock.elapsed().expect("/proc is there") >= 2_000_000);
    }
}
