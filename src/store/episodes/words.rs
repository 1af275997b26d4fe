//! The words of rows that earlier versions of the program wrote, which knew nothing of them.

use serde::Serialize;

use super::rows::{Row, columns};
use crate::store::convert::json;
use crate::store::{Result, Store, Tx, search};

/// Rows whose words one transaction makes.
const BATCH: i64 = 200;

#[derive(Serialize)]
struct Worded {
    id: String,
    words: String,
}

/// Makes the words of rows that have none. Gives how many those were.
pub async fn derive_words(store: &Store) -> Result<u64> {
    let mut done = 0;
    loop {
        let database = store.kind();
        let derived = store
            .write(move |tx| Box::pin(async move { derive_some(tx, database).await }))
            .await?;
        if derived == 0 {
            return Ok(done);
        }
        done += derived;
    }
}

async fn derive_some(tx: &mut Tx, database: &str) -> Result<u64> {
    let text = locked!(
        tx,
        "SELECT ",
        columns!(),
        " FROM episodes WHERE words IS NULL ORDER BY updated_at LIMIT +$1"
    );
    let rows = sql!(tx, text, BATCH => all Row)?;
    let mut worded = Vec::with_capacity(rows.len());
    for row in rows {
        let episode = row.episode()?;
        worded.push(Worded {
            id: episode.id.simple().to_string(),
            words: search::episodes::document(&episode.fields).spelt_for(database),
        });
    }
    let text = by_database!(
        tx,
        sqlite: "UPDATE episodes SET words = new.value->>'words'
                 FROM json_each($1) AS new WHERE episodes.id = unhex(new.value->>'id')",
        postgres: "UPDATE episodes SET words = new.words
                   FROM json_to_recordset($1::json) AS new (id uuid, words tsvector) WHERE episodes.id = new.id",
    );
    sql!(tx, text, json(&worded)? => execute)?;
    Ok(worded.len() as u64)
}
