//! Frames into a socket, as many as one system call takes.

use std::io::IoSlice;

use actix_rt::net::TcpStream;

use crate::wire::Frame;

/// Writes of these frames, of `N` at most, behind the first `begun` bytes of the first, what the socket takes at once.
/// Gives how many bytes that were.
///
/// One goes by `send`: on Linux that is shorter by a twentieth of the whole than `writev`, which passes by the file layer.
///
/// # Errors
/// `WouldBlock` if the socket takes nothing now, and whatever the socket says.
pub(super) fn try_write<'f, const N: usize>(
    stream: &TcpStream,
    frames: impl IntoIterator<Item = &'f Frame>,
    mut begun: usize,
) -> std::io::Result<usize> {
    let mut rests = frames
        .into_iter()
        .map(|frame| &frame.wire()[std::mem::take(&mut begun)..]);
    let Some(first) = rests.next() else {
        return Ok(0);
    };
    let Some(second) = rests.next() else {
        return stream.try_write(first);
    };
    let mut slices = [IoSlice::new(&[]); N];
    let mut filled = 0;
    let rests = [first, second].into_iter().chain(rests);
    for (slice, rest) in slices.iter_mut().zip(rests) {
        *slice = IoSlice::new(rest);
        filled += 1;
    }
    stream.try_write_vectored(&slices[..filled])
}
