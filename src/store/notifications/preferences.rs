//! What a user wants to be told of; each change is on the Record, for that user alone.

use std::sync::Arc;

use callboard_actors::model::episode::changes;
use callboard_actors::model::event::Kind;
use callboard_actors::model::preferences::{Incomplete, Preferences, PreferencesPatch};
use callboard_actors::model::record::{Entry, NewEntry, Resource};
use callboard_actors::model::room::{Channel, Namespace, Room};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::waiting;
use crate::store::convert::{json as text, micros, parse, raw};
use crate::store::{Appended, By, Result, Store, StoreError, Tx};

/// Who has never said anything has the default.
pub async fn get(store: &Store, user_id: Uuid) -> Result<Preferences> {
    let mut conn = store.read().await?;
    let row = sql!(
        &mut conn,
        "SELECT preferences FROM notification_preferences WHERE user_id = $1", user_id => optional (String,)
    )?;
    row.map_or_else(|| Ok(Preferences::default()), |(held,)| parse(&held))
}

/// Changes them. One that changes nothing puts nothing on the Record.
pub async fn change(
    store: &Store,
    user_id: Uuid,
    patch: PreferencesPatch,
    by: By,
) -> Result<(Preferences, Option<Arc<Entry>>)> {
    let now = store.now();
    let (held, appended) = store
        .write(move |tx| Box::pin(apply(tx, user_id, patch, now, by)))
        .await?;
    Ok((held, appended.map(|appended| appended.entry())))
}

async fn apply(
    tx: &mut Tx,
    user_id: Uuid,
    patch: PreferencesPatch,
    now: DateTime<Utc>,
    by: By,
) -> Result<(Preferences, Option<Appended>)> {
    // The row is there before it is looked at, so that it can be locked.
    sql!(
        tx,
        "INSERT INTO notification_preferences (user_id, preferences, updated_at) VALUES ($1, '{}', $2)
         ON CONFLICT (user_id) DO NOTHING",
        user_id, micros(now) => execute
    )?;
    let select = locked!(
        tx,
        "SELECT preferences FROM notification_preferences WHERE user_id = $1"
    );
    let (held,) = sql!(tx, select, user_id => one (String,))?;
    let old: Preferences = parse(&held)?;
    let mut new = old.clone();
    patch
        .apply(&mut new)
        .map_err(|Incomplete| StoreError::Invalid {
            field: "quiet_hours",
            reason: "must have start, end and time_zone",
        })?;
    if new.types.len() > callboard_actors::model::preferences::MOST_TYPES {
        return Err(StoreError::Invalid {
            field: "types",
            reason: "must not name more than 200 types",
        });
    }
    if new == old {
        return Ok((old, None));
    }
    sql!(
        tx,
        "UPDATE notification_preferences SET preferences = $2, updated_at = $3 WHERE user_id = $1",
        user_id, &text(&new)?, micros(now) => execute
    )?;
    if new.quiet_hours != old.quiet_hours {
        let quiet = new.quiet_hours.as_ref();
        let until = quiet.and_then(|quiet| quiet.until(now));
        waiting::postpone(tx, user_id, until.unwrap_or(now)).await?;
    }
    let appended = append(tx, user_id, &old, &new, now, by)?;
    Ok((new, Some(appended)))
}

fn append(
    tx: &mut Tx,
    user_id: Uuid,
    old: &Preferences,
    new: &Preferences,
    at: DateTime<Utc>,
    by: By,
) -> Result<Appended> {
    let (old, new) = (json!(old), json!(new));
    let mut data = new.clone();
    data["user_id"] = json!(user_id);
    data["changes"] = Value::Object(changes(&old, &new));
    tx.append(NewEntry {
        id: Uuid::now_v7(),
        at,
        event: Kind::PreferencesUpdated.name().into(),
        actor: by.user,
        resource: Some(Resource {
            kind: "preferences".into(),
            id: user_id.to_string(),
        }),
        audience: vec![Channel::room(Namespace::Feed, Room::User(user_id))],
        data: raw(text(&data)?)?,
        origin: by.origin,
    })
}
