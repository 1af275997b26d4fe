//! What the fuzzer calls, and the tests with it: one function for each format, any bytes, and what
//! must hold of them.
//!
//! A function here panics when the codec breaks a promise; refusing the bytes is not breaking one.

use bytes::Bytes;

use super::engineio;
use super::plain;
use super::socketio::{Limits, Packet, Reassembler};

const MAX_PACKETS: usize = 64;

/// The body of a poll: what is read can be written, and is read again the same.
pub fn engineio(input: &[u8]) {
    let body = Bytes::copy_from_slice(input);
    let Ok(packets) = engineio::decode_body(&body, MAX_PACKETS) else {
        return;
    };
    assert!(packets.len() <= MAX_PACKETS);
    let frames: Vec<_> = packets.iter().map(engineio::Packet::encode).collect();
    let written = engineio::body(&frames);
    let len: usize = frames.iter().map(engineio::body_len).sum();
    assert_eq!(written.len() + 1, len);
    assert_eq!(engineio::decode_body(&written, MAX_PACKETS), Ok(packets));
}

/// The messages of one connection, separated by zero bytes; the first byte of each tells text from
/// binary. A packet that is read is within the limits, can be written, and is read again the same.
pub fn socketio(input: &[u8]) {
    let limits = Limits {
        attachments: 4,
        bytes: 4_096,
        namespace: 64,
        ack_id_digits: 16,
        args: 16,
    };
    let mut reassembler = Reassembler::new(limits);
    for message in input.split(|byte| *byte == 0) {
        let read = match message.split_first() {
            Some((b'b', bytes)) => reassembler.binary(Bytes::copy_from_slice(bytes)),
            Some((_, bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => reassembler.text(text),
                Err(_) => continue,
            },
            None => continue,
        };
        if let Ok(Some(packet)) = read {
            within(&packet, &limits);
            assert_eq!(normal(&packet), normal(&again(&packet)));
        }
    }
}

/// A plain request: what is read holds its own id and type, and can be answered.
pub fn plain(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(request) = plain::Request::decode(text, 4_096) else {
        return;
    };
    assert!(text.len() <= 4_096);
    let answer =
        plain::answer(request.id.as_deref(), &request.body).expect("a request is an object");
    let answer: Result<&serde_json::value::RawValue, _> =
        serde_json::from_slice(answer.payload_bytes());
    assert!(answer.is_ok());
}

fn within(packet: &Packet, limits: &Limits) {
    assert!(packet.namespace().len() <= limits.namespace);
    if let Packet::Event { payload, .. } | Packet::Ack { payload, .. } = packet {
        assert!(payload.args.len() <= limits.args);
        assert!(payload.attachments.len() <= limits.attachments);
        assert!(payload.attachments.iter().map(Bytes::len).sum::<usize>() <= limits.bytes);
    }
}

/// Writes a packet, and reads what was written.
fn again(packet: &Packet) -> Packet {
    let mut reassembler = Reassembler::new(Limits::default());
    let mut read = None;
    for frame in packet.encode() {
        assert!(read.is_none(), "frames after a whole packet");
        read = if frame.is_binary() {
            reassembler.binary(frame.payload())
        } else {
            let text = std::str::from_utf8(&frame.payload()[1..])
                .expect("a text frame")
                .to_owned();
            reassembler.text(&text)
        }
        .expect("what was written is read");
    }
    read.expect("a whole packet was written")
}

/// A packet with its JSON as text, which can be compared.
fn normal(packet: &Packet) -> String {
    format!("{packet:?}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    const MUTATIONS: usize = 1_000;

    /// Every seed of a fuzz target, and as many mutations of each, through the function that the
    /// target calls.
    fn run(target: &str, entry: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/seeds")
            .join(target);
        let mut seeds: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|file| file.unwrap().path())
            .collect();
        seeds.sort(); // the order of a folder is not the same everywhere, and the mutations depend on it
        let seeds: Vec<_> = seeds.iter().map(|path| fs::read(path).unwrap()).collect();
        assert!(seeds.len() >= 10, "{target} has only {} seeds", seeds.len());

        let mut random = StdRng::seed_from_u64(1);
        for seed in &seeds {
            entry(seed);
            for _ in 0..MUTATIONS {
                entry(&mutated(&mut random, seed, &seeds));
            }
        }
        println!(
            "{target}: {} seeds, {} mutations",
            seeds.len(),
            seeds.len() * MUTATIONS
        );
    }

    fn mutated(random: &mut StdRng, seed: &[u8], seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..random.random_range(1..5) {
            let at = random.random_range(0..=bytes.len());
            match random.random_range(0..6) {
                0 => bytes.truncate(at),
                1 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => {
                    // A piece of another seed, spliced in.
                    let other = &seeds[random.random_range(0..seeds.len())];
                    let from = random.random_range(0..=other.len());
                    let to = random.random_range(from..=other.len());
                    bytes.splice(at..at, other[from..to].iter().copied());
                }
                _ => bytes.insert(at, random.random()),
            }
        }
        bytes
    }

    #[test]
    fn no_body_of_a_poll_breaks_a_promise() {
        run("engineio", super::engineio);
    }

    #[test]
    fn no_socketio_messages_break_a_promise() {
        run("socketio", super::socketio);
    }

    #[test]
    fn no_plain_request_breaks_a_promise() {
        run("plain", super::plain);
    }
}
