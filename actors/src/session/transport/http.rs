//! Requests that ask for a session, and the answers to those that get none.

use actix_http::RequestHead;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use bytes::Bytes;
use std::net::SocketAddr;

use crate::session::application::{Answer, Cause, Refused, Visit};
use crate::wire::engineio;

/// Headers that say nothing about who visits; they are not kept for the life of a connection.
const NOISE: [&str; 14] = [
    "accept",
    "accept-encoding",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "pragma",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "upgrade",
];

/// What a request shows of its sender.
pub(in crate::session) fn visit(head: &RequestHead, peer: Option<SocketAddr>) -> Visit {
    let headers = head.headers().iter();
    let kept = headers.filter(|(name, _)| !NOISE.contains(&name.as_str()));
    Visit::new(
        head.uri.path(),
        head.uri.query().unwrap_or_default(),
        fitting(kept.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))),
        peer.map(|peer| peer.ip()),
    )
}

/// Bytes of headers that are kept for the life of a connection. HTTP takes more than a hundred kilobytes,
/// which would be what each idle connection costs if a client so wished.
const HEADERS: usize = 16 * 1024;

/// Bytes of a query, likewise: a token and some hundred rooms have their place in it.
pub(in crate::session) const QUERY: usize = 32 * 1024;

/// Those that fit, in their order.
fn fitting<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let mut left = HEADERS;
    headers.filter(move |(name, value)| {
        let after = left.checked_sub(name.len() + value.len());
        left = after.unwrap_or(left);
        after.is_some()
    })
}

/// One parameter of a raw query. Those of Engine.IO need no decoding.
pub(in crate::session) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// An answer to a request that gets no session.
#[derive(Debug)]
pub(in crate::session) struct Denied {
    pub cause: Cause,
    pub answer: Answer,
}

const CONTENT_TYPE: &str = "content-type";

impl Denied {
    fn json(cause: Cause, status: u16, body: String) -> Denied {
        Denied {
            cause,
            answer: Answer {
                status,
                headers: vec![(CONTENT_TYPE.into(), "application/json".into())],
                body,
            },
        }
    }

    /// Engine.IO's own errors, as the reference words them.
    fn coded(code: u8, message: &str) -> Denied {
        let body = format!(r#"{{"code":{code},"message":"{message}"}}"#);
        Denied::json(Cause::Protocol, 400, body)
    }

    pub fn unknown_transport() -> Denied {
        Denied::coded(0, "Transport unknown")
    }

    pub fn unknown_sid() -> Denied {
        Denied::coded(1, "Session ID unknown")
    }

    pub fn bad_method() -> Denied {
        Denied::coded(2, "Bad handshake method")
    }

    pub fn bad_request() -> Denied {
        Denied::coded(3, "Bad request")
    }

    pub fn unknown_version() -> Denied {
        Denied::coded(5, "Unsupported protocol version")
    }

    pub fn plain(status: u16, message: &str) -> Denied {
        Denied::json(
            Cause::Request,
            status,
            format!(r#"{{"message":"{message}"}}"#),
        )
    }

    /// A request that should have been one for a WebSocket.
    pub fn no_upgrade() -> Denied {
        Denied::plain(426, "Bad WebSocket request")
            .with_header("upgrade", "websocket")
            .with_header("sec-websocket-version", "13")
    }

    pub fn only_get() -> Denied {
        Denied::plain(405, "Method not allowed").with_header("allow", "GET")
    }

    fn with_header(mut self, name: &str, value: &str) -> Denied {
        self.answer.headers.push((name.into(), value.into()));
        self
    }

    /// Whoever passes it on finds its [`Cause`] with it.
    pub fn response(self) -> HttpResponse {
        let cause = self.cause;
        let Answer {
            status,
            headers,
            body,
        } = self.answer;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = HttpResponse::build(status);
        response.insert_header(("cache-control", "no-store"));
        for header in sound(&headers) {
            response.insert_header(header);
        }
        let mut response = response.body(body);
        response.extensions_mut().insert(cause);
        response
    }
}

impl Answer {
    /// The whole response, for a connection that has left HTTP's dispatcher.
    pub(in crate::session) fn bytes(&self) -> Bytes {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n",
            self.body.len()
        );
        let has = |wanted| sound(&self.headers).any(|(name, _)| name == wanted);
        if !has(header::CACHE_CONTROL) {
            head += "cache-control: no-store\r\n";
        }
        for (name, value) in sound(&self.headers) {
            if name != header::CONTENT_LENGTH && name != header::CONNECTION {
                // What is sound is no control character.
                let value = String::from_utf8_lossy(value.as_bytes());
                head.extend([name.as_str(), ": ", &*value, "\r\n"]);
            }
        }
        Bytes::from(format!("{head}\r\n{}", self.body))
    }
}

/// Those that can be sent: a header must not end early, whoever wrote the words.
fn sound(headers: &[(String, String)]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    headers.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = value.replace(['\r', '\n'], " ");
        Some((name, HeaderValue::from_str(&value).ok()?))
    })
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Denied {
        let (content_type, body) = refused.body.unwrap_or_else(|| {
            let message = serde_json::to_string(&refused.message).unwrap_or_default();
            (
                "application/json".into(),
                format!(r#"{{"message":{message}}}"#),
            )
        });
        let mut headers = refused.headers;
        headers.push((CONTENT_TYPE.into(), content_type));
        Denied {
            cause: Cause::Refused,
            answer: Answer {
                status: refused.status,
                headers,
                body,
            },
        }
    }
}

