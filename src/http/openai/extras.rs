//! Fields that OpenAI has no word for: native ones go through, others are told of.

use serde_json::{Map, Value};

use super::route::Route;
use crate::{error::Fault, http::edit_request::EditRequest, http::form::pointer, job::Warning};

/// Native fields that have another name here.
const SAID_OTHERWISE: [(&str, &str); 4] =
    [("count", "n"), ("output", "output_format"), ("preview_every", "partial_images"), ("previews", "partial_images")];

/// What other tools call native fields.
const ALIASES: [(&str, &str); 2] = [("guidance_scale", "guidance"), ("num_inference_steps", "steps")];

/// Fields, sorted by who knows them.
#[derive(Debug, Default)]
pub struct Extras {
    /// Under their native names.
    pub native: Map<String, Value>,
    /// Of those that nobody knows.
    pub warnings: Vec<Warning>,
    /// Of those that seem to be meant otherwise.
    pub faults: Vec<Fault>,
}

impl Extras {
    /// Sorts the fields of a request that the route does not know itself.
    pub fn sort(fields: Map<String, Value>, route: Route) -> Self {
        let mut sorted = Self::default();
        let natives = natives(route);
        for (name, value) in fields {
            sorted.take(&name, value, route, &natives);
        }
        sorted
    }

    fn take(&mut self, name: &str, value: Value, route: Route, natives: &[&'static str]) {
        let fault = |message| Fault::new(pointer(name), message);
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, native)| (*native).to_owned());
        let native = alias.unwrap_or_else(|| name.to_owned());
        if let Some((_, other)) = SAID_OTHERWISE.iter().find(|(native, _)| *native == name) {
            self.faults.push(fault(format!("`{name}` is called `{other}` here")));
        } else if self.native.contains_key(&native) {
            self.faults.push(fault(format!("means the same as `{native}`, which is given too")));
        } else if natives.contains(&native.as_str()) {
            self.native.insert(native, value);
        } else if let Some(near) = nearest(name, route.names().iter().chain(natives).copied()) {
            self.faults.push(fault(format!("is not known; did you mean `{near}`?")));
        } else {
            let message = "ignored: there is no such field".into();
            self.warnings.push(Warning { pointer: pointer(name), message });
        }
    }
}

fn natives(route: Route) -> Vec<&'static str> {
    let (of_all, of_edits) = EditRequest::names();
    let of_edits = of_edits.filter(|name| route != Route::Generation && !["image", "mask"].contains(name));
    of_all.chain(of_edits).collect()
}

/// A name that may have been meant: at most two letters off, or one in a short one, whatever the case and the hyphens.
fn nearest(given: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let bare = |name: &str| name.to_ascii_lowercase().replace(['_', '-', ' '], "");
    let given = bare(given);
    let off = |name: &str| strsim::damerau_levenshtein(&bare(name), &given);
    let allowed = |name: &str| if name.len() < 6 { 1 } else { 2 };
    let near = known.filter(|name| name.len() > 2 && off(name) <= allowed(name));
    near.min_by_key(|name| off(name))
}
