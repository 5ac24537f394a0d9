//! Model folders that tests change.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use tempfile::TempDir;

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &to) } else { _ = fs::copy(entry.path(), to).unwrap() }
    }
}

/// A copy of the embedded model.
pub fn emoji64() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("models/emoji64"), folder.path());
    folder
}

/// A copy of a tiny random model of tests/data/goldens, with a tokenizer of single letters: its text encoder knows 99 tokens.
pub fn tiny(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("tests/data/goldens").join(name), folder.path());
    let tokenizer = folder.path().join("tokenizer");
    copy(&root().join("models/emoji64/tokenizer"), &tokenizer);
    let letters = ('a'..='z').flat_map(|letter| [letter.to_string(), format!("{letter}</w>")]);
    let tokens = ["<|startoftext|>", "<|endoftext|>"].map(str::to_owned).into_iter().chain(letters);
    let vocabulary: Map<String, Value> = tokens.zip(0..).map(|(token, id)| (token, id.into())).collect();
    fs::write(tokenizer.join("vocab.json"), Value::Object(vocabulary).to_string()).unwrap();
    fs::write(tokenizer.join("merges.txt"), "#version: 0.2\n").unwrap();
    folder
}

/// Changes a JSON file in the folder.
pub fn edit(folder: &TempDir, file: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.path().join(file);
    let mut value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}
