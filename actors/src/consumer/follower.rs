//! The cursor rule, pure: what of the Record was dealt with, what was told ahead of its turn, what
//! has to be read.
//!
//! A told entry with the next number is taken as it is; with a later one, the gap is read from the
//! Record first; with an earlier one, it is a duplicate and dropped. So a lost message, a full
//! mailbox, a panic, a restart and a killed process are all one case.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::record::{Entry, Seq};

/// How far somebody has come on the Record.
#[derive(Debug)]
pub struct Follower {
    done: Seq,
    /// From `done` up to here nothing is missing.
    ready: Seq,
    /// The last place known to exist.
    head: Seq,
    /// What was told or read and is not done; bounded, what is beyond can be read again.
    told: BTreeMap<Seq, Arc<Entry>>,
    capacity: usize,
}

/// What an entry was to a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Done already, or known.
    Duplicate,
    /// The next one.
    Next,
    /// Others come before it.
    Early,
}

/// What has to be read from the Record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub after: Seq,
    pub limit: usize,
}

/// Entries read at once.
pub const PAGE: usize = 500;

impl Follower {
    /// Everything up to `done` is dealt with. Keeps at most `capacity` entries.
    pub fn new(done: Seq, capacity: usize) -> Follower {
        Follower {
            done,
            ready: done,
            head: done,
            told: BTreeMap::new(),
            capacity: capacity.max(1),
        }
    }

    /// The last place that was dealt with.
    pub fn done(&self) -> Seq {
        self.done
    }

    /// How many entries are not done, as far as is known.
    pub fn behind(&self) -> u64 {
        self.head.saturating_sub(self.done)
    }

    /// Takes in an entry, told or read, in any order and any number of times.
    pub fn offer(&mut self, entry: Arc<Entry>) -> Offer {
        let seq = entry.seq;
        if seq <= self.done || self.told.contains_key(&seq) {
            return Offer::Duplicate;
        }
        self.head = self.head.max(seq);
        if self.told.len() >= self.capacity {
            // The furthest one is forgotten: it is read when its turn comes.
            match self.told.last_key_value() {
                Some((&last, _)) if last < seq => return Offer::Early,
                Some((&last, _)) => {
                    self.told.pop_last();
                    self.ready = self.ready.min(last - 1);
                }
                None => {}
            }
        }
        self.told.insert(seq, entry);
        self.reach();
        if seq == self.done + 1 {
            Offer::Next
        } else {
            Offer::Early
        }
    }

    /// The Record is known to reach this far.
    pub fn learn(&mut self, head: Seq) {
        self.head = self.head.max(head);
    }

    /// How many entries there are whose turn it is.
    pub fn ready(&self) -> usize {
        usize::try_from(self.ready - self.done).unwrap_or(usize::MAX)
    }

