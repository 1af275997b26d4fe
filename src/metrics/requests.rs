//! Every HTTP request: how many, with which answer, how long they took.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};

/// Seconds.
const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// What is behind `/api/v1`; anything else that is asked for is `other`, so that nobody can make series.
const RESOURCES: &[&str] = &[
    "episodes",
    "auth",
    "users",
    "notifications",
    "activity",
    "activities",
    "presence",
    "socket",
    "jobs",
    "files",
    "compositions",
    "search",
    "events",
    "actors",
    "openapi.json",
    "asyncapi.json",
];

/// See the module's page. Clones are one.
#[derive(Clone)]
pub struct Requests {
    served: IntCounterVec,
    seconds: HistogramVec,
    failed_logins: IntCounterVec,
}

/// Where passwords are tried.
const LOGIN: &str = "/api/v1/auth/login";
/// Ways in which that fails: a wrong address or password, and too many of them before.
const WRONG: &str = "wrong";
const BLOCKED: &str = "blocked";

impl Requests {
    pub(super) fn new() -> Requests {
        let served = Opts::new(
            "callboard_http_requests_total",
            "HTTP requests answered, by method, resource and status",
        );
        let seconds = HistogramOpts::new(
            "callboard_http_request_seconds",
            "From a request's arrival to its answer, by method and resource",
        );
        let constants = "names and labels are constants, and valid";
        let failed = Opts::new(
            "callboard_failed_logins_total",
            "Log-ins that failed: wrong, or blocked after too many that were",
        );
        let failed_logins = IntCounterVec::new(failed, &["outcome"]).expect(constants);
        for outcome in [WRONG, BLOCKED] {
            failed_logins.with_label_values(&[outcome]);
        }
        Requests {
            failed_logins,
            served: IntCounterVec::new(served, &["method", "resource", "status"]).expect(constants),
            seconds: HistogramVec::new(seconds.buckets(BUCKETS.to_vec()), &["method", "resource"])
                .expect(constants),
        }
    }

    pub(super) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.served.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.failed_logins.clone()),
        ]
    }

    /// A request was answered.
    pub fn served(&self, method: &Method, path: &str, status: StatusCode, took: Duration) {
        let failed = match status {
            StatusCode::UNAUTHORIZED => Some(WRONG),
            StatusCode::TOO_MANY_REQUESTS => Some(BLOCKED),
            _ => None,
        };
        if let Some(outcome) = failed.filter(|_| path == LOGIN) {
            self.failed_logins.with_label_values(&[outcome]).inc();
        }
        let (method, resource) = (method_of(method), resource_of(path));
        self.served
            .with_label_values(&[method, resource, status.as_str()])
            .inc();
        self.seconds
            .with_label_values(&[method, resource])
            .observe(took.as_secs_f64());
    }
}

fn method_of(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS") => known,
        _ => "other",
    }
}

fn resource_of(path: &str) -> &'static str {
    if let Some(rest) = path.strip_prefix("/api/v1/") {
        let first = rest.split('/').next().unwrap_or_default();
        return RESOURCES
            .iter()
            .find(|resource| **resource == first)
            .unwrap_or(&"other");
    }
    match path.split('/').nth(1) {
        Some("health") => "health",
        Some("socket.io") => "socket.io",
        Some("ws") => "ws",
        Some("metrics") => "metrics",
        Some("docs") => "docs",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_make_series() {
        assert_eq!(resource_of("/api/v1/episodes/1"), "episodes");
        assert_eq!(resource_of("/api/v1/episodes"), "episodes");
        assert_eq!(resource_of("/health/ready"), "health");
        for strange in [
            "/",
            "",
            "/api/v1/",
            "/api/v1/%00",
            "/api/v2/episodes",
            "/x/y",
        ] {
            assert_eq!(resource_of(strange), "other", "{strange}");
        }
        let odd = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(method_of(&odd), "other");
    }

    /// A resource of the API that is missing here would be counted as `other`.
    #[test]
    fn every_resource_of_the_api_is_known_by_its_name() {
        for operation in crate::http::openapi::operations() {
            assert_ne!(resource_of(operation.path), "other", "{}", operation.path);
        }
    }
}
