//! HEAD and OPTIONS, which no resource has to know of: HEAD is what GET would answer, without the body; OPTIONS says
//! what an address takes.

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};

/// A GET of these has no end, or does something: a HEAD would hold a connection, or a poll.
const NO_HEAD: [&str; 3] = ["/api/v1/events", "/socket.io", "/ws"];

/// Before the router sees it.
pub fn lend(req: &mut ServiceRequest) {
    let path = req.path();
    if req.method() == Method::HEAD && !NO_HEAD.iter().any(|start| path.starts_with(start)) {
        // The dispatcher remembers what was asked, and leaves the body away.
        req.head_mut().method = Method::GET;
    }
}

/// What the router refused.
pub fn settle(asked: &Method, mut response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let path = response.request().path().to_owned();
    if let Some(allow) = response.headers_mut().get_mut(header::ALLOW)
        && !NO_HEAD.iter().any(|start| path.starts_with(start))
        && let Some(more) = allow.to_str().ok().map(with_head)
        && let Ok(more) = HeaderValue::from_str(&more)
    {
        *allow = more;
    }
    if asked == Method::OPTIONS {
        *response.response_mut().status_mut() = StatusCode::NO_CONTENT;
        return response.map_body(|_, _| BoxBody::new(()));
    }
    response
}

fn with_head(allow: &str) -> String {
    allow.replace("GET", "GET, HEAD")
}
