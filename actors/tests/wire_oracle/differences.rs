//! What we refuse and the reference accepts: the whole list, with the reason for each.
//!
//! An entry excuses a case only if our error is the entry's and what the entry says is seen in the
//! case itself, or in what the reference made of it.

use callboard_actors::wire::{engineio, socketio};
use serde_json::Value;

use crate::generate::{Case, Message};
use crate::ours::{Error, MAX_PACKETS};
use crate::reference::Answer;

/// Every difference; the test fails if one of them is never seen.
pub const NAMES: &[&str] = &[
    LENIENT_BASE64,
    NO_HANDSHAKE,
    LIMITS,
    TYPE_BY_COERCION,
    ATTACHMENTS_BY_COERCION,
    WHITE_SPACE_AS_ID,
    INEXACT_ID,
    ACK_WITHOUT_ID,
    NAME_IS_NO_TEXT,
    CONTROL_IN_NAMESPACE,
    NUM_BY_COERCION,
    REPEATED_KEY,
    AT_ONCE,
];

/// Node passes over whatever is not base64, so that broken data arrives as other data.
const LENIENT_BASE64: &str = "base64 that is none";
/// An open packet goes from a server to a client, and holds a handshake.
const NO_HANDSHAKE: &str = "an open packet without a handshake";
/// Packets in a body, length of a namespace, arguments, bytes: the reference has no limit on these.
const LIMITS: &str = "a limit";
/// `Number(" ")` and `Number("")` are 0: white space, or nothing, is a CONNECT to the reference.
const TYPE_BY_COERCION: &str = "white space as a packet type";
/// `1e0`, `0x1`, ` 1`, `1.0`, `+1` are numbers of attachments to the reference.
const ATTACHMENTS_BY_COERCION: &str = "a number of attachments in other than digits";
/// ` ` is the ack id 0 to the reference, and `1 ` is 1: an event would be acked that asked for nothing.
const WHITE_SPACE_AS_ID: &str = "white space in an ack id";
/// From 2^53 on the reference answers under another id than the client asked with.
const INEXACT_ID: &str = "an ack id that JavaScript cannot hold";
/// An ack that answers nothing.
const ACK_WITHOUT_ID: &str = "an ack without an id";
/// A number as an event's name, or half a surrogate pair in it: no Rust string, and no event of
/// anybody's.
const NAME_IS_NO_TEXT: &str = "an event name that is no text";
/// A packet separator in a namespace would split the answer in two over polling; the others spoil
/// logs.
const CONTROL_IN_NAMESPACE: &str = "a control character in a namespace";
/// `0.5` is an attachment that is `undefined` to the reference; `0e0`, `1.0` are spelt by no encoder.
const NUM_BY_COERCION: &str = "a placeholder whose num is no plain number";
/// JavaScript drops the first of two equal keys with all that it held; we have looked at it by then.
const REPEATED_KEY: &str = "a bad placeholder under a key that is repeated";
/// The reference looks at a payload and its placeholders when the last attachment has come; we
/// before the first is kept.
const AT_ONCE: &str = "a binary packet refused before its attachments";

/// The difference that explains why we refuse this case and the reference does not.
pub fn excuse(error: &Error, case: &Case, theirs: &Answer) -> Option<&'static str> {
    if theirs.end == "waiting" && theirs.completed.is_none() {
        return Some(AT_ONCE);
    }
    let (name, seen) = match error {
        Error::Engine(error) => engine(error, case, theirs)?,
        Error::Socket(error) => socket(error, case, theirs)?,
    };
    seen.then_some(name)
}

fn engine(error: &engineio::Error, case: &Case, theirs: &Answer) -> Option<(&'static str, bool)> {
    let (Case::Text(text) | Case::Body(text)) = case else {
        return None;
    };
    let packets = || match case {
        Case::Body(_) => text.split('\u{1e}').collect(),
        _ => vec![text.as_str()],
    };
    Some(match error {
        engineio::Error::BadBase64 => {
            let lenient = |packet: &str| {
                packet
                    .strip_prefix('b')
                    .is_some_and(|data| !is_base64(data))
            };
            (LENIENT_BASE64, packets().into_iter().any(lenient))
        }
        engineio::Error::BadHandshake => (
            NO_HANDSHAKE,
            theirs.packets.iter().any(|packet| packet["type"] == "open"),
        ),
        engineio::Error::TooManyPackets { .. } => (LIMITS, theirs.packets.len() > MAX_PACKETS),
        _ => return None,
    })
}

