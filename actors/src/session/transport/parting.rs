//! What is left to do when a session has ended: whoever polls is told, whoever does not read is cut off.

use std::sync::Arc;
use std::time::Duration;

use crate::session::engine::Engine;
use crate::session::line::{Carrier, Line};
use crate::session::reason::Reason;

/// How long a client has to take the last word.
pub(super) const GOODBYE: Duration = Duration::from_millis(500);

/// How long a polling client that happens not to be polling may come and hear of the end.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Called once, when the session has ended.
pub(in crate::session) fn part(engine: &Engine, line: &Arc<Line>, reason: Reason) {
    let carrier = line.carrier();
    if !(carrier == Carrier::Polling && is_told(reason)) {
        engine.directory().remove(line.sid);
    }
    if !matches!(carrier, Carrier::Polling | Carrier::Sse) {
        return; // a WebSocket says goodbye by itself
    }
    // Not there when the thread is being taken down, which ends everything anyway.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        engine.directory().remove(line.sid);
        return;
    };
    let (engine, line) = (engine.clone(), Arc::clone(line));
    runtime.spawn(async move {
        let clock = engine.clock();
        clock.sleep(GOODBYE).await;
        if let Some(hard) = line.take_hard_end() {
            hard.kill();
        }
        clock.sleep(LAST_CALL.saturating_sub(GOODBYE)).await;
        engine.directory().remove(line.sid);
    });
}

/// Whether a client that polls after the end is told of it once. Any other gets the 400 of an unknown session.
fn is_told(reason: Reason) -> bool {
    match reason {
        Reason::ClientClosed
        | Reason::Forced
        | Reason::Unauthorized
        | Reason::Superseded
        | Reason::ServerRestart => true,
        Reason::ClientLeft
        | Reason::PingTimeout
        | Reason::ProtocolError
        | Reason::Unsupported
        | Reason::SlowConsumer
        | Reason::Fault => false,
    }
}
