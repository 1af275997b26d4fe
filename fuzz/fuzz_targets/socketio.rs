//! The messages of one Socket.IO connection.
#![no_main]

use callboard_actors::wire::fuzzing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzing::socketio(input));
