//! stub
pub mod frame;
pub mod sse;
