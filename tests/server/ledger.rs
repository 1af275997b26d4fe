//! The evidence beside the database: key, book of checkpoints, and what `record verify` makes of them.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Kind, Server, eventually, on_both_databases};

on_both_databases![
    a_history_is_verified_while_the_server_runs_and_after_its_end,
    rows_cut_off_together_with_all_that_the_database_says_of_them_are_found,
    without_its_key_a_history_is_not_verified_and_with_another_it_is_doubted,
    with_the_history_switched_off_the_record_is_still_verified,
    the_history_is_written_out_at_the_command_line_and_goes_on_where_it_was_cut_off,
];

fn verify(server: &Server, more: &[&str]) -> (bool, String) {
    let mut arguments = vec!["record", "verify"];
    arguments.extend(more);
    let Output {
        status,
        stdout,
        stderr,
    } = server.callboard(&arguments, "");
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(matches!(status.code(), Some(0 | 1)), "{said}");
    (status.success(), said)
}

async fn stop(server: &mut Server) {
    server.sigterm();
    let within = Duration::from_secs(15);
    // Through a cell: `eventually` asks more than once.
    let server = std::cell::RefCell::new(server);
    eventually("the server ends", within, || async {
        server.borrow_mut().ended().is_some()
    })
    .await;
    server.into_inner().kill9();
}

/// The file in the data folder whose name ends so.
fn kept(server: &Server, kind: Kind, ending: &str) -> PathBuf {
    let folder = match kind {
        Kind::Sqlite => server.folder().to_owned(),
        Kind::Postgres => server.folder().join("data"),
    };
    let mut files = std::fs::read_dir(folder)
        .expect("what the test has made")
        .map(|file| file.expect("what the test has made").path());
    files
        .find(|path| path.to_string_lossy().ends_with(ending))
        .unwrap_or_else(|| panic!("no file ends in {ending}"))
}

async fn chained(server: &Server) -> u64 {
    let last = server.last_seq().await;
    eventually("all is chained", Duration::from_secs(10), || async {
        server.database.number("SELECT last_seq FROM chain").await >= last
    })
    .await;
    last
}

