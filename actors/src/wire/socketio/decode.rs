//! Messages to packets, within limits.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserializer as _;
use serde::de::{self, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{MAIN_NAMESPACE, Packet, Payload, RESERVED_EVENTS, placeholder};

/// The largest ack id: beyond it a JavaScript client would be answered under another number than it
/// asked with.
const ACK_ID_MAX: u64 = (1 << 53) - 1;

/// How much one packet may be. What is above is refused before it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attachments of one packet; the default is that of npm's `socket.io-parser`.
    pub attachments: usize,
    /// Bytes of one packet: its text and its attachments together.
    pub bytes: usize,
    /// Bytes of a namespace.
    pub namespace: usize,
    /// Digits of an ack id.
    pub ack_id_digits: usize,
    /// Arguments of an event or an ack.
    pub args: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attachments: 10,
            bytes: 4_000_000,
            namespace: 256,
            ack_id_digits: 16,
            args: 1_000,
        }
    }
}

/// Why a message is refused. The connection that sent it is not to be trusted with another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("an empty packet")]
    Empty,
    #[error("unknown packet type {0:?}")]
    UnknownType(char),
    #[error("the number of attachments is not a positive number followed by a dash")]
    BadAttachments,
    #[error("more than {limit} attachments in one packet")]
    TooManyAttachments { limit: usize },
    #[error("more than {limit} bytes in one packet")]
    TooManyBytes { limit: usize },
    #[error("a namespace of more than {limit} bytes")]
    NamespaceTooLong { limit: usize },
    #[error("a control character in a namespace")]
    BadNamespace,
    #[error("an ack id of more than {limit} digits")]
    AckIdTooLong { limit: usize },
    #[error("an ack id above {ACK_ID_MAX}")]
    AckIdTooLarge,
    #[error("an ack without an id")]
    MissingAckId,
    #[error("white space where an ack id or the payload is due")]
    MisplacedWhiteSpace,
    #[error("no payload where one is due")]
    MissingPayload,
    #[error("the payload is not what a packet of type {0:?} carries")]
    BadPayload(char),
    #[error("more than {limit} arguments in one packet")]
    TooManyArgs { limit: usize },
    #[error("the first element of an event is not its name")]
    MissingEventName,
    #[error("the event name {0:?} is reserved")]
    ReservedEventName(String),
    #[error("a placeholder for an attachment that is not there")]
    BadPlaceholder,
    #[error("a text message where an attachment is due")]
    AttachmentExpected,
    #[error("a binary message where no attachment is due")]
    UnexpectedAttachment,
}

/// Puts the messages of one connection together into packets.
///
/// After an error it is as new, but the connection is not: whoever sent that has lost the thread.
#[derive(Debug)]
pub struct Reassembler {
    limits: Arc<Limits>,
    pending: Option<Box<Pending>>,
}

/// A packet whose attachments are still on their way.
#[derive(Debug)]
struct Pending {
    packet: Packet,
    missing: usize,
    bytes: usize,
}

impl Reassembler {
    /// The limits are shared: there is a reassembler for each connection.
    pub fn new(limits: impl Into<Arc<Limits>>) -> Self {
        Self {
            limits: limits.into(),
            pending: None,
        }
    }

    /// Whether attachments are due: how long a connection may take over them is its session's
    /// business.
    pub fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// Takes a text message (without the Engine.IO prefix). `None`: its attachments are due.
    pub fn text(&mut self, message: &str) -> Result<Option<Packet>, Error> {
        if self.pending.take().is_some() {
            return Err(Error::AttachmentExpected);
        }
        if message.len() > self.limits.bytes {
            return Err(Error::TooManyBytes {
                limit: self.limits.bytes,
            });
        }
        let (packet, missing) = decode(message, &self.limits)?;
        if missing == 0 {
            return Ok(Some(packet));
        }
        self.pending = Some(Box::new(Pending {
            packet,
            missing,
            bytes: message.len(),
        }));
        Ok(None)
    }

    /// Takes a binary message. `None`: more of them are due.
    pub fn binary(&mut self, message: Bytes) -> Result<Option<Packet>, Error> {
        let mut pending = self.pending.take().ok_or(Error::UnexpectedAttachment)?;
        pending.bytes += message.len();
        if pending.bytes > self.limits.bytes {
            return Err(Error::TooManyBytes {
                limit: self.limits.bytes,
            });
        }
        if let Packet::Event { payload, .. } | Packet::Ack { payload, .. } = &mut pending.packet {
            payload.attachments.push(message);
        }
        pending.missing -= 1;
        if pending.missing == 0 {
            return Ok(Some(pending.packet));
        }
        self.pending = Some(pending);
        Ok(None)
    }
}

