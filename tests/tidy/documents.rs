//! The documents that list what the code has: settings, events, addresses.

use std::collections::BTreeSet;

use callboard_actors::model::event::ROWS;

use crate::source::{read, sources};

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
