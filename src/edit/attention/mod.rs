//! Attention control: how the picture of one prompt shapes that of another inside the network.
//!
//! An edit asks for several lanes of the same pictures in one question: the source with its prompt, the target with its own.
//! A [`Tap`](crate::ask::Tap) sees the queries, keys and values of all rows of that question and answers for the rows that
//! it changes. Here are two: [`PromptToPrompt`] (Hertz et al. 2022) and [`Unified`] (Xu et al. 2023, InfEdit).
//!
//! Before each evaluation the run says where it is (`at`), after it that the evaluation is done (`settle`); a forward that
//! is tried again only writes the same maps again.

mod align;
mod blend;
mod cross_control;
mod layout;
mod prompt;
mod prompt_to_prompt;
mod record;
mod token_map;
mod unified;
mod unified_control;

pub use align::align;
pub use cross_control::{CrossControl, CrossPlan, Kind, Weight};
pub use layout::Layout;
pub use prompt::Prompt;
pub use prompt_to_prompt::PromptToPrompt;
pub use record::Record;
pub use token_map::{Mix, TokenMap};
pub use unified::Unified;
pub use unified_control::{UnifiedControl, UnifiedPlan};
