//! One request of the plain WebSocket dialect.
#![no_main]

use callboard_actors::wire::fuzzing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzing::plain(input));
