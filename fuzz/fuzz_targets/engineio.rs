//! The body of an Engine.IO poll.
#![no_main]

use callboard_actors::wire::fuzzing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzing::engineio(input));
