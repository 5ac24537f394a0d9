//! The command line, through the real binary.

use std::{
    path::Path,
    process::{Command, Output},
};

fn darkroom(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_darkroom"))
        .args(arguments)
        .current_dir(dir)
        .env("DARKROOM__MODELS__DEFAULT", "gaussian")
        .env("DARKROOM__MODELS__DIR", "no-such-folder")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn generate_writes_the_picture_and_prints_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let done = darkroom(dir.path(), &["generate", "-o", "heart.png", "--label", "2", "--steps", "20", "--seed", "7"]);
    assert_eq!((done.status.code(), text(&done.stdout).as_str()), (Some(0), "heart.png\n"), "{}", text(&done.stderr));
    assert_eq!(text(&done.stderr), "", "nothing else where there is no terminal");
    let first = std::fs::read(dir.path().join("heart.png")).unwrap();
    assert!(first.starts_with(b"\x89PNG"));
    darkroom(dir.path(), &["generate", "-o", "again.png", "--label", "2", "--steps", "20", "--seed", "7"]);
    assert_eq!(std::fs::read(dir.path().join("again.png")).unwrap(), first, "the same seed, the same bytes");
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "no database, no blobs: {names:?}");
}

#[test]
fn generate_takes_what_a_request_takes() {
    let dir = tempfile::tempdir().unwrap();
    let done = darkroom(
        dir.path(),
        &[
            "generate",
            "-o",
            "x.jpg",
            "--count",
            "2",
            "--size",
            "24x16",
            "--sampler",
            r#"{"name": "ddim", "eta": 0.5}"#,
            "--schedule",
            "karras",
            "--guidance",
            "2.5",
            "--label",
            "1",
            "--steps",
            "4",
            "--negative",
            "blur",
            "--prompt-syntax",
            "weighted",
            "a heart",
        ],
    );
    assert_eq!(
        (done.status.code(), text(&done.stdout).as_str()),
        (Some(0), "x-0.jpg\nx-1.jpg\n"),
        "{}",
        text(&done.stderr)
    );
    assert!(text(&done.stderr).contains("warning: /prompt: ignored"), "{}", text(&done.stderr));
    for name in ["x-0.jpg", "x-1.jpg"] {
        assert!(std::fs::read(dir.path().join(name)).unwrap().starts_with(b"\xff\xd8\xff"));
    }
    let latents = darkroom(dir.path(), &["generate", "-o", "z.safetensors", "--steps", "2"]);
    assert_eq!(latents.status.code(), Some(0), "{}", text(&latents.stderr));
    assert!(std::fs::read(dir.path().join("z.safetensors")).unwrap().windows(7).any(|part| part == b"latents"));
}

#[test]
fn wrong_use_is_2_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, said) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["generate", "-o", "x.gif"], ".png"),
        (&["generate", "--steps", "0"], "/steps: must be at least 1"),
        (&["generate", "--steps", "0", "--count", "17"], "/count: must be at most 16"),
        (&["generate", "--size", "64"], "64x64"),
        (&["generate", "--prompt-syntax", "compel"], r#"/prompt_syntax: must be one of ["plain","weighted"]"#),
        (&["generate", "--sampler", "dimm"], "did you mean `ddim`?"),
        (&["generate", "--sampler", "{\"name\": "], "EOF"),
        (&["generate", "--model", "gausian"], "did you mean `gaussian`?"),
        (&["--config", "missing.toml", "models"], "missing.toml"),
    ] {
        let refused = darkroom(dir.path(), arguments);
        assert_eq!((refused.status.code(), text(&refused.stdout).as_str()), (Some(2), ""), "{arguments:?}");
        assert!(text(&refused.stderr).contains(said), "{arguments:?}: {}", text(&refused.stderr));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_refusal_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["generate", "--steps", "0"][..], &["generate", "--model", "emoji64", "--steps", "0"]] {
        let refused = Command::new(env!("CARGO_BIN_EXE_darkroom"))
            .args(arguments)
            .current_dir(dir.path())
            .env("DARKROOM__MODELS__DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/models"))
            .output()
            .unwrap();
        assert_eq!(text(&refused.stderr), "darkroom: /steps: must be at least 1\n", "{arguments:?}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let command = format!("{} openapi | head -1; {0} models | true", env!("CARGO_BIN_EXE_darkroom"));
    let done = Command::new("sh").args(["-c", &command]).current_dir(dir.path()).output().unwrap();
    assert!(!text(&done.stderr).contains("panic"), "{}", text(&done.stderr));
}

#[test]
fn what_cannot_be_written_is_1() {
    let dir = tempfile::tempdir().unwrap();
    let failed = darkroom(dir.path(), &["generate", "-o", "no/such/folder/x.png", "--steps", "1"]);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    assert!(text(&failed.stderr).contains("no/such/folder/x.png"));
}

#[test]
fn models_and_openapi_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let models = darkroom(dir.path(), &["models"]);
    assert!(text(&models.stdout).starts_with("* gaussian"), "{}", text(&models.stdout));
    let openapi = darkroom(dir.path(), &["openapi"]);
    assert_eq!(text(&openapi.stdout).trim_end(), include_str!("../../openapi.yaml").trim_end());
    let json = darkroom(dir.path(), &["openapi", "--json"]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&json.stdout).unwrap()["openapi"], "3.1.0");
    assert!(text(&darkroom(dir.path(), &["--help"]).stdout).contains("DARKROOM__SECTION__KEY"));
}
