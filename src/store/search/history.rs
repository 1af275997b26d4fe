//! What is found in the history: as far as the reader may see it, by its own index.

use callboard_actors::model::activity::Activity;
use callboard_actors::model::search::Kind;

use super::{Found, RANKED, Thing};
use crate::store::activity::{self, Reader};
use crate::store::{Conn, Result};

pub(super) async fn look(
    conn: &mut Conn,
    database: &str,
    reader: Reader,
    found: &mut Found<'_>,
) -> Result<()> {
    let rows = activity::newest(conn, database, found.query, reader, RANKED).await?;
    rows.into_iter()
        .map(thing)
        .for_each(|thing| found.add(thing));
    Ok(())
}

/// It is called what it happened to, or what it is.
fn thing(row: Activity) -> Thing {
    Thing {
        kind: Kind::Activity,
        id: row.id,
        texts: activity::texts(&row),
        updated_at: row.created_at,
        title: row.resource_name.unwrap_or(row.action),
    }
}
