//! The words of a thing's texts in their places, and the keys beside them, as each database indexes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::fold::words;
use super::texts::{Text, Texts};
use super::{MARK, in_name, pair};

pub struct Word {
    /// Words that follow each other have places that do; between two texts is a place for nothing.
    pub place: usize,
    pub weight: u16,
    pub word: String,
}

pub struct Document {
    words: Vec<Word>,
    keys: Vec<String>,
    /// The place of the next word.
    place: usize,
}

impl Document {
    pub fn of(texts: &Texts) -> Document {
        let mut document = Document {
            words: Vec::new(),
            keys: Vec::new(),
            place: 1,
        };
        for Text { weight, text } in texts.iter() {
            let room = texts.most().saturating_sub(document.words.len());
            let words = words(text).take(room).map(|found| found.word);
            document.put(*weight, words);
        }
        document
    }

    fn put(&mut self, weight: u16, words: impl Iterator<Item = String>) {
        let (before, mut place) = (self.words.len(), self.place);
        self.words.extend(words.map(|word| {
            place += 1;
            Word {
                place: place - 1,
                weight,
                word,
            }
        }));
        if self.words.len() > before {
            self.place = place + 1;
        }
    }

    /// Indexes the words of the name once more: see [`super::Query::in_names`].
    pub fn and_names(mut self) -> Document {
        let names = self
            .words
            .iter()
            .take_while(|word| word.weight == Texts::NAME);
        let names: Vec<_> = names.map(|word| in_name(&word.word)).collect();
        self.put(0, names.into_iter());
        self
    }

    /// To be found by this as well.
    pub fn key(&mut self, key: String) {
        self.keys.push(key);
    }

    pub fn words(&self) -> &[Word] {
        &self.words
    }

    /// As the database of this kind takes them in.
    pub fn spelt_for(&self, kind: &str) -> String {
        match kind {
            "postgres" => self.postgres(),
            _ => self.sqlite(),
        }
    }

    /// As SQLite's index takes them in: in their places, between blanks.
    fn sqlite(&self) -> String {
        let words = self.words.iter().map(|word| &word.word);
        let length = words.chain(&self.keys).map(|word| word.len() + 1).sum();
        let mut text = String::with_capacity(length);
        let mut place = 1;
        for word in &self.words {
            if word.place > place {
                text.push(MARK);
                text.push(' ');
            }
            text.push_str(&word.word);
            text.push(' ');
            place = word.place + 1;
        }
        for key in &self.keys {
            text.push_str(key);
            text.push(' ');
        }
        text
    }

    /// As a `tsvector` is spelt. Nothing in a word needs to be escaped.
    fn postgres(&self) -> String {
        let mut places = BTreeMap::<&str, Vec<usize>>::new();
        for word in &self.words {
            places.entry(&word.word).or_default().push(word.place);
        }
        let mut text = String::new();
        for (word, places) in places {
            let _ = write!(text, "'{word}'"); // writing into a string cannot fail
            for (index, place) in places.into_iter().enumerate() {
                let _ = write!(text, "{}{place}", if index == 0 { ':' } else { ',' });
            }
            text.push(' ');
        }
        let pairs = self.words.windows(2).filter_map(|two| match two {
            [first, second] if second.place == first.place + 1 => {
                Some(pair(&first.word, &second.word))
            }
            _ => None,
        });
        for key in self.keys.iter().cloned().chain(pairs) {
            let _ = write!(text, "'{key}' ");
        }
        text
    }
}
