//! The load: thousands of clients and a few publishers on one thread, around one epoll. No task, no timer and no lasting
//! buffer per client; a frame costs a look at its header and a search for its mark from the end. What it costs all the
//! same is measured with it ([`Load::processor_time`]), and what it could take in at most by the section `ceiling`.
//!
//! ```text
//! frames.rs     frames, and the marks in them
//! client.rs     one client: its way in, the order of what it gets
//! book.rs       which message is still missing where
//! publisher.rs  one HTTP connection that publishes
//! drive.rs      ways of publishing: so many under way, paced, one after the other
//! ```

mod book;
mod client;
mod drive;
mod frames;
mod publisher;

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

pub use book::Book;
pub use client::{Client, Speech, Stage, Wish};
pub use drive::Run;
pub use frames::{MARK, Mark, header};
pub use publisher::{Publisher, Request};

use crate::Result;
use crate::process;

/// Readiness taken from the kernel at once.
const EVENTS: usize = 1024;
/// One reading takes at most so much.
const BUFFER: usize = 256 << 10;
/// Nothing comes for so long: something was lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// Clients are numbered from 0, publishers from here.
const PUBLISHER: usize = 1 << 30;
/// The loopback addresses to connect from when one has no port left.
const SOURCES: u8 = 8;

pub struct Load {
    address: SocketAddr,
    host: String,
    speech: Speech,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    pub clients: Vec<Client>,
    publishers: Vec<Publisher>,
    pub book: Book,
    /// Clients that are ready; counted, because it is asked for at every turn.
    ready: usize,
    source: u8,
    /// Readings for clients that are on their way in.
    steps: u64,
    /// Requests that were for nobody.
    unheard: u32,
}

impl Load {
    pub fn new(address: SocketAddr, speech: Speech) -> Result<Self> {
        Ok(Self {
            address,
            host: address.to_string(),
            speech,
            poll: Poll::new().map_err(|error| error.to_string())?,
            events: Events::with_capacity(EVENTS),
            buffer: vec![0; BUFFER],
            clients: Vec::new(),
            publishers: Vec::new(),
            book: Book::new(),
            ready: 0,
            source: 1,
            steps: 0,
            unheard: 0,
        })
    }

    /// Nanoseconds of processor time that this thread has had.
    pub fn processor_time() -> Result<u64> {
        process::own_thread()
    }

    /// These read nothing from here on.
    pub fn stall(&mut self, clients: Range<usize>) {
        for client in &mut self.clients[clients] {
            client.stalled = true;
        }
    }

    /// Those that did not read look what there is, and learn of their end.
    pub fn wake_stalled(&mut self) -> Result<()> {
        for index in 0..self.clients.len() {
            if self.clients[index].stalled {
                self.read(index, true)?;
            }
        }
        Ok(())
    }

    /// Ends all connections, publishers' too.
    pub fn close(&mut self) {
        self.clients.clear();
        self.publishers.clear();
        self.ready = 0;
        self.book = Book::new();
    }

    /// Brings in one client for each wish, at most `at_once` of them on their way at a time, and gives the time that
    /// it took until the last one was ready.
    pub fn connect(
        &mut self,
        wishes: impl IntoIterator<Item = Wish>,
        at_once: usize,
    ) -> Result<Duration> {
        let begun = Instant::now();
        let mut wishes = wishes.into_iter().peekable();
        let mut last = (self.steps, Instant::now());
        loop {
            while self.clients.len() < self.ready + at_once
                && let Some(wish) = wishes.next()
            {
                self.start(wish)?;
            }
            if wishes.peek().is_none() && self.ready == self.clients.len() {
                return Ok(begun.elapsed());
            }
            self.turn(Some(Duration::from_millis(100)))?;
            if self.steps != last.0 {
                last = (self.steps, Instant::now());
            } else if last.1.elapsed() > PATIENCE {
                return Err(format!(
                    "{} of {} clients came in, then nothing came for {} s",
                    self.ready,
                    self.clients.len(),
                    PATIENCE.as_secs()
                ));
            }
        }
    }

    fn start(&mut self, wish: Wish) -> Result<()> {
        let mut stream = self.open()?;
        let token = Token(self.clients.len());
        self.poll
            .registry()
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
            .map_err(|error| error.to_string())?;
        self.clients.push(Client::new(stream, wish));
        Ok(())
    }

    /// A connection on its way, from the next loopback address when this one has no port left.
    fn open(&mut self) -> Result<TcpStream> {
        loop {
            match connect_from(self.source, self.address) {
                Ok(stream) => return Ok(stream),
                Err(error)
                    if error.kind() == ErrorKind::AddrNotAvailable && self.source < SOURCES =>
                {
                    self.source += 1;
                }
                Err(error) => {
                    return Err(format!(
                        "client {} cannot connect: {error}",
                        self.clients.len()
                    ));
                }
            }
        }
    }

