//! The words of a text: runs of letters and digits, without case and diacritics; each ideograph and kana is a word of its
//! own.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// Characters of a word; what is longer is cut, in rows and in queries.
pub const LONGEST: usize = 64;

/// A word, and which bytes of the text it is made of.
pub struct Word {
    pub word: String,
    pub place: Range<usize>,
}

pub fn words(text: &str) -> impl Iterator<Item = Word> {
    // Most of what is indexed is ids, numbers and names of fields.
    let (plain, any) = match text.is_ascii() {
        true => (Some(words_of_ascii(text)), None),
        false => (None, Some(words_of_any(text))),
    };
    let any = any.into_iter().flatten();
    plain.into_iter().flatten().chain(any)
}

/// The same as [`words_of_any`], a word at a time.
fn words_of_ascii(text: &str) -> impl Iterator<Item = Word> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let is_letter = u8::is_ascii_alphanumeric;
        let rest = &text.as_bytes()[at..];
        let start = at + rest.iter().position(is_letter)?;
        let word = &text[start..];
        let length = word.bytes().position(|byte| !is_letter(&byte));
        let word = &word[..length.unwrap_or(word.len())];
        at = start + word.len();
        Some(Word {
            word: word[..word.len().min(LONGEST)].to_ascii_lowercase(),
            place: start..at,
        })
    })
}

fn words_of_any(text: &str) -> impl Iterator<Item = Word> {
    let mut chars = folded(text).peekable();
    std::iter::from_fn(move || {
        while chars.next_if(|(_, char)| !char.is_alphanumeric()).is_some() {}
        let (mut place, first) = chars.next()?;
        let mut word = String::from(first);
        let mut length = 1;
        while !stands_alone(first)
            && let Some((next, char)) =
                chars.next_if(|(_, char)| char.is_alphanumeric() && !stands_alone(*char))
        {
            place.end = next.end;
            if length < LONGEST {
                word.push(char);
                length += 1;
            }
        }
        // The accents of the last letter.
        let rest = &text[place.end..];
        let accents = rest.chars().take_while(|char| is_accent(*char));
        place.end += accents.map(char::len_utf8).sum::<usize>();
        Some(Word { word, place })
    })
}

/// The letters as they are compared, each with the bytes of the one that it comes from. (Character by character gives what
/// the whole text would: only the order of accents depends on neighbours, and they go.)
fn folded(text: &str) -> impl Iterator<Item = (Range<usize>, char)> {
    text.char_indices().flat_map(|(at, char)| {
        std::iter::once(char)
            .nfkd()
            .filter(|char| !is_accent(*char))
            .flat_map(char::to_lowercase)
            .map(move |folded| {
                let folded = if folded == 'ς' { 'σ' } else { folded };
                (at..at + char.len_utf8(), folded)
            })
    })
}

fn is_accent(char: char) -> bool {
    canonical_combining_class(char) != 0
}

/// Written without blanks between the words.
fn stands_alone(char: char) -> bool {
    matches!(char, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
                 | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Vec<String> {
        words(text).map(|found| found.word).collect()
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

    proptest::proptest! {
        #[test]
        fn the_words_of_ascii_are_those_of_any_text(text in "[ -~\\n\\t]{0,40}|[a-c]{60,70}.?|[a-zA-Z0-9_ .]{0,200}") {
            let pairs = |words: Vec<Word>| -> Vec<_> {
                words.into_iter().map(|found| (found.word, found.place)).collect()
            };
            let text: String = text.chars().filter(char::is_ascii).collect();
            let plain = pairs(words_of_ascii(&text).collect());
            proptest::prop_assert_eq!(plain, pairs(words_of_any(&text).collect()));
        }
    }

    #[test]
    fn a_word_knows_what_it_is_made_of() {
        let text = "— Cafe\u{301}s, ﬁn ½ 映e\u{301}\u{323}";
        let places: Vec<_> = words(text).map(|found| &text[found.place]).collect();
        assert_eq!(
            places,
            ["Cafe\u{301}s", "ﬁn", "½", "½", "映", "e\u{301}\u{323}"]
        );
    }
}
