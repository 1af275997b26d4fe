//! What is looked for, and how well something fits.

use super::document::{Document, Word};
use super::fold::words;
use super::{in_name, pair};

/// Words of a query; what is beyond them is not looked for.
const ASKED: usize = 200;

/// Things in which every term is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    terms: Vec<Term>,
    /// Of each of these lists one key.
    keys: Vec<Vec<String>>,
}

/// Words that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    words: Vec<String>,
    /// The last one may go on.
    prefix: bool,
}

impl Query {
    /// Everything, until it is narrowed by a key. An index cannot be asked for that.
    pub const EVERYTHING: Query = Query {
        terms: Vec::new(),
        keys: Vec::new(),
    };

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
                let found = words(part).take(left).map(|found| found.word);
                let words: Vec<_> = found.collect();
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

    /// Only what has one of these keys.
    pub fn with_key(&mut self, keys: impl IntoIterator<Item = String>) {
        self.keys.push(keys.into_iter().collect());
    }

    /// The same, of things that are called so: every term is in the name. Their documents have the names' words:
    /// [`Document::and_names`].
    pub fn in_names(&self) -> Query {
        let terms = self.terms.iter().map(|term| Term {
            words: term.words.iter().map(|word| in_name(word)).collect(),
            prefix: term.prefix,
        });
        Query {
            terms: terms.collect(),
            keys: self.keys.clone(),
        }
    }

    /// The beginnings in it, and what it is without them: less narrow, and cheap to ask an index for. `None`: there are
    /// none, or nothing else.
    pub fn parted(&self) -> Option<(Query, Query)> {
        let mut beginnings = Vec::new();
        let mut rest = Vec::new();
        for term in &self.terms {
            let (mut words, mut last) = (term.words.clone(), Vec::new());
            if term.prefix {
                last.extend(words.pop());
                beginnings.push(Term {
                    words: last,
                    prefix: true,
                });
            }
            if !words.is_empty() {
                rest.push(Term {
                    words,
                    prefix: false,
                });
            }
        }
        let of = |terms, keys| Query { terms, keys };
        let none = beginnings.is_empty() || rest.is_empty() && self.keys.is_empty();
        (!none).then(|| (of(beginnings, Vec::new()), of(rest, self.keys.clone())))
    }

    pub fn terms(&self) -> &[Term] {
        &self.terms
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
            let phrase = format!("({}{star})", words.join(" <-> "));
            let pairs = term.pairs().map(|pair| format!("'{pair}'"));
            std::iter::once(phrase)
                .chain(pairs)
                .collect::<Vec<_>>()
                .join(" & ")
        });
        let keys = self.keys.iter().map(|keys| {
            let keys: Vec<_> = keys.iter().map(|key| format!("'{key}'")).collect();
            format!("({})", keys.join(" | "))
        });
        terms.chain(keys).collect::<Vec<_>>().join(" & ")
    }

    /// How well the document fits, from 1 on: each term counts by the most telling text that it is in, and twice where it
    /// is in it whole.
    pub fn score(&self, document: &Document) -> u16 {
        let scores = self.terms.iter().map(|term| term.score(document.words()));
        scores.sum::<u16>().max(1)
    }
}

impl Term {
    fn score(&self, words: &[Word]) -> u16 {
        let fits = words.windows(self.words.len()).filter_map(|run| {
            let follow = run
                .windows(2)
                .all(|pair| pair[1].place == pair[0].place + 1);
            let fit = self.fits(run.iter().map(|word| &*word.word))?;
            let whole = fit == Fit::Whole;
            follow.then(|| run[0].weight * if whole { 2 } else { 1 })
        });
        fits.max().unwrap_or(0)
    }

    /// How many words it has.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether this run of as many words is what is asked for.
    pub fn fits<'w>(&self, run: impl ExactSizeIterator<Item = &'w str>) -> Option<Fit> {
        let last = self.words.len() - 1;
        let mut whole = run.len() == self.words.len();
        if !whole {
            return None;
        }
        for (index, (asked, found)) in self.words.iter().zip(run).enumerate() {
            if asked != found {
                let goes_on = self.prefix && index == last && found.starts_with(&**asked);
                if !goes_on {
                    return None;
                }
                whole = false;
            }
        }
        Some(if whole { Fit::Whole } else { Fit::Beginning })
    }

    /// The pairs that are in whatever has these words in this order.
    fn pairs(&self) -> impl Iterator<Item = String> {
        let whole = match self.prefix {
            true => &self.words[..self.words.len() - 1],
            false => &self.words[..],
        };
        whole.windows(2).map(|two| pair(&two[0], &two[1]))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Whole,
    /// The last word goes on.
    Beginning,
}

#[cfg(test)]
mod tests {
    use super::super::key;
    use super::*;

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
    }

    #[test]
    fn beginnings_can_be_left_out_if_something_is_left() {
        let parted = |text: &str| {
            let (beginnings, rest) = Query::parse(text)?.parted()?;
            Some((beginnings.sqlite(), rest.sqlite()))
        };
        let spelt = |beginnings: &str, rest: &str| Some((beginnings.into(), rest.into()));
        assert_eq!(parted("a b"), None);
        assert_eq!(parted("a* b*"), None);
        assert_eq!(parted("a* b c*"), spelt(r#""a" * AND "c" *"#, r#""b""#));
        assert_eq!(parted(r#""a b c*""#), spelt(r#""c" *"#, r#""a b""#));
        let mut query = Query::parse("a*").unwrap();
        query.with_key([key('s', "1")]);
        assert_eq!(query.parted().unwrap().1.postgres(), "('·s1')");
    }

    #[test]
    fn a_query_is_narrowed_by_keys_and_by_the_pairs_of_a_phrase() {
        let mut query = Query::parse("a \"b c d*\"").unwrap();
        query.with_key([key('s', "1-2"), key('s', "3")]);
        query.with_key([key('a', "x_y")]);
        assert_eq!(
            query.postgres(),
            "('a') & ('b' <-> 'c' <-> 'd':*) & '·p88a759' & ('·s1·2' | '·s3') & ('·ax·y')"
        );
        assert_eq!(
            query.in_names().sqlite(),
            r#""·na" AND "·nb ·nc ·nd" * AND ("·s1·2" OR "·s3") AND ("·ax·y")"#
        );
    }
}
