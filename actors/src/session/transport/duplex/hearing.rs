//! What a WebSocket's client says, and what becomes of it.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use tokio::io::Interest;

use super::{Duplex, Phase, Step};
use crate::session::actor::Received;
use crate::session::application::{Connection, Protocol};
use crate::session::line::Carrier;
use crate::session::reason::Reason;
use crate::session::transport::socket;
use crate::session::transport::websocket::{self, Heard};
use crate::wire::engineio::{PROBE, Packet};

/// Packets handed to the session at once.
const BATCH: usize = 32;
/// How often a client that is not read is looked after.
const HANG_UP: Duration = Duration::from_secs(1);
/// Room made for one read.
const READ: usize = 4 * 1024;

impl Duplex {
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Step {
        if let Some(taking) = &mut self.taking {
            match taking.as_mut().poll(cx) {
                Poll::Pending => return self.look_for_a_hang_up(cx),
                Poll::Ready(taken) => {
                    self.taking = None;
                    self.paused = None;
                    // A session that is gone has closed the outbox. That its mailbox is full cannot be.
                    if taken.is_err() {
                        self.line.close(Reason::Fault);
                    }
                }
            }
        }
        // What we owe in control frames is written first: a client cannot make us owe without end.
        if self.outgoing.owes_control {
            return Step::Waits;
        }
        let mut packets = Vec::new();
        let step = self.read_into(&mut packets, cx);
        if !packets.is_empty()
            && matches!(self.phase, Phase::Open)
            && let Some(session) = self.line.session()
        {
            self.taking = Some(Box::pin(session.ask(Received(packets))));
        }
        step
    }

    /// While the session has no room nothing is read, so the end of the stream is not either.
    fn look_for_a_hang_up(&mut self, cx: &mut Context<'_>) -> Step {
        let Some(io) = &self.io else {
            return Step::Over;
        };
        let clock = &self.line.clock;
        let paused = self.paused.get_or_insert_with(|| clock.sleep(HANG_UP));
        if Pin::new(paused).poll(cx).is_pending() {
            return Step::Waits;
        }
        self.paused = None;
        match io.ready(Interest::READABLE).now_or_never() {
            Some(Ok(ready)) if ready.is_read_closed() => Step::Over,
            Some(Err(_)) => Step::Over,
            _ => Step::Moved,
        }
    }

    fn read_into(&mut self, packets: &mut Vec<Packet>, cx: &mut Context<'_>) -> Step {
        let mut moved = Step::Waits;
        loop {
            if self.deaf {
                // Read all the same: a socket closed over unread bytes resets, and takes our last word along.
                self.inbound.buffer.clear();
            }
            while !self.deaf {
                if packets.len() >= BATCH || self.outgoing.owes_control {
                    return Step::Moved;
                }
                match self.inbound.next() {
                    Ok(None) => break,
                    Ok(Some(heard)) => {
                        moved = Step::Moved;
                        if let Step::Over = self.hear(heard, packets) {
                            return Step::Over;
                        }
                    }
                    Err(broken) => {
                        self.deaf = true;
                        return self.broken(&broken);
                    }
                }
            }
            if !packets.is_empty() {
                return Step::Moved;
            }
            let Some(io) = &self.io else {
                return Step::Over;
            };
            // Room for a read is made when there is something to read.
            match io.poll_read_ready(cx) {
                Poll::Pending => return moved,
                Poll::Ready(Err(_)) => return Step::Over,
                Poll::Ready(Ok(())) => {}
            }
            match socket::read(io, &mut self.inbound.buffer, READ) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.inbound.buffer.is_empty() {
                        self.inbound.buffer = BytesMut::new();
                    }
                    // Looks once more, and is woken then.
                }
                Ok(0) | Err(_) => return Step::Over,
                Ok(_) => {}
            }
        }
    }

    fn hear(&mut self, heard: Heard, packets: &mut Vec<Packet>) -> Step {
        if let Phase::Leaving { heard: closed, .. } = &mut self.phase {
            if matches!(heard, Heard::Close(_)) {
                *closed = true;
            }
            return Step::Moved;
        }
        match heard {
            Heard::Ping(words) => self.outgoing.push_control(websocket::pong(words)),
            Heard::Pong if self.line.protocol == Protocol::Plain => {
                packets.push(Packet::Pong(Default::default()));
            }
            Heard::Pong => {}
            Heard::Close(code) => {
                if matches!(self.phase, Phase::Probing(..)) {
                    self.line.gate().forsaken();
                } else {
                    self.line.close(Reason::ClientClosed);
                }
                self.leave(Reason::ClientClosed, true, true);
                self.outgoing
                    .push(websocket::close(code.unwrap_or(1000), ""));
            }
            Heard::Text(_) | Heard::Binary(_) => return self.hear_message(heard, packets),
        }
        Step::Moved
    }

    fn hear_message(&mut self, heard: Heard, packets: &mut Vec<Packet>) -> Step {
        let packet = match (heard, self.line.protocol) {
            (Heard::Binary(bytes), _) => Ok(Packet::decode_binary(bytes)),
            (Heard::Text(bytes), Protocol::Plain) => bytes
                .try_into()
                .map(Packet::Message)
                .map_err(|_| "not UTF-8".to_owned()),
            (Heard::Text(bytes), _) => {
                Packet::decode_text(bytes).map_err(|error| error.to_string())
            }
            _ => return Step::Moved,
        };
        match packet {
            Ok(packet) if matches!(self.phase, Phase::Probing(..)) => self.probe(&packet),
            Ok(packet) => packets.push(packet),
            Err(why) => return self.broken(&why),
        }
        Step::Moved
    }

    fn probe(&mut self, packet: &Packet) {
        match packet {
            Packet::Ping(words) if *words == PROBE => {
                let pong = Packet::Pong(words.clone()).encode();
                self.outgoing.push_control(pong.websocket());
                self.line.gate().probed();
            }
            Packet::Upgrade if self.line.outbox.closed().is_none() => {
                self.line.set_carrier(Carrier::WebSocket);
                self.line.gate().upgraded();
                self.phase = Phase::Open;
                self.let_others_write();
            }
            _ => self.forsake(),
        }
    }

    fn broken(&mut self, why: &dyn std::fmt::Display) -> Step {
        tracing::debug!(connection = &*self.line.id, %why, "broken WebSocket input");
        match self.phase {
            Phase::Probing(..) => self.forsake(),
            Phase::Open => {
                self.line.close(Reason::ProtocolError);
                self.leave(Reason::ProtocolError, false, false);
            }
            Phase::Leaving { .. } => return Step::Over,
        }
        Step::Moved
    }
}
