//! What admins did that changes no row: a socket forced off, an event of their own sent. It goes on the Record all the
//! same.

use std::sync::Arc;

use callboard_actors::model::event::Kind;
use callboard_actors::model::record::{Entry, NewEntry, Resource};
use callboard_actors::model::room::{Channel, Namespace};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::convert::{json, no_nul, raw};
use super::{By, Result, Store};

/// `what` was done, to which resource if to one, and the particulars.
pub struct AdminAction {
    pub what: &'static str,
    pub resource: Option<Resource>,
    pub data: Map<String, Value>,
}

/// Puts it on the Record.
pub async fn insert(store: &Store, action: AdminAction, by: By) -> Result<Arc<Entry>> {
    let [entry] = store.record([entry(store, action, by)?]).await?;
    Ok(entry)
}

/// Puts an event that an admin sends on the Record, and behind it that the admin did so. Gives both.
pub async fn insert_with_event(
    store: &Store,
    event: NewEntry,
    action: AdminAction,
    by: By,
) -> Result<[Arc<Entry>; 2]> {
    store.record([event, entry(store, action, by)?]).await
}

fn entry(store: &Store, action: AdminAction, by: By) -> Result<NewEntry> {
    let AdminAction {
        what,
        resource,
        mut data,
    } = action;
    let id = resource.as_ref().map(|resource| resource.id.as_str());
    no_nul([("id", id)])?;
    data.insert("action".into(), what.into());
    Ok(NewEntry {
        id: Uuid::now_v7(),
        at: store.now(),
        event: Kind::AdminAction.name().into(),
        actor: by.user,
        resource,
        audience: vec![Channel::all(Namespace::Admin)],
        data: raw(json(&data)?)?,
        origin: by.origin,
    })
}
