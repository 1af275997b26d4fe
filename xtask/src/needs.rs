//! What the tests need on the machine: on Debian and Ubuntu it is installed, elsewhere one is told what to install.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{self, ask};
use crate::{Result, postgres};

/// Something that has to be there: how it is seen, its Debian package, and what to say elsewhere.
struct Need {
    name: &'static str,
    packages: &'static [&'static str],
    present: fn() -> bool,
}

/// A server that the tests start for themselves is a row here and a module like `postgres`.
const NEEDS: &[Need] = &[
    Need {
        name: "make, with which the allocator is built",
        packages: &["make"],
        present: || find("make").is_some(),
    },
    Need {
        name: "the server programs of PostgreSQL 15 or later (initdb, postgres)",
        packages: &["postgresql"],
        present: || postgres::programs().is_some(),
    },
    Need {
        name: "Python 3.10 or later with venv and pip",
        packages: &["python3", "python3-venv"],
        present: || ask("python3", &["-c", "import ensurepip, venv"]).is_some(),
    },
];

/// Sees to it that everything is there, or says all that is missing at once.
pub fn meet() -> Result<()> {
    node()?;
    rust_components()?;
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if find("apt-get").is_some() {
        step::heading("installing what the tests need");
        apt_install(&missing)?;
    }
    let still: Vec<&str> = missing
        .iter()
        .filter(|need| !(need.present)())
        .map(|need| need.name)
        .collect();
    if still.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "please install, then run this again:\n  {}",
            still.join("\n  ")
        ))
    }
}

/// Where a program is on the PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Whether we are root: what we start must then be run as somebody else, and `apt-get` needs no `sudo`.
pub fn is_root() -> bool {
    ask("id", &["-u"]).as_deref() == Some("0")
}

fn node() -> Result<()> {
    let version = ask("node", &["--version"]).unwrap_or_default();
    let major: u32 = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    if major >= 18 && find("npm").is_some() {
        Ok(())
    } else {
        Err(format!(
            "Node.js 18 or later with npm is needed (found {version:?}): https://nodejs.org"
        ))
    }
}

fn rust_components() -> Result<()> {
    for (program, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if ask("cargo", &[program, "--version"]).is_none() {
            step::run(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    Ok(())
}

fn apt_install(missing: &[&Need]) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut command = if is_root() {
            Command::new("apt-get")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "apt-get"]);
            sudo
        };
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(arguments);
        step::run(&mut command)
    };
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| need.packages)
        .copied()
        .collect();
    apt(&["update", "--quiet"])?;
    // Debian's package makes and starts a database of its own. Nobody asked for that one.
    let no_cluster = packages.contains(&"postgresql") && is_root();
    let setting = Path::new("/etc/postgresql-common/createcluster.d/callboard-tests.conf");
    if no_cluster {
        apt(&[
            "install",
            "--yes",
            "--quiet",
            "--no-install-recommends",
            "postgresql-common",
        ])?;
        if let Some(folder) = setting.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        let _ = std::fs::write(setting, "create_main_cluster = false\n");
    }
    let mut install = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    install.extend(packages);
    let outcome = apt(&install);
    if no_cluster {
        let _ = std::fs::remove_file(setting);
    }
    outcome
}