/// What a request to the engine's path wants.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::session) enum Wanted<'a> {
    Handshake,
    Session(&'a str),
}

/// Reads the query of a request to the engine's path that came over `transport`.
pub(in crate::session) fn wanted<'a>(
    query: &'a str,
    transport: &str,
) -> Result<Wanted<'a>, Denied> {
    if parameter(query, "EIO") != Some(engineio::PROTOCOL) {
        return Err(Denied::unknown_version());
    }
    if parameter(query, "transport") != Some(transport) {
        return Err(Denied::unknown_transport());
    }
    Ok(parameter(query, "sid").map_or(Wanted::Handshake, Wanted::Session))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_its_version_its_transport_and_its_session() {
        let polling = |query| wanted(query, "polling").map_err(|denied| denied.answer.body);
        assert_eq!(polling("EIO=4&transport=polling"), Ok(Wanted::Handshake));
        assert_eq!(
            polling("t=x&EIO=4&transport=polling&sid=abc"),
            Ok(Wanted::Session("abc"))
        );
        let unknown_version = r#"{"code":5,"message":"Unsupported protocol version"}"#;
        let unknown_transport = r#"{"code":0,"message":"Transport unknown"}"#;
        assert_eq!(polling("transport=polling").unwrap_err(), unknown_version);
        assert_eq!(
            polling("EIO=3&transport=polling").unwrap_err(),
            unknown_version
        );
        assert_eq!(polling("EIO=4").unwrap_err(), unknown_transport);
        assert_eq!(
            polling("EIO=4&transport=websocket").unwrap_err(),
            unknown_transport
        );
    }

    #[test]
    fn headers_that_are_kept_have_a_bound_and_a_long_one_does_not_push_out_the_others() {
        let long = "x".repeat(20_000);
        let kept = fitting([("host", "a"), ("cookie", &*long), ("origin", "b")].into_iter());
        let names: Vec<_> = kept.map(|(name, _)| name).collect();
        assert_eq!(names, ["host", "origin"]);
    }

    #[test]
    fn a_refusal_cannot_write_headers() {
        let denied = Denied::from(Refused {
            status: 401,
            message: "no".into(),
            data: None,
            body: Some(("text/plain\r\nx: y".into(), "hm".into())),
            headers: vec![
                ("retry-after".into(), "1\r\nx: y".into()),
                ("x\r\n".into(), "y".into()),
                ("connection".into(), "keep-alive".into()),
            ],
        });
        let bytes = denied.answer.bytes();
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{text}");
        assert!(!text.contains("\nx: y"), "{text}");
        assert!(text.contains("\r\nretry-after: 1"), "{text}");
        assert!(!text.contains("keep-alive"), "{text}");
        assert!(text.ends_with("\r\n\r\nhm"), "{text}");
    }
}