fn socket(error: &socketio::Error, case: &Case, theirs: &Answer) -> Option<(&'static str, bool)> {
    use socketio::Error;
    let Case::Messages(messages) = case else {
        return None;
    };
    let any_text = |holds: &dyn Fn(&str) -> bool| {
        messages.iter().any(|message| match message {
            Message::Text(text) => holds(text),
            Message::Binary(_) => false,
        })
    };
    let any_packet =
        |holds: &dyn Fn(&Value) -> bool| theirs.packets.iter().chain(&theirs.completed).any(holds);
    Some(match error {
        Error::Empty => (TYPE_BY_COERCION, any_text(&|text| text.is_empty())),
        Error::UnknownType(kind) => (TYPE_BY_COERCION, is_js_space(*kind)),
        Error::BadAttachments => (
            ATTACHMENTS_BY_COERCION,
            any_text(&|text| {
                let number = text
                    .get(1..)
                    .unwrap_or_default()
                    .split('-')
                    .next()
                    .unwrap_or_default();
                text.starts_with(['5', '6']) && !number.bytes().all(|byte| byte.is_ascii_digit())
            }),
        ),
        Error::MisplacedWhiteSpace => (
            WHITE_SPACE_AS_ID,
            any_text(&|text| head(text).contains(is_js_space)),
        ),
        Error::AckIdTooLarge | Error::AckIdTooLong { .. } => (
            INEXACT_ID,
            any_text(&|text| {
                let longest = head(text)
                    .split(|c: char| !c.is_ascii_digit())
                    .map(str::len)
                    .max();
                longest.is_some_and(|digits| digits >= 16)
            }),
        ),
        Error::MissingAckId => (
            ACK_WITHOUT_ID,
            any_packet(&|packet| packet["type"] == 3 && packet["id"].is_null()),
        ),
        Error::MissingEventName => {
            let no_text = |packet: &Value| match &packet["data"][0] {
                Value::String(_) => false,
                Value::Number(_) => true,
                other => other.get("$number").is_some() || other.get("$surrogate").is_some(),
            };
            (NAME_IS_NO_TEXT, any_packet(&no_text))
        }
        Error::BadNamespace => (
            CONTROL_IN_NAMESPACE,
            any_text(&|text| text.contains(char::is_control)),
        ),
        Error::NamespaceTooLong { limit } => (
            LIMITS,
            any_packet(&|packet| packet["nsp"].as_str().is_some_and(|nsp| nsp.len() > *limit)),
        ),
        Error::TooManyArgs { limit } => (
            LIMITS,
            any_packet(&|packet| {
                packet["data"]
                    .as_array()
                    .is_some_and(|args| args.len() > *limit)
            }),
        ),
        Error::BadPlaceholder if any_text(&repeats_a_key) => (REPEATED_KEY, true),
        Error::BadPlaceholder => (
            NUM_BY_COERCION,
            any_text(&|text| text.contains("placeholder") && has_odd_num(text)),
        ),
        _ => return None,
    })
}

/// What stands before the payload, the namespace left out.
fn head(text: &str) -> &str {
    let after_type = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
    let after_namespace = match after_type.strip_prefix('/') {
        Some(namespace) => namespace.split_once(',').map_or("", |(_, rest)| rest),
        None => text,
    };
    let end = after_namespace.find(['[', '{', '"']);
    &after_namespace[..end.unwrap_or(after_namespace.len())]
}

/// More keys are written in the payload than are left when it has been read.
fn repeats_a_key(text: &str) -> bool {
    fn keys(value: &Value) -> usize {
        match value {
            Value::Array(elements) => elements.iter().map(keys).sum(),
            Value::Object(members) => members.len() + members.values().map(keys).sum::<usize>(),
            _ => 0,
        }
    }
    let json = &text[text.find('[').unwrap_or(text.len())..];
    let dense: String = json.split_whitespace().collect();
    serde_json::from_str(json).is_ok_and(|value| keys(&value) < dense.matches("\":").count())
}

/// What JavaScript's `Number` takes for nothing, and so for 0.
fn is_js_space(character: char) -> bool {
    character.is_whitespace() || character == '\u{feff}'
}

/// A `num` (or what follows it in a mutated text) that is a number, but not of digits alone.
fn has_odd_num(text: &str) -> bool {
    text.split([':', ',', '}']).any(|piece| {
        let piece = piece.trim();
        piece.parse::<f64>().is_ok() && !piece.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Base64 of the standard alphabet, its padding complete, partial or absent.
fn is_base64(data: &str) -> bool {
    let digits = data.trim_end_matches('=');
    let padding = data.len() - digits.len();
    let allowed = [0, 0, 2, 1][digits.len() % 4];
    digits.len() % 4 != 1
        && padding <= allowed
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}
