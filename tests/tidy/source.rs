//! The source as text: which files there are, and what of them is code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file, with its comments and its unit tests blanked out where rules are about code.
pub struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    pub text: String,
}

impl Source {
    /// The lines of code with their numbers: no comments, nothing below the file's own `#[cfg(test)] mod`.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| {
            pair[0].trim() == "#[cfg(test)]"
                && pair[1]
                    .trim_start()
                    .trim_start_matches("pub(crate) ")
                    .starts_with("mod ")
                && pair[1].ends_with('{')
        });
        let end = tests.unwrap_or(lines.len());
        lines
            .into_iter()
            .take(end)
            .enumerate()
            .map(|(number, line)| (number + 1, without_comment(line)))
    }

    pub fn is_test(&self) -> bool {
        self.path.split('/').any(|part| {
            part == "tests" || part == "tests.rs" || part == "testing.rs" || part == "testing"
        })
    }
}

pub fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") {
        return "";
    }
    line.find(" // ").map_or(line, |at| &line[..at])
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if !["target", "node_modules", ".tools", "corpus"]
                    .iter()
                    .any(|skipped| name == *skipped)
                {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every Rust file under these folders. Finding none is a failure: a rule over nothing holds always.
pub fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        let rust = files(folder, "rs");
        assert!(!rust.is_empty(), "{folder}/ has no Rust file");
        found.extend(rust.into_iter().map(|path| {
            Source {
                path: path
                    .strip_prefix(root())
                    .unwrap_or(&path)
                    .to_string_lossy()
                    .replace('\\', "/"),
                text: fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            }
        }));
    }
    found
}

/// The product's own code: both crates, without their tests and fakes.
pub fn product() -> Vec<Source> {
    let all = sources(&["src", "actors/src"]);
    let tests: BTreeSet<String> = all.iter().flat_map(test_modules).collect();
    let is_test = |source: &Source| source.is_test() || tests.contains(&source.path);
    all.into_iter().filter(|source| !is_test(source)).collect()
}

/// The files that this one takes in for its tests only: `#[cfg(test)] mod cases;`.
fn test_modules(source: &Source) -> Vec<String> {
    let folder = match source.path.rsplit_once('/') {
        Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder.to_owned(),
        _ => source.path.trim_end_matches(".rs").to_owned(),
    };
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    declared
        .filter_map(|pair| pair[1].strip_prefix("mod ")?.strip_suffix(';'))
        .map(|name| format!("{folder}/{name}.rs"))
        .collect()
}

/// `word` with nothing before and behind it that would make it part of a longer name.
pub fn names(line: &str, word: &str) -> bool {
    let part_of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let behind = line[at + word.len()..].chars().next();
        let begun = word.starts_with(part_of_name) && before.is_some_and(part_of_name);
        let continued = word.ends_with(part_of_name) && behind.is_some_and(part_of_name);
        !begun && !continued
    })
}

/// Fails for every line of code that holds one of `words` outside the places where it may stand: (path prefix, reason).
pub fn only_in(sources: &[Source], words: &[&str], places: &[(&str, &str)], rule: &str) {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for source in sources {
        for (number, line) in source.code() {
            let Some(word) = words.iter().find(|word| names(line, word)) else {
                continue;
            };
            match places
                .iter()
                .find(|(place, _)| source.path.starts_with(place))
            {
                Some((place, _)) => drop(used.insert(*place)),
                None => wrong.push(format!(
                    "{}:{number}: `{word}` in {}",
                    source.path,
                    line.trim()
                )),
            }
        }
    }
    let unused: Vec<_> = places
        .iter()
        .filter(|(place, _)| !used.contains(place))
        .collect();
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
    assert!(
        unused.is_empty(),
        "{rule}: these places need no exception (any more): {unused:?}"
    );
}

#[test]
fn a_word_is_found_as_a_word_and_not_in_a_comment_or_in_the_tests_of_a_file() {
    assert!(names("use sqlx::query;", "sqlx") && names("(redis::Client)", "redis::"));
    assert!(!names("let sqlx_like = my_sqlx;", "sqlx") && !names("predis::Client", "redis::"));
    let text = "//! sqlx\nlet a = 1; // sqlx\nsqlx();\n#[cfg(test)]\nmod tests {\nsqlx();\n}\n";
    let source = Source {
        path: "src/a.rs".into(),
        text: text.into(),
    };
    let found: Vec<usize> = source
        .code()
        .filter(|(_, line)| names(line, "sqlx"))
        .map(|(number, _)| number)
        .collect();
    assert_eq!(found, [3]);
}
