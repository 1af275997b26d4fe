//! The words that a row of the history is found by, and the query that looks for them. Pure functions: the program makes
//! the words, and both databases index them as they are, so that both find the same rows.
//!
//! A word is a run of letters and digits, without case and diacritics; each ideograph and kana is a word of its own. A
//! row's words come from its name, action, user, type, changed fields and values, in this order, as far as there is room.
//! Beside them stand its *keys* (who may see it, the action, the type, the user), so that a rare filter makes a frequent
//! word cheap: no word begins as a key does.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use callboard_actors::model::activity::Activity;
use callboard_actors::model::policy::SeenBy;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;
use uuid::Uuid;

/// Characters of a word; what is longer is cut, in rows and in queries.
const LONGEST: usize = 64;
/// Words of a row.
const MOST: usize = 200;
/// Characters of a row that are looked at, and of one text in it.
const READ: usize = 8_000;
const READ_OF_ONE: usize = 2_000;
/// Words of a query; what is beyond them is not looked for.
const ASKED: usize = 200;
/// Begins a key, and stands where one text ends and another begins. No letter, so it is in no word; no ASCII, so the
/// index of SQLite takes it for a part of one.
const MARK: char = '·';

/// The folded words of a text.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut chars = text
        .nfkd()
        .filter(|char| canonical_combining_class(*char) == 0)
        .flat_map(char::to_lowercase)
        .map(|char| if char == 'ς' { 'σ' } else { char })
        .peekable();
    std::iter::from_fn(move || {
        while chars.next_if(|char| !char.is_alphanumeric()).is_some() {}
        let first = chars.next()?;
        let mut word = String::from(first);
        let mut length = 1;
        while !stands_alone(first)
            && let Some(char) = chars.next_if(|char| char.is_alphanumeric() && !stands_alone(*char))
        {
            if length < LONGEST {
                word.push(char);
                length += 1;
            }
        }
        Some(word)
    })
}

