//! The programs of others that the tests drive: the stock Socket.IO clients (npm's `socket.io-client`, PyPI's
//! `python-socketio`), PyPI's `schemathesis`, and npm's parser of AsyncAPI, at the versions that the repository pins.
//! Done once; done again only when a pin has moved.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Result, root, step, tools};

/// Brings them all, under a lock: several test binaries may ask at the same time.
pub fn prepare() -> Result<()> {
    fs::create_dir_all(tools())
        .map_err(|error| format!("cannot make {}: {error}", tools().display()))?;
    let lock = fs::File::create(tools().join("clients.lock"))
        .map_err(|error| format!("cannot lock .tools: {error}"))?;
    lock.lock()
        .map_err(|error| format!("cannot lock .tools: {error}"))?;
    let folder = root().join("tests/clients");
    npm(&folder.join("node"), "the Node clients")?;
    npm(&folder.join("asyncapi"), "the parser of AsyncAPI")?;
    python("python", "the Python clients")?;
    python("schemathesis", "schemathesis")
}

/// The server that the benchmarks compare with.
pub fn node_peer() -> Result<()> {
    npm(&root().join("bench/peers/node"), "socket.io, the server")
}

fn npm(folder: &Path, what: &str) -> Result<()> {
    let stamp = folder.join("node_modules/.callboard-stamp");
    once_for(&folder.join("package-lock.json"), &stamp, || {
        step::heading(&format!("fetching {what}"));
        step::run(
            Command::new("npm")
                .arg("ci")
                // None of them needs one, and one of them reports home.
                .args(["--no-audit", "--no-fund", "--ignore-scripts"])
                .current_dir(folder),
        )
    })
}

/// What `tests/clients/NAME` pins, into an environment of its own.
fn python(name: &str, what: &str) -> Result<()> {
    let folder = tools().join(name);
    let pins = root()
        .join("tests/clients")
        .join(name)
        .join("requirements.txt");
    once_for(&pins, &folder.join("callboard-stamp"), || {
        step::heading(&format!("fetching {what}"));
        step::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )?;
        step::run(
            Command::new(folder.join("bin/python"))
                .args(["-m", "pip", "install", "--quiet", "--requirement"])
                .arg(&pins),
        )
    })
}

/// Runs `work` unless it was done for exactly these pins before.
fn once_for(pins: &Path, stamp: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let wanted = fs::read_to_string(pins)
        .map_err(|error| format!("cannot read {}: {error}", pins.display()))?;
    if fs::read_to_string(stamp).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    work()?;
    fs::write(stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))
}
