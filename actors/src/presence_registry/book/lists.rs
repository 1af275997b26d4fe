//! What is: the lists that others see, a user's own presence, and figures.

use std::ops::Bound;

use uuid::Uuid;

use super::{Book, ByStatus, Figures, Own, Part, Place, Row};
use crate::model::identity::UserRef;
use crate::model::presence::{Presence, Status, Subject};
use crate::presence_registry::sight::Viewers;

impl Book {
    /// Those who are seen online, with this status if one is asked for.
    pub fn online(&self, status: Option<Status>, part: Part) -> Vec<Row> {
        let behind = part.after.map_or(Bound::Unbounded, Bound::Excluded);
        let newest_first = self.listed.range((Bound::Unbounded, behind)).rev();
        newest_first
            .filter(|place| status.is_none_or(|status| self.memory.status(place.id) == status))
            .filter_map(|place| {
                let person = self.people.get(&place.id)?;
                Some(Row {
                    presence: self.presence(person),
                    viewing_since: None,
                    socket_count: Some(person.hold.sockets.len()),
                    place: *place,
                })
            })
            .take(part.most)
            .collect()
    }

    /// As it sees itself.
    pub fn own(&self, user: &UserRef, now: super::Now) -> Own {
        let choice = self.memory.choice(user.id);
        let person = self.people.get(&user.id);
        let status = match person {
            Some(_) => choice.status,
            None => Status::Offline,
        };
        Own {
            presence: Presence {
                id: user.id,
                name: user.name.clone(),
                status,
                status_message: choice.message,
                // Who is not there asks, at least.
                last_activity: person.map_or(now.wall, |person| person.last_activity),
            },
            chosen_status: choice.status,
            connected: person.is_some(),
            socket_count: Some(person.map_or(0, |person| person.hold.sockets.len())),
        }
    }

    /// Those who look at it and are seen, in the order in which they came.
    pub fn viewers(&self, subject: &Subject) -> Viewers {
        self.views.list(subject, |user| self.is_seen(user))
    }

    /// The same with the presence of each, newest first.
    pub fn viewer_rows(&self, subject: &Subject, part: Part, now: super::Now) -> Vec<Row> {
        let viewers = self.viewers(subject);
        let newest_first = viewers.iter().rev();
        let mut rows: Vec<_> = newest_first
            .map(|viewer| (Place::new(viewer.viewing_since, viewer.id), viewer))
            .filter(|(place, _)| part.after.is_none_or(|after| *place < after))
            .collect();
        rows.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
        rows.into_iter()
            .take(part.most)
            .map(|(place, viewer)| {
                let person = self.people.get(&viewer.id);
                let view = self.views.get(subject, viewer.id);
                let presence = match person {
                    Some(person) => self.presence(person),
                    // It looks by REST alone, which makes nobody online.
                    None => Presence {
                        id: viewer.id,
                        name: viewer.name.clone(),
                        status: Status::Offline,
                        status_message: None,
                        last_activity: view
                            .and_then(|view| view.last_look.at())
                            .map_or(viewer.viewing_since, |at| {
                                now.wall - now.clock.saturating_sub(at)
                            }),
                    },
                };
                Row {
                    presence,
                    viewing_since: Some(viewer.viewing_since),
                    socket_count: Some(person.map_or(0, |person| person.hold.sockets.len())),
                    place,
                }
            })
            .collect()
    }

    /// Which of the users look at it at this moment, seen or not: through a socket, or by a request just now. (A viewer by
    /// REST is listed for much longer, and may have gone meanwhile.)
    pub fn viewing(&self, subject: &Subject, users: Vec<Uuid>, now: super::Now) -> Vec<Uuid> {
        let looks = |user: &Uuid| {
            let Some(view) = self.views.get(subject, *user) else {
                return false;
            };
            let just_now = |at| at + super::GLANCE > now.clock;
            !view.hold.sockets.is_empty() || view.last_look.at().is_some_and(just_now)
        };
        users.into_iter().filter(looks).collect()
    }

    pub fn figures(&self) -> Figures {
        let mut by_status = ByStatus::default();
        for place in &self.listed {
            by_status.count(self.memory.status(place.id));
        }
        let (viewed_resources, viewers) = self.views.counts();
        Figures {
            online_users: self.listed.len(),
            by_status,
            hidden_users: self.people.len() - self.listed.len(),
            sockets: self.sockets.len(),
            viewed_resources,
            viewers,
            views_refused: self.views.refused,
            events_dropped: self.dropped,
            unwritten: self.memory.waiting(),
        }
    }
}