    /// Sees to it that so many can publish.
    pub fn publishers(&mut self, count: usize) -> Result<()> {
        while self.publishers.len() < count {
            let stream = self.open_publisher(self.publishers.len())?;
            self.publishers.push(Publisher::new(stream));
        }
        self.reopen_publishers()
    }

    fn reopen_publishers(&mut self) -> Result<()> {
        for number in 0..self.publishers.len() {
            if self.publishers[number].gone {
                let stream = self.open_publisher(number)?;
                self.publishers[number].reopen(stream)?;
            }
        }
        Ok(())
    }

    fn open_publisher(&self, number: usize) -> Result<TcpStream> {
        let stream = std::net::TcpStream::connect(self.address)
            .and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(stream)
            })
            .map_err(|error| format!("a publisher cannot connect: {error}"))?;
        let mut stream = TcpStream::from_std(stream);
        self.poll
            .registry()
            .register(&mut stream, Token(PUBLISHER + number), Interest::READABLE)
            .map_err(|error| error.to_string())?;
        Ok(stream)
    }

    /// Waits until something is ready, at most so long, and deals with it.
    fn turn(&mut self, timeout: Option<Duration>) -> Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let mut outcome = Ok(());
        for event in &events {
            let Token(token) = event.token();
            outcome = if let Some(publisher) = token.checked_sub(PUBLISHER) {
                match self.publishers.get_mut(publisher) {
                    Some(publisher) => publisher.read(&mut self.buffer),
                    None => Ok(()),
                }
            } else {
                self.client(token, event)
            };
            if outcome.is_err() {
                break;
            }
        }
        self.events = events;
        outcome?;
        self.reopen_publishers()
    }

    fn client(&mut self, index: usize, event: &Event) -> Result<()> {
        // One that was ended before this turn.
        let Some(client) = self.clients.get_mut(index) else {
            return Ok(());
        };
        let closing = event.is_read_closed() || event.is_error();
        if client.stage == Stage::Connecting && event.is_writable() {
            if let Ok(Some(error)) | Err(error) = client.stream.take_error() {
                return Err(format!("client {index} cannot connect: {error}"));
            }
            client.upgrade(&self.host, &self.speech)?;
        }
        if client.stalled {
            if closing {
                client.cut_at.get_or_insert_with(Instant::now);
            }
        } else if event.is_readable() && client.stage != Stage::Closed {
            self.read(index, closing)?;
        }
        Ok(())
    }

    /// Reads what is there for a client. A reading that does not fill the buffer has emptied the socket; readiness comes
    /// anew with the next byte.
    fn read(&mut self, index: usize, closing: bool) -> Result<()> {
        let Self {
            clients,
            buffer,
            book,
            speech,
            ready,
            steps,
            ..
        } = self;
        let client = &mut clients[index];
        loop {
            let read = match client.stream.read(buffer) {
                Ok(0) => {
                    client.ended("ended without a close frame");
                    break;
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    client.ended(&error.to_string());
                    break;
                }
            };
            if book.times.is_some() {
                book.now = Instant::now();
            }
            if client.stalled {
                // What it is told is not counted: nobody waits for it.
                client.skip(&buffer[..read]);
                continue;
            }
            let was_ready = client.stage == Stage::Ready;
            *steps += u64::from(!was_ready);
            if client.partial.is_empty() {
                let rest = client.take(&buffer[..read], index, speech, book)?;
                if !rest.is_empty() {
                    client.partial = rest.to_vec();
                }
            } else {
                let mut bytes = std::mem::take(&mut client.partial);
                bytes.extend_from_slice(&buffer[..read]);
                let rest = client.take(&bytes, index, speech, book)?.len();
                bytes.drain(..bytes.len() - rest);
                client.partial = bytes;
            }
            if !was_ready && client.stage == Stage::Ready {
                *ready += 1;
            }
            if read < buffer.len() && !closing {
                break;
            }
        }
        if client.stage == Stage::Closed {
            // Its number stays counted as one that came in.
            return match &client.ending {
                Some(_) if client.stalled => Ok(()),
                why => Err(format!("client {index} was cut off: {why:?}")),
            };
        }
        Ok(())
    }
}

impl Client {
    /// Looks for a close frame only.
    fn skip(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        let mut rest = self.partial.as_slice();
        while let Some(frame) = frames::first(rest) {
            if frame.opcode == 8 {
                self.ending = Some(client::closing(frame.payload));
            }
            rest = &rest[frame.length..];
        }
        let rest = rest.len();
        self.partial.drain(..self.partial.len() - rest);
    }

    fn ended(&mut self, why: &str) {
        self.stage = Stage::Closed;
        self.ending.get_or_insert_with(|| why.to_owned());
    }
}

fn connect_from(source: u8, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)?;
    if source > 1 {
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, source), 0)).into())?;
    }
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        // EINPROGRESS: it is on its way.
        Err(error)
            if error.raw_os_error() == Some(115) || error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}
