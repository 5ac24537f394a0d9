//! What a valid edit adds to a valid generation.

use std::sync::Arc;

use serde_json::Value;

use super::{
    edit_request::{EditFields, EditRequest},
    pictures::Incoming,
    request::GenerateRequest,
    valid::{Check, Valid, Wanted},
};
use crate::{
    edit::{self, Method},
    error::Fault,
    job::{Edit, PromptSyntax},
    model::Card,
    task::Cards,
};

/// What an edit starts from, as far as it could be read.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// What is edited.
    pub image: Option<Incoming>,
    /// What of it may change.
    pub mask: Option<Incoming>,
    /// The inversion that holds it: what the job's request says instead of it, and the size of its picture.
    pub held: Option<(Value, (u32, u32))>,
}

/// Checks a wish against its model and fills in every default, as [`valid::generation`](super::valid::generation) does.
///
/// # Errors
/// Every fault.
pub fn edit(
    mut request: EditRequest,
    pictures: &Pictures,
    model: (&Arc<Card>, Cards),
    wanted: Wanted,
) -> Result<Valid, Vec<Fault>> {
    let (mut check, latents) = Check::new(model, wanted);
    let edit = check.edit(&request.edit, pictures, &mut request.generation);
    let mut generation = check.generation(request.generation, latents);
    generation.edit = edit;
    check.finish(Some(generation))
}

impl Check<'_> {
    /// `None` beside a fault.
    fn edit(&mut self, fields: &EditFields, pictures: &Pictures, request: &mut GenerateRequest) -> Option<Edit> {
        self.pictures(pictures);
        let (name, method) = self.method(fields.method.as_ref(), pictures.mask.is_some())?;
        if method.hold().is_some() && pictures.mask.is_none() && !self.at_fault("/mask") {
            self.fault("/mask", "is missing: this method needs one; white is what may change");
        }
        if method.invert().is_some() && request.latents.is_some() {
            self.fault("/latents", "must be left out: this method starts from the picture");
        }
        self.source(fields, request.prompt_syntax.unwrap_or_default(), &*method);
        request.sampler = request.sampler.take().or_else(|| method.sampler());
        let image = pictures.image.as_ref().map(Incoming::reference);
        let inversion = pictures.held.as_ref().map(|(named, _)| named.clone());
        (image.is_some() || inversion.is_some()).then(|| Edit {
            image,
            inversion,
            mask: pictures.mask.as_ref().map(Incoming::reference),
            source_prompt: fields.source_prompt.clone(),
            source_label: fields.source_label,
            method: name,
            strength: fields.strength.unwrap_or(method.strength()),
            resize: fields.resize,
        })
    }

    /// What the picture shows, for methods that ask.
    fn source(&mut self, fields: &EditFields, syntax: PromptSyntax, method: &dyn Method) {
        if method.invert().is_some() {
            self.prompt("/source_prompt", &fields.source_prompt, syntax);
            return self.label("/source_label", fields.source_label);
        }
        self.faults.extend(self.limits.prompt("/source_prompt", &fields.source_prompt));
        let ignored = "ignored: this method does not ask what the picture shows";
        if !fields.source_prompt.is_empty() {
            self.warn("/source_prompt", ignored);
        }
        if fields.source_label.is_some() {
            self.warn("/source_label", ignored);
        }
    }

    fn pictures(&mut self, Pictures { image, mask, held }: &Pictures) {
        self.frames("/image", image.as_ref());
        self.frames("/mask", mask.as_ref());
        let size = image.as_ref().map(|image| image.size).or(held.as_ref().map(|(_, size)| *size));
        match (size, mask) {
            (None, _) if !self.at_fault("/image") && !self.at_fault("/inversion") => {
                self.fault("/image", "is missing: there is nothing to edit");
            }
            (Some((width, height)), Some(mask)) if (width, height) != mask.size => {
                let (w, h) = mask.size;
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
        self.read_method(given.unwrap_or(&default))
    }

    /// A method with every option filled in, and itself.
    pub(super) fn read_method(&mut self, given: &Value) -> Option<(Value, Box<dyn Method>)> {
        let chosen = edit::canonical(given).and_then(|name| Ok((edit::read(&name)?, name)));
        match chosen {
            Ok((method, name)) => Some((name, method)),
            Err(fault) => {
                self.faults.push(fault.under("/method"));
                None
            }
        }
    }

    /// A remark where a picture has more frames than the one that is read.
    pub(super) fn frames(&mut self, pointer: &str, picture: Option<&Incoming>) {
        if picture.is_some_and(|picture| picture.animated) {
            self.warn(pointer, "is animated: only its first frame is used");
        }
    }

    pub(super) fn at_fault(&self, pointer: &str) -> bool {
        self.faults.iter().any(|fault| fault.pointer == pointer)
    }
}
