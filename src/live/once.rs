//! A command that is sent twice is done once: the same id from the same user, on whichever connection, gets the first
//! answer for a day. An id by which only its connection knows it (a number, on a plain WebSocket) gets it there, as long as
//! not many others have come; there it is the same command only if it says the same.
//!
//! That is for what changes something of the user's. What is of the socket alone (`join`, `view`, …) is done again, and
//! finds that it is done: on a new connection it is a new thing.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use callboard_actors::ports::Unavailable;
use callboard_actors::session::Socket;
use futures_util::FutureExt;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Live;
use super::asked::Asked;
use super::commands::Fault;
use super::state::State;
use crate::store::idempotency::{self, Asked as Keyed, Claimed, Given, Scope};

/// What the keys of commands are scoped to, where those of requests have their method.
const SOCKET: &str = "SOCKET";

/// Commands that change something of the user's.
pub(super) fn writes(name: &str) -> bool {
    matches!(name, "status" | "read" | "delivered")
}

impl Live {
    /// Does it, if it was not done before. It is done to its end also when the connection breaks meanwhile: whoever
    /// comes back and asks again shall find the answer.
    pub(super) async fn once(
        &self,
        socket: &Socket,
        state: &Arc<State>,
        asked: Asked,
        id: String,
    ) -> Result<Value, Fault> {
        if !state.may_repeat(self.parts.clock.now().timestamp()) {
            return Err(Fault::new(
                "rate_limited",
                "10 commands with an id a second at most",
            ));
        }
        let scope = Scope {
            user_id: state.identity().user.id,
            method: SOCKET.to_owned(),
            path: asked.name.clone(),
            key: id,
        };
        let (live, socket, state) = (self.clone(), socket.clone(), state.clone());
        let done = actix_rt::spawn(async move { live.claimed(socket, state, asked, scope).await });
        done.await.map_err(|_| Fault::busy())?
    }

    /// The same for an id that other connections may use for something else. Commands of one connection are done one after
    /// the other, so none is under way here.
    pub(super) async fn once_here(
        &self,
        socket: &Socket,
        state: &State,
        asked: Asked,
        id: String,
    ) -> Value {
        let body = asked.body.as_deref();
        let command = format!("{} {}", asked.name, body.map_or("null", RawValue::get));
        if let Some(answer) = state.answer_of(&id, &command) {
            return answer;
        }
        let answer = self.command(socket, state, &asked.name, body).await;
        if is_final(&answer) {
            state.keep_answer(id, command, answer.clone());
        }
        answer
    }

    async fn claimed(
        self,
        socket: Socket,
        state: Arc<State>,
        asked: Asked,
        scope: Scope,
    ) -> Result<Value, Fault> {
        let store = &self.parts.store;
        let body = asked.body.as_deref();
        let text = body.map_or("null", RawValue::get);
        let keyed = Keyed {
            scope,
            role: state.identity().role,
            // None of these commands is on the Record, and each may be done twice: it says how something shall be.
            request_id: None,
        };
        let claimed = idempotency::claim(store, keyed, text.as_bytes()).await;
        match claimed.map_err(Unavailable::from)? {
            Claimed::New(claim) => {
                let work = self.command(&socket, &state, &asked.name, body);
                let answer = match AssertUnwindSafe(work).catch_unwind().await {
                    Ok(answer) => answer,
                    Err(panic) => {
                        note(idempotency::abandon(store, claim).await);
                        std::panic::resume_unwind(panic);
                    }
                };
                let kept = match serde_json::to_vec(&answer) {
                    Ok(body) if is_final(&answer) => {
                        let given = Given {
                            status: 200,
                            headers: Vec::new(),
                            body,
                        };
                        idempotency::complete(store, claim, given).await
                    }
                    _ => idempotency::release(store, claim).await,
                };
                note(kept);
                Ok(answer)
            }
            Claimed::Replay(given) => {
                serde_json::from_slice(&given.body).map_err(|_| Fault::busy())
            }
            Claimed::Lowered => Err(Fault::new(
                "forbidden",
                "the first command of this id was done in a higher role",
            )),
            Claimed::InProgress | Claimed::Lost(_) => Err(Fault::new(
                "in_progress",
                "the first command of this id is not done yet",
            )),
            Claimed::Mismatch => Err(Fault::new(
                "idempotency_key_reused",
                "the id was that of another command",
            )),
        }
    }
}

fn note(result: crate::store::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "a command's answer was not kept");
    }
}

/// Whether it will be answered the same another time.
fn is_final(answer: &Value) -> bool {
    let code = answer["error"]["code"].as_str();
    !matches!(code, Some("unavailable" | "rate_limited" | "disabled"))
}
