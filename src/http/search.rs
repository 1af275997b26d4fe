//! Looking for words in everything.

use actix_web::{HttpResponse, web};

use callboard_actors::model::page::Page;
use callboard_actors::model::policy::Action;
use callboard_actors::model::search::Kind;

use super::activity::reader;
use super::call::{Call, list};
use crate::error::ApiError;
use crate::store::search;
use crate::store::words::Query;

/// Characters of a search.
const LONGEST: usize = 200;

pub fn routes(scope: &mut web::ServiceConfig) {
    scope.service(web::resource("/search").route(web::get().to(find)));
}

async fn find(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::Search)?;
    let mut query = call.query();
    let (limit, cursor) = query.page();
    let kind = query.parsed::<Kind>("type", "episode, composition, file or activity");
    let q = query.needed("q", LONGEST);
    query.finish()?;
    let Some(asked) = q.and_then(|text| Query::parse(&text)) else {
        // No word is in nothing.
        return list(Page::<()>::empty(), limit);
    };
    let (store, reader) = (&call.state.store, reader(&call));
    let rows = search::search(store, &asked, kind, limit, cursor.as_deref(), reader).await?;
    list(rows, limit)
}
