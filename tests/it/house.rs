//! The rules of the house that no compiler knows: who may use whom, sizes, places, words.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Who may use whom: the module, then what it may name. Any module may name those of [`OPEN`].
const ARROWS: &[(&str, &str)] = &[
    ("access", "config job"),
    ("app", "access catalog config engine http job meters metrics store webhooks"),
    ("ask", ""),
    ("catalog", "config model"),
    (
        "cli",
        "access app catalog config edit engine guidance http job model pixels sampler schedule store telemetry webhooks wrapper",
    ),
    ("config", "denoiser process"),
    ("denoiser", "ask guidance process"),
    ("edit", "ask denoiser guidance job noise pixels process sampler"),
    ("engine", "access ask catalog config edit job metrics model noise pixels store task"),
    ("error", ""),
    ("failpoint", ""),
    ("guidance", ""),
    (
        "http",
        "access app config denoiser edit engine guidance job limits meters model pixels prompt sampler schedule store task telemetry webhooks wrapper",
    ),
    ("job", ""),
    ("limits", "config model"),
    ("meters", ""),
    ("metrics", ""),
    ("model", "ask config denoiser process"),
    ("noise", ""),
    ("pixels", "job model"),
    ("process", ""),
    ("prompt", "job model"),
    ("registry", ""),
    ("sampler", "ask denoiser noise process schedule"),
    ("schedule", "process"),
    ("store", "access config job"),
    ("task", "ask denoiser edit guidance job model noise pixels process prompt sampler schedule wrapper"),
    ("telemetry", "config"),
    ("webhooks", "access config job metrics store"),
    ("wrapper", "ask denoiser process sampler"),
];
/// Open to all: they know nobody.
const OPEN: [&str; 3] = ["error", "failpoint", "registry"];

#[test]
fn modules_use_only_those_below_them() {
    let allowed: BTreeMap<_, Vec<_>> = ARROWS.iter().map(|(from, to)| (*from, to.split(' ').collect())).collect();
    let mut wrong = Vec::new();
    for file in files(&["src"], "rs") {
        let from = module(&file);
        if ["lib", "main"].contains(&from.as_str()) {
            continue;
        }
        let to = allowed.get(from.as_str()).unwrap_or_else(|| panic!("`{from}` has no arrows: say whom it may use"));
        let code = code(&file);
        let used = named_after("crate::", &code).into_iter().filter(|name| *name != from);
        wrong.extend(
            used.filter(|name| !to.contains(name) && !OPEN.contains(name))
                .map(|name| format!("{} uses `{name}`", shown(&file))),
        );
    }
    assert!(wrong.is_empty(), "against the arrows: {wrong:#?}");
}

#[test]
fn imports_are_read_as_the_compiler_reads_them() {
    let text = "use crate::{error::{Code, Fault}, store::Store};\nlet x = crate::job::Job; use crate :: x;";
    assert_eq!(named_after("crate::", text), ["error", "store", "job"]);
}

#[test]
fn files_are_short() {
    let lines = |file: &Path| read(file).lines().count();
    let long: Vec<_> = files(&["src", "tests", "benches"], "rs").into_iter().filter(|file| lines(file) > 400).collect();
    assert!(long.is_empty(), "over 400 lines, split them by noun: {long:#?}");
}

#[test]
fn unsafe_has_one_place() {
    let word = concat!("un", "safe");
    let guilty: Vec<_> = files(&["src"], "rs")
        .into_iter()
        .filter(|file| !file.ends_with("src/torch_ext.rs"))
        .filter(|file| words(&code(file)).any(|found| found == word || found == concat!("un", "safe_code")))
        .collect();
    assert!(guilty.is_empty(), "only src/torch_ext.rs may hold it: {guilty:#?}");
}

