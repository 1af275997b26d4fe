//! JSON over a plain WebSocket, for clients without a library: `{"id":1,"type":"join",…}` asks,
//! `{"id":1,"ok":true,…}` answers.
//!
//! What a request holds beyond `id` and `type`, and what an answer holds beyond `id`, is the
//! application's.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::frame::{Frame, TextFrame};

/// The longest `id`, as it is spelt: it is sent back, and perhaps logged.
const ID_MAX: usize = 128;

/// What a client asks.
#[derive(Clone, Debug)]
pub struct Request {
    /// A number or a string, spelt as it came. Absent: no answer is wanted.
    pub id: Option<Box<RawValue>>,
    /// The member `type`.
    pub kind: String,
    /// The whole object, `id` and `type` included.
    pub body: Box<RawValue>,
}

/// Why a text is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("a message of more than {limit} bytes")]
    TooLong { limit: usize },
    #[error("the message is not a JSON object, or repeats \"id\" or \"type\"")]
    NotAnObject,
    #[error("\"type\" is missing")]
    MissingType,
    #[error("\"type\" is not a string")]
    BadType,
    #[error("\"id\" is neither a number nor a string, or longer than {ID_MAX} bytes")]
    BadId,
    #[error("the answer is not a JSON object")]
    BadAnswer,
}

/// The members that this dialect knows.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

impl Request {
    /// Reads one text message of at most `limit` bytes.
    pub fn decode(message: &str, limit: usize) -> Result<Self, Error> {
        if message.len() > limit {
            return Err(Error::TooLong { limit });
        }
        let body: &RawValue = serde_json::from_str(message).map_err(|_| Error::NotAnObject)?;
        if !is_object(body) {
            return Err(Error::NotAnObject); // an array would do for serde
        }
        let head: Head = serde_json::from_str(body.get()).map_err(|_| Error::NotAnObject)?;
        if !head.id.is_none_or(is_id) {
            return Err(Error::BadId);
        }
        let kind = head.kind.ok_or(Error::MissingType)?;
        Ok(Self {
            id: head.id.map(RawValue::to_owned),
            kind: serde_json::from_str(kind.get()).map_err(|_| Error::BadType)?,
            body: body.to_owned(),
        })
    }
}

/// Writes an answer: the members of the object `body`, with the id of the request in front.
///
/// `body` must not hold an `id` of its own.
pub fn answer(id: Option<&RawValue>, body: &RawValue) -> Result<Frame, Error> {
    if !is_object(body) {
        return Err(Error::BadAnswer);
    }
    let Some(id) = id else {
        return Ok(Frame::text(body.get()));
    };
    let members = &body.get()[1..];
    let mut text = TextFrame::with_capacity(8 + id.get().len() + members.len());
    text.push_str("{\"id\":");
    text.push_str(id.get());
    if !members.trim_start().starts_with('}') {
        text.push(',');
    }
    text.push_str(members);
    Ok(text.finish())
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

fn is_id(value: &RawValue) -> bool {
    let json = value.get();
    json.len() <= ID_MAX
        && json.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1_000;

    fn decode(message: &str) -> Result<Request, Error> {
        Request::decode(message, LIMIT)
    }

    #[test]
    fn a_request_is_its_id_its_type_and_all_of_it() {
        let message = r#" {"id": 1.50, "type":"join","room":"episode:1", "x":[1e9]} "#;
        let request = decode(message).unwrap();
        assert_eq!(request.id.unwrap().get(), "1.50");
        assert_eq!(request.kind, "join");
        assert_eq!(request.body.get(), message.trim());
    }

    #[test]
    fn an_id_is_a_number_or_a_string_or_absent() {
        let ids = [
            (r#"{"type":"a"}"#, None),
            (r#"{"id":null,"type":"a"}"#, None),
            (r#"{"id":-1,"type":"a"}"#, Some("-1")),
            (r#"{"type":"a","id":"\u00e9"}"#, Some(r#""\u00e9""#)),
        ];
        for (message, id) in ids {
            let request = decode(message).unwrap();
            assert_eq!(request.id.as_deref().map(RawValue::get), id, "{message}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_for_its_own_reason() {
        let with_id = |len: usize| format!(r#"{{"id":"{}","type":"a"}}"#, "x".repeat(len - 2));
        assert!(decode(&with_id(ID_MAX)).is_ok());
        let long_id = with_id(ID_MAX + 1);
        let table = [
            ("", Error::NotAnObject),
            ("hello", Error::NotAnObject),
            ("[1,\"join\"]", Error::NotAnObject),
            ("null", Error::NotAnObject),
            (r#"{"type":"a"} {}"#, Error::NotAnObject),
            (r#"{"type":"a","type":"b"}"#, Error::NotAnObject),
            (r#"{"id":1,"id":2,"type":"b"}"#, Error::NotAnObject),
            ("{}", Error::MissingType),
            (r#"{"id":1,"type":null}"#, Error::MissingType),
            (r#"{"id":1,"type":7}"#, Error::BadType),
            (r#"{"id":{},"type":"a"}"#, Error::BadId),
            (r#"{"id":true,"type":"a"}"#, Error::BadId),
            (long_id.as_str(), Error::BadId),
        ];
        for (message, error) in table {
            assert_eq!(decode(message).unwrap_err(), error, "{message}");
        }
    }

    #[test]
    fn a_message_is_refused_from_the_first_byte_that_is_too_many() {
        let message = r#"{"type":"a"}"#;
        assert!(Request::decode(message, message.len()).is_ok());
        let limit = message.len() - 1;
        assert_eq!(
            Request::decode(message, limit).unwrap_err(),
            Error::TooLong { limit }
        );
    }

    #[test]
    fn an_answer_begins_with_the_id_as_it_was_asked() {
        let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
        let table = [
            (
                Some("1.50"),
                r#"{"ok":true,"seq":7}"#,
                r#"{"id":1.50,"ok":true,"seq":7}"#,
            ),
            (Some("\"a\""), "{}", r#"{"id":"a"}"#),
            (Some("1"), "{ }", r#"{"id":1 }"#),
            (None, r#"{"ok":true}"#, r#"{"ok":true}"#),
        ];
        for (id, body, expected) in table {
            let id = id.map(raw);
            let frame = answer(id.as_deref(), &raw(body)).unwrap();
            assert_eq!(frame, Frame::text(expected));
        }
        assert_eq!(answer(None, &raw("[1]")).unwrap_err(), Error::BadAnswer);
    }
}
