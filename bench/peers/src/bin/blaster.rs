//! Writes prepared bytes to every WebSocket as fast as one thread can: what the load generator takes in from it is the
//! load generator's own ceiling. `POST /blast` with the body `FIRST COUNT AT_ONCE LENGTH`: events number FIRST to
//! FIRST + COUNT, each LENGTH bytes long with its header, AT_ONCE of them in one write.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let mut clients = Vec::new();
    for stream in listener.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        let head = read_head(&mut stream)?;
        if head.starts_with("POST ") {
            let mut words = head.rsplit("\r\n").next().unwrap_or_default().split(' ');
            let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            let (first, count, at_once, length) = (number(), number(), number(), number());
            blast(&mut clients, first, count, at_once, length)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            // The answer is read before the end is.
            let _ = stream.read(&mut [0; 64]);
        } else {
            // The key is the load's, which is always the same: RFC 6455's example.
            stream.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            )?;
            clients.push(stream);
        }
    }
    Ok(())
}

fn blast(
    clients: &mut [TcpStream],
    first: usize,
    count: usize,
    at_once: usize,
    length: usize,
) -> std::io::Result<()> {
    let numbers: Vec<usize> = (first..first + count).collect();
    for some in numbers.chunks(at_once.max(1)) {
        let bytes: Vec<u8> = some
            .iter()
            .flat_map(|number| event(*number, length))
            .collect();
        for client in &mut *clients {
            client.write_all(&bytes)?;
        }
    }
    Ok(())
}

/// A text frame with a two-byte length that ends in the mark of the first publisher.
fn event(number: usize, length: usize) -> Vec<u8> {
    let mark = format!("~A{number:08}~");
    let payload = length - 4;
    let mut frame = vec![0x81, 126];
    frame.extend((payload as u16).to_be_bytes());
    frame.resize(length - mark.len(), b'x');
    frame.extend(mark.bytes());
    frame
}

/// The head and the body of a request that came in one piece.
fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut text = Vec::new();
    let mut space = [0; 1024];
    while !text.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = stream.read(&mut space)?;
        if read == 0 {
            break;
        }
        text.extend_from_slice(&space[..read]);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
