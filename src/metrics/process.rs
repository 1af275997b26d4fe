//! What the kernel says of this process. On other systems than Linux it says nothing here.

/// Memory, files and time, under the names that other programs tell Prometheus too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Bytes of memory in use.
    pub resident_bytes: Option<u64>,
    pub open_files: Option<u64>,
    /// Seconds on a processor, in user and system mode.
    pub cpu_seconds: Option<f64>,
    /// Seconds since the epoch.
    pub started: Option<f64>,
}

/// The kernel's unit of time in `/proc`: the same on every Linux, whatever its own clock ticks like.
const TICKS_A_SECOND: f64 = 100.0;

impl Process {
    pub fn read() -> Process {
        let status = std::fs::read_to_string("/proc/self/status").ok();
        let files = std::fs::read_dir("/proc/self/fd").ok();
        let stat = std::fs::read_to_string("/proc/self/stat").ok();
        let system = std::fs::read_to_string("/proc/stat").ok();
        let times = stat.as_deref().and_then(times);
        Process {
            resident_bytes: status.as_deref().and_then(resident),
            // One of them is the directory that is read here.
            open_files: files.map(|files| (files.count() as u64).saturating_sub(1)),
            cpu_seconds: times.map(|times| times.cpu / TICKS_A_SECOND),
            started: times
                .zip(system.as_deref().and_then(booted))
                .map(|(times, booted)| booted + times.started / TICKS_A_SECOND),
        }
    }
}

/// `VmRSS:   12345 kB`
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// In ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Times {
    cpu: f64,
    /// Since the machine was.
    started: f64,
}

/// The 14th, 15th and 22nd field; the second is the program's name in brackets, which may hold anything.
fn times(stat: &str) -> Option<Times> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Times {
        cpu: field(14)? + field(15)?,
        started: field(22)?,
    })
}

/// `btime 1764331200`
fn booted(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_a_name_that_may_be_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 4200 1 2";
        let expected = Times {
            cpu: 300.0,
            started: 4_200.0,
        };
        assert_eq!(times(stat), Some(expected));
        assert_eq!(times("7 (a) S 1"), None);
        assert_eq!(booted("cpu 1 2\nbtime 1764331200\n"), Some(1_764_331_200.0));
    }

    #[test]
    fn the_resident_memory_is_read_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   2048 kB\n"), Some(2 << 20));
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
