//! What the command line says of itself. That this test is there has `cargo test` build the program, too, which
//! `cargo xtask test` then runs quickly over every section.

use std::process::Command;

fn told(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(arguments)
        .output()
        .expect("the program was built");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), text)
}

#[test]
fn without_a_name_or_with_one_that_is_not_there_the_usage_is_printed() {
    for arguments in [&[][..], &["fan-in"], &["fan-out", "--fast"]] {
        let (success, text) = told(arguments);
        assert!(
            !success && text.contains("usage: cargo xtask bench"),
            "{text}"
        );
    }
}

#[test]
fn an_option_that_wants_a_value_says_so() {
    let (success, text) = told(&["fan-out", "--rounds"]);
    assert!(
        !success && text.contains("--rounds wants a value"),
        "{text}"
    );
    let (success, text) = told(&["fan-out", "--servers", "nginx"]);
    assert!(!success && text.contains("nginx: one of raw"), "{text}");
}
