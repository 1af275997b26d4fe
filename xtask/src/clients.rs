//! The stock Socket.IO clients that the tests drive: npm's `socket.io-client` and PyPI's `python-socketio`, at the
//! versions that the repository pins. Done once; done again only when a pin has moved.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Result, root, step, tools};

/// Brings both, under a lock: several test binaries may ask at the same time.
pub fn prepare() -> Result<()> {
    fs::create_dir_all(tools())
        .map_err(|error| format!("cannot make {}: {error}", tools().display()))?;
    let lock = fs::File::create(tools().join("clients.lock"))
        .map_err(|error| format!("cannot lock .tools: {error}"))?;
    lock.lock()
        .map_err(|error| format!("cannot lock .tools: {error}"))?;
    node()?;
    python()
}

fn node() -> Result<()> {
    npm(&root().join("tests/clients/node"), "the Node clients")
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
                .args(["--no-audit", "--no-fund"])
                .current_dir(folder),
        )
    })
}

fn python() -> Result<()> {
    let folder = tools().join("python");
    let pins = root().join("tests/clients/python/requirements.txt");
    once_for(&pins, &folder.join("callboard-stamp"), || {
        step::heading("fetching the Python clients");
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
