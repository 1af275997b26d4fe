//! What admins look at is put on the Record too, but a dashboard that looks every few seconds must not fill it: the same
//! look of the same admin has one entry a minute, which says for how many it stands.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

/// For so long an entry stands for what looks the same.
const WHILE: Duration = Duration::from_secs(60);
/// Looks that are remembered; with more, each has an entry of its own.
const MOST: usize = 1_000;

#[derive(Default)]
pub struct Looks(Mutex<HashMap<(Uuid, String), Look>>);

struct Look {
    told: Duration,
    /// Since then.
    untold: u64,
}

impl Looks {
    /// `what` is the address and what narrows it. Gives for how many looks an entry is due, this one included.
    pub fn due(&self, user: Uuid, what: String, now: Duration) -> Option<u64> {
        let mut looks = self.0.lock();
        if let Some(look) = looks.get_mut(&(user, what.clone())) {
            if now.saturating_sub(look.told) < WHILE {
                look.untold += 1;
                return None;
            }
            look.told = now;
            return Some(std::mem::take(&mut look.untold) + 1);
        }
        if looks.len() >= MOST {
            // Of those that were not repeated there is nothing to tell.
            looks.retain(|_, look| look.untold > 0 || now.saturating_sub(look.told) < WHILE);
        }
        if looks.len() < MOST {
            let look = Look {
                told: now,
                untold: 0,
            };
            looks.insert((user, what), look);
        }
        Some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_look_is_due_once_a_minute_and_none_is_forgotten() {
        let (looks, ada, at) = (Looks::default(), Uuid::now_v7(), Duration::from_secs);
        let due = |user, what: &str, second| looks.due(user, what.into(), at(second));
        assert_eq!(due(ada, "stats", 0), Some(1));
        for second in 1..12 {
            assert_eq!(due(ada, "stats", second * 5), None, "{second}");
        }
        assert_eq!(due(ada, "connections", 5), Some(1));
        assert_eq!(due(Uuid::now_v7(), "stats", 5), Some(1));
        assert_eq!(due(ada, "stats", 60), Some(12));
        assert_eq!(due(ada, "stats", 130), Some(1));
    }

    #[test]
    fn so_many_are_remembered_and_the_rest_each_have_an_entry() {
        let (looks, ada) = (Looks::default(), Uuid::now_v7());
        for number in 0..MOST + 10 {
            assert_eq!(looks.due(ada, number.to_string(), Duration::ZERO), Some(1));
        }
        assert_eq!(looks.0.lock().len(), MOST);
        assert_eq!(looks.due(ada, "new".into(), WHILE), Some(1));
        assert_eq!(looks.0.lock().len(), 1);
    }
}
