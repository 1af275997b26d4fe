//! The configuration's tests.

use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let values = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::read(&values).map_err(|problems| problems.0)
}

#[test]
fn with_nothing_set_everything_has_the_default_of_the_table() {
    let config = read(&[]).unwrap();
    assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 3002));
    assert_eq!(config.cors.origins, ["http://localhost:5173"]);
    assert!(config.cors.credentials && !config.cors.any);
    assert_eq!(config.database.folder(), Path::new("data"));
    assert_eq!(config.sockets.ping_interval, Duration::from_secs(25));
    assert_eq!(config.record_retention, Duration::from_secs(72 * 3600));
    assert_eq!(config.upload_max_bytes, 2_147_483_648);
    assert!(config.activity.enabled && !config.production && !config.faults);
}

#[test]
fn every_problem_is_reported_at_once_with_name_value_and_what_is_accepted() {
    let problems = read(&[
        ("SOCKET_PORT", "70000"),
        ("SOCKET_CORS_ORIGIN", "localhost:5173"),
        ("NOTIFICATION_ENABLED", "maybe"),
        ("DATABASE_URL", "mysql://root@db/callboard"),
        ("LOG_FORMAT", "xml"),
    ])
    .unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:#?}");
    for (problem, (name, value)) in problems.iter().zip([
        ("SOCKET_PORT", "70000"),
        ("SOCKET_CORS_ORIGIN", "localhost:5173"),
        ("DATABASE_URL", "mysql:"),
        ("NOTIFICATION_ENABLED", "maybe"),
        ("LOG_FORMAT", "xml"),
    ]) {
        assert!(problem.starts_with(name), "{problem}");
        assert!(problem.contains(value), "{problem}");
        assert!(problem.contains("accepted"), "{problem}");
        assert!(!problem.contains('\n'), "{problem}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let problems = read(&[
        ("JWT_SECRET", "hunter2hunter2"),
        ("ADMIN_PASSWORD", "abc"),
        ("REDIS_URL", "http://:sesame@cache"),
    ])
    .unwrap_err()
    .join("\n");
    assert!(!problems.contains("hunter2"), "{problems}");
    assert!(!problems.contains("`abc`"), "{problems}");
    assert!(!problems.contains("sesame"), "{problems}");
    assert_eq!(problems.matches("`***`").count(), 3, "{problems}");

    let config = read(&[
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ("DATABASE_URL", "postgres://callboard:sesame@db/callboard"),
    ])
    .unwrap();
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("0123456789abcdef") && !shown.contains("sesame"),
        "{shown}"
    );
}

#[test]
fn a_database_has_a_name_that_gives_nothing_away() {
    let name = |url: &str| read(&[("DATABASE_URL", url)]).unwrap().database.name();
    assert_eq!(name("sqlite://data/callboard.db"), "callboard.db");
    let url = "postgres://callboard:ses%40me@db.example:5433/callboard?sslmode=require";
    assert_eq!(name(url), "db.example_5433_callboard");
}

#[test]
fn production_wants_a_key_and_no_wildcard_with_credentials() {
    let problems = read(&[("APP_ENV", "production"), ("SOCKET_CORS_ORIGIN", "*")]).unwrap_err();
    assert!(problems[0].starts_with("JWT_SECRET"), "{problems:?}");
    assert!(
        problems[1].starts_with("SOCKET_CORS_ORIGIN"),
        "{problems:?}"
    );
    assert_eq!(problems.len(), 2);
    assert!(
        read(&[
            ("APP_ENV", "production"),
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("SOCKET_CORS_ORIGIN", "*"),
            ("SOCKET_CORS_CREDENTIALS", "false"),
        ])
        .is_ok()
    );
}

#[test]
fn unknown_variables_are_not_ours_to_judge() {
    assert!(read(&[("SOCKET_SOMETHING", "x"), ("CALLBOARD_X", "y")]).is_ok());
}

#[test]
fn the_env_example_and_the_handbook_list_every_setting_with_its_default() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(root.join(".env.example")).unwrap();
    let listed: Vec<_> = example
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once('='))
        .filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    let expected: Vec<_> = SETTINGS
        .iter()
        .map(|setting| (setting.name, setting.default))
        .collect();
    assert_eq!(listed, expected);
    for setting in SETTINGS {
        assert!(example.contains(setting.meaning), "{}", setting.name);
    }
    // Written by another hand; compared as soon as it is there.
    if let Ok(handbook) = std::fs::read_to_string(root.join("docs/OPERATIONS.md")) {
        // A switch for tests is not for operators.
        let shown = SETTINGS
            .iter()
            .filter(|setting| !setting.name.starts_with("CALLBOARD_"));
        for setting in shown {
            let row = handbook
                .lines()
                .find(|line| line.contains(&format!("| `{}` |", setting.name)))
                .unwrap_or_else(|| panic!("docs/OPERATIONS.md does not list {}", setting.name));
            assert!(
                setting.default.is_empty() || row.contains(&format!("`{}`", setting.default)),
                "{row}"
            );
        }
    }
}

#[test]
fn a_value_that_is_no_text_is_a_problem_and_not_the_default() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let environment = [
        (bytes(b"SOCKET_PORT"), bytes(b"33\xff")),
        (bytes(b"JWT_SECRET"), bytes(b"hunter2\xff")),
        (bytes(b"SOMEBODY_ELSES"), bytes(b"\xff")),
        (bytes(b"\xff"), bytes(b"x")),
        (bytes(b"LOG_FORMAT"), bytes(b"json")),
    ];
    let mut values = BTreeMap::from([("SOCKET_PORT".to_owned(), "3003".to_owned())]);
    let problems = take(&mut values, environment.into_iter());
    assert_eq!(
        problems,
        [
            "SOCKET_PORT is `33\u{fffd}`: UTF-8 text is accepted",
            "JWT_SECRET is `***`: UTF-8 text is accepted",
        ]
    );
    assert_eq!(values.get("LOG_FORMAT").map(String::as_str), Some("json"));
}

#[test]
fn the_first_password_is_one_that_log_in_takes() {
    let given = |password: &str| read(&[("ADMIN_PASSWORD", password)]);
    assert!(given(&"x".repeat(1_024)).is_ok());
    assert!(given("ä ö ü ß ").is_ok());
    for wrong in ["seven 7", "äöüäöüä", &"x".repeat(1_025), "with\0nothing"] {
        let problems = given(wrong).unwrap_err();
        assert_eq!(
            problems,
            ["ADMIN_PASSWORD is `***`: 8 to 1024 characters without U+0000 are accepted"]
        );
    }
}
