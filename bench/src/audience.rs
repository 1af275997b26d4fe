//! Clients on a thread of their own, so that the writer's clock does not count the time that they take to read. They
//! would be on other machines: where `renice` is there, the thread has the lowest priority.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};

use crate::Result;
use crate::live::Live;
use crate::process;

/// What a client got, and when.
pub type Seen = (String, Instant);

/// The thread; dropping it ends the clients.
pub struct Audience {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

impl Audience {
    pub fn new() -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            process::step_back();
            // An `Err` is the end as well: the other side was dropped.
            let _ = runtime.block_on(ended);
        });
        Ok(Self { handle, _end: end })
    }

    /// One more client, which has joined the room when this returns. It reads whatever comes, and passes on what holds
    /// `words`.
    pub async fn listen(
        &self,
        address: SocketAddr,
        token: &str,
        room: &str,
        words: &'static str,
        told: Option<mpsc::UnboundedSender<Seen>>,
    ) -> Result<()> {
        let (token, room) = (token.to_owned(), room.to_owned());
        self.on_its_thread(async move {
            let mut live = Live::connect(address, &token).await?;
            live.join(&room).await?;
            tokio::spawn(async move {
                while let Ok((message, at)) = live.next().await {
                    if let Some(told) = &told
                        && message.contains(words)
                        && told.send((message, at)).is_err()
                    {
                        break;
                    }
                }
            });
            Ok(())
        })
        .await
    }

    /// Runs on the audience's thread.
    async fn on_its_thread(
        &self,
        work: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Result<()> {
        self.handle
            .spawn(work)
            .await
            .map_err(|error| error.to_string())?
    }
}