/// Written without blanks between the words.
fn stands_alone(char: char) -> bool {
    matches!(char, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
                 | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

struct Word {
    /// Words that follow each other have places that do; between two texts is a place for nothing.
    place: usize,
    weight: u16,
    word: String,
}

/// A row's words and keys.
pub struct Document {
    words: Vec<Word>,
    keys: Vec<String>,
    /// The place of the next word.
    place: usize,
    unread: usize,
}

impl Document {
    pub fn of(row: &Activity) -> Document {
        let mut document = Document {
            words: Vec::new(),
            keys: keys(row),
            place: 1,
            unread: READ,
        };
        let user = row.user.as_ref().map(|user| &*user.name);
        document.read(8, row.resource_name.as_deref());
        document.read(4, Some(&row.action));
        document.read(4, user);
        document.read(2, row.resource_type.as_deref());
        let particulars = [&row.changes, &row.metadata].into_iter().flatten();
        for json in particulars.filter_map(|json| serde_json::from_str(json.get()).ok()) {
            document.read_json(&json, 4);
        }
        document
    }

    fn read(&mut self, weight: u16, text: Option<&str>) {
        let most = self.unread.min(READ_OF_ONE);
        let text = text.unwrap_or_default();
        let text = match text.char_indices().nth(most) {
            Some((end, _)) => &text[..end],
            None => text,
        };
        self.unread -= text.len().min(self.unread);
        let room = MOST.saturating_sub(self.words.len());
        let (before, mut place) = (self.words.len(), self.place);
        self.words.extend(words(text).take(room).map(|word| {
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

    /// The names of fields and what is in them, `depth` levels down.
    fn read_json(&mut self, json: &Value, depth: u32) {
        if depth == 0 || self.unread == 0 || self.words.len() >= MOST {
            return;
        }
        match json {
            Value::String(text) => self.read(1, Some(text)),
            Value::Number(number) => self.read(1, Some(&number.to_string())),
            Value::Array(items) => items
                .iter()
                .for_each(|item| self.read_json(item, depth - 1)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    // Every change has an old and a new value: that is no news.
                    if !matches!(&**name, "old" | "new") {
                        self.read(2, Some(name));
                    }
                    self.read_json(value, depth - 1);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
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
        let mut text = String::new();
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
        for key in &self.keys {
            let _ = write!(text, "'{key}' ");
        }
        text
    }
}

fn keys(row: &Activity) -> Vec<String> {
    let user = row.user.as_ref().map(|user| key('u', &hex(user.id)));
    let kind = row.resource_type.as_deref().map(|kind| key('t', kind));
    [
        Some(seen_by_key(row.seen_by())),
        Some(key('a', &row.action)),
        kind,
        user,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

fn seen_by_key(seen_by: SeenBy) -> String {
    key('s', &hex(super::seen_by_id(seen_by)))
}

/// Two texts may have one key: it narrows the search, and the row decides.
fn key(kind: char, text: &str) -> String {
    let plain = |char: char| if char.is_alphanumeric() { char } else { MARK };
    let text = text.chars().take(LONGEST).map(plain);
    [MARK, kind].into_iter().chain(text).collect()
}

/// What is looked for: rows in which every term is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    terms: Vec<Term>,
    /// Of each of these lists one key.
    keys: Vec<Vec<String>>,
}

/// Words that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    words: Vec<String>,
    /// The last one may go on.
    prefix: bool,
}

impl Query {
    /// `word`, `beginning*`, `"words that follow each other"`. Nothing else means anything; what is written without a
    /// blank, as `call-sheet` is, belongs together. `None`: there is no word in it, and nothing to be found.
    pub fn parse(text: &str) -> Option<Query> {
        let mut terms = Vec::new();
        let mut left = ASKED;
        for (index, part) in text.split('"').enumerate() {
            // Every second part is within quotation marks, also if the last one is missing.
            let parts = match index % 2 {
                0 => part.split_whitespace().collect(),
                _ => vec![part],
            };
            for part in parts {
                let words: Vec<_> = words(part).take(left).collect();
                left -= words.len();
                let prefix = part.trim_end().ends_with('*');
                if !words.is_empty() {
                    terms.push(Term { words, prefix });
                }
            }
        }
        (!terms.is_empty()).then_some(Query {
            terms,
            keys: Vec::new(),
        })
    }

    /// Only rows that one of these may see.
    pub fn seen_by(&mut self, seen_by: &[SeenBy]) {
        let keys = seen_by.iter().map(|seen_by| seen_by_key(*seen_by));
        self.keys.push(keys.collect());
    }

    pub fn action(&mut self, action: &str) {
        self.keys.push(vec![key('a', action)]);
    }

    pub fn resource_type(&mut self, kind: &str) {
        self.keys.push(vec![key('t', kind)]);
    }

    pub fn user(&mut self, id: Uuid) {
        self.keys.push(vec![key('u', &hex(id))]);
    }

    /// As the index of a database of this kind is asked.
    pub fn spelt_for(&self, kind: &str) -> String {
        match kind {
            "postgres" => self.postgres(),
            _ => self.sqlite(),
        }
    }

    fn sqlite(&self) -> String {
        let terms = self.terms.iter().map(|term| {
            let star = if term.prefix { " *" } else { "" };
            format!("\"{}\"{star}", term.words.join(" "))
        });
        let keys = self.keys.iter().map(|keys| {
            let keys: Vec<_> = keys.iter().map(|key| format!("\"{key}\"")).collect();
            format!("({})", keys.join(" OR "))
        });
        terms.chain(keys).collect::<Vec<_>>().join(" AND ")
    }

    /// As a `tsquery` is spelt.
    fn postgres(&self) -> String {
        let terms = self.terms.iter().map(|term| {
            let words: Vec<_> = term.words.iter().map(|word| format!("'{word}'")).collect();
            let star = if term.prefix { ":*" } else { "" };
            format!("({}{star})", words.join(" <-> "))
        });
        let keys = self.keys.iter().map(|keys| {
            let keys: Vec<_> = keys.iter().map(|key| format!("'{key}'")).collect();
            format!("({})", keys.join(" | "))
        });
        terms.chain(keys).collect::<Vec<_>>().join(" & ")
    }

    /// How well the row fits, from 1 on: each term counts by the most telling text that it is in, and twice where it is
    /// in it whole.
    pub fn score(&self, row: &Activity) -> u16 {
        let document = Document::of(row);
        let scores = self.terms.iter().map(|term| term.score(&document.words));
        scores.sum::<u16>().max(1)
    }
}

impl Term {
    fn score(&self, words: &[Word]) -> u16 {
        let fits = words.windows(self.words.len()).filter_map(|run| {
            let follow = run
                .windows(2)
                .all(|pair| pair[1].place == pair[0].place + 1);
            let (last, before) = self.words.split_last()?;
            let same = before
                .iter()
                .zip(run)
                .all(|(asked, found)| *asked == found.word);
            let end = &run.last()?.word;
            let whole = end == last;
            let fits = follow && same && (whole || self.prefix && end.starts_with(&**last));
            fits.then(|| run[0].weight * if whole { 2 } else { 1 })
        });
        fits.max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Vec<String> {
        words(text).collect()
    }

    #[test]
    fn words_have_neither_case_nor_diacritics() {
        assert_eq!(
            folded("Crème BRÛLÉE, Ångström!"),
            ["creme", "brulee", "angstrom"]
        );
        assert_eq!(
            folded("İstanbul ΣΊΣΥΦΟΣ Σίσυφος"),
            ["istanbul", "σισυφοσ", "σισυφοσ"]
        );
        assert_eq!(
            folded("episode_created S01E02"),
            ["episode", "created", "s01e02"]
        );
        assert_eq!(folded("映画ab"), ["映", "画", "ab"]);
        assert_eq!(folded("🎬 \0 ' \" · — "), Vec::<String>::new());
        assert_eq!(folded(&"x".repeat(1000)), ["x".repeat(LONGEST)]);
    }

    #[test]
    fn a_query_has_words_beginnings_and_phrases_and_nothing_else() {
        let spelt = |text: &str| Query::parse(text).unwrap().sqlite();
        assert_eq!(spelt("Two wor*"), r#""two" AND "wor" *"#);
        assert_eq!(spelt(r#""two words" x"#), r#""two words" AND "x""#);
        assert_eq!(spelt(r#"a OR NOT b"#), r#""a" AND "or" AND "not" AND "b""#);
        assert_eq!(spelt("call-sheet"), r#""call sheet""#);
        assert_eq!(spelt(r#"un"finished"#), r#""un" AND "finished""#);
        for nothing in ["", "*", "\"\"", "'; --", "🎬", "\0", "(((("] {
            assert!(Query::parse(nothing).is_none(), "{nothing}");
        }
        let many = |words: usize| Query::parse(&"a ".repeat(words));
        assert_eq!(many(ASKED), many(ASKED + 1));
        let mut query = Query::parse("a \"b c*\"").unwrap();
        query.seen_by(&[SeenBy::Everybody, SeenBy::Admins]);
        query.action("x_y");
        assert_eq!(
            query.postgres(),
            "('a') & ('b' <-> 'c':*) & ('·s00000000000000000000000000000000' | \
             '·sffffffffffffffffffffffffffffffff') & ('·ax·y')"
        );
    }
}
