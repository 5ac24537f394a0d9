use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Edit, Generation, Output, PromptSyntax, Resize};

/// The number type of an inversion's arithmetic; the network keeps its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 64 bits.
    F64,
}

/// An inversion in which nothing is left open; posted again, it gives the same file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Inversion {
    /// Id from `/v1/models`.
    pub model: String,
    /// The blob that holds the picture, `{"blob": "sha256:..."}`.
    #[schema(value_type = Object)]
    pub image: Value,
    /// How the picture was brought to the size.
    pub resize: Resize,
    /// `{"name": ..., options}`, every option filled in.
    #[schema(value_type = Object)]
    pub method: Value,
    /// Class index of what the picture shows, for models that take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<u32>,
    /// What the picture shows.
    pub prompt: String,
    /// What it does not show.
    pub negative_prompt: String,
    /// Drives what is drawn, for methods that draw.
    pub seed: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Text-encoder layers left out at the end.
    pub clip_skip: u32,
    /// How the prompts are read.
    pub prompt_syntax: PromptSyntax,
    /// Steps; absent where the schedule brings its own levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// Share of the steps that are gone, 0..1.
    pub strength: f64,
    /// `{"name": ..., options}`, every option filled in.
    #[schema(value_type = Object)]
    pub sampler: Value,
    /// `{"name": ..., options}`, every option filled in.
    #[schema(value_type = Object)]
    pub schedule: Value,
    /// Towards the prompt: `{"name": ..., options}`, every option filled in.
    #[schema(value_type = Object)]
    pub guidance: Value,
    /// Of the arithmetic.
    pub precision: Precision,
    /// -10..10; ages with waiting.
    pub priority: i32,
    /// Handed back.
    pub metadata: BTreeMap<String, String>,
}

impl Inversion {
    /// Of the picture that `made` shows.
    pub fn new(
        made: Generation,
        (image, resize): (Value, Resize),
        (method, strength): (Value, f64),
        precision: Precision,
    ) -> Self {
        Self {
            model: made.model,
            image,
            resize,
            method,
            label: made.label,
            prompt: made.prompt,
            negative_prompt: made.negative_prompt,
            seed: made.seed,
            width: made.width,
            height: made.height,
            clip_skip: made.clip_skip,
            prompt_syntax: made.prompt_syntax,
            steps: made.steps,
            strength,
            sampler: made.sampler,
            schedule: made.schedule,
            guidance: made.guidance,
            precision,
            priority: made.priority,
            metadata: made.metadata,
        }
    }

    /// The edit whose first half it is.
    pub fn edit(&self) -> Generation {
        let edit = Edit {
            image: Some(self.image.clone()),
            inversion: None,
            mask: None,
            source_prompt: self.prompt.clone(),
            source_label: self.label,
            method: self.method.clone(),
            strength: self.strength,
            resize: self.resize,
        };
        Generation {
            model: self.model.clone(),
            edit: Some(edit),
            label: self.label,
            prompt: self.prompt.clone(),
            negative_prompt: self.negative_prompt.clone(),
            count: 1,
            seed: self.seed,
            width: self.width,
            height: self.height,
            clip_skip: self.clip_skip,
            prompt_syntax: self.prompt_syntax,
            steps: self.steps,
            sampler: self.sampler.clone(),
            schedule: self.schedule.clone(),
            guidance: self.guidance.clone(),
            latents: None,
            output: Output::default(),
            preview_every: 0,
            previews: 0,
            priority: self.priority,
            metadata: self.metadata.clone(),
        }
    }
}
