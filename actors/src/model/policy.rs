//! Every permission, in one table.

use super::identity::{Identity, Role};
use super::room::{Channel, Namespace, Room};

/// What somebody may want to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    ReadEpisodes,
    WriteEpisodes,
    ManageUsers,
    ManageSockets,
    SeeActors,
    /// Who is online, who views what; and say so of oneself.
    SeePresence,
    SeePresenceFigures,
}

impl Action {
    /// The least role that may do it.
    pub fn least_role(self) -> Role {
        match self {
            Action::ReadEpisodes | Action::SeePresence => Role::Viewer,
            Action::WriteEpisodes => Role::Editor,
            Action::ManageUsers
            | Action::ManageSockets
            | Action::SeeActors
            | Action::SeePresenceFigures => Role::Admin,
        }
    }
}

pub fn may(role: Role, action: Action) -> bool {
    role >= action.least_role()
}

/// Whether a socket of this identity may be in the namespace.
pub fn may_connect(identity: &Identity, namespace: Namespace) -> bool {
    namespace != Namespace::Admin || identity.role == Role::Admin
}

/// Whether it may be in the room. The namespace must be the room's home.
pub fn may_join(identity: &Identity, channel: &Channel) -> bool {
    may_connect(identity, channel.namespace)
        && match &channel.room {
            None => true,
            Some(Room::Episode(_) | Room::Job(_)) => true,
            Some(Room::Team(team)) => {
                identity.role == Role::Admin || identity.team.as_ref() == Some(team)
            }
            Some(Room::User(id)) => identity.user.id == *id,
            Some(Room::Role(role)) => identity.role >= *role,
        }
}

/// The channels that a socket is in from the start: its whole namespace, the user's own room and
/// that of each role it has.
pub fn own_channels(identity: &Identity, namespace: Namespace) -> Vec<Channel> {
    let mut channels = vec![
        Channel::all(namespace),
        Channel::room(namespace, Room::User(identity.user.id)),
    ];
    if identity.role == Role::Admin && namespace == Namespace::Feed {
        channels.push(Channel::room(namespace, Room::Role(Role::Admin)));
    }
    channels
}
