//! Model folders that tests change.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &to) } else { drop(fs::copy(entry.path(), to).unwrap()) }
    }
}

/// A copy of a tiny random model of tests/data/goldens, with the embedded model's tokenizer.
pub fn tiny(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("tests/data/goldens").join(name), folder.path());
    copy(&root().join("models/emoji64/tokenizer"), &folder.path().join("tokenizer"));
    folder
}

/// Changes a JSON file in the folder.
pub fn edit(folder: &TempDir, file: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.path().join(file);
    let mut value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}
