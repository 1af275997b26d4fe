//! stub
use bytes::Bytes;
#[derive(Clone, Debug)]
pub struct Frame(Bytes);
impl Frame {
    pub fn text(t: &str) -> Frame {
        Frame(Bytes::copy_from_slice(t.as_bytes()))
    }
    pub fn wire_len(&self) -> usize {
        self.0.len() + 4
    }
    pub fn payload(&self) -> Bytes {
        self.0.clone()
    }
}
