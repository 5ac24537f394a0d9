//! What a valid edit adds to a valid generation.

use std::sync::Arc;

use serde_json::Value;

use super::{
    edit_request::{EditFields, EditRequest},
    pictures::Incoming,
    valid::{Check, Valid, Wanted},
};
use crate::{
    edit::{self, Method},
    error::Fault,
    job::Edit,
    model::Card,
    task::Cards,
};

/// The pictures of an edit, as far as they could be read.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// What is edited.
    pub image: Option<Incoming>,
    /// What of it may change.
    pub mask: Option<Incoming>,
}

/// Checks a wish against its model and fills in every default, as [`valid::generation`](super::valid::generation) does.
///
/// # Errors
/// Every fault.
pub fn edit(
    request: EditRequest,
    pictures: &Pictures,
    model: (&Arc<Card>, Cards),
    wanted: Wanted,
) -> Result<Valid, Vec<Fault>> {
    let (mut check, latents) = Check::new(model, wanted);
    let edit = check.edit(&request.edit, pictures);
    let mut generation = check.generation(request.generation, latents);
    generation.edit = edit;
    check.finish(generation)
}

impl Check<'_> {
    /// `None` beside a fault.
    fn edit(&mut self, fields: &EditFields, pictures: &Pictures) -> Option<Edit> {
        self.pictures(pictures);
        if let Some(fault) = self.limits.prompt("/source_prompt", &fields.source_prompt) {
            self.faults.push(fault);
        }
        let (name, method) = self.method(fields.method.as_ref(), pictures.mask.is_some())?;
        if method.hold().is_some() && pictures.mask.is_none() && !self.at_fault("/mask") {
            self.fault("/mask", "is missing: this method needs one; white is what may change");
        }
        if !fields.source_prompt.is_empty() {
            self.warn("/source_prompt", "ignored: this method does not ask what the picture shows");
        }
        Some(Edit {
            image: pictures.image.as_ref().map(Incoming::reference)?,
            mask: pictures.mask.as_ref().map(Incoming::reference),
            source_prompt: fields.source_prompt.clone(),
            method: name,
            strength: fields.strength.unwrap_or(method.strength()),
            resize: fields.resize,
        })
    }

    fn pictures(&mut self, Pictures { image, mask }: &Pictures) {
        for (pointer, picture) in [("/image", image), ("/mask", mask)] {
            if picture.as_ref().is_some_and(|picture| picture.animated) {
                self.warn(pointer, "is animated: only its first frame is used");
            }
        }
        match (image, mask) {
            (None, _) if !self.at_fault("/image") => self.fault("/image", "is missing: there is nothing to edit"),
            (Some(image), Some(mask)) if image.size != mask.size => {
                let ((w, h), (width, height)) = (mask.size, image.size);
                self.fault(
                    "/mask",
                    format!("is {w} x {h} pixels; it must have the picture's size, {width} x {height}"),
                );
            }
            _ => {}
        }
    }

    fn method(&mut self, given: Option<&Value>, masked: bool) -> Option<(Value, Box<dyn Method>)> {
        let default = Value::from(if masked { "inpaint" } else { "sdedit" });
        let chosen = edit::canonical(given.unwrap_or(&default)).and_then(|name| Ok((edit::read(&name)?, name)));
        match chosen {
            Ok((method, name)) => Some((name, method)),
            Err(fault) => {
                self.faults.push(fault.under("/method"));
                None
            }
        }
    }

    fn at_fault(&self, pointer: &str) -> bool {
        self.faults.iter().any(|fault| fault.pointer == pointer)
    }
}
