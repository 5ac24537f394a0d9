//! The models that the server knows: the built-in exact one and every folder in `models.dir`.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;

use crate::{
    config::{Config, Limits},
    model::{self, Card, gaussian},
    registry::unknown,
};

/// Cards of all models by id. Weights are not read here.
#[derive(Clone, Debug)]
pub struct Catalog {
    cards: BTreeMap<Arc<str>, Arc<Card>>,
    aliases: BTreeMap<String, Arc<Card>>,
    default: Arc<Card>,
}

/// A key names a model that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}: {1}")]
pub struct NoSuchModel(&'static str, String);

impl Catalog {
    /// Reads the card of every model. A folder that cannot be read is left out with a warning, unless it is the default.
    ///
    /// # Errors
    /// The default model is missing or broken, or an alias means no model.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let Config { models, limits, openai, .. } = config;
        let aliases = &openai.models;
        let mut cards = BTreeMap::new();
        let exact = gaussian::card(&models.gaussian);
        cards.insert(exact.id.clone(), Arc::new(exact));
        for folder in folders(&find(&models.dir))? {
            match read(&folder, limits) {
                Ok(card) => drop(cards.insert(card.id.clone(), Arc::new(card))),
                Err(cause) if folder.ends_with(&models.default) => return Err(cause),
                Err(cause) => {
                    tracing::warn!(folder = %folder.display(), cause = format!("{cause:#}"), "model left out");
                }
            }
        }
        let card = |key, id: &str| {
            let known = || cards.keys().map(|id| &**id).collect::<Vec<_>>();
            cards.get(id).cloned().ok_or_else(|| NoSuchModel(key, unknown("model", id, &known())))
        };
        let default = card("models.default", &models.default)?;
        let meant = |id: &str| if id.is_empty() { Ok(default.clone()) } else { card("openai.models", id) };
        let aliases = aliases.iter().map(|(name, id)| Ok((name.clone(), meant(id)?)));
        let aliases = aliases.collect::<Result<_, NoSuchModel>>()?;
        Ok(Self { cards, aliases, default })
    }

    /// The model of that id or alias, or the default.
    ///
    /// # Errors
    /// What to tell a client about an id that nobody knows.
    pub fn get(&self, id: Option<&str>) -> Result<&Arc<Card>, String> {
        let Some(id) = id else { return Ok(&self.default) };
        let ids = self.cards.keys().map(|id| &**id);
        let known = || ids.chain(self.aliases.keys().map(String::as_str)).collect::<Vec<_>>();
        self.cards.get(id).or_else(|| self.aliases.get(id)).ok_or_else(|| unknown("model", id, &known()))
    }

    /// The model that a request gets when it names none.
    pub fn default(&self) -> &Arc<Card> {
        &self.default
    }

    /// The other names of models that are no id, and what each means.
    pub fn aliases(&self) -> impl Iterator<Item = (&String, &Arc<Card>)> {
        self.aliases.iter().filter(|(name, _)| !self.cards.contains_key(name.as_str()))
    }

    /// Every model, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Card>> {
        self.cards.values()
    }
}

fn read(folder: &Path, limits: &Limits) -> anyhow::Result<Card> {
    let family = model::family(folder)?;
    let mut card = (family.card)(folder).with_context(|| format!("the model in {}", folder.display()))?;
    if let Some(text) = &mut card.text {
        text.chunks = limits.prompt_chunks.max(1);
    }
    Ok(card)
}

/// A relative folder is looked for from the working directory, then beside the binary and in each folder above it.
fn find(dir: &Path) -> PathBuf {
    let binary = env::current_exe().unwrap_or_default();
    let above = binary.ancestors().skip(1).map(|place| place.join(dir));
    std::iter::once(dir.to_owned()).chain(above).find(|place| place.is_dir()).unwrap_or_else(|| dir.to_owned())
}

/// The folders in `dir`, in the order of their names; none where there is no `dir`.
fn folders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut folders: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}
