//! The index that all types of things share; triggers keep it (`migrations/*/0011_search.sql`).

use std::collections::BTreeSet;

use callboard_actors::model::search::Kind;
use uuid::Uuid;

use super::{Found, RANKED, read};
use crate::store::convert::word;
use crate::store::words::key;
use crate::store::{Conn, Result};

/// Things whose texts are in memory at a time.
const AT_ONCE: usize = 20;

/// Those of these types that match: the ones that were changed last, and the ones that are called so, which an old
/// mention of the same words in many others must not push out.
pub(super) async fn look(
    conn: &mut Conn,
    kinds: &[Kind],
    database: &str,
    found: &mut Found<'_>,
) -> Result<()> {
    let mut query = found.query.clone();
    query.with_key(kinds.iter().map(|kind| key('t', kind.as_str())));
    let mut ids = BTreeSet::new();
    for query in [query.in_names(), query] {
        ids.extend(newest(conn, &query.spelt_for(database)).await?);
    }
    for kind in kinds {
        let ids = ids.iter().filter(|(one, _)| one == kind);
        let ids: Vec<Uuid> = ids.map(|(_, id)| *id).collect();
        for ids in ids.chunks(AT_ONCE) {
            for thing in read(conn, *kind, ids).await? {
                found.add(thing);
            }
        }
    }
    Ok(())
}

async fn newest(conn: &mut Conn, query: &str) -> Result<Vec<(Kind, Uuid)>> {
    let text = by_database!(
        conn,
        sqlite: "SELECT search.type, search.id
                 FROM search_words CROSS JOIN search ON search.number = search_words.rowid
                 WHERE search_words.words MATCH $1 ORDER BY search_words.rowid DESC LIMIT +$2",
        postgres: "SELECT type, id FROM search WHERE words @@ (SELECT $1::tsquery) ORDER BY number DESC LIMIT +$2",
    );
    let rows = sql!(conn, text, query, RANKED as i64 => all (String, Uuid))?;
    rows.into_iter()
        .map(|(kind, id)| Ok((word(&kind)?, id)))
        .collect()
}
