//! Who is in which room, and the rooms themselves: one actor for each channel that somebody is in.

use std::collections::HashMap;
use std::sync::Arc;

use super::WINDOW;
use super::listening::Listening;
use super::window::Window;
use crate::model::room::Channel;
use crate::room::{self, Room};
use crate::runtime::{Ledger, Mailbox, Restart, Spec, Trim, supervise_here};
use crate::session::Reason;
use crate::subscriber::{Key, Subscriber};

/// The table of rooms and members. It is the Broadcaster's alone, so a room that is let go of and
/// one that is entered cannot miss each other.
pub struct Seats {
    ledger: Ledger,
    /// Messages that rooms have not dealt with.
    window: Arc<Window>,
    rooms: HashMap<Arc<Channel>, Seat>,
    next_number: u64,
    members: HashMap<Key, Member>,
    listening: Listening,
}

/// A room in use.
pub struct Seat {
    /// Its own: a room that is made anew for the same channel has another.
    pub number: u64,
    pub room: Mailbox<Room>,
    members: usize,
}

struct Member {
    subscriber: Arc<Subscriber>,
    /// In no order; each is the key of its room. A socket may be in hundreds, and is in three.
    channels: Vec<Arc<Channel>>,
    /// Its line was closed when the last sweep came by.
    suspect: bool,
}

impl Member {
    fn is_in(&self, channel: &Channel) -> bool {
        self.channels.iter().any(|it| **it == *channel)
    }
}

/// The capacity is above what the window lets through, so that a room is never full.
const ROOM: Spec = Spec {
    name: "Room",
    capacity: 2 * WINDOW,
    restart: Restart::Transient,
};

impl Seats {
    pub fn new(ledger: Ledger, window: Arc<Window>) -> Seats {
        Seats {
            ledger,
            window,
            rooms: HashMap::new(),
            next_number: 0,
            members: HashMap::new(),
            listening: Listening::default(),
        }
    }

    /// From now on this says whether anybody is there.
    pub fn tell_by(&mut self, listening: Listening) {
        self.listening = listening;
    }

    /// The rooms in use among these channels, each once and by their numbers.
    pub fn of(&self, audience: &[Channel]) -> Vec<&Seat> {
        let mut seats: Vec<_> = audience
            .iter()
            .filter_map(|channel| self.rooms.get(channel))
            .collect();
        seats.sort_by_key(|seat| seat.number);
        seats.dedup_by_key(|seat| seat.number);
        seats
    }

    pub fn rooms(&self) -> Vec<(Channel, usize)> {
        let count = |(channel, seat): (&Arc<Channel>, &Seat)| ((**channel).clone(), seat.members);
        let mut rooms: Vec<_> = self.rooms.iter().map(count).collect();
        rooms.sort();
        rooms
    }

    pub fn members(&self, channel: &Channel) -> Vec<Arc<str>> {
        self.members
            .values()
            .filter(|member| member.is_in(channel))
            .map(|member| member.subscriber.sid.clone())
            .collect()
    }

    pub fn enter(&mut self, subscriber: Arc<Subscriber>, channels: Vec<Channel>) {
        let member = self
            .members
            .entry(subscriber.key)
            .or_insert_with(|| Member {
                subscriber: subscriber.clone(),
                channels: Vec::new(),
                suspect: false,
            });
        for channel in channels {
            if member.is_in(&channel) {
                continue;
            }
            let channel = match self.rooms.get_key_value(&channel) {
                Some((shared, _)) => shared.clone(),
                None => Arc::new(channel),
            };
            member.channels.push(channel.clone());
            let listening = &self.listening;
            let seat = self.rooms.entry(channel).or_insert_with_key(|channel| {
                listening.used(channel, true);
                self.next_number += 1;
                Seat {
                    number: self.next_number,
                    room: supervise_here(ROOM, &self.ledger, |_| Room::default()),
                    members: 0,
                }
            });
            seat.members += 1;
            let join = room::Join {
                subscriber: subscriber.clone(),
                token: self.window.token(),
            };
            if let Err(rejected) = seat.room.tell(join) {
                // Rather ended than deaf: it comes back.
                tracing::error!(%rejected, "a room did not take a member");
                subscriber.outbox().close(Reason::Fault);
            }
        }
    }

    pub fn leave(&mut self, key: Key, channels: &[Channel]) {
        let Some(member) = self.members.get_mut(&key) else {
            return;
        };
        for channel in channels {
            let Some(place) = member.channels.iter().rposition(|it| **it == *channel) else {
                continue;
            };
            member.channels.swap_remove(place);
            let Some(seat) = self.rooms.get_mut(channel) else {
                continue;
            };
            let token = self.window.token();
            if let Err(rejected) = seat.room.tell(room::Leave { key, token }) {
                tracing::error!(%rejected, "a room did not let a member go");
            }
            seat.members -= 1;
            if seat.members == 0 {
                // What was handed to it before is still dealt with; then it ends.
                self.rooms.remove(channel);
                self.listening.used(channel, false);
            }
        }
        if member.channels.is_empty() {
            self.members.remove(&key);
            self.members.trim();
        }
    }

    pub fn depart(&mut self, key: Key) {
        if let Some(member) = self.members.get(&key) {
            // From the end, where `leave` looks first.
            let channels = member.channels.iter().rev();
            let channels: Vec<_> = channels.map(|it| (**it).clone()).collect();
            self.leave(key, &channels);
        }
    }

    /// Those whose line is closed and whose departure was not told are let go all the same.
    pub fn sweep(&mut self) {
        let mut lost = Vec::new();
        for (key, member) in &mut self.members {
            if member.subscriber.outbox().closed().is_none() {
                continue;
            }
            if member.suspect {
                lost.push(*key);
            }
            member.suspect = true;
        }
        if !lost.is_empty() {
            tracing::warn!(count = lost.len(), "subscriptions ended without a word");
        }
        lost.into_iter().for_each(|key| self.depart(key));
    }
}
