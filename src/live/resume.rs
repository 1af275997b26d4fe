//! After the door: a socket takes its place in its rooms, gets what it missed, and is told `ready`.
//!
//! No gap and no repeat, because the Broadcaster says at which place of the Record the socket came
//! in: what lies before is read from the Record, what comes after is held back until then.

use std::sync::Arc;

use callboard_actors::broadcaster::Enter;
use callboard_actors::model::envelope::Envelope;
use callboard_actors::model::event::Kind;
use callboard_actors::model::record::Seq;
use callboard_actors::model::room::Channel;
use callboard_actors::session::{Reason, Socket};
use callboard_actors::subscriber::Subscriber;
use callboard_actors::wire::Frame;
use serde::Serialize;
use serde_json::value::to_raw_value;

use super::Live;
use super::pages::{PAGE, Page, Reader};
use super::state::State;

impl Live {
    /// Brings the socket from where it says it is to the present. `entered`: it is in its rooms already, from there on.
    /// An `Err` has closed, or must close, the connection.
    pub(super) async fn settle_in(
        &self,
        socket: &Socket,
        state: &State,
        subscriber: &Arc<Subscriber>,
        entered: Option<Seq>,
    ) -> Result<(), Reason> {
        let channels = state.channels();

        // First to the end of the Record as it was when it came, with nothing held meanwhile and as fast as the client
        // reads. Who needs long for that does it again, until little is left.
        let reader = self.pages.reader();
        let mut at = state.since;
        if let Some(at) = &mut at {
            loop {
                let behind = self.pages.head().saturating_sub(*at);
                self.replay(&reader, subscriber, &channels, at, self.pages.head())
                    .await?;
                if behind <= PAGE {
                    break;
                }
                if let Ok(span) = self.parts.record.span().await {
                    self.pages.saw(span.last);
                }
            }
        }
        let entered = match entered {
            Some(entered) => entered,
            None => {
                let enter = Enter {
                    subscriber: subscriber.clone(),
                    channels: channels.clone(),
                };
                let entered = self.parts.broadcaster.ask(enter).await;
                entered.map_err(|error| {
                    tracing::warn!(sid = %socket.sid, %error, "a socket could not enter its rooms");
                    Reason::ServerRestart
                })?
            }
        };
        // The rest, up to where the rooms took over; what comes later is held.
        let mut at = at.unwrap_or(entered);
        self.replay(&reader, subscriber, &channels, &mut at, entered)
            .await?;
        drop(reader);
        let ready = self.ready(socket, state, at);
        // There is room then for what was held.
        let outbox = subscriber.outbox();
        outbox.drained_to(outbox.limit() / 8).await?;
        subscriber.release(at, &ready)
    }

    /// Sends what the channels carried after `at` and up to `upto`, and moves `at` there.
    async fn replay(
        &self,
        reader: &Reader<'_>,
        subscriber: &Subscriber,
        channels: &[Channel],
        at: &mut Seq,
        upto: Seq,
    ) -> Result<(), Reason> {
        while *at < upto {
            let page = self.page(reader, subscriber, *at, upto).await?;
            let before = *at;
            let mut run = Run::new(subscriber);
            for item in page.after(*at).iter().take_while(|it| it.seq() <= upto) {
                // Retention may have taken what lies between: the client must start afresh.
                if item.seq() != *at + 1 {
                    return Err(Reason::ServerRestart);
                }
                *at = item.seq();
                if item.is_for(channels) {
                    run.send(item.frame(subscriber.form)).await?;
                }
            }
            run.flush().await?;
            if *at == before {
                return Err(Reason::ServerRestart);
            }
        }
        Ok(())
    }

    /// The page with what comes after `at`, once the client has taken most of what it was sent before.
    async fn page(
        &self,
        reader: &Reader<'_>,
        subscriber: &Subscriber,
        at: Seq,
        upto: Seq,
    ) -> Result<Page, Reason> {
        let outbox = subscriber.outbox();
        outbox.drained_to(outbox.limit() / 8).await?;
        loop {
            match reader.page(at, upto).await {
                Ok(page) => return Ok(page),
                Err(error) => {
                    tracing::warn!(%error, "what a socket missed cannot be read; trying again");
                    self.parts.clock.sleep(RETRY).await;
                    outbox.closed().map_or(Ok(()), Err)?;
                }
            }
        }
    }

    fn ready(&self, socket: &Socket, state: &State, offset: Seq) -> Envelope {
        let settings = &self.settings;
        let millis = |time: std::time::Duration| time.as_millis() as u64;
        let data = Ready {
            offset,
            recovered: state.recovered(),
            sid: &socket.sid,
            connection_id: socket.connection.id(),
            server: Server {
                name: "callboard",
                version: env!("CARGO_PKG_VERSION"),
            },
            heartbeat: Heartbeat {
                interval: millis(settings.ping_interval),
                timeout: millis(settings.ping_timeout),
            },
            reconnection: Reconnection {
                delay: millis(settings.reconnection_delay),
                max_delay: millis(settings.reconnection_max_delay),
            },
        };
        // Strings and numbers: this cannot fail.
        let data = to_raw_value(&data).unwrap_or_default();
        Envelope::with_offset(Kind::Ready.name(), self.parts.clock.now(), &data, offset)
    }
}

/// What `ready` says.
#[derive(Serialize)]
struct Ready<'a> {
    offset: Seq,
    recovered: bool,
    sid: &'a str,
    connection_id: &'a str,
    server: Server,
    heartbeat: Heartbeat,
    reconnection: Reconnection,
}

#[derive(Serialize)]
struct Server {
    name: &'static str,
    version: &'static str,
}

/// In milliseconds.
#[derive(Serialize)]
struct Heartbeat {
    interval: u64,
    timeout: u64,
}

/// In milliseconds.
#[derive(Serialize)]
struct Reconnection {
    delay: u64,
    max_delay: u64,
}

/// Frames that are queued together, as many as there is room for.
struct Run<'a> {
    subscriber: &'a Subscriber,
    frames: Vec<Frame>,
    bytes: usize,
}

impl Run<'_> {
    fn new(subscriber: &Subscriber) -> Run<'_> {
        Run {
            subscriber,
            frames: Vec::new(),
            bytes: 0,
        }
    }

    async fn send(&mut self, frame: Frame) -> Result<(), Reason> {
        let most = self.subscriber.outbox().limit() / 4;
        if self.bytes + frame.wire_len() > most {
            self.flush().await?;
        }
        self.bytes += frame.wire_len();
        self.frames.push(frame);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Reason> {
        let outbox = self.subscriber.outbox();
        outbox
            .drained_to(outbox.limit().saturating_sub(self.bytes))
            .await?;
        self.bytes = 0;
        outbox.push_all(self.frames.drain(..))
    }
}

/// Between two tries to read the Record.
const RETRY: std::time::Duration = std::time::Duration::from_millis(250);
