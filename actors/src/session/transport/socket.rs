//! The TCP socket of a connection: its options, and how to end it when the client does not help.

use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_web::dev::Extensions;
use bytes::BytesMut;
use socket2::{SockRef, Socket};
use tokio::io::Interest;

/// What the kernel may hold for one connection that is not read. Its own default grows to megabytes.
const SEND_BUFFER: usize = 64 * 1024;

/// What every connection shall have that is accepted here: it has its options from the socket that listens, so they are
/// set once. `user_timeout` is the net below everything else: how long sent bytes may go without being received, a closed
/// window included.
pub(in crate::session) fn prepare(listener: &Socket, user_timeout: Duration) -> io::Result<()> {
    listener.set_tcp_nodelay(true)?;
    listener.set_send_buffer_size(SEND_BUFFER)?;
    #[cfg(target_os = "linux")]
    listener.set_tcp_user_timeout(Some(user_timeout))?;
    #[cfg(not(target_os = "linux"))]
    let _ = user_timeout;
    Ok(())
}

/// HTTP's dispatcher keeps the stream to itself, so a poll or an event stream that it is stuck in can only be ended through
/// a second handle. A WebSocket drops this one: it owns its stream.
pub(in crate::session) fn keep_second(io: &TcpStream, data: &mut Extensions) {
    // Fails only where there are no handles left, or on a socket that is dead already.
    if let Ok(second) = SockRef::from(io).try_clone() {
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

/// Reads what is there, up to so many bytes, to the end of the buffer. What comes to less has emptied the socket: as in
/// tokio's own streams the next one waits for it to be readable again, instead of asking the kernel in vain.
pub(in crate::session) fn read(
    io: &TcpStream,
    into: &mut BytesMut,
    most: usize,
) -> io::Result<usize> {
    let before = into.len();
    into.resize(before + most, 0);
    let mut part = 0;
    let read = io.try_io(Interest::READABLE, || {
        let count = (&*SockRef::from(io)).read(&mut into[before..])?;
        if (1..most).contains(&count) {
            part = count;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(count)
    });
    let read = if part > 0 { Ok(part) } else { read };
    into.truncate(before + read.as_ref().copied().unwrap_or(0));
    read
}

/// Before a stream is dropped whose client does not read: a reset instead of bytes that stay in the kernel.
pub(in crate::session) fn reset(io: &TcpStream) {
    let _ = SockRef::from(io).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

    use futures_util::FutureExt;
    use socket2::{Domain, Type};

    use super::*;
    use crate::testing::on_actix;

    #[test]
    fn what_is_there_is_read_without_asking_in_vain_and_its_end_is_seen() {
        on_actix(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let server = listener.accept().unwrap().0;
            server.set_nonblocking(true).unwrap();
            let server = actix_rt::net::TcpStream::from_std(server).unwrap();
            let mut buffer = BytesMut::from("<");
            let readable = || server.ready(Interest::READABLE).now_or_never();
            for round in 0..3 {
                client.write_all(b"abcdefg").unwrap();
                server.readable().await.unwrap();
                assert_eq!(read(&server, &mut buffer, 4).unwrap(), 4, "{round}");
                assert!(readable().is_some(), "there may be more");
                assert_eq!(read(&server, &mut buffer, 4).unwrap(), 3);
                assert!(readable().is_none(), "there is no more");
                assert_eq!(buffer.split_off(1), "abcdefg");
            }
            // All of it, to the last byte that there was room for.
            client.write_all(b"abcd").unwrap();
            server.readable().await.unwrap();
            assert_eq!(read(&server, &mut buffer, 4).unwrap(), 4);
            let error = read(&server, &mut buffer, 4).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(buffer, "<abcd");
            // The end comes along with the last bytes.
            client.write_all(b"x").unwrap();
            drop(client);
            server.readable().await.unwrap();
            assert_eq!(read(&server, &mut buffer, 4).unwrap(), 1);
            server.readable().await.unwrap();
            assert_eq!(read(&server, &mut buffer, 4).unwrap(), 0);
        });
    }

    #[test]
    fn a_connection_has_the_options_of_the_socket_that_accepted_it() {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        prepare(&listener, Duration::from_secs(7)).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        listener.bind(&any.into()).unwrap();
        listener.listen(1).unwrap();
        let listener = TcpListener::from(listener);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = Socket::from(listener.accept().unwrap().0);
        assert!(accepted.tcp_nodelay().unwrap());
        // The kernel doubles it, for its own bookkeeping.
        let size = accepted.send_buffer_size().unwrap();
        assert!((SEND_BUFFER..=2 * SEND_BUFFER).contains(&size), "{size}");
        #[cfg(target_os = "linux")]
        assert_eq!(
            accepted.tcp_user_timeout().unwrap(),
            Some(Duration::from_secs(7))
        );
    }
}
