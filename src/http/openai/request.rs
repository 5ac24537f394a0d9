//! From what an OpenAI client asks for to a native document.

use serde_json::{Map, Value, json};

use super::{
    extras::Extras,
    fields::{Background, Fields, PictureFormat, ResponseFormat, SHAPE},
    route::Route,
};
use crate::{
    app::App,
    error::Fault,
    http::{
        error::{Problem, Result},
        request::{checked, typed},
    },
    job::Warning,
};

/// A request in native words, and how to answer it.
#[derive(Debug)]
pub struct Wish {
    /// The native document.
    pub native: Map<String, Value>,
    /// The fields that name pictures, and how much to keep of them.
    pub fields: Fields,
    /// How to answer.
    pub manner: Manner,
}

/// How a client wants its answer.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Which route it asked.
    pub route: Route,
    /// Where the bytes of the pictures are.
    pub response_format: ResponseFormat,
    /// The form of the pictures.
    pub output_format: PictureFormat,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// Remarks about fields, under their names here.
    pub warnings: Vec<Warning>,
}

impl Wish {
    /// Reads a request to a route.
    ///
    /// # Errors
    /// Every fault that shows in OpenAI's own fields; native ones are checked where native requests are.
    pub fn read(app: &App, route: Route, document: Value) -> Result<Self> {
        let Value::Object(mut given) = document else {
            return Err(Problem::invalid(vec![Fault::new("", "the body must be a JSON object")]));
        };
        given.retain(|_, value| !value.is_null());
        let own: Map<_, _> = route.names().iter().filter_map(|name| given.remove_entry(*name)).collect();
        let ignored = ignored(&own);
        let (fields, faults) = checked(own.into(), &SHAPE).map_err(Problem::invalid)?;
        let (fields, faults) = typed::<Fields>(fields, faults).map_err(Problem::invalid)?;
        let Extras { native, warnings, faults: more } = Extras::sort(given, route);
        let manner = manner(&fields, route, warnings.into_iter().chain(ignored).collect());
        let mut wish = Self { native, fields, manner };
        let faults: Vec<_> = faults.into_iter().chain(more).chain(wish.translate(app)).collect();
        if faults.is_empty() { Ok(wish) } else { Err(Problem::invalid(faults)) }
    }

    /// Adds what OpenAI's fields mean to the native document, and says what is wrong with them.
    fn translate(&mut self, app: &App) -> Vec<Fault> {
        let size = self.size();
        let quality = self.quality(app);
        let mut faults: Vec<_> = [size.err(), quality.err()].into_iter().flatten().collect();
        if self.manner.route != Route::Variation {
            if self.fields.prompt.is_empty() {
                faults.push(Fault::new("/prompt", "is missing: say what the picture shall show"));
            }
            self.native.insert("prompt".into(), self.fields.prompt.clone().into());
        }
        if self.fields.background == Background::Transparent {
            faults.push(Fault::new("/background", "must be `opaque` or `auto`: pictures have no alpha here"));
        }
        let compression = self.fields.output_compression.unwrap_or(100).max(1);
        self.native.insert("output".into(), json!({ "format": self.fields.output_format, "quality": compression }));
        self.native.insert("count".into(), self.fields.n.unwrap_or(1).into());
        let model = self.fields.model.clone().map(|model| ("model".to_owned(), model.into()));
        self.native.extend(model);
        if self.fields.stream {
            self.native.insert("previews".into(), self.fields.partial_images.into());
        }
        self.metadata();
        faults
    }

    /// `WIDTHxHEIGHT` as width and height.
    fn size(&mut self) -> Result<(), Fault> {
        let Some(size) = self.fields.size.as_deref().filter(|size| *size != "auto") else { return Ok(()) };
        let side = |text: &str| {
            let digits = (1..=7).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|side: &u32| digits && *side > 0)
        };
        let sides = size.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
        let (width, height) =
            sides.ok_or_else(|| Fault::new("/size", "must be `WIDTHxHEIGHT`, such as `512x512`, or `auto`"))?;
        for (name, side) in [("width", width), ("height", height)] {
            if self.native.insert(name.into(), side.into()).is_some() {
                return Err(Fault::new("/size", format!("must be left out when `{name}` is given")));
            }
        }
        Ok(())
    }

    /// A quality as the steps that it means, unless steps are given otherwise.
    fn quality(&mut self, app: &App) -> Result<(), Fault> {
        let known = &app.config.openai.quality;
        let quality = self.fields.quality.as_deref().unwrap_or("auto");
        let steps = known.get(quality).copied();
        let list = || known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let steps = match steps {
            None if self.fields.quality.is_some() => {
                return Err(Fault::new("/quality", format!("must be one of {}", list())));
            }
            steps => steps.unwrap_or(0),
        };
        if steps > 0 && !self.native.contains_key("schedule") {
            self.native.entry("steps").or_insert(steps.into());
        }
        Ok(())
    }

    /// Who asked, where jobs can be searched for it.
    fn metadata(&mut self) {
        let Fields { user, safety_identifier, .. } = &self.fields;
        let named = [("user", user), ("safety_identifier", safety_identifier)];
        let named: Vec<_> = named.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))).collect();
        if named.is_empty() {
            return;
        }
        // What is no object is refused with the native fields.
        if let Value::Object(metadata) = self.native.entry("metadata").or_insert_with(|| json!({})) {
            metadata.extend(named.into_iter().map(|(name, text)| (name.to_owned(), text.into())));
        }
    }
}

fn manner(fields: &Fields, route: Route, warnings: Vec<Warning>) -> Manner {
    let model = fields.model.as_deref().unwrap_or_default();
    let newer = ["gpt-image", "chatgpt-image"].iter().any(|family| model.starts_with(family));
    let usual = if newer { ResponseFormat::B64Json } else { ResponseFormat::Url };
    Manner {
        route,
        response_format: fields.response_format.unwrap_or(usual),
        output_format: fields.output_format,
        stream: fields.stream,
        warnings,
    }
}

/// Remarks about fields that mean nothing here.
fn ignored(own: &Map<String, Value>) -> Vec<Warning> {
    let lossless = own.get("output_format").is_none_or(|format| format == "png");
    let remarks = [
        ("style", own.contains_key("style"), "ignored: the prompt says how it shall look"),
        (
            "moderation",
            own.get("moderation").is_some_and(|level| level != "auto"),
            "ignored: nothing is moderated here",
        ),
        ("output_compression", own.contains_key("output_compression") && lossless, "ignored: a PNG is lossless"),
        (
            "partial_images",
            own.contains_key("partial_images") && own.get("stream") != Some(&true.into()),
            "ignored: it needs `stream`",
        ),
    ];
    let given = remarks.into_iter().filter(|(_, given, _)| *given);
    given.map(|(name, _, message)| Warning { pointer: format!("/{name}"), message: message.into() }).collect()
}
