//! The history as a file, oldest first, as it is read.

use actix_web::http::header::{ContentDisposition, DispositionParam, DispositionType};
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;

use callboard_actors::model::policy::Action;

use super::{filter, reader};
use crate::error::ApiError;
use crate::export::Format;
use crate::http::call::Call;
use crate::store::activity::Export;

pub fn routes(scope: &mut web::ServiceConfig) {
    scope.service(web::resource("/activity/export").route(web::get().to(export)));
}

/// What the caller may see. A failure on the way ends the connection, so that half an answer does not look like a whole
/// one; whoever has read up to a `seq` goes on behind it.
async fn export(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ReadActivity)?;
    let mut query = call.query();
    let format = query.parsed::<Format>("format", "ndjson or csv");
    let format = format.unwrap_or(Format::Ndjson);
    let after = query.integer("after", 0, i64::MAX).unwrap_or(0);
    let mut filter = filter(&mut query);
    filter.resource_id = query.text("resource_id", 200);
    query.finish()?;
    let after = u64::try_from(after).unwrap_or(0);
    let export = Export::begin(&call.state.store, filter, reader(&call), after).await?;
    let start = match after {
        0 => format.header(),
        _ => String::new(),
    };
    // One page is read when the last one has left.
    let pages = stream::try_unfold((export, start), move |(mut export, mut text)| async move {
        loop {
            let Some(rows) = export.next().await.map_err(cut_off)? else {
                let last = (!text.is_empty()).then(|| (Bytes::from(text), (export, String::new())));
                return Ok::<_, std::io::Error>(last);
            };
            for row in &rows {
                format.write(row, &mut text).map_err(cut_off)?;
            }
            if !text.is_empty() {
                return Ok(Some((Bytes::from(text), (export, String::new()))));
            }
        }
    });
    Ok(HttpResponse::Ok()
        .content_type(format.content_type())
        .insert_header(ContentDisposition {
            disposition: DispositionType::Attachment,
            parameters: vec![DispositionParam::Filename(format!("activity.{format}"))],
        })
        .streaming(Box::pin(pages)))
}

fn cut_off(error: impl std::fmt::Display) -> std::io::Error {
    tracing::warn!(%error, "an export was cut off");
    std::io::Error::other(error.to_string())
}
