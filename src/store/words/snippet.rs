//! The piece of a text that shows why something was found, as HTML: what was asked for is within `<mark>`, and nothing
//! else in it is markup.

use std::cmp::Reverse;
use std::ops::Range;

use super::Query;
use super::fold::{self, words};
use super::texts::{Text, Texts};

/// Characters of a snippet, and of what stands before the first match in it.
const LONGEST: usize = 160;
const BEFORE: usize = 40;

/// Of the texts, that in which the most terms are, and of those the most telling one.
pub fn snippet(query: &Query, texts: &Texts) -> String {
    let found = texts.iter().map(|text| (text, marks(query, &text.text)));
    // Of equals `max_by_key` takes the last, and the first is the better one.
    let found: Vec<_> = found.collect();
    let best = found
        .iter()
        .rev()
        .max_by_key(|(text, (terms, _))| (*terms, text.weight));
    match best {
        Some((Text { text, .. }, (_, marks))) => cut(text, marks),
        None => String::new(),
    }
}

/// How many of the terms are in the text, and where they are.
fn marks(query: &Query, text: &str) -> (usize, Vec<Range<usize>>) {
    let words: Vec<fold::Word> = words(text).collect();
    let mut marks = Vec::new();
    let mut terms = 0;
    for term in query.terms() {
        let before = marks.len();
        let runs = words
            .windows(term.len())
            .filter(|run| term.fits(run.iter().map(|word| &*word.word)).is_some());
        marks.extend(runs.filter_map(|run| Some(run.first()?.place.start..run.last()?.place.end)));
        terms += usize::from(marks.len() > before);
    }
    // Of two that begin together the longer one.
    marks.sort_by_key(|mark| (mark.start, Reverse(mark.end)));
    (terms, marks)
}

/// The text around the first of the marks.
fn cut(text: &str, marks: &[Range<usize>]) -> String {
    let first = marks.first().map_or(0, |mark| mark.start);
    let before = text[..first].char_indices().rev().take(BEFORE).last();
    let mut start = before.map_or(first, |(at, _)| at);
    // From a word's beginning on.
    if start > 0
        && let Some(blank) = text[start..first].find(char::is_whitespace)
    {
        start += blank;
    }
    let rest = text[start..].char_indices().nth(LONGEST);
    let end = rest.map_or(text.len(), |(at, _)| start + at);
    let mut html = String::new();
    if start > 0 {
        html.push('…');
    }
    let mut at = start;
    for mark in marks {
        // Words of one phrase may be in another; what is marked already is not marked again.
        let (from, to) = (mark.start.max(at), mark.end.min(end));
        if from < to {
            escape(&text[at..from], &mut html);
            html.push_str("<mark>");
            escape(&text[from..to], &mut html);
            html.push_str("</mark>");
            at = to;
        }
    }
    escape(&text[at..end], &mut html);
    if end < text.len() {
        html.push('…');
    }
    html
}

fn escape(text: &str, html: &mut String) {
    for char in text.chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Room;
    use super::*;

    fn of(q: &str, name: &str, rest: &[&str]) -> String {
        let mut texts = Texts::of(Some(name), Room::SMALL);
        for text in rest {
            texts.add(1, Some(text));
        }
        snippet(&Query::parse(q).unwrap(), &texts)
    }

    #[test]
    fn what_was_asked_for_is_marked_and_the_rest_is_escaped() {
        assert_eq!(
            of("creme <b>", "A <b>Crème</b> & \"x\" 'y'", &[]),
            "A &lt;<mark>b</mark>&gt;<mark>Crème</mark>&lt;/<mark>b</mark>&gt; &amp; &quot;x&quot; &#39;y&#39;"
        );
        assert_eq!(of("nig*", "The Nightly", &[]), "The <mark>Nightly</mark>");
        assert_eq!(
            of("\"night shift\" night", "A night-shift at night", &[]),
            "A <mark>night-shift</mark> at <mark>night</mark>"
        );
        assert_eq!(
            of("cafe", "cafe\u{301}s cafe\u{301}", &[]),
            "cafe\u{301}s <mark>cafe\u{301}</mark>"
        );
    }

    #[test]
    fn the_text_with_the_most_terms_is_shown_and_of_equals_the_most_telling() {
        assert_eq!(of("a b", "a", &["b a"]), "<mark>b</mark> <mark>a</mark>");
        assert_eq!(of("a b", "a c", &["b"]), "<mark>a</mark> c");
        assert_eq!(of("a", "x", &["a one", "a two"]), "<mark>a</mark> one");
        assert_eq!(of("z", "x", &["y"]), "x");
    }

    #[test]
    fn a_long_text_is_cut_around_the_first_match() {
        let text = format!("{}needle {}", "word ".repeat(100), "x".repeat(500));
        let shown = of("needle", &text, &[]);
        assert!(shown.starts_with("… word word"), "{shown}");
        assert!(shown.contains(" <mark>needle</mark> xxx"), "{shown}");
        assert!(shown.ends_with("xx…"), "{shown}");
        // A word that is longer than a snippet is marked as far as it is shown; a letter is never cut in two.
        let shown = of(&"é".repeat(200), &"é".repeat(300), &[]);
        assert_eq!(shown, format!("<mark>{}</mark>…", "é".repeat(LONGEST)));
    }
}
