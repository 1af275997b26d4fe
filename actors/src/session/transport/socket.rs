//! The TCP socket of a connection: its options, and how to end it when the client does not help.

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_web::dev::Extensions;
use socket2::{SockRef, Socket};

/// What the kernel may hold for one connection that is not read. Its own default grows to megabytes.
const SEND_BUFFER: usize = 64 * 1024;

/// Sets a new connection up. `user_timeout` is the net below everything else: how long sent bytes may go
/// without being received, a closed window included.
pub(in crate::session) fn prepare(io: &TcpStream, data: &mut Extensions, user_timeout: Duration) {
    let socket = SockRef::from(io);
    // Each fails only on a socket that is dead already, which its first read will tell.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(user_timeout));
    #[cfg(not(target_os = "linux"))]
    let _ = user_timeout;
    // HTTP's dispatcher keeps the stream to itself, so a poll or an event stream that it is stuck in can
    // only be ended through a second handle. A WebSocket drops this one: it owns its stream.
    if let Ok(second) = socket.try_clone() {
        data.insert(HardEnd(Arc::new(second)));
    }
}

/// A second handle on a connection's socket.
#[derive(Clone)]
pub(in crate::session) struct HardEnd(Arc<Socket>);

impl HardEnd {
    /// Ends the connection now; what was not sent is thrown away.
    pub fn kill(self) {
        let _ = self.0.set_linger(Some(Duration::ZERO));
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Before a stream is dropped whose client does not read: a reset instead of bytes that stay in the kernel.
pub(in crate::session) fn reset(io: &TcpStream) {
    let _ = SockRef::from(io).set_linger(Some(Duration::ZERO));
}
