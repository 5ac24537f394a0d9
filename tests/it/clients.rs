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

fn embedded() -> Home {
    Home::new().with("models__default", "emoji64")
}

#[test]
fn openai_finds_the_models() {
    drive(&embedded().with("openai__models", "{\"org/other\" = \"emoji64\"}"), "openai_models.py");
}

#[test]
fn openai_generates_pictures() {
    drive(&embedded(), "openai_generate.py");
}

#[test]
fn openai_follows_pictures_as_they_are_made() {
    drive(&embedded(), "openai_stream.py");
}

#[test]
fn openai_edits_and_varies_pictures() {
    drive(&embedded(), "openai_edit.py");
}

#[test]
fn the_readme_is_right_about_openai() {
    drive(&embedded(), "openai_readme.py");
}

#[test]
fn openai_hears_of_a_full_queue() {
    drive(&embedded().with("queue__max_depth", "0"), "openai_busy.py");
}
