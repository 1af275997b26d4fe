//! What the caller wants to be told of, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value};

use callboard_actors::model::notification::{FOLDED, is_type};
use callboard_actors::model::preferences::{MOST_TYPES, PreferencesPatch, QuietPatch};
use callboard_actors::model::quiet_hours::Day;

use crate::error::ApiError;
use crate::http::call::{Answer, Call};
use crate::http::fields::{Body, Fields};
use crate::store::notifications::preferences;

pub fn routes(scope: &mut web::ServiceConfig) {
    scope.service(
        web::resource("/notifications/preferences")
            .route(web::get().to(show))
            .route(web::post().to(change)),
    );
}

async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.no_query()?;
    let held = preferences::get(&call.state.store, call.who.user.id).await?;
    Answer::ok(held).respond()
}

/// What is absent stays as it is, what is null is cleared.
async fn change(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.no_query()?;
    let mut body = body.fields()?;
    let patch = PreferencesPatch {
        muted_types: body
            .read("muted_types", muted_types)
            .into_change()
            .map(Option::unwrap_or_default),
        types: body.read("types", types).into_change(),
        quiet_hours: quiet_hours(&mut body),
        hourly_limit: body
            .integer("hourly_limit", 1, 1_000_000)
            .into_change()
            .map(|limit| limit.and_then(|limit| limit.try_into().ok())),
    };
    body.finish()?;
    let (store, user) = (&call.state.store, call.who.user.id);
    let (held, entry) = preferences::change(store, user, patch, call.by()).await?;
    if let Some(entry) = entry {
        call.state.announce(entry);
    }
    Answer::ok(held).message("Preferences saved").respond()
}

fn muted_types(value: Value) -> Result<BTreeSet<String>, String> {
    let Value::Array(values) = value else {
        return Err("must be a list of types".into());
    };
    let types = values
        .into_iter()
        .map(|value| match value {
            Value::String(name) => name_of(name),
            _ => Err("must be a list of types".into()),
        })
        .collect::<Result<BTreeSet<_>, _>>()?;
    few(types.len()).map(|()| types)
}

fn types(value: Value) -> Result<BTreeMap<String, Option<bool>>, String> {
    let Value::Object(values) = value else {
        return Err("must be an object of types".into());
    };
    few(values.len())?;
    let wanted = |(name, value): (String, Value)| match value {
        Value::Null => Ok((name_of(name)?, None)),
        Value::Bool(wanted) => Ok((name_of(name)?, Some(wanted))),
        _ => Err("must say true, false or null of each type".to_owned()),
    };
    values.into_iter().map(wanted).collect()
}

fn few(count: usize) -> Result<(), String> {
    match count > MOST_TYPES {
        true => Err(format!("must not name more than {MOST_TYPES} types")),
        false => Ok(()),
    }
}

/// A type that can be muted.
fn name_of(name: String) -> Result<String, String> {
    match name.as_str() {
        FOLDED => Err(format!(
            "`{FOLDED}` stands for others and cannot be muted; mute those"
        )),
        name if !is_type(name) => {
            Err("a type has 1 to 64 characters of a-z 0-9 _ : . -".to_owned())
        }
        _ => Ok(name),
    }
}

fn quiet_hours(body: &mut Fields) -> Option<Option<QuietPatch>> {
    let mut given = match body.object("quiet_hours").into_change()? {
        None => return Some(None),
        Some(given) => given,
    };
    let patch = QuietPatch {
        start: word(body, &mut given, "start"),
        end: word(body, &mut given, "end"),
        time_zone: word(body, &mut given, "time_zone"),
        days: days(body, &mut given),
    };
    for name in given.keys().take(20) {
        let name: String = name.chars().take(100).collect();
        body.error(&format!("quiet_hours.{name}"), "is not known here");
    }
    Some(Some(patch))
}

/// A member that is one of a closed set of words.
fn word<T: FromStr<Err = String>>(
    body: &mut Fields,
    given: &mut Map<String, Value>,
    name: &str,
) -> Option<T> {
    let read = match given.shift_remove(name)? {
        Value::String(text) => text.parse(),
        Value::Null => Err("must not be null".to_owned()),
        _ => Err("must be text".to_owned()),
    };
    read.map_err(|message| body.error(&format!("quiet_hours.{name}"), message))
        .ok()
}

fn days(body: &mut Fields, given: &mut Map<String, Value>) -> Option<Option<Vec<Day>>> {
    let wrong = || "must be a list of mon, tue, wed, thu, fri, sat, sun".to_owned();
    let read = match given.shift_remove("days")? {
        Value::Null => return Some(None),
        Value::Array(days) if (1..=Day::ALL.len()).contains(&days.len()) => days
            .iter()
            .map(|day| day.as_str().ok_or_else(wrong)?.parse())
            .collect::<Result<Vec<Day>, String>>(),
        _ => Err(wrong()),
    };
    read.map_err(|message| body.error("quiet_hours.days", message))
        .ok()
        .map(Some)
}
