//! Keys that all nodes share and that outlive a restart.

use super::{Result, Store, StoreError};

/// The secret of this name: 32 random bytes, made by whichever node asks first.
pub async fn get_or_make(store: &Store, name: &'static str) -> Result<[u8; 32]> {
    let fresh: [u8; 32] = rand::random();
    let (value,) = store
        .write(move |tx| {
            Box::pin(async move {
                sql!(
                    tx,
                    "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
                    name, fresh.as_slice() => execute
                )?;
                sql!(tx, "SELECT value FROM secrets WHERE name = $1", name => one (Vec<u8>,))
            })
        })
        .await?;
    value
        .try_into()
        .map_err(|_| StoreError::Unavailable(format!("the secret `{name}` is not 32 bytes long")))
}
