//! What a row of the history is found by: the words of its name, action, user, type, changed fields and values, in this
//! order, as far as there is room. Beside them stand its keys (who may see it, the action, the type and the thing, the
//! user), so that a rare filter makes a frequent word cheap.

use callboard_actors::model::activity::Activity;
use callboard_actors::model::policy::SeenBy;
use uuid::Uuid;

use super::read::Filter;
use crate::store::words::{Document, Query, Room, Texts, key};

pub fn texts(row: &Activity) -> Texts {
    let user = row.user.as_ref().map(|user| &*user.name);
    let mut texts = Texts::of(row.resource_name.as_deref(), Room::SMALL);
    texts.add(4, Some(&row.action));
    texts.add(4, user);
    texts.add(2, row.resource_type.as_deref());
    let particulars = [&row.changes, &row.metadata].into_iter().flatten();
    for json in particulars.filter_map(|json| serde_json::from_str(json.get()).ok()) {
        texts.add_json(&json);
    }
    texts
}

/// As the index takes it in.
pub fn document(row: &Activity) -> Document {
    let mut document = Document::of(&texts(row));
    document.key(seen_by(row.seen_by()));
    document.key(key('a', &row.action));
    if let Some(kind) = &row.resource_type {
        document.key(key('t', kind));
    }
    if let Some(id) = &row.resource_id {
        document.key(key('r', id));
    }
    if let Some(user) = &row.user {
        document.key(key('u', &hex(user.id)));
    }
    document
}

/// The query with the filters for which rows have keys. Times have none: they are bounds of `seq`. An id says of what type
/// the thing is; to look for a key that most rows have would only cost.
pub fn narrowed(query: &Query, filter: &Filter) -> Query {
    let mut query = query.clone();
    if let Some(action) = &filter.action {
        query.with_key([key('a', action)]);
    }
    match (&filter.resource_type, &filter.resource_id) {
        (_, Some(id)) => query.with_key([key('r', id)]),
        (Some(kind), None) => query.with_key([key('t', kind)]),
        (None, None) => {}
    }
    if let Some(user) = filter.user_id {
        query.with_key([key('u', &hex(user))]);
    }
    query
}

/// Of rows that these see.
pub fn seen_by(seen_by: SeenBy) -> String {
    key('s', &hex(super::seen_by_id(seen_by)))
}

fn hex(id: Uuid) -> String {
    id.simple().to_string()
}
