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
use serde_json::json;
use serde_json::value::to_raw_value;

use super::Live;
use super::state::State;

/// Entries read at once.
const PAGE: usize = 500;

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

        // Far behind: page by page, with nothing held meanwhile and as fast as the client reads.
        let mut at = state.since;
        if let Some(since) = &mut at {
            loop {
                let read = self.replay(subscriber, &channels, since, Seq::MAX).await?;
                if read < PAGE {
                    break;
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
        while at < entered {
            self.replay(subscriber, &channels, &mut at, entered).await?;
        }
        let ready = self.ready(socket, state, at);
        // There is room then for what was held.
        let outbox = subscriber.outbox();
        outbox.drained_to(outbox.limit() / 8).await?;
        subscriber.release(at, &ready)
    }

    /// Sends what the channels carried on one page after `at` and moves `at`; gives how many
    /// entries the page had.
    async fn replay(
        &self,
        subscriber: &Subscriber,
        channels: &[Channel],
        at: &mut Seq,
        upto: Seq,
    ) -> Result<usize, Reason> {
        let outbox = subscriber.outbox();
        outbox.drained_to(outbox.limit() / 8).await?;
        let entries = loop {
            match self.parts.record.after(*at, PAGE).await {
                Ok(entries) => break entries,
                Err(error) => {
                    tracing::warn!(%error, "what a socket missed cannot be read; trying again");
                    self.parts.clock.sleep(RETRY).await;
                    outbox.closed().map_or(Ok(()), Err)?;
                }
            }
        };
        for entry in entries.iter().take_while(|entry| entry.seq <= upto) {
            // Retention may have taken what lies between: the client must start afresh.
            if entry.seq != *at + 1 {
                return Err(Reason::ServerRestart);
            }
            *at = entry.seq;
            if entry
                .audience
                .iter()
                .any(|channel| channels.contains(channel))
            {
                outbox.drained_to(outbox.limit() / 2).await?;
                subscriber.send(&Envelope::recorded(entry))?;
            }
        }
        if entries.is_empty() && *at < upto && upto != Seq::MAX {
            return Err(Reason::ServerRestart);
        }
        Ok(entries.len())
    }

    fn ready(&self, socket: &Socket, state: &State, offset: Seq) -> Envelope {
        let settings = &self.settings;
        let data = json!({
            "offset": offset,
            "recovered": state.recovered,
            "sid": &*socket.sid,
            "connection_id": &**socket.connection.id(),
            "server": { "name": "callboard", "version": env!("CARGO_PKG_VERSION") },
            "heartbeat": {
                "interval": settings.ping_interval.as_millis() as u64,
                "timeout": settings.ping_timeout.as_millis() as u64,
            },
            "reconnection": {
                "delay": settings.reconnection_delay.as_millis() as u64,
                "max_delay": settings.reconnection_max_delay.as_millis() as u64,
            },
        });
        // Strings and numbers: this cannot fail.
        let data = to_raw_value(&data).unwrap_or_default();
        Envelope::with_offset(Kind::Ready.name(), self.parts.clock.now(), &data, offset)
    }
}

/// Between two tries to read the Record.
const RETRY: std::time::Duration = std::time::Duration::from_millis(250);
