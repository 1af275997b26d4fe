//! A request that asked for a WebSocket and gets none: it is answered, logged and counted as every other request is.
//! (It never comes to `http::context`, which does that for those.)

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use callboard_actors::session::{Answer, Cause, Denial};

use super::Live;
use crate::error::{PROBLEM_JSON, Problem};
use crate::http::{dress, request_id};

impl Live {
    pub(super) fn answer_denied(&self, denial: &Denial<'_>, answer: Answer) -> Answer {
        let (visit, took) = (denial.visit, denial.took);
        let path = visit.path();
        let id = request_id(visit.header("x-request-id"));
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut headers = map(&answer.headers);
        let problem = match denial.cause {
            Cause::Protocol => None,
            Cause::Refused if is_problem(&headers) => {
                Some(Problem::read(status, answer.body.as_bytes()))
            }
            // The engine's own, of an application that did not answer.
            Cause::Refused | Cause::Request => Some(Problem::of_status(status)),
        };
        let body = match problem {
            Some(problem) => {
                let kind = HeaderValue::from_static(PROBLEM_JSON);
                headers.insert(header::CONTENT_TYPE, kind);
                problem.body(path, &id)
            }
            None => answer.body,
        };
        dress(&mut headers, path, &id);
        self.count_denied(denial.method, path, status, took);
        // The path and never the query: a query may carry a token.
        tracing::info!(
            request_id = %id,
            method = denial.method,
            path,
            status = status.as_u16(),
            elapsed_ms = took.as_secs_f64() * 1e3,
            "no WebSocket"
        );
        Answer {
            status: answer.status,
            headers: list(&headers),
            body,
        }
    }

    fn count_denied(&self, method: &str, path: &str, status: StatusCode, took: Duration) {
        let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
        self.parts.requests.served(&method, path, status, took);
    }
}

fn is_problem(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes() == PROBLEM_JSON.as_bytes())
}

fn map(headers: &[(String, String)]) -> HeaderMap {
    let sound = headers.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    });
    sound.collect()
}

fn list(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = headers.iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.to_string(), value.to_owned()))
    });
    text.collect()
}
