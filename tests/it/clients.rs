//! The real clients of other services, as people install them, against the real program.
//!
//! Each is a script in tests/clients that gets the server's address and fails with
//! what it did not like.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::server::Home;

/// Runs a script against a server.
fn drive(home: &Home, script: &str, arguments: &[&str]) {
    let server = home.start();
    let output =
        python().arg(root().join("tests/clients").join(script)).arg(&server.url).args(arguments).output().unwrap();
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
    drive(&embedded().with("openai__models", "{\"org/other\" = \"emoji64\"}"), "openai_models.py", &[]);
}

#[test]
fn openai_generates_pictures() {
    drive(&embedded(), "openai_generate.py", &[]);
}

#[test]
fn openai_follows_pictures_as_they_are_made() {
    drive(&embedded(), "openai_stream.py", &[]);
}

#[test]
fn openai_edits_and_varies_pictures() {
    drive(&embedded(), "openai_edit.py", &[]);
}

#[test]
fn the_readme_is_right_about_openai() {
    drive(&embedded(), "openai_readme.py", &[]);
}

#[test]
fn openai_hears_of_a_full_queue() {
    drive(&embedded().with("queue__max_depth", "0"), "openai_busy.py", &[]);
}

#[test]
fn a_page_of_another_origin_makes_a_picture_and_shows_it() {
    let [listed, foreign] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [listed, foreign] = [listed, foreign].map(|free| free.local_addr().unwrap().port().to_string());
    let origins = format!("[\"http://localhost:{listed}\"]");
    let home = Home::new().with("models__default", "emoji64").with("auth__required", "true");
    let home = home.with("cors__origins", &origins);
    let made = home.command(&["keys", "add", "page", "--scopes", "generate,read"]).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap();
    drive(&home, "browser.py", &[key.trim(), &listed, &foreign]);
}

/// What must hold of every answer, in schemathesis's words.
const CHECKS: [&str; 5] = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
];

/// Requests made up from the API's description: no 5xx, and no answer that it does not describe.
#[test]
fn every_answer_is_as_the_description_says() {
    let home = Home::new().with("limits__row_evaluations", "400").with("queue__max_depth", "50");
    let server = home.start();
    let output = Command::new(root().join(".clients/bin/schemathesis"))
        .current_dir(home.path())
        .args(["run", &format!("{}/openapi.yaml", server.url), "--seed", "7", "--max-examples", "8"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-time", "60", "--request-timeout", "30"])
        .args(["--checks", &CHECKS.join(",")])
        // They do not end by themselves; tests of their own read them.
        .args(["--exclude-path", "/v1/events", "--no-color", "--warnings", "off"])
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{told}\n{}", server.log());
}

#[test]
fn webuiapi_makes_and_changes_pictures() {
    drive(&embedded(), "webuiapi_pictures.py", &[]);
}

#[test]
fn webuiapi_asks_interrupts_and_sets() {
    drive(&embedded(), "webuiapi_server.py", &[]);
}
