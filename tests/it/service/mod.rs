//! The real program, as those who run it meet it: killed, told to stop, overrun, started twice, held up.

use serde_json::{Value, json};

mod crash;
mod load;
mod stop;

/// A generation of `count` pictures on the exact model with an evaluation or a few.
fn wish(seed: u64, count: u32, steps: u32) -> Value {
    json!({"seed": seed, "count": count, "steps": steps, "sampler": "ddim", "guidance": 1})
}

/// A generation that takes as long as the limits allow, where the model is big.
fn long(seed: u64) -> Value {
    json!({"seed": seed, "count": 16, "steps": 1000, "sampler": "heun", "guidance": 1})
}

/// A model big enough for [`long`] to run for a while.
const BIG: (&str, &str) = ("DARKROOM__MODELS__GAUSSIAN__SHAPE", "[4,64,64]");
