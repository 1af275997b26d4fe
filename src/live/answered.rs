//! The last commands of a connection that had an id, and what they were answered: one that is sent again under the same id
//! is not done again.

use std::collections::VecDeque;

use serde_json::Value;

/// Commands that are remembered of one connection. A client that sends one again does it at once, or has others in hand.
const MOST: usize = 16;
/// Characters of a command that is remembered; a longer one is done each time.
const LONGEST: usize = 2_048;

/// See the module's page.
#[derive(Default)]
pub(super) struct Answered(VecDeque<Kept>);

struct Kept {
    id: String,
    /// Its name and its body. Most clients count, but one may well give all of its commands the same id.
    command: String,
    answer: Value,
}

impl Answered {
    pub fn find(&self, id: &str, command: &str) -> Option<&Value> {
        let kept = self.0.iter().find(|kept| kept.id == id)?;
        (kept.command == command).then_some(&kept.answer)
    }

    /// In the place of what this id stood for before.
    pub fn keep(&mut self, id: String, command: String, answer: Value) {
        self.0.retain(|kept| kept.id != id);
        if command.len() > LONGEST {
            return;
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Kept {
            id,
            command,
            answer,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_known_by_its_id_until_another_has_it_or_many_have_come() {
        let mut answered = Answered::default();
        answered.keep("1".into(), "status away".into(), 1.into());
        assert_eq!(answered.find("1", "status away"), Some(&1.into()));
        assert_eq!(answered.find("2", "status away"), None);
        answered.keep("1".into(), "status online".into(), 2.into());
        assert_eq!(answered.find("1", "status away"), None);
        for id in 2..=MOST {
            answered.keep(id.to_string(), "read".into(), id.into());
        }
        assert_eq!(answered.find("1", "status online"), Some(&2.into()));
        answered.keep("17".into(), "read".into(), 17.into());
        assert_eq!(answered.find("1", "status online"), None);
        assert_eq!(answered.0.len(), MOST);
        answered.keep("17".into(), "x".repeat(LONGEST + 1), 18.into());
        assert_eq!(answered.find("17", "read"), None);
    }
}