async fn a_history_is_verified_while_the_server_runs_and_after_its_end(kind: Kind) {
    let mut server = Server::start(kind).await;
    let editor = server.editor().await;
    for number in 1..=3 {
        editor.create_episode("One", number).await;
    }
    let last = chained(&server).await;
    let (sound, said) = verify(&server, &[]);
    assert!(sound, "{said}");
    assert!(
        said.contains(&format!(
            "{last} rows checked, first 1, last {last}, {last} of them"
        )),
        "{said}"
    );
    assert!(said.contains("; signed"), "{said}");
    stop(&mut server).await;
    let book = std::fs::read_to_string(kept(&server, kind, ".checkpoints"))
        .expect("what the test has made");
    let line: Value = serde_json::from_str(book.lines().last().expect("what the test has made"))
        .expect("what the test has made");
    assert_eq!(line["seq"], last, "a checkpoint at the end: {book}");
    #[cfg(unix)]
    for file in ["activity.key", ".checkpoints"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = kept(&server, kind, file)
            .metadata()
            .expect("what the test has made")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let (sound, said) = verify(&server, &["--json"]);
    // What follows is the log.
    let found: Value = serde_json::from_str(said.lines().next().unwrap_or_default())
        .expect("what the test has made");
    assert!(sound && found["sound"] == true, "{said}");
    assert_eq!(found["activity"]["checked"], last);
    // What was noted elsewhere lies on the chain, also later.
    let noted = found["activity"]["end"]
        .as_str()
        .expect("what the test has made")
        .to_owned();
    server.start_again().await;
    editor.create_episode("Two", 4).await;
    let last = chained(&server).await;
    assert!(verify(&server, &["--expect", &noted]).0);
    let lie = noted.replace(':', ":00").replace("00", "11");
    let wrong = &lie[..noted.len()];
    assert!(!verify(&server, &["--expect", wrong]).0, "{wrong}");
    // A running server's history, changed behind its back.
    server
        .database
        .execute("UPDATE activity SET ip = '192.0.2.9' WHERE seq = 3")
        .await;
    let (sound, said) = verify(&server, &[]);
    assert!(!sound && said.contains("bad 3: "), "{said}");
    assert!(said.contains(&format!("{last} rows checked")), "{said}");
}

async fn rows_cut_off_together_with_all_that_the_database_says_of_them_are_found(kind: Kind) {
    let mut server = Server::start(kind).await;
    let editor = server.editor().await;
    editor.create_episode("One", 1).await;
    let early = chained(&server).await;
    server
        .database
        .execute("CREATE TABLE old AS SELECT * FROM chain")
        .await;
    editor.create_episode("Two", 2).await;
    let last = chained(&server).await;
    stop(&mut server).await;
    server
        .database
        .execute(&format!(
            "DELETE FROM activity WHERE seq > {early}; DELETE FROM record WHERE seq > {early};
             UPDATE record_head SET last = {early}; UPDATE cursors SET seq = {early};
             DELETE FROM chain; INSERT INTO chain SELECT * FROM old"
        ))
        .await;
    let (sound, said) = verify(&server, &[]);
    assert!(!sound, "{said}");
    assert!(
        said.contains(&format!("bad {}: cut off: the checkpoint of ", early + 1)),
        "{said}"
    );
    assert!(said.contains(&format!("went on to {last}")), "{said}");
    // The operator has looked into it.
    let accepted = server.callboard(&["record", "accept"], "");
    assert!(accepted.status.success());
    let (sound, said) = verify(&server, &[]);
    assert!(
        sound && said.contains(&format!("{early} rows from before")),
        "{said}"
    );
    server.start_again().await;
    editor.create_episode("Three", 3).await;
    chained(&server).await;
    stop(&mut server).await;
    let (sound, said) = verify(&server, &[]);
    assert!(sound && said.contains("2 checkpoints"), "{said}");
}

async fn without_its_key_a_history_is_not_verified_and_with_another_it_is_doubted(kind: Kind) {
    let mut server = Server::start(kind).await;
    let editor = server.editor().await;
    editor.create_episode("One", 1).await;
    let last = chained(&server).await;
    stop(&mut server).await;
    std::fs::remove_file(kept(&server, kind, "activity.key")).expect("what the test has made");
    let (sound, said) = verify(&server, &[]);
    assert!(!sound && said.contains("cannot be judged"), "{said}");
    server.start_again().await;
    editor.create_episode("Two", 2).await;
    chained(&server).await;
    let (sound, said) = verify(&server, &[]);
    assert!(
        !sound && said.contains(&format!("bad {}: ", last + 1)),
        "{said}"
    );
}

async fn with_the_history_switched_off_the_record_is_still_verified(kind: Kind) {
    let server = Server::with(kind, &[("ACTIVITY_DB_ENABLED", "false")]).await;
    let editor = server.editor().await;
    editor.create_episode("One", 1).await;
    let last = server.last_seq().await;
    let (sound, said) = verify(&server, &[]);
    assert!(sound, "{said}");
    assert!(
        said.contains("switched off (ACTIVITY_DB_ENABLED=false)"),
        "{said}"
    );
    assert!(
        said.contains(&format!("{last} entries not chained yet")),
        "{said}"
    );
    server
        .database
        .execute("DELETE FROM record WHERE seq = 2")
        .await;
    let (sound, said) = verify(&server, &[]);
    assert!(!sound && said.contains("missing 2 to 2"), "{said}");
}

async fn the_history_is_written_out_at_the_command_line_and_goes_on_where_it_was_cut_off(
    kind: Kind,
) {
    let server = Server::start(kind).await;
    let editor = server.editor().await;
    for number in 1..=4 {
        editor.create_episode("One", number).await;
    }
    let last = chained(&server).await;
    let file = server.folder().join("out.csv");
    let path = file.to_string_lossy().into_owned();
    let export = |more: &[&str]| {
        let mut arguments = vec!["activity", "export"];
        arguments.extend(more);
        let output = server.callboard(&arguments, "");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    let all = export(&["--format", "ndjson"]);
    let rows: Vec<Value> = all
        .lines()
        .filter(|line| line.starts_with("{\"id\""))
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let seqs: Vec<_> = rows.iter().filter_map(|row| row["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
    let episodes = export(&[
        "--action",
        "episode_created",
        "--to",
        "2999-01-01T00:00:00Z",
    ]);
    assert_eq!(episodes.matches("\"episode_created\"").count(), 4);
    // In two parts it is the same file.
    export(&["--format", "csv", "--output", &path]);
    let whole = std::fs::read_to_string(&file).expect("what was written");
    let lines: Vec<_> = whole.split_inclusive("\r\n").collect();
    assert_eq!(lines.len() as u64, last + 1);
    std::fs::write(&file, lines[..3].concat()).expect("a file of the test's own");
    export(&["--format", "csv", "--output", &path, "--after", "2"]);
    assert_eq!(std::fs::read_to_string(&file).expect("both parts"), whole);
}
