//! What every connection has, and how large it may be.
//!
//! Thousands of connections say nothing for hours. Whoever adds a field here pays for it as often as there are
//! connections: what only some need, or only for a while, belongs in a box that is made when it is needed.

use std::mem::size_of;

use super::actor::Session;
use super::application::Visit;
use super::line::Line;
use super::space::Space;
use super::transport::duplex::Duplex;
use crate::runtime;

/// What tokio puts around the future of a task, which it then rounds up to a multiple of 128.
const TASK: usize = 96;
/// The counts of an `Arc`.
const ARC: usize = 16;

#[test]
fn what_every_connection_has_is_as_small_as_it_was_made() {
    let parts = [
        (
            "the session's task",
            runtime::future_size::<Session>() + TASK,
            640,
        ),
        ("the WebSocket's task", size_of::<Duplex>() + TASK, 384),
        ("its line", size_of::<Line>() + ARC, 192),
        ("one namespace", size_of::<Space>(), 80),
        ("a handle on its request", size_of::<Visit>(), 16),
    ];
    for (what, size, most) in parts {
        assert!(size <= most, "{what} has {size} bytes; {most} at most");
    }
}
