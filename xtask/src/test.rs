//! `cargo xtask test`: everything that must hold, on every database, from a fresh clone.
//!
//! Every step is run even when an earlier one failed (but for a build that failed), so that one run tells all. The last
//! line is `N passed, M failed`, summed over what the test binaries report; a run that ran nothing has failed.

use std::process::Command;

use crate::{Result, bench, clients, needs, postgres, root, step};

/// The tests that take long: in a module of this name, run by themselves.
const LONG: &str = "long::";

/// Those of them that compare times: one after the other.
const TIMED: &str = "long::timed::";

#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    /// Steps that are no tests: format, clippy, the build, a test binary that died.
    broken: Vec<String>,
}

/// Runs it all. `Err` is what is printed as the last line.
pub fn run(arguments: &[String]) -> Result<()> {
    let quick = match arguments {
        [] => false,
        [flag] if flag == "--quick" => true,
        _ => return Err("usage: cargo xtask test [--quick]".to_owned()),
    };
    needs::meet()?;
    clients::prepare()?;
    let (postgres_url, server) = postgres::given_or_started()?;

    let mut tally = Tally::default();
    tally.check("format", cargo(&["fmt", "--all", "--check"]));
    tally.check(
        "clippy",
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]),
    );
    // Built as `cargo test` builds it, programs and examples included: another choice of packages or targets
    // means other features, and every dependency a second time.
    if tally.check("build", cargo(&["test", "--workspace", "--no-run"])) {
        // They wait more than they work, so that twice as many at once take two thirds of the time. Of more than eight,
        // PostgreSQL might not have the connections.
        let threads = (2 * cores()).min(8).to_string();
        let mut all = cargo(&["test", "--workspace", "--no-fail-fast", "--"]);
        all.args(["--skip", LONG, "--test-threads", &threads]);
        tally.tests("tests", all.env(postgres::URL_VARIABLE, &postgres_url));
        if !quick {
            let long = |threads: usize| {
                let mut long = cargo(&["test", "--workspace", "--test", "server", "--"]);
                long.args(["--show-output", "--test-threads"])
                    .arg(threads.to_string())
                    .env(postgres::URL_VARIABLE, &postgres_url);
                long
            };
            tally.tests("tests that compare times", long(1).arg(TIMED));
            let mut others = long(cores());
            tally.tests("long tests", others.args([LONG, "--skip", TIMED]));
        }
    }
    benchmarks(&mut tally, &postgres_url)?;
    drop(server);
    tally.conclude()
}

/// Benchmarks are no tests: it is only seen that they compile and run. What they are compared with is a workspace of its
/// own, built without optimisation here.
fn benchmarks(tally: &mut Tally, postgres_url: &str) -> Result<()> {
    tally.check("format of the peers", bench::peers_format());
    let lints = ["--all-targets", "--", "--deny", "warnings"];
    tally.check("clippy on the peers", bench::peers("clippy", &lints)?);
    if tally.check("build of the peers", bench::peers("build", &[])?) {
        clients::node_peer()?;
        let programs = bench::target()?.join("debug");
        let mut quick = Command::new(programs.join("bench"));
        quick
            .args(["all", "--quick"])
            .current_dir(root())
            .env(postgres::URL_VARIABLE, postgres_url);
        tally.check("benchmarks, a quick run", quick);
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

impl Tally {
    fn check(&mut self, name: &str, mut command: Command) -> bool {
        step::heading(name);
        let outcome = step::run(&mut command);
        if outcome.is_err() {
            self.broken.push(name.to_owned());
        }
        outcome.is_ok()
    }

    fn tests(&mut self, name: &str, command: &mut Command) {
        step::heading(name);
        let (mut passed, mut failed) = (0, 0);
        let outcome = step::run_reading(command, |line| {
            if let Some((more_passed, more_failed)) = counts(line) {
                passed += more_passed;
                failed += more_failed;
            }
        });
        if outcome.is_err() && failed == 0 {
            self.broken
                .push(format!("{name} (did not compile, or a test binary died)"));
        }
        if passed + failed == 0 {
            self.broken.push(format!("{name} (none ran)"));
        }
        self.passed += passed;
        self.failed += failed;
    }

    fn conclude(self) -> Result<()> {
        println!();
        for step in &self.broken {
            println!("failed: {step}");
        }
        let summary = format!(
            "{} passed, {} failed",
            self.passed,
            self.failed + self.broken.len() as u64
        );
        if self.failed == 0 && self.broken.is_empty() && self.passed > 0 {
            println!("{summary}");
            Ok(())
        } else {
            Err(summary)
        }
    }
}

/// The numbers of libtest's line `test result: ok. 3 passed; 0 failed; …`.
fn counts(line: &str) -> Option<(u64, u64)> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut words = numbers.split("; ").map(|part| part.split_once(' '));
    let (passed, _) = words.next()??;
    let (failed, _) = words.next()??;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_are_read_from_the_line_that_libtest_prints() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s";
        assert_eq!(counts(line), Some((12, 3)));
        assert_eq!(counts("running 3 tests"), None);
        assert_eq!(counts("test result: what is this"), None);
    }

    #[test]
    fn a_run_without_a_single_test_has_failed() {
        assert_eq!(
            Tally::default().conclude(),
            Err("0 passed, 0 failed".to_owned())
        );
        assert_eq!(
            Tally {
                passed: 1,
                ..Tally::default()
            }
            .conclude(),
            Ok(())
        );
    }

    #[test]
    fn a_step_that_broke_counts_as_a_failure() {
        let tally = Tally {
            passed: 9,
            failed: 0,
            broken: vec!["clippy".to_owned()],
        };
        assert_eq!(tally.conclude(), Err("9 passed, 1 failed".to_owned()));
    }
}
