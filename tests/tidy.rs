//! The invariants of docs/ARCHITECTURE.md that a machine can check, over the source as text.
//!
//! Each test names what it found, file and line. What is allowed in spite of a rule stands in that test's list of
//! exceptions with its reason; an exception that nothing needs any more fails too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use callboard_actors::model::event::ROWS;

/// A source file, with its comments and its unit tests blanked out where rules are about code.
struct Source {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The lines of code with their numbers: no comments, nothing below the file's own `#[cfg(test)] mod`.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
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

    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| {
            part == "tests" || part == "tests.rs" || part == "testing.rs" || part == "testing"
        })
    }
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") {
        return "";
    }
    line.find(" // ").map_or(line, |at| &line[..at])
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
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
fn sources(folders: &[&str]) -> Vec<Source> {
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
fn product() -> Vec<Source> {
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
fn names(line: &str, word: &str) -> bool {
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
fn only_in(sources: &[Source], words: &[&str], places: &[(&str, &str)], rule: &str) {
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
fn sqlx_is_named_under_the_store_alone() {
    only_in(
        &product(),
        &["sqlx"],
        &[("src/store/", "the store")],
        "`sqlx` stands under src/store alone",
    );
}

#[test]
fn redis_is_named_under_the_bus_alone() {
    let wrong: Vec<String> = product()
        .iter()
        .filter(|source| !source.path.starts_with("src/bus/"))
        .flat_map(|source| {
            let hits = source
                .code()
                .filter(|(_, line)| names(line, "redis::"))
                .map(|(number, _)| number);
            hits.map(|number| format!("{}:{number}", source.path))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "`redis` stands under src/bus alone: {wrong:?}"
    );
}

#[test]
fn object_storage_is_named_in_blobs_alone() {
    let wrong: Vec<String> = product()
        .iter()
        .filter(|source| {
            source.path != "src/blobs.rs"
                && source.code().any(|(_, line)| names(line, "object_store"))
        })
        .map(|source| source.path.clone())
        .collect();
    assert!(
        wrong.is_empty(),
        "`object_store` stands in src/blobs.rs alone: {wrong:?}"
    );
}

#[test]
fn actix_web_actors_is_named_in_one_file_of_the_session() {
    let found: Vec<String> = product()
        .iter()
        .filter(|source| {
            source
                .code()
                .any(|(_, line)| names(line, "actix_web_actors"))
        })
        .map(|source| source.path.clone())
        .collect();
    assert_eq!(
        found.len(),
        1,
        "exactly one file names actix_web_actors: {found:?}"
    );
    assert!(found[0].starts_with("actors/src/session/"), "{found:?}");
}

#[test]
fn the_actors_name_no_sql_no_redis_and_no_url() {
    let actors: Vec<Source> = sources(&["actors/src"])
        .into_iter()
        .filter(|source| !source.is_test())
        .collect();
    let words = [
        "sqlx",
        "redis",
        "SELECT",
        "INSERT INTO",
        "DELETE FROM",
        "sqlite",
        "postgres",
        "http://",
        "https://",
        "reqwest",
    ];
    only_in(
        &actors,
        &words,
        &[],
        "the actors know no SQL, no Redis and no URL",
    );
    let manifest = read("actors/Cargo.toml");
    for crate_name in ["sqlx", "redis", "reqwest", "object_store", "callboard ="] {
        assert!(
            !manifest.lines().any(|line| line.starts_with(crate_name)),
            "actors/Cargo.toml names {crate_name}"
        );
    }
}

#[test]
fn no_message_is_sent_past_the_bound_of_a_mailbox() {
    let mut wrong = Vec::new();
    for source in product()
        .iter()
        .filter(|source| !source.path.starts_with("actors/src/runtime/"))
    {
        for (number, line) in source
            .code()
            .filter(|(_, line)| line.contains("do_send(") || line.contains("unbounded"))
        {
            wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    assert!(
        wrong.is_empty(),
        "`do_send` and unbounded queues stand in runtime/ alone:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn time_is_read_through_the_clock() {
    let places = [
        ("actors/src/runtime/clock.rs", "the clock itself"),
        (
            "actors/src/runtime/supervisor.rs",
            "how long a handler keeps its thread is real time, whatever clock a test winds",
        ),
    ];
    let words = ["Utc::now", "Local::now", "Instant::now", "SystemTime::now"];
    only_in(&product(), &words, &places, "time is read through `Clock`");
}

#[test]
fn nothing_in_the_product_is_global() {
    let kinds = [
        "Mutex", "RwLock", "OnceLock", "OnceCell", "LazyLock", "Lazy<", "Atomic", "RefCell",
    ];
    let mut wrong = Vec::new();
    for source in product() {
        for (number, line) in source.code() {
            let code = line.trim_start();
            let is_static = ["static ", "pub static ", "pub(crate) static "]
                .iter()
                .any(|start| code.starts_with(start));
            if code.starts_with("thread_local!")
                || is_static && kinds.iter().any(|kind| code.contains(kind))
            {
                wrong.push(format!("{}:{number}: {code}", source.path));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "two servers run in one process, so nothing is global:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    let mut folders = vec![
        "src",
        "actors/src",
        "actors/tests",
        "tests",
        "xtask",
        "bench",
        "examples",
    ];
    folders.retain(|folder| *folder != "examples" || root().join("examples").exists());
    let silent: Vec<String> = sources(&folders)
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "these begin without `//!`: {silent:#?}");
}

#[test]
fn the_product_never_unwraps() {
    let mut all = product();
    all.extend(sources(&["xtask/src"]));
    let mut wrong = Vec::new();
    for source in &all {
        for (number, line) in source.code().filter(|(_, line)| line.contains(".unwrap()")) {
            wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    assert!(
        wrong.is_empty(),
        "`unwrap()` is for tests:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_file_switches_a_lint_of_the_workspace_off() {
    let places = [];
    only_in(
        &product(),
        &[
            "allow(clippy::unwrap_used",
            "allow(unsafe_code",
            "unsafe {",
            "unsafe fn",
        ],
        &places,
        "no `unsafe`, no `unwrap`",
    );
}

#[test]
fn wire_and_session_know_nothing_of_callboard() {
    for (folder, may_use) in [
        ("actors/src/wire", &["wire"][..]),
        ("actors/src/session", &["wire", "session", "runtime"]),
    ] {
        let mut wrong = Vec::new();
        for source in sources(&[folder]) {
            for (number, line) in source.code() {
                for (at, _) in line.match_indices("crate::") {
                    let module: String = line[at + 7..]
                        .chars()
                        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                        .collect();
                    if !may_use.contains(&module.as_str()) {
                        wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
                    }
                }
            }
        }
        assert!(
            wrong.is_empty(),
            "{folder} uses only {may_use:?}:\n{}",
            wrong.join("\n")
        );
    }
}

#[test]
fn rooms_are_spelt_in_one_file() {
    let spelt = ["\"episode:", "\"job:", "\"team:", "\"user:", "\"role:"];
    let mut wrong = Vec::new();
    for source in product()
        .iter()
        .filter(|source| source.path != "actors/src/model/room.rs")
    {
        for (number, line) in source
            .code()
            .filter(|(_, line)| spelt.iter().any(|room| line.contains(room)))
        {
            wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    assert!(
        wrong.is_empty(),
        "rooms are spelt in model/room.rs:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn events_are_spelt_in_one_file() {
    let may = [
        "actors/src/model/event.rs",
        "actors/src/model/notification.rs",
    ];
    let mut wrong = Vec::new();
    for source in product()
        .iter()
        .filter(|source| !may.contains(&source.path.as_str()))
    {
        for (number, line) in source.code() {
            // One word is also an ordinary one (`"ready"` is a state of the server).
            let names = ROWS
                .iter()
                .map(|row| row.name)
                .filter(|name| name.contains('_'));
            if names
                .map(|name| format!("\"{name}\""))
                .any(|name| line.contains(&name))
            {
                wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "events are spelt in model/event.rs:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn main_is_short() {
    let lines = read("src/main.rs").lines().count();
    assert!(lines < 50, "src/main.rs has {lines} lines");
}

#[test]
fn both_databases_have_the_same_migrations() {
    let of = |folder: &str| -> Vec<String> {
        let names = files(folder, "sql")
            .into_iter()
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        names.collect()
    };
    let (sqlite, postgres) = (of("migrations/sqlite"), of("migrations/postgres"));
    assert!(!sqlite.is_empty(), "there are no migrations");
    assert_eq!(sqlite, postgres);
    let numbers: Vec<u32> = sqlite
        .iter()
        .filter_map(|name| name.split('_').next()?.parse().ok())
        .collect();
    assert_eq!(
        numbers,
        (1..=sqlite.len() as u32).collect::<Vec<u32>>(),
        "numbered from 1 without a gap: {sqlite:?}"
    );
}

/// The names in capitals that stand in the table of settings.
fn settings() -> BTreeSet<String> {
    let table = read("src/config/settings.rs");
    let table = &table[table.find("SETTINGS").expect("the table of settings")..];
    let found: BTreeSet<String> = table
        .lines()
        .filter_map(|line| {
            let line = line.trim_start();
            line.strip_prefix("open(\"")
                .or_else(|| line.strip_prefix("secret(\""))?
                .split('"')
                .next()
                .map(str::to_owned)
        })
        .collect();
    assert!(found.len() > 20, "the table of settings has only {found:?}");
    found
}

#[test]
fn every_setting_is_in_the_example_and_in_the_documents_and_no_other() {
    let settings = settings();
    let variable = |text: &str| {
        let name: String = text
            .chars()
            .take_while(|letter| {
                letter.is_ascii_uppercase() || letter.is_ascii_digit() || *letter == '_'
            })
            .collect();
        (name.len() > 3).then_some(name)
    };
    let example: BTreeSet<String> = read(".env.example")
        .lines()
        .filter_map(|line| {
            variable(line.trim_start_matches(['#', ' ']))
                .filter(|name| line.contains(&format!("{name}=")))
        })
        .collect();
    // A switch for the tests is not for operators' eyes in an example to copy.
    let shown: BTreeSet<String> = settings
        .iter()
        .filter(|name| !name.starts_with("CALLBOARD_"))
        .cloned()
        .collect();
    let example: BTreeSet<String> = example
        .into_iter()
        .filter(|name| !name.starts_with("CALLBOARD_"))
        .collect();
    assert_eq!(
        example, shown,
        ".env.example and src/config/settings.rs differ"
    );

    let operations = read("docs/OPERATIONS.md");
    let listed: BTreeSet<String> = operations
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| {
            line.split('|')
                .nth(1)
                .unwrap_or_default()
                .split('`')
                .skip(1)
                .step_by(2)
                .filter_map(variable)
                .collect::<Vec<_>>()
        })
        .filter(|name| name.contains('_'))
        .collect();
    let missing: Vec<_> = shown.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&settings).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "docs/OPERATIONS.md: missing {missing:?}, unknown {unknown:?}"
    );
}

#[test]
fn every_event_is_in_the_protocol_and_no_other() {
    let protocol = read("docs/PROTOCOL.md");
    let table = protocol
        .split("\n## ")
        .find(|section| section.starts_with("Events"))
        .expect("a section `## Events`");
    let mut listed = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        for name in cells[0]
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| ROWS.iter().any(|row| row.name == *name))
        {
            let row = ROWS
                .iter()
                .find(|row| row.name == name)
                .expect("it was just found");
            assert_eq!(
                cells[1].starts_with("yes"),
                row.recorded,
                "docs/PROTOCOL.md: is {name} recorded? {line}"
            );
            listed.insert(name.to_owned());
        }
    }
    let all: BTreeSet<String> = ROWS.iter().map(|row| row.name.to_owned()).collect();
    assert_eq!(
        listed, all,
        "the table of events in docs/PROTOCOL.md and model/event.rs differ"
    );
}

/// Every address that the program serves under /api/v1, as `/episodes/{id}`.
fn routes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources(&["src/http", "src/live"]) {
        for (_, line) in source.code() {
            for (at, start) in line.match_indices("resource(\"") {
                let path = line[at + start.len()..]
                    .split('"')
                    .next()
                    .unwrap_or_default();
                found.insert(path.strip_prefix("/api/v1").unwrap_or(path).to_owned());
            }
        }
    }
    assert!(found.len() > 10, "only these routes were found: {found:?}");
    found
}

#[test]
fn the_openapi_document_has_every_route() {
    let document = callboard::http::openapi::text();
    let unlisted = ["/docs", "/openapi.json", "/actors/{name}/panic"];
    let missing: Vec<String> = routes()
        .into_iter()
        .filter(|route| !unlisted.contains(&route.as_str()))
        .filter(|route| {
            !document.contains(&format!("\"/api/v1{route}\""))
                && !document.contains(&format!("\"{route}\""))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "the OpenAPI document does not list {missing:?}"
    );
}

#[test]
fn the_documents_speak_of_no_address_that_is_not_served() {
    let mut served: Vec<Vec<String>> = routes().iter().map(|route| segments(route)).collect();
    served.push(segments("/events"));
    let mut wrong = Vec::new();
    for path in [
        "README.md",
        "docs/ARCHITECTURE.md",
        "docs/OPERATIONS.md",
        "docs/PROTOCOL.md",
    ] {
        for (number, line) in read(path).lines().enumerate() {
            for (at, start) in line.match_indices("/api/v1/") {
                let end =
                    |letter: char| !(letter.is_alphanumeric() || "/_-.{}<>$".contains(letter));
                let said = line[at + start.len() - 1..]
                    .split(end)
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches(['.', '/']);
                if !said.is_empty() && !served.iter().any(|route| fits(route, &segments(said))) {
                    wrong.push(format!("{path}:{}: /api/v1{said}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "not served:\n{}", wrong.join("\n"));
}

fn segments(path: &str) -> Vec<String> {
    path.trim_matches('/')
        .split('/')
        .map(str::to_owned)
        .collect()
}

fn fits(route: &[String], said: &[String]) -> bool {
    route.len() == said.len()
        && route
            .iter()
            .zip(said)
            .all(|(route, said)| route.starts_with('{') || route == said)
}

#[test]
fn no_commit_hides_a_test() {
    let hidden = ["#[ig", "nore"].concat();
    let wrong: Vec<String> = sources(&["src", "actors", "tests", "xtask"])
        .into_iter()
        .filter(|source| source.text.contains(&hidden))
        .map(|source| source.path)
        .collect();
    assert!(wrong.is_empty(), "tests that are never run: {wrong:?}");
}
