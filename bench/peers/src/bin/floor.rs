//! The floor: what it costs to bring bytes to many WebSockets with tokio and nothing else. A thread for each core that it
//! may use; the handshake by hand; per connection a queue of shared `Bytes`, drained whole in one vectored write per
//! wake-up; `TCP_NODELAY`. No protocol above WebSocket, no rooms, no token, no bound, no heartbeat.

use std::collections::VecDeque;
use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use base64::Engine as _;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// Handed to the kernel at once.
const SLICES: usize = 64;

/// What waits for one connection.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Bytes>,
    /// Of the task that drains it, while that sleeps.
    waker: Option<Waker>,
    gone: bool,
}

type Line = Arc<Mutex<Queue>>;

/// Everybody who listens.
type Everybody = Arc<Mutex<Vec<Line>>>;

fn main() -> std::io::Result<()> {
    let mut runtime = match std::thread::available_parallelism()?.get() {
        1 => tokio::runtime::Builder::new_current_thread(),
        // As many threads as cores.
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(serve())
}

async fn serve() -> std::io::Result<()> {
    let listener = callboard_peers::listen()?;
    let everybody = Everybody::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(greet(stream, everybody.clone()));
    }
}

/// Reads the first request: a WebSocket's, or a publisher's.
async fn greet(mut stream: TcpStream, everybody: Everybody) {
    let mut buffer = BytesMut::new();
    let Some(head) = read_head(&mut stream, &mut buffer).await else {
        return;
    };
    if head.starts_with(b"POST ") {
        publish(stream, buffer, head, everybody).await;
        return;
    }
    let Some(answer) = handshake(&head) else {
        return;
    };
    // Before the client knows that it is here: with two threads, what is published then was lost to it.
    let line = Line::default();
    lock(&everybody).push(line.clone());
    if stream.write_all(answer.as_bytes()).await.is_err() {
        lock(&line).gone = true;
        return;
    }
    // A task of its own, which is no larger than what an open connection needs.
    tokio::spawn(Connection {
        stream,
        line,
        writing: VecDeque::new(),
    });
}

/// An open WebSocket: writes what waits.
struct Connection {
    stream: TcpStream,
    line: Line,
    writing: VecDeque<Bytes>,
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let ended = this.has_ended(context) || matches!(this.write(context), Poll::Ready(Err(_)));
        if ended {
            let mut queue = lock(&this.line);
            queue.gone = true;
            queue.waiting = VecDeque::new();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Connection {
    /// Reads and forgets; costs no system call unless something came.
    fn has_ended(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            let mut space = [0; 512];
            let mut space = ReadBuf::new(&mut space);
            match Pin::new(&mut self.stream).poll_read(context, &mut space) {
                Poll::Ready(Ok(())) if !space.filled().is_empty() => {}
                Poll::Ready(_) => return true,
                Poll::Pending => return false,
            }
        }
    }

    fn write(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        loop {
            if self.writing.is_empty() {
                let mut queue = lock(&self.line);
                if queue.waiting.is_empty() {
                    queue.waker = Some(context.waker().clone());
                    return Poll::Pending;
                }
                std::mem::swap(&mut self.writing, &mut queue.waiting);
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(&self.writing) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            let mut written =
                ready!(Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..count]))?;
            while let Some(first) = self.writing.front_mut() {
                if first.len() > written {
                    first.advance(written);
                    break;
                }
                written -= first.len();
                self.writing.pop_front();
            }
        }
    }
}

/// Serves a publisher for as long as it stays: each body becomes one frame to everybody, unless the room is `empty`.
async fn publish(
    mut stream: TcpStream,
    mut buffer: BytesMut,
    mut head: Bytes,
    everybody: Everybody,
) {
    loop {
        let length = content_length(&head);
        while buffer.len() < length {
            if !matches!(stream.read_buf(&mut buffer).await, Ok(read) if read > 0) {
                return;
            }
        }
        let body = buffer.split_to(length);
        let frame = frame(&body);
        if !head.starts_with(b"POST /publish/empty") {
            broadcast(&everybody, &frame);
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if stream.write_all(answer).await.is_err() {
            return;
        }
        match read_head(&mut stream, &mut buffer).await {
            Some(next) => head = next,
            None => return,
        }
    }
}

fn broadcast(everybody: &Everybody, frame: &Bytes) {
    lock(everybody).retain(|line| {
        let mut queue = lock(line);
        if queue.gone {
            return false;
        }
        queue.waiting.push_back(frame.clone());
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
        true
    });
}

/// A text frame of a server.
fn frame(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(0x81);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => frame.put_u8(short),
        (_, Ok(middle)) => {
            frame.put_u8(126);
            frame.put_u16(middle);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(payload.len() as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

async fn read_head(stream: &mut TcpStream, buffer: &mut BytesMut) -> Option<Bytes> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            return Some(buffer.split_to(end + 4).freeze());
        }
        buffer.reserve(1024);
        if !matches!(stream.read_buf(buffer).await, Ok(read) if read > 0) {
            return None;
        }
    }
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    std::str::from_utf8(head).ok()?.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn content_length(head: &[u8]) -> usize {
    header(head, "content-length")
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

fn handshake(head: &[u8]) -> Option<String> {
    let mut hash = Sha1::new();
    hash.update(header(head, "sec-websocket-key")?);
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = base64::engine::general_purpose::STANDARD.encode(hash.finalize());
    Some(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
