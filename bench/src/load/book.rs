//! What is under way: each message that was published, and how many clients have yet to get it. It is also the check that
//! each client gets each message once: one that comes more often than there are clients fails the run.

use std::collections::VecDeque;
use std::time::Instant;

use super::frames::Mark;
use crate::Result;

/// At most so many publish.
pub const PUBLISHERS: usize = 8;

struct Message {
    left: u32,
    /// When it was published, or was due to be.
    since: Instant,
}

#[derive(Default)]
struct Shelf {
    /// The number of the first one under way.
    first: u32,
    under_way: VecDeque<Message>,
}

pub struct Book {
    shelves: [Shelf; PUBLISHERS],
    /// Deliveries since the last [`Book::reset`].
    pub deliveries: u64,
    /// The length of the last event's frame.
    pub length: usize,
    /// When the last event of the last message was here; set while times are taken.
    pub completed: Instant,
    /// Now, as far as those who come in with one reading are concerned.
    pub now: Instant,
    /// From publishing to arrival, microseconds; taken if it is there.
    pub times: Option<Vec<f64>>,
}

impl Book {
    pub fn new() -> Self {
        Self {
            shelves: Default::default(),
            deliveries: 0,
            length: 0,
            completed: Instant::now(),
            now: Instant::now(),
            times: None,
        }
    }

    pub fn next_numbers(&self) -> [u32; PUBLISHERS] {
        std::array::from_fn(|publisher| self.next_number(publisher))
    }

    pub fn next_number(&self, publisher: usize) -> u32 {
        let shelf = &self.shelves[publisher];
        shelf.first + shelf.under_way.len() as u32
    }

    /// One more message, for so many.
    pub fn publish(&mut self, publisher: usize, receivers: u32, since: Instant) -> Mark {
        let mark = Mark {
            publisher,
            number: self.next_number(publisher),
        };
        let shelf = &mut self.shelves[publisher];
        shelf.under_way.push_back(Message {
            left: receivers,
            since,
        });
        shelf.tidy();
        mark
    }

    /// Whether all that a publisher has published is everywhere.
    pub fn is_clear(&self, publisher: usize) -> bool {
        self.shelves[publisher].under_way.is_empty()
    }

    pub fn is_all_clear(&self) -> bool {
        self.shelves.iter().all(|shelf| shelf.under_way.is_empty())
    }

    pub fn arrived(&mut self, mark: Mark, length: usize) -> Result<()> {
        let shelf = &mut self.shelves[mark.publisher];
        let message = mark
            .number
            .checked_sub(shelf.first)
            .and_then(|place| shelf.under_way.get_mut(place as usize))
            .filter(|message| message.left > 0)
            .ok_or_else(|| format!("{mark:?} came once too often"))?;
        message.left -= 1;
        self.deliveries += 1;
        self.length = length;
        if let Some(times) = &mut self.times {
            let took = self.now.saturating_duration_since(message.since);
            times.push(took.as_secs_f64() * 1e6);
        }
        if message.left == 0 {
            self.completed = self.now;
            shelf.tidy();
        }
        Ok(())
    }

    /// What is missing, for the message that says so.
    pub fn missing(&self) -> String {
        self.shelves
            .iter()
            .enumerate()
            .flat_map(|(publisher, shelf)| {
                shelf
                    .under_way
                    .iter()
                    .zip(shelf.first..)
                    .map(move |(message, number)| {
                        format!(
                            "{} of number {number} of publisher {publisher}",
                            message.left
                        )
                    })
            })
            .take(4)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl Shelf {
    fn tidy(&mut self) {
        while self
            .under_way
            .front()
            .is_some_and(|message| message.left == 0)
        {
            self.under_way.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_clear_when_everybody_has_it_and_not_once_more() {
        let mut book = Book::new();
        let first = book.publish(0, 2, Instant::now());
        let second = book.publish(0, 1, Instant::now());
        assert_eq!((first.number, second.number), (0, 1));
        assert_eq!(book.arrived(second, 10), Ok(()));
        assert_eq!(book.arrived(first, 10), Ok(()));
        assert!(!book.is_clear(0) && book.is_clear(1));
        assert!(book.arrived(second, 10).is_err());
        assert_eq!(book.arrived(first, 10), Ok(()));
        assert!(book.is_all_clear());
        assert!(book.arrived(first, 10).is_err());
        assert_eq!(book.next_number(0), 2);
    }
}
