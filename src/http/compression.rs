//! Answers are compressed as the client likes it (br, gzip, zstd), but not what is small: that would only become larger.

use actix_web::Error;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::middleware::Next;

/// What fits into one packet as it is gains nothing.
const LEAST: u64 = 1_024;

const AS_IT_IS: HeaderValue = HeaderValue::from_static("identity");

/// The middleware, within actix's `Compress`, which leaves alone what has an encoding.
pub async fn spare_the_small<B: MessageBody>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut response = next.call(req).await?;
    let size = response.response().body().size();
    let small = matches!(size, BodySize::Sized(bytes) if bytes < LEAST);
    if small || is_stream(response.headers()) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, AS_IT_IS);
    }
    Ok(response)
}

/// Events must leave at once, not when a block is full.
fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Takes the mark away again.
pub fn unmark(headers: &mut HeaderMap) {
    if headers.get(header::CONTENT_ENCODING) == Some(&AS_IT_IS) {
        headers.remove(header::CONTENT_ENCODING);
    }
}
