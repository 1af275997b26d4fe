//! What admins did that changes no row: a socket forced off. It goes on the Record all the same.

use std::sync::Arc;

use callboard_actors::model::event::Kind;
use callboard_actors::model::record::{Entry, NewEntry, Resource};
use callboard_actors::model::room::{Channel, Namespace};
use serde_json::Value;
use uuid::Uuid;

use super::convert::{json, no_nul, raw};
use super::{By, Result, Store};

/// Puts it on the Record: `what` was done to the resource, and the particulars.
pub async fn insert(
    store: &Store,
    what: &'static str,
    resource: Resource,
    mut data: serde_json::Map<String, Value>,
    by: By,
) -> Result<Arc<Entry>> {
    no_nul([("id", Some(resource.id.as_str()))])?;
    data.insert("action".into(), what.into());
    let now = store.now();
    let data = raw(json(&data)?)?;
    store
        .write(move |tx| {
            Box::pin(async move {
                tx.append(NewEntry {
                    id: Uuid::now_v7(),
                    at: now,
                    event: Kind::AdminAction.name().into(),
                    actor: by.user,
                    resource: Some(resource),
                    audience: vec![Channel::all(Namespace::Admin)],
                    data,
                    origin: by.origin,
                })
                .await
            })
        })
        .await
}
