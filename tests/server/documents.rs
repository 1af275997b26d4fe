//! The documents that the program prints, read by the programs of others that know their formats.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Kind, Server, run, stock};

#[test]
fn the_initiatives_own_parser_finds_nothing_wrong_with_the_asyncapi_document() {
    run(async {
        stock::bring().await;
        let server = Server::prepared(Kind::Sqlite, &[]).await;
        let printed = server.callboard(&["asyncapi"], "");
        assert!(printed.status.success());
        let read = |document: Vec<u8>| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/asyncapi");
            let mut child = Command::new("node")
                .arg("check.mjs")
                .current_dir(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("node");
            let mut stdin = child.stdin.take().expect("its stdin");
            std::io::Write::write_all(&mut stdin, &document).expect("the document is taken");
            drop(stdin);
            let output = child.wait_with_output().expect("its end");
            (
                output.status.success(),
                String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        };
        let (good, said) = read(printed.stdout.clone());
        assert!(good, "{said}");
        // It would have said so.
        let text = String::from_utf8(printed.stdout).expect("text");
        let broken = text.replace("\"address\": \"/feed\"", "\"adress\": \"/feed\"");
        assert_ne!(text, broken);
        assert!(!read(broken.into_bytes()).0);
    });
}
