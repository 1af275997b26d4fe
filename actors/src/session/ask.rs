//! What the application says to one socket: events, and questions that the client acknowledges.
//!
//! A question waits in its connection's table until the client answers, the time is up, or the socket is
//! gone; whoever stops waiting leaves nothing in the table.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::application::{Arguments, Connection, Protocol, Socket};
use super::reason::Reason;
use crate::runtime::Clock;
use crate::wire::frame::Frame;
use crate::wire::{engineio, socketio, sse};

/// Questions that may be open on one connection.
const OPEN_MOST: usize = 1024;

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    #[error("no acknowledgement in time")]
    TimedOut,
    #[error("the socket is gone: {0}")]
    Gone(Reason),
    #[error("this client cannot acknowledge")]
    Unsupported,
    #[error("too many questions are open")]
    TooMany,
}

/// The questions open on one connection.
pub struct Asks {
    clock: Clock,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last_id: u64,
    waiting: HashMap<u64, Waiting>,
    over: Option<Reason>,
}

struct Waiting {
    namespace: Arc<str>,
    answer: oneshot::Sender<Result<Arguments, AckError>>,
}

impl Asks {
    pub(super) fn new(clock: Clock) -> Asks {
        Asks {
            clock,
            open: Mutex::default(),
        }
    }

    /// The client answered. `Err`: nobody waits for that here (any more).
    pub(super) fn answered(
        &self,
        namespace: &str,
        id: u64,
        arguments: Arguments,
    ) -> Result<(), Arguments> {
        let mut open = self.open.lock();
        if open
            .waiting
            .get(&id)
            .is_some_and(|waiting| &*waiting.namespace == namespace)
            && let Some(waiting) = open.waiting.remove(&id)
        {
            let _ = waiting.answer.send(Ok(arguments));
            return Ok(());
        }
        Err(arguments)
    }

    /// The client left a namespace: nothing asked there will be answered.
    pub(super) fn left(&self, namespace: &str, reason: Reason) {
        let gone = |_: &u64, waiting: &mut Waiting| &*waiting.namespace == namespace;
        let gone: Vec<_> = self.open.lock().waiting.extract_if(gone).collect();
        for (_, waiting) in gone {
            let _ = waiting.answer.send(Err(AckError::Gone(reason)));
        }
    }

    /// The connection is over.
    pub(super) fn over(&self, reason: Reason) {
        let gone = {
            let mut open = self.open.lock();
            open.over = Some(reason);
            std::mem::take(&mut open.waiting)
        };
        for waiting in gone.into_values() {
            let _ = waiting.answer.send(Err(AckError::Gone(reason)));
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.lock().waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn begin(
        &self,
        namespace: &Arc<str>,
    ) -> Result<(u64, oneshot::Receiver<Result<Arguments, AckError>>), AckError> {
        let (answer, answered) = oneshot::channel();
        let mut open = self.open.lock();
        if let Some(reason) = open.over {
            return Err(AckError::Gone(reason));
        }
        if open.waiting.len() >= OPEN_MOST {
            return Err(AckError::TooMany);
        }
        open.last_id += 1;
        let id = open.last_id;
        let namespace = Arc::clone(namespace);
        open.waiting.insert(id, Waiting { namespace, answer });
        Ok((id, answered))
    }
}

/// Takes a question back when nobody waits for its answer any more.
struct Retract {
    connection: Arc<dyn Connection>,
    id: u64,
}

impl Drop for Retract {
    fn drop(&mut self) {
        if let Some(asks) = self.connection.asks() {
            asks.open.lock().waiting.remove(&self.id);
        }
    }
}

impl Socket {
    /// Sends an event. On a plain WebSocket it is `{"event":name,"data":…}` with the first argument.
    ///
    /// # Errors
    /// When the connection is closed, or is closed now because the client reads too slowly.
    pub fn emit(&self, name: &str, arguments: &Arguments) -> Result<(), Reason> {
        let frames = frames(
            self.connection.protocol(),
            &self.namespace,
            None,
            name,
            arguments,
        );
        self.connection.outbox().push_all(frames)
    }

    /// Sends an event at once and waits, at most so long, for the client to acknowledge it.
    pub fn request(
        &self,
        name: &str,
        arguments: &Arguments,
        limit: Duration,
    ) -> impl Future<Output = Result<Arguments, AckError>> + Send + use<> {
        let sent = self.ask(name, arguments);
        async move {
            let (answered, clock, _retract) = sent?;
            match clock.within(limit, answered).await {
                Some(Ok(answer)) => answer,
                // The table went without a word: the connection was dropped whole.
                Some(Err(_)) => Err(AckError::Gone(Reason::ClientClosed)),
                None => Err(AckError::TimedOut),
            }
        }
    }

    #[allow(clippy::type_complexity)]
    fn ask(
        &self,
        name: &str,
        arguments: &Arguments,
    ) -> Result<
        (
            oneshot::Receiver<Result<Arguments, AckError>>,
            Clock,
            Retract,
        ),
        AckError,
    > {
        let asks = self.connection.asks().ok_or(AckError::Unsupported)?;
        let (id, answered) = asks.begin(&self.namespace)?;
        let retract = Retract {
            connection: Arc::clone(&self.connection),
            id,
        };
        let frames = socketio::event(
            &self.namespace,
            Some(id),
            name,
            &arguments.args,
            &arguments.attachments,
        );
        self.connection
            .outbox()
            .push_all(frames)
            .map_err(AckError::Gone)?;
        Ok((answered, asks.clock.clone(), retract))
    }
}

impl Arguments {
    /// One argument.
    ///
    /// # Errors
    /// When `value` has no JSON form.
    pub fn one(value: &impl Serialize) -> serde_json::Result<Arguments> {
        Ok(Arguments {
            args: vec![serde_json::value::to_raw_value(value)?],
            attachments: Vec::new(),
        })
    }
}

/// An event as this protocol writes it.
pub(super) fn frames(
    protocol: Protocol,
    namespace: &str,
    id: Option<u64>,
    name: &str,
    arguments: &Arguments,
) -> Vec<Frame> {
    let first = || arguments.args.first().map_or("null", |arg| arg.get());
    match protocol {
        Protocol::SocketIo => {
            socketio::event(namespace, id, name, &arguments.args, &arguments.attachments)
        }
        Protocol::EngineIo => messages(arguments),
        Protocol::Plain => {
            let name = serde_json::to_string(name).unwrap_or_default();
            vec![Frame::text(format!(
                r#"{{"event":{name},"data":{}}}"#,
                first()
            ))]
        }
        Protocol::Sse => vec![sse::event(None, name, first())],
    }
}

/// Bare messages: a string as its text, any other argument as JSON, an attachment as it is.
pub(super) fn messages(arguments: &Arguments) -> Vec<Frame> {
    let text = |arg: &RawValue| match serde_json::from_str::<String>(arg.get()) {
        Ok(text) => engineio::message(&text),
        Err(_) => engineio::message(arg.get()),
    };
    let texts = arguments.args.iter().map(|arg| text(arg));
    texts
        .chain(arguments.attachments.iter().map(Frame::binary))
        .collect()
}
