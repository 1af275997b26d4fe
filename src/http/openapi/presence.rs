//! Who is online, and who looks at what.

pub const ROWS: &[super::table::Operation] = &[];

schemas! {}
