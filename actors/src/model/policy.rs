//! Every permission, in one table.

use uuid::Uuid;

use super::event::Kind;
use super::identity::{Identity, Role};
use super::room::{Channel, Namespace, Room};

/// What somebody may want to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    ReadEpisodes,
    WriteEpisodes,
    ManageUsers,
    ManageSockets,
    SendNotifications,
    ExplainNotifications,
    SeeActors,
    /// Who is online, who views what; and say so of oneself.
    SeePresence,
    SeePresenceFigures,
    /// The history as far as it is public, and one's own.
    ReadActivity,
    /// What everybody did, and the figures of it.
    OverseeActivity,
    /// Everything that one may read.
    Search,
}

impl Action {
    /// The least role that may do it.
    pub fn least_role(self) -> Role {
        match self {
            Action::ReadEpisodes | Action::SeePresence | Action::ReadActivity | Action::Search => {
                Role::Viewer
            }
            Action::WriteEpisodes => Role::Editor,
            Action::ManageUsers
            | Action::ManageSockets
            | Action::SendNotifications
            | Action::ExplainNotifications
            | Action::SeeActors
            | Action::SeePresenceFigures
            | Action::OverseeActivity => Role::Admin,
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

/// Who may see a row of the history. Admins see every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenBy {
    Everybody,
    User(Uuid),
    Admins,
}

/// What happened to these is public in the history.
const PUBLIC: [&str; 4] = ["episode", "job", "file", "composition"];

/// Whether rows with this action and of this type of resource may be public; `None`: whatever it is.
pub fn activity_may_be_public(action: Option<&str>, resource_type: Option<&str>) -> bool {
    let action =
        action.is_none_or(|action| action != Kind::AdminAction.name() && action != FILE_DOWNLOAD);
    action && resource_type.is_none_or(|kind| PUBLIC.contains(&kind))
}

/// Downloads are their user's own business.
const FILE_DOWNLOAD: &str = "file_download";

/// Who may see the row of what `user` did to the `resource`: its type and id.
pub fn activity_seen_by(
    action: &str,
    resource: Option<(&str, &str)>,
    user: Option<Uuid>,
) -> SeenBy {
    let Some((kind, id)) = resource else {
        // Of nothing in particular is what an admin sends.
        return SeenBy::Admins;
    };
    if action == Kind::AdminAction.name() {
        return SeenBy::Admins;
    }
    if activity_may_be_public(Some(action), Some(kind)) {
        return SeenBy::Everybody;
    }
    // An account is the user's whom it is about, whoever changed it.
    let about = match kind {
        "user" | "preferences" => Uuid::try_parse(id).ok(),
        _ => None,
    };
    about.or(user).map_or(SeenBy::Admins, SeenBy::User)
}

impl SeenBy {
    /// Where the row is heard of in `/feed`.
    pub fn channels(self) -> Vec<Channel> {
        let room = |room| Channel::room(Namespace::Feed, room);
        match self {
            SeenBy::Everybody => vec![Channel::all(Namespace::Feed)],
            SeenBy::User(id) => vec![room(Room::User(id)), room(Room::Role(Role::Admin))],
            SeenBy::Admins => vec![room(Room::Role(Role::Admin))],
        }
    }
}

/// Whether the address that a row was made from is shown: to admins, and to whoever made it.
pub fn may_see_address(role: Role, reader: Uuid, user: Option<Uuid>) -> bool {
    role == Role::Admin || user == Some(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_public_private_or_the_admins() {
        let (ann, bob) = (Uuid::now_v7(), Uuid::now_v7());
        let about = ann.to_string();
        let rows = [
            ("episode_updated", Some(("episode", "1")), SeenBy::Everybody),
            ("job_failed", Some(("job", "1")), SeenBy::Everybody),
            ("file_uploaded", Some(("file", "1")), SeenBy::Everybody),
            (
                "composition_rendered",
                Some(("composition", "1")),
                SeenBy::Everybody,
            ),
            ("file_download", Some(("file", "1")), SeenBy::User(bob)),
            ("user_updated", Some(("user", &*about)), SeenBy::User(ann)),
            (
                "notification_read",
                Some(("notification", "1")),
                SeenBy::User(bob),
            ),
            ("admin_action", Some(("episode", "1")), SeenBy::Admins),
            ("admin_action", None, SeenBy::Admins),
            ("call_sheet", None, SeenBy::Admins),
        ];
        for (action, resource, seen_by) in rows {
            let found = activity_seen_by(action, resource, Some(bob));
            assert_eq!(found, seen_by, "{action}");
            let kind = resource.map(|(kind, _)| kind);
            if kind.is_some() {
                let public = seen_by == SeenBy::Everybody;
                assert_eq!(
                    activity_may_be_public(Some(action), kind),
                    public,
                    "{action}"
                );
            }
        }
        let nobodys = activity_seen_by("file_download", Some(("file", "1")), None);
        assert_eq!(nobodys, SeenBy::Admins);
    }
}
