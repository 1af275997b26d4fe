//! How much somebody may still do, as headers: `RateLimit-Policy` says the limit, `RateLimit` what is left of it
//! (draft-ietf-httpapi-ratelimit-headers). A limit that is reached is a 429 with `Retry-After`.

use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// So many in so long.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Visible ASCII without quotes.
    pub name: &'static str,
    pub quota: u64,
    pub window: Duration,
}

impl Limit {
    /// Tells what is left, and in how long there is more.
    pub fn tell(&self, headers: &mut HeaderMap, left: u64, more_in: Duration) {
        let name = self.name;
        let policy = format!("\"{name}\";q={};w={}", self.quota, whole(self.window));
        let state = format!("\"{name}\";r={left};t={}", whole(more_in));
        for (header, text) in [(POLICY, policy), (STATE, state)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(header, value);
            }
        }
    }
}

/// Seconds, rounded up: who waits so long is not too early.
fn whole(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_as_the_draft_spells_it() {
        let limit = Limit {
            name: "login",
            quota: 5,
            window: Duration::from_secs(900),
        };
        let mut headers = HeaderMap::new();
        limit.tell(&mut headers, 3, Duration::from_millis(1_200));
        assert_eq!(headers.get(POLICY).unwrap(), "\"login\";q=5;w=900");
        assert_eq!(headers.get(STATE).unwrap(), "\"login\";r=3;t=2");
    }
}
