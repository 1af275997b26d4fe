//! Every event that a client can receive: its wire name, whether it is recorded, whom it reaches.
//! The only place where event names are spelt; docs/PROTOCOL.md is compared with this table.

use std::str::FromStr;

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
    Activity "activity" false "`/feed`, to those who may see the row";
    Notification "notification" false "`/feed`, room `user:<id>`";
    NotificationRead "notification_read" false "`/feed`, room `user:<id>`";
    PreferencesUpdated "preferences_updated" true "`/feed`, room `user:<id>`";
    PresenceChanged "presence_changed" false "`/feed`, `/`";
    UserCreated "user_created" true "`/admin`";
    UserUpdated "user_updated" true "`/admin`";
    AdminAction "admin_action" true "`/admin`";
    ConnectionOpened "connection_opened" false "`/admin`";
    ConnectionClosed "connection_closed" false "`/admin`";
    ActorRestarted "actor_restarted" false "`/admin`";
    AdminAlert "admin_alert" false "`/admin`";
    Stats "stats" false "`/admin`, every 5 s while somebody is in it";
    Custom "custom" true "whom the admin who sends it names";
    Ready "ready" false "the connecting socket, in each namespace";
    ServerDraining "server_draining" false "every socket";
    Closing "closing" false "an event stream, as its last event; a socket that is forced off with a word";
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

/// Names that are kept, beside those of the table: Socket.IO's own, and those of events to come.
#[rustfmt::skip]
pub const KEPT: &[&str] = &[
    "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener",
    "composition_created", "composition_updated", "composition_deleted", "composition_rendered",
    "file_uploaded", "file_deleted", "file_download",
    "job_created", "job_started", "job_completed", "job_failed", "job_retry", "job_retried", "job_cancelled",
    "job_progress", "job_processor_started",
];

/// Characters of a [`CustomName`], at most.
const LONGEST: usize = 64;

/// The name that an admin gives an event of its own: none that means something already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomName(String);

impl CustomName {
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Default for CustomName {
    fn default() -> Self {
        CustomName(Kind::Custom.name().to_owned())
    }
}

impl FromStr for CustomName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_:.-".contains(&byte)
        };
        let kept =
            Kind::parse(name).is_some_and(|kind| kind != Kind::Custom) || KEPT.contains(&name);
        match name {
            _ if kept => Err(format!(
                "must not be `{name}`, which has a meaning of its own"
            )),
            _ if (1..=LONGEST).contains(&name.len()) && name.bytes().all(allowed) => {
                Ok(CustomName(name.to_owned()))
            }
            _ => Err(format!(
                "must have 1 to {LONGEST} characters of a-z 0-9 _ : . -"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admins_event_has_a_name_that_means_nothing_else() {
        let longest = "x".repeat(LONGEST);
        for good in [
            "custom",
            "a",
            "crew:call-sheet_2.1",
            "episode_moved",
            &longest,
        ] {
            assert_eq!(good.parse(), Ok(CustomName(good.to_owned())));
        }
        let too_long = "x".repeat(LONGEST + 1);
        for wrong in ["", "Custom", "two words", "a/b", "é", "a\n", &too_long] {
            assert!(wrong.parse::<CustomName>().is_err(), "{wrong}");
        }
        for kept in ROWS.iter().map(|row| row.name).chain(KEPT.iter().copied()) {
            let is_custom = kept == Kind::Custom.name();
            assert_eq!(kept.parse::<CustomName>().is_ok(), is_custom, "{kept}");
        }
    }

    #[test]
    fn every_kind_finds_its_own_row_and_its_own_name() {
        for row in ROWS {
            assert_eq!(row.kind.row().name, row.name);
            assert_eq!(Kind::parse(row.name), Some(row.kind));
        }
    }
}
