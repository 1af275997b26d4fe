//! Every event that a client can receive: its wire name, whether it is recorded, whom it reaches.
//! The only place where event names are spelt; docs/PROTOCOL.md is compared with this table.

use serde::Serialize;

/// One row of the table of events.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Row {
    pub kind: Kind,
    /// As it stands on the wire.
    pub name: &'static str,
    /// Recorded events have a `seq` and can be resumed; the others are true only for the moment.
    pub recorded: bool,
    /// Whom it reaches, in words, for the documents.
    pub reaches: &'static str,
}

macro_rules! events {
    ($($kind:ident $name:literal $recorded:literal $reaches:literal;)*) => {
        /// An event's kind; see [`ROWS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        pub enum Kind { $($kind),* }

        /// Every event, in the order of the documents.
        pub const ROWS: &[Row] = &[
            $(Row { kind: Kind::$kind, name: $name, recorded: $recorded, reaches: $reaches }),*
        ];
    };
}

events! {
    EpisodeCreated "episode_created" true "all of `/episodes` and `/`";
    EpisodeUpdated "episode_updated" true "all of `/episodes` and `/`";
    EpisodePublished "episode_published" true "all of `/episodes` and `/`";
    EpisodeDeleted "episode_deleted" true "all of `/episodes` and `/`";
    ViewerJoined "viewer_joined" false "room `episode:<id>` in `/episodes`";
    ViewerLeft "viewer_left" false "room `episode:<id>` in `/episodes`";
    Typing "typing" false "room `episode:<id>` in `/episodes`";
    Notification "notification" false "`/feed`, room `user:<id>`";
    PresenceChanged "presence_changed" false "`/feed`, `/`";
    UserCreated "user_created" true "`/admin`";
    UserUpdated "user_updated" true "`/admin`";
    AdminAction "admin_action" true "`/admin`";
    ConnectionOpened "connection_opened" false "`/admin`";
    ConnectionClosed "connection_closed" false "`/admin`";
    ActorRestarted "actor_restarted" false "`/admin`";
    Ready "ready" false "the connecting socket, in each namespace";
    ServerDraining "server_draining" false "every socket";
    Closing "closing" false "an event stream, as its last event";
}

impl Kind {
    pub fn row(self) -> &'static Row {
        // The table and the enum are made by one macro in one order.
        &ROWS[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub fn parse(name: &str) -> Option<Kind> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_finds_its_own_row_and_its_own_name() {
        for row in ROWS {
            assert_eq!(row.kind.row().name, row.name);
            assert_eq!(Kind::parse(row.name), Some(row.kind));
        }
    }
}
