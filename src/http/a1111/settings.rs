//! What `options` and `override_settings` may set, and how models are called there.

use serde_json::{Map, Value, json};

use crate::{
    app::App,
    error::Fault,
    http::form::scalar,
    job::{Format, Output},
    model::Card,
    registry::unknown,
};

/// What a caller has set, or one request for itself. `None`: as the server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Id of the model.
    pub model: Option<String>,
    /// Text-encoder layers left out at the end.
    pub clip_skip: Option<u32>,
    /// The format of pictures.
    pub format: Option<Format>,
    /// Quality of lossy ones.
    pub quality: Option<u8>,
}

/// The keys that may be set.
const KEYS: [&str; 7] = [
    "sd_model_checkpoint",
    "sd_checkpoint_hash",
    "sd_vae",
    "CLIP_stop_at_last_layers",
    "samples_format",
    "jpeg_quality",
    "eta_noise_seed_delta",
];

impl Settings {
    /// The settings in a dictionary; pointers are within it.
    ///
    /// # Errors
    /// Every key that is not known, and every value that cannot be had.
    pub fn read(app: &App, given: &Map<String, Value>) -> Result<Self, Vec<Fault>> {
        let mut settings = Self::default();
        let set = |(key, value): (&String, &Value)| {
            let fault = settings.set(app, key, value).err()?;
            Some(Fault::new(format!("/{}", key.replace('~', "~0").replace('/', "~1")), fault))
        };
        let faults: Vec<_> = given.iter().filter_map(set).collect();
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }

    fn set(&mut self, app: &App, key: &str, value: &Value) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        let text = value.as_str().unwrap_or_default();
        match key {
            "sd_model_checkpoint" => self.model = Some(find_model(app, text)?.id.to_string()),
            // Beside the model's title it says the same once more.
            "sd_checkpoint_hash" => drop(find_model(app, text)?),
            "sd_vae" if ["automatic", "none"].contains(&&*text.to_lowercase()) => {}
            "sd_vae" => return Err("must be `Automatic`: a model has one of its own".into()),
            "CLIP_stop_at_last_layers" => self.clip_skip = Some(whole(value, 1, 12)? - 1),
            "samples_format" => self.format = Some(format(text)?),
            "jpeg_quality" => self.quality = u8::try_from(whole(value, 1, 100)?).ok(),
            "eta_noise_seed_delta" => drop(whole(value, 0, 0)?),
            _ => return Err(unknown("setting", key, &KEYS)),
        }
        Ok(())
    }

    /// These where they are set, else the others.
    pub fn or(self, others: Self) -> Self {
        Self {
            model: self.model.or(others.model),
            clip_skip: self.clip_skip.or(others.clip_skip),
            format: self.format.or(others.format),
            quality: self.quality.or(others.quality),
        }
    }

    /// The model.
    pub fn card<'a>(&self, app: &'a App) -> &'a Card {
        let chosen = self.model.as_ref().and_then(|id| app.catalog.get(Some(id)).ok());
        chosen.unwrap_or(app.catalog.default())
    }

    /// The form of pictures.
    pub fn output(&self) -> Output {
        let usual = Output::default();
        Output { format: self.format.unwrap_or(usual.format), quality: self.quality.unwrap_or(usual.quality) }
    }

    /// Everything as `GET /options` shows it, which may be sent back as it is.
    pub fn shown(&self, app: &App) -> Value {
        let (card, output) = (self.card(app), self.output());
        let format = if output.format == Format::Jpeg { "jpg" } else { extension(output.format) };
        json!({
            "sd_model_checkpoint": title(card),
            "sd_checkpoint_hash": card.sha256,
            "sd_vae": "Automatic",
            "CLIP_stop_at_last_layers": self.clip_skip.unwrap_or(0) + 1,
            "samples_format": format,
            "jpeg_quality": output.quality,
            "eta_noise_seed_delta": 0,
        })
    }
}

/// A model's name and the first digits of its hash, by which requests name it.
pub fn title(card: &Card) -> String {
    format!("{} [{}]", card.id, hash(card))
}

/// The first ten digits of a model's hash.
pub fn hash(card: &Card) -> &str {
    &card.sha256[..card.sha256.len().min(10)]
}

/// The model of that title, name or hash.
fn find_model<'a>(app: &'a App, given: &str) -> Result<&'a Card, String> {
    let named = |card: &Card| {
        let bare = given.trim_end_matches(".safetensors").trim_end_matches(".ckpt");
        bare == &*card.id || given == title(card) || (given.len() >= 8 && card.sha256.starts_with(given))
    };
    let found = app.catalog.iter().find(|card| named(card)).map(AsRef::as_ref);
    let titles = || app.catalog.iter().map(|card| title(card)).collect::<Vec<_>>();
    found.ok_or_else(|| unknown("model", given, &titles().iter().map(String::as_str).collect::<Vec<_>>()))
}

fn whole(value: &Value, least: u32, most: u32) -> Result<u32, String> {
    let value = value.as_str().map_or_else(|| value.clone(), scalar);
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.filter(|number| (least..=most).contains(number)).ok_or_else(|| match least == most {
        true => format!("must be {least}"),
        false => format!("must be an integer, {least} to {most}"),
    })
}

fn format(name: &str) -> Result<Format, String> {
    match name.to_lowercase().as_str() {
        "png" => Ok(Format::Png),
        "jpg" | "jpeg" => Ok(Format::Jpeg),
        "webp" => Ok(Format::Webp),
        _ => Err(unknown("format", name, &["png", "jpg", "webp"])),
    }
}

fn extension(format: Format) -> &'static str {
    format.content_type().trim_start_matches("image/")
}
