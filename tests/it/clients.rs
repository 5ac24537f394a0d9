//! The real clients of other services, as people install them, against the real program.
//!
//! Each is a script in tests/clients that gets the server's address and fails with what it did not like.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::server::Home;

/// Runs a script against a server of the embedded model.
fn drive(home: &Home, script: &str) {
    let server = home.start();
    let output = python().arg(root().join("tests/clients").join(script)).arg(&server.url).output().unwrap();
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{told}\n{}", server.log());
}

/// The Python that `make clients` installed them for.
fn python() -> Command {
    let python = root().join(".clients/bin/python");
    assert!(python.exists(), "run `make clients` first: {} is not there", python.display());
    Command::new(python)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

#[test]
fn openai_finds_the_models() {
    drive(&Home::new().with("models__default", "emoji64"), "openai_models.py");
}

#[test]
fn webuiapi_makes_and_changes_pictures() {
    drive(&Home::new().with("models__default", "emoji64"), "webuiapi_pictures.py");
}

#[test]
fn webuiapi_asks_interrupts_and_sets() {
    drive(&Home::new().with("models__default", "emoji64"), "webuiapi_server.py");
}
