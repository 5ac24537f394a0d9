//! The diffusers folder layout: which files a component consists of, and a fingerprint over them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::options::Options;
use crate::{
    error::{Failure, Result},
    model::Defaults,
};

/// What `model_index.json` says about each component: the class that implements it. Absent or null components have none.
///
/// # Errors
/// No `model_index.json`, or one that is no JSON object.
pub fn components(dir: &Path) -> Result<BTreeMap<String, String>> {
    let path = dir.join("model_index.json");
    let said = |why: String| Failure::Internal(format!("{}: {why}", path.display()));
    let text = fs::read_to_string(&path).map_err(|error| said(error.to_string()))?;
    let index: BTreeMap<String, Value> = serde_json::from_str(&text).map_err(|error| said(error.to_string()))?;
    let class = |value: &Value| value.get(1).and_then(Value::as_str).map(str::to_owned);
    Ok(index.into_iter().filter_map(|(name, value)| class(&value).map(|class| (name, class))).collect())
}

/// The weight files of a component: `{stem}.safetensors`, the files that `{stem}.safetensors.index.json` names, or the
/// same with `.fp16` in the name.
///
/// # Errors
/// None of these, or an index that is broken, names a path, or names a tensor that its file does not have.
pub fn weight_files(dir: &Path, stem: &str) -> Result<Vec<PathBuf>> {
    let single = |variant: &str| dir.join(format!("{stem}{variant}.safetensors"));
    let index = |variant: &str| dir.join(format!("{stem}.safetensors.index{variant}.json"));
    for variant in ["", ".fp16"] {
        if single(variant).is_file() {
            return Ok(vec![single(variant)]);
        }
        if index(variant).is_file() {
            return shards(dir, &index(variant));
        }
    }
    Err(Failure::Internal(format!("{} is missing, and so is its index", single("").display())))
}

fn shards(dir: &Path, index: &Path) -> Result<Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let said = |why: String| Failure::Internal(format!("{}: {why}", index.display()));
    let text = fs::read_to_string(index).map_err(|error| said(error.to_string()))?;
    let Index { weight_map } = serde_json::from_str(&text).map_err(|error| said(error.to_string()))?;
    let names: BTreeSet<&String> = weight_map.values().collect();
    if let Some(odd) = names.iter().find(|name| Path::new(name.as_str()).file_name() != Some(name.as_str().as_ref())) {
        return Err(said(format!("`{odd}` is not the name of a file beside it")));
    }
    for name in &names {
        let file = super::safetensors::Safetensors::open(&dir.join(name))?;
        let held: BTreeSet<_> = file.entries.iter().map(|entry| entry.name.as_str()).collect();
        let listed =
            weight_map.iter().filter(|(_, file)| file.as_str() == name.as_str()).map(|(tensor, _)| tensor.as_str());
        if let Some(missing) = listed.into_iter().find(|tensor| !held.contains(tensor)) {
            return Err(said(format!("tensor `{missing}` is missing from {name}")));
        }
    }
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}

/// SHA-256 over the files' places in the folder and their bytes, in the order of their names, in hexadecimal.
///
/// # Errors
/// A file that cannot be read.
pub fn fingerprint(dir: &Path, mut files: Vec<PathBuf>) -> Result<String> {
    files.sort();
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    for path in files {
        let place = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
        digest.update(format!("{place}\0"));
        absorb(&mut digest, &path, &mut buffer)
            .map_err(|error| Failure::Internal(format!("{}: {error}", path.display())))?;
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn absorb(digest: &mut Sha256, path: &Path, buffer: &mut [u8]) -> io::Result<()> {
    let mut file = File::open(path)?;
    digest.update(file.metadata()?.len().to_le_bytes());
    loop {
        match file.read(buffer)? {
            0 => return Ok(()),
            n => digest.update(&buffer[..n]),
        }
    }
}

/// The defaults in the folder's `darkroom.json`; what it leaves out, and all where there is no such file, is `otherwise`.
///
/// # Errors
/// A broken file, or a key that is not one of [`Defaults`].
pub fn defaults(dir: &Path, otherwise: Defaults) -> Result<Defaults> {
    let path = dir.join("darkroom.json");
    if !path.is_file() {
        return Ok(otherwise);
    }
    let mut options = Options::read(&path)?;
    let defaults = Defaults {
        title: options.take("title", otherwise.title)?,
        licence: options.take("licence", otherwise.licence)?,
        steps: options.take("steps", otherwise.steps)?,
        guidance: options.take("guidance", otherwise.guidance)?,
        sampler: options.take("sampler", otherwise.sampler)?,
        schedule: options.take("schedule", otherwise.schedule)?,
        preview: options.take("preview", otherwise.preview)?,
    };
    options.done()?;
    Ok(defaults)
}
