//! Who looks at what, and for whom the lists of it are laid out.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::hold::Hold;
use super::rows::Viewer;
use crate::model::identity::UserRef;
use crate::model::presence::Subject;
use crate::presence_registry::sight::{LastLook, Seat, Sight, Stay, Viewers};
use crate::runtime::Trim;

/// Pairs of a user and a subject, over all.
const MOST: usize = 200_000;
/// Of one user, so that nobody can take all the places.
const OF_USER: usize = 2_000;

pub(super) struct Views {
    of: HashMap<Arc<Subject>, HashMap<Uuid, View>>,
    by_user: HashMap<Uuid, Vec<Arc<Subject>>>,
    count: usize,
    pub refused: u64,
    sight: Sight,
}

pub(super) struct View {
    pub viewer: Arc<Viewer>,
    pub hold: Hold,
    /// By REST, also while a socket looks: its lease begins there when the socket has gone.
    pub last_look: LastLook,
}

impl Views {
    pub fn new(sight: Sight) -> Views {
        Views {
            of: HashMap::new(),
            by_user: HashMap::new(),
            count: 0,
            refused: 0,
            sight,
        }
    }

    pub fn get(&self, subject: &Subject, user: Uuid) -> Option<&View> {
        self.of.get(subject)?.get(&user)
    }

    /// To be changed: what is laid out no longer holds.
    pub fn get_mut(&mut self, subject: &Subject, user: Uuid) -> Option<&mut View> {
        self.sight.take_away(subject);
        self.of.get_mut(subject)?.get_mut(&user)
    }

    /// To be changed in what no list shows.
    pub fn get_unseen(&mut self, subject: &Subject, user: Uuid) -> Option<&mut View> {
        self.of.get_mut(subject)?.get_mut(&user)
    }

    /// Counts and logs one that there was no place for.
    pub fn refuse(&mut self) {
        self.refused += 1;
        if self.refused.is_power_of_two() {
            tracing::warn!(refused = self.refused, "too many views");
        }
    }

    pub fn has_place_for(&self, user: Uuid) -> bool {
        self.count < MOST && self.subjects_of(user).len() < OF_USER
    }

    /// One name for all who look at it.
    pub fn shared(&self, subject: Subject) -> Arc<Subject> {
        match self.of.get_key_value(&subject) {
            Some((shared, _)) => shared.clone(),
            None => Arc::new(subject),
        }
    }

    pub fn add(
        &mut self,
        subject: &Arc<Subject>,
        user: &UserRef,
        now: DateTime<Utc>,
    ) -> Arc<Viewer> {
        self.sight.take_away(subject);
        let viewer = Arc::new(Viewer {
            id: user.id,
            name: user.name.clone(),
            viewing_since: now,
        });
        let view = View {
            viewer: viewer.clone(),
            hold: Hold::default(),
            last_look: LastLook::default(),
        };
        let views = self.of.entry(subject.clone()).or_default();
        views.insert(user.id, view);
        let subjects = self.by_user.entry(user.id).or_default();
        if subjects.is_empty() {
            subjects.reserve_exact(1); // most look at one thing
        }
        subjects.push(subject.clone());
        self.count += 1;
        viewer
    }

    pub fn remove(&mut self, subject: &Arc<Subject>, user: Uuid) -> Option<View> {
        self.sight.take_away(subject);
        let views = self.of.get_mut(subject)?;
        let view = views.remove(&user)?;
        views.trim();
        if views.is_empty() {
            self.of.remove(subject);
            self.of.trim();
        }
        if let Some(subjects) = self.by_user.get_mut(&user) {
            subjects.retain(|it| it != subject);
            if subjects.is_empty() {
                self.by_user.remove(&user);
                self.by_user.trim();
            }
        }
        self.count -= 1;
        Some(view)
    }

    pub fn subjects_of(&self, user: Uuid) -> &[Arc<Subject>] {
        self.by_user.get(&user).map_or(&[], Vec::as_slice)
    }

    /// Those who look and are seen, in the order in which they came.
    pub fn list(&self, subject: &Subject, is_seen: impl Fn(Uuid) -> bool) -> Viewers {
        if let Some(viewers) = self.sight.find(subject) {
            return viewers;
        }
        let Some(views) = self.of.get(subject) else {
            return Viewers::default();
        };
        let mut seats: Vec<_> = views
            .iter()
            .filter(|(user, _)| is_seen(**user))
            .map(|(_, view)| Seat {
                viewer: view.viewer.clone(),
                stay: match view.hold.lease {
                    None => Stay::Socket(view.last_look.clone()),
                    Some(lease) if lease.by_rest => Stay::Requests(view.last_look.clone()),
                    Some(lease) => Stay::Until(lease.end),
                },
            })
            .collect();
        seats.sort_by_key(|seat| (seat.viewer.viewing_since, seat.viewer.id));
        let viewers = Viewers::new(seats);
        self.sight.lay_out(subject, &viewers);
        viewers
    }

    /// Subjects that somebody looks at, and pairs of one who looks and what it looks at.
    pub fn counts(&self) -> (usize, usize) {
        (self.of.len(), self.count)
    }
}
