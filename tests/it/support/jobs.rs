//! Jobs as the server would make them, without a server.

use std::collections::BTreeMap;

use darkroom::{
    job::{File, Format, Generation, Image, Job, Kind, Output, Progress, PromptSyntax, Request, Status},
    store::NewJob,
};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

/// A generation of `count` pictures.
pub fn generation(prompt: &str, count: u32) -> Generation {
    Generation {
        model: "gaussian".into(),
        edit: None,
        label: None,
        prompt: prompt.into(),
        negative_prompt: String::new(),
        count,
        seed: 7,
        width: 64,
        height: 64,
        clip_skip: 0,
        prompt_syntax: PromptSyntax::Plain,
        steps: Some(4),
        sampler: json!({"name": "ddim", "eta": 0.0}),
        schedule: json!({"name": "trailing"}),
        guidance: json!({"name": "cfg", "scale": 7.5}),
        latents: None,
        output: Output::default(),
        preview_every: 0,
        previews: 0,
        priority: 0,
        metadata: BTreeMap::new(),
    }
}

/// A queued job with that request and one row for each picture.
pub fn new_job(request: Generation) -> NewJob {
    let (safetensors, metadata) = (request.output.format == Format::Safetensors, request.metadata.clone());
    let request = Request::from(request);
    let indices = || 0..request.count();
    let job = Job {
        id: Uuid::now_v7(),
        kind: Kind::Generation,
        status: Status::Queued,
        created_at: Timestamp::now(),
        started_at: None,
        finished_at: None,
        queue_position: None,
        estimated_wait_ms: None,
        attempt: 0,
        owner: None,
        progress: Progress { evaluations: 0, of: Some(4) },
        images: if safetensors { Vec::new() } else { indices().map(|index| Image::pending(&request, index)).collect() },
        files: if safetensors {
            indices().map(|index| File::pending(&request, "latents", index)).collect()
        } else {
            Vec::new()
        },
        engine: None,
        warnings: Vec::new(),
        error: None,
        usage: None,
        metadata,
        request,
    };
    NewJob { rows: job.request.count(), job, deadline: None, work: 1, once: None, webhook: None }
}