/// A number read from a tensor stalls a GPU: `Net::read` is the only way, so that the engine reads for all runs at once.
#[test]
fn solvers_read_no_numbers_from_tensors() {
    let reads = ["double_value", "int64_value", "f_double_value", "f_int64_value", "copy_data", "f_copy_data"];
    let conversions = ["f64::", "f32::", "i64::", "bool::", "Vec::", "Vec::<f64>::", "Vec::<f32>::", "Vec::<i64>::"];
    for file in files(&["src/sampler", "src/guidance", "src/wrapper", "src/edit"], "rs") {
        let code = code(&file);
        let read = words(&code).find(|word| reads.contains(word));
        assert_eq!(read, None, "{}", shown(&file));
        // From an integer or a `usize` these are fine; from a tensor they wait for the device.
        let tensor =
            |to: &&&str| code.contains(&format!("{to}try_from(&")) || code.contains(&format!("{to}try_from(tensor"));
        assert_eq!(conversions.iter().find(tensor), None, "{}", shown(&file));
    }
}

/// A test file that main.rs does not name is never run.
#[test]
fn every_test_file_is_run() {
    let main = read(&root().join("tests/it/main.rs"));
    for entry in fs::read_dir(root().join("tests/it")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.trim_end_matches(".rs");
        let named = stem == "main" || main.contains(&format!("mod {stem};")) || stem == "snapshots";
        assert!(named, "tests/it/{name} is not in main.rs");
    }
}

/// Places and names that mean something on one machine only, and work that was left undone.
#[test]
fn the_project_speaks_of_itself_alone() {
    let words = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/wo", "rk/"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("unimpl", "emented!"),
        concat!("py", "pi.org"),
        concat!("crates", ".io"),
    ];
    let mut all = files(&["src", "tests", "benches", "scripts", "docs", "config", "migrations", ".ci"], "");
    all.extend(
        ["README.md", "Makefile", "Cargo.toml", "deny.toml", "clippy.toml", "build.rs"].map(|name| root().join(name)),
    );
    for file in all {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let found: Vec<_> = words.iter().filter(|word| text.contains(**word)).collect();
        assert!(found.is_empty(), "{} says {found:?}", shown(&file));
    }
}

#[test]
fn weights_and_test_data_stay_small() {
    let size = |file: &PathBuf| file.metadata().unwrap().len();
    let bytes: u64 = files(&["models", "tests/data"], "").iter().map(size).sum();
    assert!(bytes < 60_000_000, "{bytes} bytes under models/ and tests/data/: at most 60 MB");
}

#[test]
fn every_configuration_key_is_explained() {
    let text = read(&root().join("config/default.toml"));
    for line in text.lines().filter(|line| line.contains(" = ")) {
        assert!(line.contains(" # "), "config/default.toml: `{line}` has no comment");
    }
}

#[test]
fn documents_link_to_what_exists() {
    let mut documents = files(&["docs"], "md");
    documents.push(root().join("README.md"));
    for document in documents {
        let text = read(&document);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            let path = document.parent().unwrap().join(target);
            assert!(path.exists(), "{} links to {target}", shown(&document));
        }
    }
}

/// The names that stand right after `prefix`, groups in braces included, each once.
fn named_after<'a>(prefix: &str, text: &'a str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        if text[..at].ends_with(['$', '_']) || text[..at].ends_with(char::is_alphanumeric) {
            continue;
        }
        let rest = &text[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(members(group)),
            None => names.extend(first_word(rest)),
        }
    }
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(name);
            true
        }
    });
    names
}

/// The first word of each member of a group that ends at its closing brace.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.extend(first_word(&group[start..at]));
                start = at + 1;
                if letter == '}' {
                    return found;
                }
            }
            _ => {}
        }
    }
    found
}

fn first_word(text: &str) -> Option<&str> {
    words(text.trim_start()).next()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| letter != '_' && !letter.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The file without its comments, so that prose may name what code may not.
fn code(file: &Path) -> String {
    let text = read(file);
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The module at the top of the tree that a file belongs to.
fn module(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// All files under these folders (those that exist) whose name ends with the extension; all files if it is empty.
fn files(folders: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = left.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                left.push(path);
            } else if extension.is_empty() || path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", shown(file)))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
