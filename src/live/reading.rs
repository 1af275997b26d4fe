//! What a client says of the notifications it was sent: `read`, `delivered`, and the acknowledgement of a push.

use callboard_actors::model::perusal::Deed;
use callboard_actors::ports::Unavailable;
use callboard_actors::receipts::Receipt;
use callboard_actors::session::Socket;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Live;
use super::commands::{Done, Fault, invalid, read};
use super::state::State;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    notification: String,
}

fn named(body: Option<&RawValue>) -> Result<Uuid, Fault> {
    let named: Named = read(body)?;
    Uuid::try_parse(&named.notification).map_err(|_| invalid("id: a UUID"))
}

fn gone(id: Uuid) -> Fault {
    Fault::new("not_found", format!("there is no notification {id}"))
}

impl Live {
    pub(super) async fn read_one(&self, state: &State, body: Option<&RawValue>) -> Done {
        let (id, user) = (named(body)?, state.identity().user.clone());
        let inbox = &self.parts.inbox;
        let seen = inbox.find(user.id, id).await.map_err(Unavailable::from)?;
        let read = inbox.read(seen.ok_or_else(|| gone(id))?).await;
        let (row, news) = read.map_err(Unavailable::from)?.ok_or_else(|| gone(id))?;
        let unread = match news {
            true => inbox.tell(user, Deed::Read(id)).await,
            false => inbox.unread_count(user.id).await,
        };
        let unread = unread.map_err(Unavailable::from)?;
        Ok(json!({ "notification": id, "read_at": row.read_at, "unread_count": unread }))
    }

    pub(super) async fn delivered(&self, state: &State, body: Option<&RawValue>) -> Done {
        let id = named(body)?;
        let delivered = self.parts.inbox.delivered(state.identity().user.id, id);
        match delivered.await.map_err(Unavailable::from)? {
            true => Ok(json!({})),
            false => Err(gone(id)),
        }
    }

    /// The client answers an event that asked for it. Of each push the first answer is written, in a while and with
    /// others; how many wait for that is bounded.
    pub(super) fn note_arrival(&self, socket: &Socket, number: u64) {
        let Some(state) = State::of(socket) else {
            return;
        };
        let user = state.identity().user.id;
        match self.parts.receipts.take(number, user) {
            Receipt::First(id) => {
                let (inbox, receipts) = (self.parts.inbox.clone(), self.parts.receipts.clone());
                actix_rt::spawn(async move {
                    match inbox.delivered(user, id).await {
                        Ok(_) => receipts.written(number),
                        Err(error) => {
                            tracing::warn!(%error, %id, "that a notification arrived is not written");
                            receipts.put_back(number);
                        }
                    }
                });
            }
            Receipt::Late => {}
            Receipt::Strange => self.parts.strange_acks.add(1),
        }
    }
}
