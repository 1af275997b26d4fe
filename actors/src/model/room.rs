//! Namespaces, rooms and channels: the only place where their names are spelt.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::identity::Role;

/// A Socket.IO namespace of Callboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    Root,
    Episodes,
    Jobs,
    Feed,
    Admin,
}

impl Namespace {
    pub const ALL: [Namespace; 5] = [
        Namespace::Root,
        Namespace::Episodes,
        Namespace::Jobs,
        Namespace::Feed,
        Namespace::Admin,
    ];

    /// As Socket.IO spells it: `/episodes`.
    pub fn path(self) -> &'static str {
        match self {
            Namespace::Root => "/",
            Namespace::Episodes => "/episodes",
            Namespace::Jobs => "/jobs",
            Namespace::Feed => "/feed",
            Namespace::Admin => "/admin",
        }
    }

    /// From `/episodes` or, as the `namespaces=` parameter spells it, `episodes` (`/` is `root` there).
    pub fn parse(text: &str) -> Option<Namespace> {
        Namespace::ALL
            .into_iter()
            .find(|namespace| {
                let path = namespace.path();
                text == path || text == path.trim_start_matches('/') && !text.is_empty()
            })
            .or((text == "root").then_some(Namespace::Root))
    }
}

impl FromStr for Namespace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Namespace::parse(text)
            .ok_or_else(|| "must be one of /, /episodes, /jobs, /feed, /admin".to_owned())
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// A room inside a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// `episode:<id>` in `/episodes`.
    Episode(Uuid),
    /// `job:<id>` in `/jobs`.
    Job(Uuid),
    /// `team:<name>` in `/feed`.
    Team(String),
    /// `user:<id>`: the user's own, joined by itself.
    User(Uuid),
    /// `role:<role>`: everybody who has at least that role; joined by itself, never by name.
    Role(Role),
}

impl Room {
    /// The namespace where a client may `join` it by name; `None` for those joined by themselves.
    pub fn home(&self) -> Option<Namespace> {
        match self {
            Room::Episode(_) => Some(Namespace::Episodes),
            Room::Job(_) => Some(Namespace::Jobs),
            Room::Team(_) => Some(Namespace::Feed),
            Room::User(_) | Room::Role(_) => None,
        }
    }

    /// Whether it is the program's own business: clients neither name it nor are told of it.
    pub fn is_internal(&self) -> bool {
        matches!(self, Room::Role(_))
    }

    /// Where what is sent to the room is heard: at its home, and the user's own wherever the user is.
    pub fn channels(&self) -> Vec<Channel> {
        let namespaces: &[Namespace] = match self {
            Room::Episode(_) => &[Namespace::Episodes],
            Room::Job(_) => &[Namespace::Jobs],
            Room::Team(_) | Room::Role(_) => &[Namespace::Feed],
            Room::User(_) => &Namespace::ALL,
        };
        let channel = |namespace: &Namespace| Channel::room(*namespace, self.clone());
        namespaces.iter().map(channel).collect()
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Room::Episode(id) => write!(f, "episode:{id}"),
            Room::Job(id) => write!(f, "job:{id}"),
            Room::Team(name) => write!(f, "team:{name}"),
            Room::User(id) => write!(f, "user:{id}"),
            Room::Role(role) => write!(f, "role:{role}"),
        }
    }
}

impl FromStr for Room {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!("`{text}` is no room; accepted: episode:<id>, job:<id>, team:<name>, user:<id>")
        };
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        // Only the hyphenated lower-case spelling, so that a room has one name.
        let id = || {
            Uuid::try_parse(name)
                .ok()
                .filter(|id| id.to_string() == name)
                .ok_or_else(wrong)
        };
        match kind {
            "episode" => Ok(Room::Episode(id()?)),
            "job" => Ok(Room::Job(id()?)),
            "user" => Ok(Room::User(id()?)),
            "team" if !name.is_empty() && name.chars().count() <= 100 => {
                Ok(Room::Team(name.to_owned()))
            }
            "role" => name.parse().map(Room::Role).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

/// Where an event is heard: a whole namespace, or one room in it. Spelt `/episodes` and
/// `/episodes#episode:<id>` on the Record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel {
    pub namespace: Namespace,
    pub room: Option<Room>,
}

impl Channel {
    pub fn all(namespace: Namespace) -> Channel {
        Channel {
            namespace,
            room: None,
        }
    }

    pub fn room(namespace: Namespace, room: Room) -> Channel {
        Channel {
            namespace,
            room: Some(room),
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.room {
            None => write!(f, "{}", self.namespace),
            Some(room) => write!(f, "{}#{room}", self.namespace),
        }
    }
}

impl FromStr for Channel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, room) = match text.split_once('#') {
            Some((path, room)) => (path, Some(room.parse()?)),
            None => (text, None),
        };
        let namespace = Namespace::parse(path)
            .filter(|namespace| namespace.path() == path)
            .ok_or_else(|| format!("`{path}` is no namespace"))?;
        Ok(Channel { namespace, room })
    }
}

impl Serialize for Channel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_read_back_as_it_was_written() {
        let channels = [
            Channel::all(Namespace::Root),
            Channel::all(Namespace::Episodes),
            Channel::room(Namespace::Episodes, Room::Episode(Uuid::now_v7())),
            Channel::room(Namespace::Feed, Room::Team("a # b: c".into())),
            Channel::room(Namespace::Admin, Room::Role(Role::Admin)),
        ];
        for channel in channels {
            assert_eq!(channel.to_string().parse::<Channel>(), Ok(channel));
        }
    }

    #[test]
    fn a_room_has_one_spelling() {
        let id = Uuid::now_v7();
        assert!(format!("episode:{id}").parse::<Room>().is_ok());
        for wrong in [
            format!("episode:{}", id.simple()),
            format!("episode:{}", id.to_string().to_uppercase()),
            "episode:".into(),
            "episode".into(),
            "team:".into(),
            "cellar:1".into(),
        ] {
            assert!(wrong.parse::<Room>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn namespaces_are_found_by_path_and_by_short_name() {
        assert_eq!(Namespace::parse("/episodes"), Some(Namespace::Episodes));
        assert_eq!(Namespace::parse("episodes"), Some(Namespace::Episodes));
        assert_eq!(Namespace::parse("/"), Some(Namespace::Root));
        assert_eq!(Namespace::parse("root"), Some(Namespace::Root));
        assert_eq!(Namespace::parse(""), None);
        assert_eq!(Namespace::parse("/custom"), None);
    }
}
