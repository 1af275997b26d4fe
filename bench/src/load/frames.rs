//! WebSocket frames as a load generator needs them: where the next one ends, and the number that an event carries.
//!
//! An event's data holds a *mark*, `~PNNNNNNNN~`: the publisher, one letter from `A` on, and its eight-digit number. No
//! other part of a frame holds a `~`, but for the old value in an update of an episode, which stands before the new one.

/// `~A00000017~`.
pub const MARK: usize = 11;

/// What was published: by whom, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub publisher: usize,
    pub number: u32,
}

impl Mark {
    /// One to be replaced.
    pub const FIRST: Mark = Mark {
        publisher: 0,
        number: 0,
    };

    pub fn text(self) -> String {
        format!(
            "~{}{:08}~",
            char::from(b'A' + self.publisher as u8),
            self.number
        )
    }

    /// The last mark in a payload.
    pub fn find(payload: &[u8]) -> Option<Mark> {
        let end = memchr::memrchr(b'~', payload)?;
        let mark = payload.get((end + 1).checked_sub(MARK)?..end)?;
        let publisher = usize::from(mark[1].checked_sub(b'A')?);
        let mut number = 0;
        for digit in &mark[2..] {
            number = number * 10 + u32::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        }
        (mark[0] == b'~').then_some(Mark { publisher, number })
    }
}

/// A server's frame: neither masked nor fragmented.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub opcode: u8,
    pub payload: &'a [u8],
    /// With its header.
    pub length: usize,
}

/// The first frame of `bytes`, if all of it is there.
pub fn first(bytes: &[u8]) -> Option<Frame<'_>> {
    let (length, header) = match *bytes.get(1)? {
        126 => (
            u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
            4,
        ),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let end = usize::try_from(length).ok()?.checked_add(header)?;
    Some(Frame {
        opcode: bytes[0] & 0x0F,
        payload: bytes.get(header..end)?,
        length: end,
    })
}

/// A client's frame. It must be masked; a mask of zeros leaves the payload as it is.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 8);
    frame.push(first);
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// The header's length of a server's frame with so long a payload.
pub fn header(payload: usize) -> usize {
    match payload {
        ..126 => 2,
        126..65_536 => 4,
        _ => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mark_of_a_payload_is_found() {
        let mark = Mark {
            publisher: 3,
            number: 170,
        };
        assert_eq!(mark.text().len(), MARK);
        let payload = format!(
            "42[\"e\",{{\"old\":\"~A00000001~\",\"new\":\"{}\"}}]",
            mark.text()
        );
        assert_eq!(Mark::find(payload.as_bytes()), Some(mark));
        assert_eq!(Mark::find(b"42[\"ready\"]"), None);
        assert_eq!(Mark::find(b"0001~"), None);
        assert_eq!(Mark::find(b"~A000x0001~"), None);
    }

    #[test]
    fn a_frame_is_taken_when_all_of_it_is_there() {
        let mut bytes = vec![0x81, 126, 0, 200];
        bytes.extend([7; 199]);
        assert_eq!(first(&bytes), None);
        bytes.extend([7, 0x81, 1]);
        let frame = first(&bytes);
        assert_eq!(frame.as_ref().map(|frame| frame.length), Some(204));
        assert_eq!(frame.map(|frame| frame.payload.len()), Some(200));
        assert_eq!(first(&bytes[204..]), None);
    }
}
