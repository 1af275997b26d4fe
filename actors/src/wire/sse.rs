//! Server-Sent Events: one block for each event, ended by an empty line.
//!
//! A block is a [`Frame`] whose payload is what the stream writes, so that events wait in the same
//! queues as those of the other transports. Whatever the text holds, it stays in its field: a line
//! break in `data` begins a new `data:` line, and in a name or a comment it becomes a space.

use super::frame::{Frame, TextFrame};

/// The media type of the stream.
pub const CONTENT_TYPE: &str = "text/event-stream";

/// One event. `id` only where a client may resume from it: a client keeps the last id that it was
/// given.
pub fn event(id: Option<u64>, name: &str, data: &str) -> Frame {
    let mut text = TextFrame::with_capacity(48 + name.len() + data.len());
    if let Some(id) = id {
        text.push_str("id: ");
        text.push_json(&id);
        text.push('\n');
    }
    text.push_str("event: ");
    push_line(&mut text, name);
    for line in lines(data) {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text.finish()
}

/// A line that clients pass over: it keeps what lies between from closing an idle stream.
pub fn comment(words: &str) -> Frame {
    let mut text = TextFrame::with_capacity(4 + words.len());
    text.push_str(": ");
    push_line(&mut text, words);
    text.push('\n');
    text.finish()
}

/// How long a client waits before it comes back, in milliseconds.
pub fn retry(milliseconds: u64) -> Frame {
    Frame::text(format!("retry: {milliseconds}\n\n"))
}

/// A `Last-Event-ID` that is no number of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Last-Event-ID is not a whole number")]
pub struct BadEventId;

/// Reads `Last-Event-ID`. Empty means that the client has seen no id yet.
pub fn last_event_id(header: &[u8]) -> Result<Option<u64>, BadEventId> {
    let text = std::str::from_utf8(header).map_err(|_| BadEventId)?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadEventId); // `parse` alone would take a plus sign
    }
    text.parse().map(Some).map_err(|_| BadEventId)
}

/// One line, whatever was in it.
fn push_line(text: &mut TextFrame, line: &str) {
    let mut first = true;
    for part in line.split(['\r', '\n']) {
        if !first {
            text.push(' ');
        }
        first = false;
        text.push_str(part);
    }
    text.push('\n');
}

/// The lines of a text as a client would split them: at CRLF, LF and CR.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(frame: Frame) -> String {
        String::from_utf8(frame.payload().to_vec()).unwrap()
    }

    #[test]
    fn an_event_has_an_id_only_where_there_is_one() {
        assert_eq!(
            written(event(Some(42), "episode_updated", "{}")),
            "id: 42\nevent: episode_updated\ndata: {}\n\n"
        );
        assert_eq!(
            written(event(None, "ready", "{}")),
            "event: ready\ndata: {}\n\n"
        );
        assert_eq!(
            written(event(None, "ready", "")),
            "event: ready\ndata: \n\n"
        );
    }

    #[test]
    fn every_kind_of_line_break_begins_a_new_data_line() {
        let table = [
            ("a\nb", "data: a\ndata: b\n"),
            ("a\rb", "data: a\ndata: b\n"),
            ("a\r\nb", "data: a\ndata: b\n"),
            ("a\n\rb", "data: a\ndata: \ndata: b\n"),
            ("a\r\r\nb", "data: a\ndata: \ndata: b\n"),
            ("a\n", "data: a\ndata: \n"),
            ("\n\nid: 7", "data: \ndata: \ndata: id: 7\n"),
        ];
        for (data, expected) in table {
            assert_eq!(
                written(event(None, "e", data)),
                format!("event: e\n{expected}\n"),
                "{data:?}"
            );
        }
    }

    #[test]
    fn a_line_break_in_a_name_or_a_comment_breaks_nothing() {
        assert_eq!(
            written(event(None, "e\r\nid: 7", "x")),
            "event: e  id: 7\ndata: x\n\n"
        );
        assert_eq!(written(comment("a\n\ndata: x\r")), ": a  data: x \n\n");
    }

    #[test]
    fn a_retry_and_a_heartbeat_are_blocks_of_their_own() {
        assert_eq!(written(retry(1_000)), "retry: 1000\n\n");
        assert_eq!(written(comment("")), ": \n\n");
    }

    #[test]
    fn the_last_event_id_is_a_whole_number_or_nothing() {
        let seen: [(&[u8], Option<u64>); 5] = [
            (b"", None),
            (b"  ", None),
            (b"0", Some(0)),
            (b" 42 ", Some(42)),
            (b"18446744073709551615", Some(u64::MAX)),
        ];
        for (header, id) in seen {
            assert_eq!(last_event_id(header), Ok(id), "{header:?}");
        }
        let refused: [&[u8]; 6] = [
            b"18446744073709551616",
            b"+1",
            b"-1",
            b"1.0",
            b"seven",
            b"\xff",
        ];
        for header in refused {
            assert_eq!(last_event_id(header), Err(BadEventId), "{header:?}");
        }
    }
}
