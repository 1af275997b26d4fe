//! What resuming sockets read of the Record: read once and encoded once, for all of them that come at the same time.
//!
//! After a restart everybody is back at once, and missed the same. So what one has read is kept while anybody resumes,
//! in a few pages that are bounded in bytes; when the last one is done, nothing is kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use callboard_actors::model::envelope::{Envelope, Form};
use callboard_actors::model::record::{Entry, Seq};
use callboard_actors::model::room::Channel;
use callboard_actors::ports::{Record, Unavailable};
use callboard_actors::wire::Frame;
use parking_lot::Mutex;

/// Entries of a page: those after `n * PAGE`, up to `(n + 1) * PAGE`.
pub(super) const PAGE: Seq = 256;
/// Pages that are kept.
const KEPT: usize = 16;
/// Bytes of JSON of a page that is kept; a larger one is read by each for itself.
const LARGEST: usize = 1 << 20;

pub(super) struct Pages {
    record: Arc<dyn Record>,
    /// The last place that is known to exist.
    head: AtomicU64,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    readers: usize,
    /// By the place before their first entry; the one that was asked for last is at the end.
    pages: VecDeque<(Seq, Arc<Slot>)>,
}

/// Whoever reads has it locked, so that others who want the same wait for that.
type Slot = tokio::sync::Mutex<Page>;

/// A part of the Record without a hole, but where retention made one at its beginning.
#[derive(Clone, Default)]
pub(super) struct Page {
    items: Arc<Vec<Arc<Item>>>,
    /// What was read: everything after this place …
    from: Seq,
    /// … up to this one.
    upto: Seq,
    bytes: usize,
}

/// An entry, and the event that it is to clients once somebody needs it.
pub(super) struct Item {
    entry: Arc<Entry>,
    envelope: OnceLock<Envelope>,
}

impl Item {
    pub fn seq(&self) -> Seq {
        self.entry.seq
    }

    pub fn is_for(&self, channels: &[Channel]) -> bool {
        let mut audience = self.entry.audience.iter();
        audience.any(|channel| channels.contains(channel))
    }

    pub fn frame(&self, form: Form) -> Frame {
        let envelope = self
            .envelope
            .get_or_init(|| Envelope::recorded(&self.entry));
        envelope.frame(form)
    }
}

impl Page {
    /// What it has after this place.
    pub fn after(&self, at: Seq) -> &[Arc<Item>] {
        &self.items[self.items.partition_point(|item| item.seq() <= at)..]
    }

    fn has(&self, at: Seq, wanted: Seq) -> bool {
        self.from <= at && wanted <= self.upto
    }

    /// Reads what is missing to have everything after `at` and as much as there is up to `end`.
    async fn fill(
        &mut self,
        record: &dyn Record,
        at: Seq,
        wanted: Seq,
        end: Seq,
    ) -> Result<(), Unavailable> {
        if self.upto == 0 {
            (self.from, self.upto) = (at, at);
        }
        let mut items = Vec::new();
        if at < self.from {
            items.extend(read(record, at, self.from).await?);
        }
        items.extend(self.items.iter().cloned());
        let mut upto = self.upto;
        if upto < wanted {
            let new = read(record, upto, end).await?;
            upto = new.last().map_or(upto, |item| item.seq());
            items.extend(new);
        }
        *self = Page {
            bytes: items.iter().map(|item| item.entry.data.get().len()).sum(),
            items: Arc::new(items),
            from: self.from.min(at),
            upto,
        };
        Ok(())
    }
}

/// The entries after `from` and up to `upto`.
async fn read(record: &dyn Record, from: Seq, upto: Seq) -> Result<Vec<Arc<Item>>, Unavailable> {
    let limit = usize::try_from(upto - from).unwrap_or(usize::MAX);
    let entries = record.after(from, limit).await?.into_iter();
    let item = |entry| {
        Arc::new(Item {
            entry,
            envelope: OnceLock::new(),
        })
    };
    // Where retention took what was asked for, others come in its place.
    let within = entries.take_while(|entry| entry.seq <= upto);
    Ok(within.map(item).collect())
}

/// Somebody who resumes; while there is one, pages are kept.
pub(super) struct Reader<'a>(&'a Pages);

impl Pages {
    pub fn new(record: Arc<dyn Record>) -> Pages {
        Pages {
            record,
            head: AtomicU64::new(0),
            shelf: Mutex::default(),
        }
    }

    /// Notes that the Record reaches so far.
    pub fn saw(&self, head: Seq) {
        self.head.fetch_max(head, Ordering::AcqRel);
    }

