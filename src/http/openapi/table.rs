//! What the document says of an operation.

/// An operation. What follows from the rest is not repeated in a row: see `refusals.rs`.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    pub id: &'static str,
    pub tag: &'static str,
    pub summary: &'static str,
    /// The least role; `None`: without a token.
    pub role: Option<&'static str>,
    /// Name and meaning; what values it takes stands in `parameters.rs`.
    pub query: &'static [(&'static str, &'static str)],
    pub headers: &'static [&'static str],
    pub body: Option<&'static str>,
    /// A body that may be left out.
    pub body_optional: bool,
    pub answer: (u16, Answer),
    /// Other answers that are no refusals.
    pub also: &'static [(u16, Answer)],
    pub refusals: &'static [u16],
    /// The words (`code`) of its own refusals, beside those that every operation of its kind has.
    pub codes: &'static [(u16, &'static str)],
    /// Its use is limited: the answers have `RateLimit` and `RateLimit-Policy`.
    pub limited: bool,
}

impl Operation {
    /// Whether `Idempotency-Key` means something: any POST of somebody signed in.
    pub fn takes_key(&self) -> bool {
        self.method == "post" && self.role.is_some()
    }

    /// The request headers that mean something, besides the token.
    pub fn all_headers(&self) -> Vec<&'static str> {
        let mut all = self.headers.to_vec();
        if self.takes_key() && !all.contains(&"Idempotency-Key") {
            all.push("Idempotency-Key");
        }
        all
    }
}

/// What an answer holds, by the name of its schema.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The body itself.
    Plain(&'static str),
    /// `{"data": …}`
    Data(&'static str),
    /// `{"data": […], "meta": …}`
    List(&'static str),
    /// Text of this content type, or of one of these, with ", " between.
    Text(&'static str),
    /// Server-Sent Events, without an end.
    Stream,
}

use Answer::Plain;

pub const NONE: Operation = Operation {
    method: "get",
    path: "",
    id: "",
    tag: "",
    summary: "",
    role: None,
    query: &[],
    headers: &[],
    body: None,
    body_optional: false,
    answer: (200, Plain("Object")),
    also: &[],
    refusals: &[],
    codes: &[],
    limited: false,
};

pub const IF_MATCH: &[&str] = &["If-Match"];
pub const ONCE: &[&str] = &["Idempotency-Key"];
pub const BOTH: &[&str] = &["If-Match", "Idempotency-Key"];
pub const READ: &[u16] = &[401, 403, 404, 422, 503];
pub const MADE: &[u16] = &[401, 403, 409, 413, 415, 422, 503];
pub const CHANGED: &[u16] = &[401, 403, 404, 409, 412, 413, 415, 422, 428, 503];
pub const LIMIT: (&str, &str) = ("limit", "1 to 100; 20 when not given");
pub const CURSOR: (&str, &str) = ("cursor", "`meta.next_cursor` of the page before");