/// Reads a text message: the packet, and how many attachments it announces.
fn decode(message: &str, limits: &Limits) -> Result<(Packet, usize), Error> {
    let kind = message.chars().next().ok_or(Error::Empty)?;
    if !matches!(kind, '0'..='6') {
        return Err(Error::UnknownType(kind));
    }
    let rest = &message[1..];
    let (attachments, rest) = match kind {
        '5' | '6' => take_attachments(rest, limits)?,
        _ => (0, rest),
    };
    let (namespace, rest) = take_namespace(rest, limits)?;
    let (id, rest) = take_id(rest, limits)?;
    let json = (!rest.is_empty()).then_some(rest);

    let packet = match kind {
        // An id means nothing on the first two and on a connect error; it is passed over, as the
        // reference does.
        '0' => Packet::Connect {
            namespace,
            auth: json
                .map(|json| object(json).ok_or(Error::BadPayload(kind)))
                .transpose()?,
        },
        '1' if json.is_none() => Packet::Disconnect { namespace },
        '1' => return Err(Error::BadPayload(kind)),
        '2' | '5' => {
            let elements = elements(json, kind, limits.args + 1)?;
            let (name, args) = elements.split_first().ok_or(Error::MissingEventName)?;
            Packet::Event {
                namespace,
                id,
                name: event_name(name)?,
                payload: payload(args, attachments)?,
            }
        }
        '3' | '6' => Packet::Ack {
            namespace,
            id: id.ok_or(Error::MissingAckId)?,
            payload: payload(&elements(json, kind, limits.args)?, attachments)?,
        },
        _ => {
            let json = json.ok_or(Error::MissingPayload)?;
            Packet::ConnectError {
                namespace,
                data: object(json)
                    .or_else(|| string(json))
                    .ok_or(Error::BadPayload(kind))?,
            }
        }
    };
    Ok((packet, attachments))
}

/// `2-`: how many attachments follow.
fn take_attachments<'a>(text: &'a str, limits: &Limits) -> Result<(usize, &'a str), Error> {
    let (digits, rest) = split_digits(text);
    let rest = rest.strip_prefix('-').ok_or(Error::BadAttachments)?;
    if digits.bytes().all(|digit| digit == b'0') {
        return Err(Error::BadAttachments); // none at all, or zero
    }
    match digits.parse() {
        Ok(number) if number <= limits.attachments => Ok((number, rest)),
        _ => Err(Error::TooManyAttachments {
            limit: limits.attachments,
        }),
    }
}

/// `/ns,`, or `/ns` to the end; nothing is the main namespace.
fn take_namespace<'a>(text: &'a str, limits: &Limits) -> Result<(String, &'a str), Error> {
    if !text.starts_with('/') {
        return Ok((MAIN_NAMESPACE.to_owned(), text));
    }
    let (namespace, rest) = text.split_once(',').unwrap_or((text, ""));
    if namespace.len() > limits.namespace {
        return Err(Error::NamespaceTooLong {
            limit: limits.namespace,
        });
    }
    // A separator of packets in it would come back as two packets in an answer over polling.
    if namespace.contains(char::is_control) {
        return Err(Error::BadNamespace);
    }
    Ok((namespace.to_owned(), rest))
}

/// `12`: the ack id. White space is neither an id nor may it stand before the payload.
fn take_id<'a>(text: &'a str, limits: &Limits) -> Result<(Option<u64>, &'a str), Error> {
    let (digits, rest) = split_digits(text);
    // To JavaScript a byte order mark is white space too.
    if rest.starts_with(|first: char| first.is_whitespace() || first == '\u{feff}') {
        return Err(Error::MisplacedWhiteSpace);
    }
    if digits.is_empty() {
        return Ok((None, rest));
    }
    if digits.len() > limits.ack_id_digits {
        return Err(Error::AckIdTooLong {
            limit: limits.ack_id_digits,
        });
    }
    match digits.parse() {
        Ok(id) if id <= ACK_ID_MAX => Ok((Some(id), rest)),
        _ => Err(Error::AckIdTooLarge),
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(end)
}

fn object(json: &str) -> Option<Box<RawValue>> {
    raw(json, '{')
}

fn string(json: &str) -> Option<Box<RawValue>> {
    raw(json, '"')
}

/// A JSON value that begins with `opening`, which tells its type.
fn raw(json: &str, opening: char) -> Option<Box<RawValue>> {
    let value: &RawValue = serde_json::from_str(json).ok()?;
    value.get().starts_with(opening).then(|| value.to_owned())
}

fn event_name(first: &RawValue) -> Result<String, Error> {
    let name: String = serde_json::from_str(first.get()).map_err(|_| Error::MissingEventName)?;
    if RESERVED_EVENTS.contains(&name.as_str()) {
        return Err(Error::ReservedEventName(name));
    }
    Ok(name)
}

fn payload(args: &[&RawValue], attachments: usize) -> Result<Payload, Error> {
    if attachments > 0
        && !args
            .iter()
            .all(|arg| placeholder::all_valid(arg, attachments))
    {
        return Err(Error::BadPlaceholder);
    }
    Ok(Payload {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        attachments: Vec::with_capacity(attachments),
    })
}

/// The elements of a JSON array, at most `limit` of them.
fn elements(json: Option<&str>, kind: char, limit: usize) -> Result<Vec<&RawValue>, Error> {
    let json = json.ok_or(Error::MissingPayload)?;
    let mut elements = Vec::new();
    let visitor = Elements {
        elements: &mut elements,
        limit,
    };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    match deserializer
        .deserialize_seq(visitor)
        .and_then(|()| deserializer.end())
    {
        Ok(()) => Ok(elements),
        Err(_) if elements.len() > limit => Err(Error::TooManyArgs { limit }),
        Err(_) => Err(Error::BadPayload(kind)),
    }
}

/// Collects elements where they stand, and stops at the first that is too many.
struct Elements<'v, 'de> {
    elements: &'v mut Vec<&'de RawValue>,
    limit: usize,
}

impl<'de> Visitor<'de> for Elements<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element()? {
            self.elements.push(element);
            if self.elements.len() > self.limit {
                return Err(de::Error::custom("too many elements"));
            }
        }
        Ok(())
    }
}
