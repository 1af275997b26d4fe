//! Secrets that the program makes for itself and keeps in a file of the data folder.

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use uuid::Uuid;

/// Why a key cannot be used; a line for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub(super) String);

/// The secret in this file; the first start makes it, readable by nobody else. `price`: what another one would cost.
pub fn kept_secret(path: &Path, price: &str) -> Result<Vec<u8>, KeyError> {
    let fail = |what: &str, error: std::io::Error| {
        KeyError(format!("{} cannot be {what}: {error}", path.display()))
    };
    match fs::read(path) {
        Ok(text) => return long_enough(path, text, price),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail("read", error)),
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| fail("made", error))?;
    }
    let secret: String = (0..64)
        .map(|_| char::from(b"0123456789abcdef"[rand::rng().random_range(0..16)]))
        .collect();
    // Written whole under another name, then linked: two servers that start at once agree on one,
    // and a crash in between leaves no half secret.
    let draft = path.with_extension(format!("{}.tmp", Uuid::new_v4()));
    write_private(&draft, &secret).map_err(|error| fail("written", error))?;
    let linked = fs::hard_link(&draft, path);
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => Ok(secret.into_bytes()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let text = fs::read(path).map_err(|error| fail("read", error))?;
            long_enough(path, text, price)
        }
        Err(error) => Err(fail("written", error)),
    }
}

fn long_enough(path: &Path, text: Vec<u8>, price: &str) -> Result<Vec<u8>, KeyError> {
    match text.trim_ascii() {
        secret if secret.len() >= 32 => Ok(secret.to_vec()),
        _ => Err(KeyError(format!(
            "{} holds less than 32 bytes; delete it to have a new one made ({price})",
            path.display()
        ))),
    }
}

#[cfg(unix)]
fn write_private(path: &PathBuf, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(not(unix))]
fn write_private(path: &PathBuf, text: &str) -> std::io::Result<()> {
    fs::write(path, text)
}
