//! Medians, percentiles, and the Markdown that is printed.

use std::fmt;
use std::time::Duration;

use crate::Result;

/// What one program measured.
pub struct Section {
    pub name: &'static str,
    pub title: &'static str,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
    pub notes: Vec<String>,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        writeln!(f, "`cargo xtask bench {}`\n", self.name)?;
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|{}", " --- |".repeat(self.columns.len()))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        for note in &self.notes {
            write!(f, "\n{note}\n")?;
        }
        Ok(())
    }
}

/// Signed times in microseconds: an event may be there before the answer is.
#[derive(Default)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Of microseconds.
    pub fn of(micros: Vec<f64>) -> Self {
        Self(micros)
    }

    pub fn push(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1e6);
    }

    pub fn push_signed(&mut self, micros: f64) {
        self.0.push(micros);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn append(&mut self, other: &mut Sample) {
        self.0.append(&mut other.0);
    }

    /// The value below which the fraction `share` of the sample lies (nearest rank).
    pub fn percentile(&self, share: f64) -> Result<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted
            .get(rank.saturating_sub(1))
            .copied()
            .ok_or_else(|| "nothing was measured".to_owned())
    }

    pub fn median(&self) -> Result<f64> {
        self.percentile(0.5)
    }

    /// The middle half and the ends: how far a figure may be trusted.
    pub fn spread(&self) -> Result<[f64; 4]> {
        Ok([
            self.percentile(0.0)?,
            self.percentile(0.25)?,
            self.percentile(0.75)?,
            self.percentile(1.0)?,
        ])
    }
}

/// `412 µs`, `3.10 ms`, `1.25 s`.
pub fn time(micros: f64) -> String {
    let size = micros.abs();
    if size < 1_000.0 {
        format!("{micros:.0} µs")
    } else if size < 1_000_000.0 {
        format!("{:.2} ms", micros / 1e3)
    } else {
        format!("{:.2} s", micros / 1e6)
    }
}

/// On what and when this is measured.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: String, key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key).map(str::to_owned))
            .map(|rest| rest.trim_start_matches([':', ' ', '\t']).trim().to_owned())
            .unwrap_or_else(|| "unknown".to_owned())
    };
    let memory = after(read("/proc/meminfo"), "MemTotal");
    let memory = memory
        .split(' ')
        .next()
        .and_then(|kibibytes| kibibytes.parse::<f64>().ok())
        .map_or(memory.clone(), |kibibytes| {
            format!("{:.0} GiB", kibibytes / f64::from(1 << 20))
        });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}: {cores} cores ({}), {memory} of memory, Linux {}; load before the run {}\n",
        chrono::Utc::now().format("%Y-%m-%d %H:%M UTC"),
        after(read("/proc/cpuinfo"), "model name"),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg")
            .split_whitespace()
            .next()
            .unwrap_or("unknown"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_of_the_sample() {
        let mut sample = Sample::default();
        for value in (1..=100).rev() {
            sample.push_signed(f64::from(value));
        }
        assert_eq!(sample.median(), Ok(50.0));
        assert_eq!(sample.percentile(0.99), Ok(99.0));
        assert_eq!(sample.spread(), Ok([1.0, 25.0, 75.0, 100.0]));
        assert!(Sample::default().median().is_err());
    }

    #[test]
    fn times_are_printed_in_the_unit_that_fits() {
        assert_eq!(time(412.4), "412 µs");
        assert_eq!(time(-80.0), "-80 µs");
        assert_eq!(time(3_100.0), "3.10 ms");
        assert_eq!(time(1_250_000.0), "1.25 s");
    }
}