    pub fn head(&self) -> Seq {
        self.head.load(Ordering::Acquire)
    }

    pub fn reader(&self) -> Reader<'_> {
        self.shelf.lock().readers += 1;
        Reader(self)
    }

    fn slot(&self, first: Seq) -> Arc<Slot> {
        let pages = &mut self.shelf.lock().pages;
        let found = pages.iter().position(|(it, _)| *it == first);
        let slot = match found.and_then(|at| pages.remove(at)) {
            Some((_, slot)) => slot,
            None => Arc::default(),
        };
        pages.push_back((first, slot.clone()));
        let over = pages.len().saturating_sub(KEPT);
        pages.drain(..over);
        slot
    }

    fn forget(&self, first: Seq) {
        self.shelf.lock().pages.retain(|(it, _)| *it != first);
    }
}

impl Reader<'_> {
    /// The page with what comes after `at`: up to `upto`, or to the page's end, if the Record has that.
    pub async fn page(&self, at: Seq, upto: Seq) -> Result<Page, Unavailable> {
        let first = at - at % PAGE;
        let (end, slot) = (first + PAGE, self.0.slot(first));
        let wanted = upto.min(end);
        let mut page = slot.lock().await;
        if !page.has(at, wanted) {
            page.fill(&*self.0.record, at, wanted, end).await?;
            if page.bytes > LARGEST {
                self.0.forget(first);
            }
        }
        Ok(page.clone())
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut shelf = self.0.shelf.lock();
        shelf.readers -= 1;
        if shelf.readers == 0 {
            shelf.pages = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use callboard_actors::testing::MemoryRecord;
    use futures_util::future::join_all;

    use super::*;

    fn record(entries: usize) -> Arc<MemoryRecord> {
        let record = MemoryRecord::new();
        for _ in 0..entries {
            record.append("episode_updated", vec![]);
        }
        record
    }

    fn seqs(page: &Page, at: Seq) -> Vec<Seq> {
        page.after(at).iter().map(|item| item.seq()).collect()
    }

    #[tokio::test]
    async fn whoever_comes_at_whatever_place_gets_all_that_comes_after_it() {
        let record = record(1_000);
        let pages = Pages::new(record.clone());
        let reader = pages.reader();
        for at in [300, 250, 511, 512, 290, 999, 0] {
            let page = reader.page(at, 1_000).await.unwrap();
            let end = (at - at % PAGE + PAGE).min(1_000);
            assert_eq!(seqs(&page, at), (at + 1..=end).collect::<Vec<_>>());
        }
        // What was not there yet when the page was read.
        record.append("episode_updated", vec![]);
        assert_eq!(
            seqs(&reader.page(999, 1_001).await.unwrap(), 999),
            [1_000, 1_001]
        );
        assert_eq!(
            seqs(&reader.page(1_001, 1_001).await.unwrap(), 1_001),
            [0; 0]
        );
    }

    #[tokio::test]
    async fn a_herd_reads_once_and_encodes_once_and_leaves_nothing() {
        let record = record(200);
        let pages = Pages::new(record.clone());
        let reads = record.faults.calls();
        {
            let readers: Vec<_> = (0..100).map(|_| pages.reader()).collect();
            let all = join_all(readers.iter().map(|reader| reader.page(100, 200))).await;
            let frames: Vec<_> = all
                .iter()
                .map(|page| page.as_ref().unwrap().after(100)[0].frame(Form::Plain))
                .collect();
            let at = |frame: &Frame| frame.payload().as_ptr();
            assert!(frames.iter().all(|frame| at(frame) == at(&frames[0])));
            assert_eq!(record.faults.calls(), reads + 1);
        }
        assert!(pages.shelf.lock().pages.is_empty());
    }

    #[tokio::test]
    async fn what_retention_took_is_a_hole_that_can_be_seen() {
        let record = record(600);
        record.prune(400);
        let pages = Pages::new(record.clone());
        let reader = pages.reader();
        assert_eq!(seqs(&reader.page(300, 600).await.unwrap(), 300)[0], 401);
        assert_eq!(seqs(&reader.page(100, 600).await.unwrap(), 100), [0; 0]);
        assert_eq!(seqs(&reader.page(401, 600).await.unwrap(), 401)[0], 402);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let record = record(100 * PAGE as usize);
        let pages = Pages::new(record);
        let reader = pages.reader();
        for number in 0..100 {
            reader.page(number * PAGE, Seq::MAX).await.unwrap();
        }
        assert_eq!(pages.shelf.lock().pages.len(), KEPT);
    }
}
