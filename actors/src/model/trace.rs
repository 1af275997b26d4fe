//! What one change causes, as spans of one trace: from the request over the actors to the sockets.
//!
//! The spans are of level debug, so that they cost nothing where nobody collects them.

use std::sync::OnceLock;

use tracing::Span;

/// The span that everything which follows from an entry belongs to. It lasts until the last of those who make something
/// of the entry lets go of it. An entry that was read from the Record has none.
#[derive(Clone, Debug, Default)]
pub struct Trace(OnceLock<Span>);

impl Trace {
    /// Called once, within the request that made the change.
    pub fn begin(&self, span: Span) {
        if !span.is_disabled() {
            // A second beginning would be of the same request.
            let _ = self.0.set(span);
        }
    }

    /// A span below this one, made by `make` of its parent; without a trace there is none.
    pub fn below(&self, make: impl FnOnce(&Span) -> Span) -> Span {
        self.0.get().map_or_else(Span::none, make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_trace_no_span_is_made() {
        let trace = Trace::default();
        trace.begin(Span::none());
        let span = trace.below(|_| panic!("asked for"));
        assert!(span.is_none());
    }
}
