//! The line between a client and a server: a TCP relay that the test can cut and mend.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Relays to a server's port. Dropping it cuts the line for good.
pub struct Line {
    port: u16,
    whole: Arc<watch::Sender<bool>>,
}

impl Line {
    pub async fn to(server_port: u16) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let whole = Arc::new(watch::Sender::new(true));
        let state = Arc::downgrade(&whole);
        let mut gone = whole.subscribe();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((client, _)) = accepted else { continue };
                        let Some(whole) = state.upgrade() else { return };
                        if *whole.borrow() {
                            tokio::spawn(relay(client, server_port, whole.subscribe()));
                        }
                    }
                    changed = gone.changed() => if changed.is_err() { return },
                }
            }
        });
        Line { port, whole }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every connection breaks, without a word to either side; new ones are dropped until `mend`.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn relay(mut client: TcpStream, server_port: u16, mut whole: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server_port)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = async { while *whole.borrow_and_update() && whole.changed().await.is_ok() {} } => {}
    }
}
