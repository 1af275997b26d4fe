//! What a session makes of what its client says: packets to commands, strictly.

use super::actor::Session;
use super::application::{Arguments, Connection, Protocol};
use super::reason::Reason;
use super::space::{Answer, Command, Space};
use crate::wire::engineio::Packet;
use crate::wire::plain;
use crate::wire::socketio::{self, Payload};

impl Session {
    pub(super) fn take(&mut self, packet: Packet) {
        match packet {
            Packet::Pong(_) => {
                self.heartbeat.pong(self.line.clock.monotonic());
                self.line.set_deadline(self.heartbeat.deadline());
            }
            Packet::Close => self.line.close(Reason::ClientClosed),
            Packet::Noop => {}
            Packet::Message(text) => match self.line.protocol {
                Protocol::SocketIo => {
                    let taken = self.reassembler.text(&text);
                    self.reassembled(taken);
                }
                Protocol::EngineIo => match serde_json::value::to_raw_value(&*text) {
                    Ok(text) => self.bare_message(Arguments {
                        args: vec![text],
                        attachments: Vec::new(),
                    }),
                    Err(error) => self.fail(Reason::Fault, &error),
                },
                Protocol::Plain => self.plain_request(&text),
                Protocol::Sse => {}
            },
            Packet::Binary(bytes) => match self.line.protocol {
                Protocol::SocketIo => {
                    let taken = self.reassembler.binary(bytes);
                    self.reassembled(taken);
                }
                Protocol::EngineIo => self.bare_message(Arguments {
                    args: Vec::new(),
                    attachments: vec![bytes],
                }),
                Protocol::Plain | Protocol::Sse => {
                    self.fail(Reason::Unsupported, &"a binary message")
                }
            },
            Packet::Open(_) | Packet::Ping(_) | Packet::Upgrade => {
                self.fail(Reason::ProtocolError, &"a packet that only a server sends")
            }
        }
    }

    fn reassembled(&mut self, taken: Result<Option<socketio::Packet>, socketio::Error>) {
        match taken {
            Ok(Some(packet)) => {
                if let Some(watch) = &mut self.watch {
                    watch.attachments_until = None;
                }
                self.take_packet(packet);
            }
            Ok(None) => {
                let limit = self.counted.engine().config().attachment_timeout;
                let until = self.line.clock.monotonic() + limit;
                let watch = self.watch.get_or_insert_default();
                watch.attachments_until.get_or_insert(until);
            }
            Err(error) => self.fail(Reason::ProtocolError, &error),
        }
    }

    fn take_packet(&mut self, packet: socketio::Packet) {
        let most = self.counted.engine().config().max_namespaces;
        let spaces = self.spaces.len();
        let space = self
            .spaces
            .iter_mut()
            .find(|space| space.is_named(packet.namespace()));
        match (packet, space) {
            (socketio::Packet::Connect { auth, .. }, Some(space)) if !space.is_open() => {
                space.push(Command::Connect(auth));
            }
            (socketio::Packet::Connect { namespace, auth }, None) => {
                if spaces < most {
                    // Most clients are in one, and stay there.
                    self.spaces.reserve_exact(1);
                    self.spaces.push(Space::asked_for(&namespace, auth));
                } else {
                    let refusal = socketio::connect_error(&namespace, "Too many namespaces", None);
                    let _ = self.line.outbox.push(refusal);
                }
            }
            (
                socketio::Packet::Event {
                    id, name, payload, ..
                },
                Some(space),
            ) if space.is_open() => {
                space.push(Command::Event {
                    name,
                    arguments: arguments(payload),
                    answer: id.map_or(Answer::None, Answer::Ack),
                });
            }
            (
                socketio::Packet::Ack {
                    namespace,
                    id,
                    payload,
                },
                Some(space),
            ) => {
                let answered = self.line.answered(&namespace, id, arguments(payload));
                if let (Err(arguments), Some(socket)) = (answered, space.socket()) {
                    let application = self.counted.engine().application();
                    application.acknowledged(socket.clone(), id, arguments);
                }
            }
            (socketio::Packet::Disconnect { .. }, Some(space)) if space.is_open() => {
                space.push(Command::Leave);
            }
            (packet, _) => self.fail(
                Reason::ProtocolError,
                &format_args!("out of place in {:?}", packet.namespace()),
            ),
        }
    }

    fn plain_request(&mut self, text: &str) {
        match plain::Request::decode(text, self.counted.engine().config().max_payload) {
            Ok(request) => self.only_space(Command::Event {
                name: request.kind,
                arguments: Arguments {
                    args: vec![request.body],
                    attachments: Vec::new(),
                },
                answer: Answer::Plain(request.id),
            }),
            Err(error) => self.fail(Reason::ProtocolError, &error),
        }
    }

    fn bare_message(&mut self, arguments: Arguments) {
        self.only_space(Command::Event {
            name: "message".to_owned(),
            arguments,
            answer: Answer::Messages,
        });
    }

    fn only_space(&mut self, command: Command) {
        if let Some(space) = self.spaces.first_mut() {
            space.push(command);
        }
    }
}

fn arguments(payload: Payload) -> Arguments {
    Arguments {
        args: payload.args,
        attachments: payload.attachments,
    }
}
