//! Versions of a resource, as `ETag` and `If-Match` spell them.

use actix_web::HttpRequest;
use actix_web::http::header;

/// The versions that a write is based on, by `If-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// No such header.
    Absent,
    /// `*`: whatever there is.
    Any,
    /// Strong tags; one that is none of ours matches nothing.
    Versions(Vec<i64>),
}

impl IfMatch {
    pub fn of(req: &HttpRequest) -> IfMatch {
        let mut versions = Vec::new();
        let mut there = false;
        for value in req.headers().get_all(header::IF_MATCH) {
            there = true;
            let text = value.to_str().unwrap_or_default();
            for tag in text.split(',').map(str::trim) {
                if tag == "*" {
                    return IfMatch::Any;
                }
                let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                versions.extend(number.and_then(|number| number.parse::<i64>().ok()));
            }
        }
        match there {
            true => IfMatch::Versions(versions),
            false => IfMatch::Absent,
        }
    }
}

/// The strong tag of a version.
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn if_match_takes_strong_tags_a_list_and_a_star() {
        let of = |value: &str| {
            let req = TestRequest::default().insert_header(("if-match", value));
            IfMatch::of(&req.to_http_request())
        };
        assert_eq!(of("\"3\""), IfMatch::Versions(vec![3]));
        assert_eq!(of("\"3\", \"x\", \"4\""), IfMatch::Versions(vec![3, 4]));
        assert_eq!(of("W/\"3\""), IfMatch::Versions(vec![]));
        assert_eq!(of("*"), IfMatch::Any);
        assert_eq!(
            IfMatch::of(&TestRequest::default().to_http_request()),
            IfMatch::Absent
        );
    }
}