    /// The entries whose turn it is, at most `most`. They stay until [`Follower::advance`].
    pub fn run(&self, most: usize) -> Vec<Arc<Entry>> {
        self.told
            .range(self.done + 1..)
            .take(self.ready().min(most))
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    fn reach(&mut self) {
        while self.told.contains_key(&(self.ready + 1)) {
            self.ready += 1;
        }
    }

    /// Takes the entry whose turn it is; it counts as done.
    pub fn take(&mut self) -> Option<Arc<Entry>> {
        let entry = self.told.remove(&(self.done + 1))?;
        self.done += 1;
        Some(entry)
    }

    /// What has to be read before anything else can be done.
    pub fn missing(&self) -> Option<Gap> {
        let upto = match self.told.first_key_value() {
            Some((&first, _)) => first - 1,
            None => self.head,
        };
        let count = usize::try_from(upto.saturating_sub(self.done)).unwrap_or(PAGE);
        (count > 0).then(|| Gap {
            after: self.done,
            limit: count.min(PAGE),
        })
    }

    /// The cursor stands at `done`, wherever it stood before: a batch was written, another node was
    /// faster, or the place was read anew after a restart.
    pub fn advance(&mut self, done: Seq) {
        self.done = done;
        self.head = self.head.max(done);
        self.told = self.told.split_off(&(done + 1));
        self.ready = done;
        self.reach();
    }

    /// Given what was read after the place that is done: the first entry that the Record still
    /// has, if what comes before it is gone for good.
    pub fn lost_before(&self, read: &[Arc<Entry>]) -> Option<Seq> {
        let first = read.first()?.seq;
        (first > self.done + 1 && !self.told.contains_key(&(self.done + 1))).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::entry;
    use proptest::prelude::*;

    fn seqs(entries: &[Arc<Entry>]) -> Vec<Seq> {
        entries.iter().map(|entry| entry.seq).collect()
    }

    #[test]
    fn a_gap_is_read_before_what_was_told_after_it() {
        let mut follower = Follower::new(4, 10);
        assert_eq!(follower.offer(entry(7)), Offer::Early);
        assert!(follower.run(10).is_empty());
        assert_eq!(follower.missing(), Some(Gap { after: 4, limit: 2 }));
        assert_eq!(follower.offer(entry(6)), Offer::Early);
        assert_eq!(follower.offer(entry(5)), Offer::Next);
        assert_eq!(follower.missing(), None);
        assert_eq!(seqs(&follower.run(10)), [5, 6, 7]);
        assert_eq!(seqs(&follower.run(2)), [5, 6]);
    }

    #[test]
    fn what_was_done_or_told_before_is_a_duplicate() {
        let mut follower = Follower::new(4, 10);
        assert_eq!(follower.offer(entry(4)), Offer::Duplicate);
        assert_eq!(follower.offer(entry(6)), Offer::Early);
        assert_eq!(follower.offer(entry(6)), Offer::Duplicate);
        follower.advance(6);
        assert_eq!(follower.offer(entry(6)), Offer::Duplicate);
        assert_eq!(follower.offer(entry(7)), Offer::Next);
    }

    #[test]
    fn beyond_its_bound_it_forgets_the_furthest_and_knows_that_it_has_to_read_it() {
        let mut follower = Follower::new(0, 2);
        for seq in [9, 8, 1, 5] {
            follower.offer(entry(seq));
        }
        assert_eq!(seqs(&follower.run(10)), [1]);
        follower.advance(1);
        assert_eq!(follower.missing(), Some(Gap { after: 1, limit: 3 }));
        follower.advance(5);
        assert_eq!(
            follower.missing(),
            Some(Gap { after: 5, limit: 4 }),
            "6 to 9 are known to exist"
        );
    }

    #[test]
    fn a_record_that_lost_its_beginning_is_noticed() {
        let follower = Follower::new(4, 10);
        assert_eq!(follower.lost_before(&[entry(8), entry(9)]), Some(8));
        assert_eq!(follower.lost_before(&[entry(5)]), None);
        assert_eq!(follower.lost_before(&[]), None);
    }

    /// What may happen to one who follows.
    #[derive(Clone, Debug)]
    enum Step {
        /// The Record grows; the tell may arrive (again), or not.
        Append {
            told: bool,
        },
        Retell(u64),
        Look,
        Read,
        Take,
        Batch(usize),
        /// Killed: all it knew is gone but the cursor.
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<bool>().prop_map(|told| Step::Append { told }),
            2 => (1..80u64).prop_map(Step::Retell),
            1 => Just(Step::Look),
            2 => Just(Step::Read),
            2 => Just(Step::Take),
            2 => (1..5usize).prop_map(Step::Batch),
            1 => Just(Step::Restart),
        ]
    }

    proptest! {
        #[test]
        fn every_entry_is_handed_out_once_and_in_order(
            steps in proptest::collection::vec(step(), 1..200),
            capacity in 1..8usize,
        ) {
            let (mut head, mut done) = (0, Vec::new());
            let mut follower = Follower::new(0, capacity);
            let read = |follower: &mut Follower, head: Seq| {
                let Some(gap) = follower.missing() else { return };
                for seq in (gap.after + 1..=head).take(gap.limit) {
                    follower.offer(entry(seq));
                }
            };
            for step in steps {
                match step {
                    Step::Append { told } => {
                        head += 1;
                        if told { follower.offer(entry(head)); }
                    }
                    Step::Retell(seq) => if seq <= head { follower.offer(entry(seq)); }
                    Step::Look => follower.learn(head),
                    Step::Read => read(&mut follower, head),
                    Step::Take => done.extend(follower.take().map(|entry| entry.seq)),
                    Step::Batch(most) => {
                        let run = seqs(&follower.run(most));
                        if let Some(&last) = run.last() { follower.advance(last); }
                        done.extend(run);
                    }
                    Step::Restart => follower = Follower::new(follower.done(), capacity),
                }
                prop_assert!(follower.told.len() <= capacity);
                prop_assert_eq!(follower.ready(), follower.run(usize::MAX).len());
                prop_assert!(!follower.told.contains_key(&(follower.ready + 1)));
                prop_assert_eq!(follower.done(), done.len() as Seq);
            }
            follower.learn(head);
            while follower.done() < head {
                read(&mut follower, head);
                done.extend(follower.take().map(|entry| entry.seq));
            }
            prop_assert_eq!(done, (1..=head).collect::<Vec<_>>());
        }
    }
}
