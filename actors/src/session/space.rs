//! One namespace of one connection: let in, greeted, served one command at a time, left.
//!
//! A space holds at most one future of the application's. What comes meanwhile waits in order. An idle one holds its
//! socket and nothing else.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use super::application::{Arguments, Connect, Connection, Protocol, Refused, Socket, Welcome};
use super::engine::Engine;
use super::line::Line;
use super::reason::Reason;
use crate::wire::{plain, socketio};

pub(super) struct Space {
    seat: Seat,
    /// There while there is something to do.
    busy: Option<Box<Busy>>,
}

enum Seat {
    /// The client is not in this namespace: not yet, or not any more.
    Out(Arc<str>),
    /// From a `connect` that succeeded to `disconnected`.
    In(Socket),
}

#[derive(Default)]
struct Busy {
    work: Option<Work>,
    queue: VecDeque<Command>,
    /// Of the arguments in the queue.
    bytes: usize,
}

enum Work {
    Connecting(BoxFuture<'static, Result<Welcome, Refused>>, Duration),
    Greeting(BoxFuture<'static, ()>),
    Event(Answer, BoxFuture<'static, Option<Arguments>>),
}

pub(super) enum Command {
    Connect(Option<Box<RawValue>>),
    Event {
        name: String,
        arguments: Arguments,
        answer: Answer,
    },
    Leave,
}

impl Command {
    fn bytes(&self) -> usize {
        let Command::Event { arguments, .. } = self else {
            return 0;
        };
        let args = arguments.args.iter().map(|arg| arg.get().len());
        args.chain(arguments.attachments.iter().map(bytes::Bytes::len))
            .sum()
    }
}

/// How the client wants to be answered.
pub(super) enum Answer {
    None,
    Ack(u64),
    Plain(Option<Box<RawValue>>),
    Messages,
}

/// What came of polling a space.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Waits,
    /// The client is no longer in it, or was not let in.
    Gone,
}

impl Space {
    /// A space whose CONNECT has just come.
    pub fn asked_for(namespace: &str, auth: Option<Box<RawValue>>) -> Space {
        let mut space = Space {
            seat: Seat::Out(Arc::from(namespace)),
            busy: None,
        };
        space.push(Command::Connect(auth));
        space
    }

    /// The only space of a connection that was let in before it began.
    pub fn granted(welcome: Welcome, line: &Arc<Line>) -> Space {
        let namespace = Arc::from(socketio::MAIN_NAMESPACE);
        Space {
            seat: Seat::In(socket(welcome, namespace, line)),
            busy: None,
        }
    }

    /// Greets the socket of a space that was granted.
    pub fn greet(&mut self, engine: &Engine) {
        if let Seat::In(socket) = &self.seat {
            let greeting = engine.application().connected(socket.clone());
            self.set_work(Work::Greeting(greeting));
        }
    }

    /// There while the client is in.
    pub fn socket(&self) -> Option<&Socket> {
        match &self.seat {
            Seat::In(socket) => Some(socket),
            Seat::Out(_) => None,
        }
    }

    pub fn is_named(&self, namespace: &str) -> bool {
        **self.namespace() == *namespace
    }

    fn namespace(&self) -> &Arc<str> {
        match &self.seat {
            Seat::Out(namespace) => namespace,
            Seat::In(socket) => &socket.namespace,
        }
    }

    /// The client is in this namespace no longer.
    fn stand_up(&mut self) -> Option<Socket> {
        let out = Seat::Out(Arc::clone(self.namespace()));
        match std::mem::replace(&mut self.seat, out) {
            Seat::In(socket) => Some(socket),
            Seat::Out(_) => None,
        }
    }

    /// Commands that wait behind the one in hand.
    pub fn waiting(&self) -> usize {
        self.busy.as_ref().map_or(0, |busy| busy.queue.len())
    }

    /// Bytes of what those carry.
    pub fn waiting_bytes(&self) -> usize {
        self.busy.as_ref().map_or(0, |busy| busy.bytes)
    }

    /// Whether the client, by what it has said so far, is in here.
    pub fn is_open(&self) -> bool {
        let queue = self.busy.iter().flat_map(|busy| &busy.queue);
        let last = queue.rev().find_map(|command| match command {
            Command::Connect(_) => Some(true),
            Command::Leave => Some(false),
            Command::Event { .. } => None,
        });
        last.unwrap_or(true)
    }

    pub fn push(&mut self, command: Command) {
        let busy = self.busy.get_or_insert_default();
        busy.bytes += command.bytes();
        busy.queue.push_back(command);
    }

    /// When the application has taken too long to answer, if it is being waited for.
    pub fn deadline(&self) -> Option<Duration> {
        match self.busy.as_ref()?.work {
            Some(Work::Connecting(_, deadline)) => Some(deadline),
            _ => None,
        }
    }

    /// Goes on until the application is waited for or nothing is left to do.
    pub fn poll(&mut self, engine: &Engine, line: &Arc<Line>, cx: &mut Context<'_>) -> Outcome {
        while let Some(busy) = &mut self.busy {
            if let Some(work) = &mut busy.work {
                match work.poll(engine, cx) {
                    Poll::Pending => return Outcome::Waits,
                    Poll::Ready(done) => {
                        busy.work = None;
                        if self.settle(done, engine, line) == Outcome::Gone {
                            return Outcome::Gone;
                        }
                        continue;
                    }
                }
            }
            if matches!(busy.queue.front(), Some(Command::Event { .. })) && line.outbox.is_crowded()
            {
                return Outcome::Waits;
            }
            match busy.queue.pop_front() {
                None => self.busy = None,
                Some(command) => {
                    busy.bytes -= command.bytes();
                    self.begin(command, engine, line);
                }
            }
        }
        match self.seat {
            Seat::In(_) => Outcome::Waits,
            Seat::Out(_) => Outcome::Gone,
        }
    }

    fn set_work(&mut self, work: Work) {
        self.busy.get_or_insert_default().work = Some(work);
    }

    /// Ends it with its connection. What is in hand is dropped first, so that the application never hears
    /// of a socket again after it was told that it is gone.
    pub fn end(&mut self, engine: &Engine, reason: Reason) {
        self.busy = None;
        if let Some(socket) = self.stand_up() {
            engine.application().disconnected(socket, reason);
        }
    }

    fn begin(&mut self, command: Command, engine: &Engine, line: &Arc<Line>) {
        match command {
            Command::Connect(auth) => {
                let connect = Connect {
                    protocol: line.protocol,
                    namespace: Some(self.namespace().to_string()),
                    auth,
                    visit: line.visit.clone(),
                    connection_id: Arc::clone(&line.id),
                };
                let until = engine.clock().monotonic() + engine.config().connect_timeout;
                let granted = engine.application().connect(connect);
                self.set_work(Work::Connecting(granted, until));
            }
            Command::Event {
                name,
                arguments,
                answer,
            } => {
                if let Seat::In(socket) = &self.seat {
                    let event = engine.application().event(socket.clone(), name, arguments);
                    self.set_work(Work::Event(answer, event));
                }
            }
            Command::Leave => {
                line.left(self.namespace());
                if let Some(socket) = self.stand_up() {
                    engine
                        .application()
                        .disconnected(socket, Reason::ClientLeft);
                }
            }
        }
    }

    fn settle(&mut self, done: Done, engine: &Engine, line: &Arc<Line>) -> Outcome {
        match done {
            Done::Connected(Ok(welcome)) => {
                // The answer before anything that `connected` may send. A failed push is a closed outbox,
                // which the session notices by itself; the socket must be told of its end all the same.
                let namespace = engine.name(Arc::clone(self.namespace()));
                let answer = socketio::connect(&namespace, &welcome.sid, welcome.pid.as_deref());
                line.joined(Arc::clone(&namespace));
                let socket = socket(welcome, namespace, line);
                self.seat = Seat::In(socket.clone());
                let _ = line.outbox.push_ahead(answer);
                self.set_work(Work::Greeting(engine.application().connected(socket)));
            }
            Done::Connected(Err(refused)) => {
                let answer = socketio::connect_error(
                    self.namespace(),
                    &refused.message,
                    refused.data.as_deref(),
                );
                let _ = line.outbox.push(answer);
                return Outcome::Gone;
            }
            Done::Greeted => line.outbox.flush(),
            Done::Event(answer, arguments) => {
                if let Some(arguments) = arguments {
                    self.answer(answer, &arguments, line);
                }
            }
        }
        Outcome::Waits
    }

    fn answer(&self, answer: Answer, arguments: &Arguments, line: &Line) {
        let frames = match answer {
            Answer::None => return,
            Answer::Ack(id) => socketio::ack(
                self.namespace(),
                id,
                &arguments.args,
                &arguments.attachments,
            ),
            Answer::Messages => super::ask::messages(arguments),
            Answer::Plain(id) => {
                let body = arguments.args.first().map(|body| &**body);
                match body.map(|body| plain::answer(id.as_deref(), body)) {
                    Some(Ok(frame)) => vec![frame],
                    Some(Err(error)) => {
                        tracing::error!(%error, "the application's answer cannot be written");
                        return;
                    }
                    None => return,
                }
            }
        };
        let _ = line.outbox.push_all(frames);
    }
}

/// What a piece of work came to.
enum Done {
    Connected(Result<Welcome, Refused>),
    Greeted,
    Event(Answer, Option<Arguments>),
}

impl Work {
    fn poll(&mut self, engine: &Engine, cx: &mut Context<'_>) -> Poll<Done> {
        match self {
            Work::Connecting(future, until) => match Pin::new(future).poll(cx) {
                Poll::Ready(granted) => Poll::Ready(Done::Connected(granted)),
                Poll::Pending if engine.clock().monotonic() >= *until => {
                    Poll::Ready(Done::Connected(Err(Refused::timed_out())))
                }
                Poll::Pending => Poll::Pending,
            },
            Work::Greeting(future) => Pin::new(future).poll(cx).map(|()| Done::Greeted),
            Work::Event(answer, future) => Pin::new(future)
                .poll(cx)
                .map(|arguments| Done::Event(std::mem::replace(answer, Answer::None), arguments)),
        }
    }
}

fn socket(welcome: Welcome, namespace: Arc<str>, line: &Arc<Line>) -> Socket {
    Socket {
        sid: Arc::from(welcome.sid),
        namespace,
        connection: Arc::clone(line) as Arc<dyn Connection>,
        state: welcome.state,
    }
}

/// Whether a client of this protocol says CONNECT.
pub(super) fn connects(protocol: Protocol) -> bool {
    protocol == Protocol::SocketIo
}
