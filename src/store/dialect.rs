//! What the two databases spell differently. Query texts are literals, so these are macros: each makes both texts at
//! compile time and picks by the connection.

/// One text or the other.
macro_rules! by_database {
    ($conn:expr, sqlite: $sqlite:expr, postgres: $postgres:expr $(,)?) => {
        match &$conn.link {
            $crate::store::connection::Link::Sqlite(_) => $sqlite,
            $crate::store::connection::Link::Postgres(_) => $postgres,
        }
    };
}

/// A SELECT whose rows are locked until the transaction ends. SQLite has one writer, so it needs no lock there.
macro_rules! locked {
    ($conn:expr, $($text:expr),+) => {
        by_database!($conn, sqlite: concat!($($text),+), postgres: concat!($($text),+, " FOR UPDATE"))
    };
}

/// `before… column contains value …after`, without the patterns of LIKE, whose length SQLite limits.
macro_rules! contains {
    ($conn:expr, [$($before:expr),+], $column:literal, $value:literal, [$($after:expr),+]) => {
        by_database!(
            $conn,
            sqlite: concat!($($before),+, "INSTR(", $column, ", ", $value, ") > 0", $($after),+),
            postgres: concat!($($before),+, "STRPOS(", $column, ", ", $value, ") > 0", $($after),+),
        )
    };
}
