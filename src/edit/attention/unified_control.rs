use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Prompt, TokenMap, prompt::find_all};
use crate::error::Fault;

/// Attention control of three lanes: source, target, and a third that keeps the source's layout (Xu et al. 2023, InfEdit).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UnifiedControl {
    /// Share of the steps, from the first, in which attention to the text is the source's.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub cross_replace: f64,
    /// Share of the steps, from the first, in which attention among the pixels is the source's.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub self_replace: f64,
    /// Words of the prompt where the picture may change. Without any it may change everywhere.
    #[schema(max_items = 75)]
    pub target_words: Vec<String>,
    /// Words of the source prompt where the picture stays as it is.
    #[schema(max_items = 75)]
    pub keep_words: Vec<String>,
    /// How strong, compared with the strongest, the attention to a target word is where the picture may change.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub threshold_target: f64,
    /// How strong, compared with the strongest, the attention to a kept word is where the picture stays.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub threshold_keep: f64,
}

impl Default for UnifiedControl {
    fn default() -> Self {
        Self {
            cross_replace: 0.7,
            self_replace: 0.7,
            target_words: Vec::new(),
            keep_words: Vec::new(),
            threshold_target: 0.6,
            threshold_keep: 0.6,
        }
    }
}

/// What [`UnifiedControl`] comes to for two prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct UnifiedPlan {
    /// From the source's tokens to the target's.
    pub map: TokenMap,
    /// Positions of the end tokens of the source prompt and of the target's.
    pub ends: [usize; 2],
    /// Tokens of the target words, in the target's prompt.
    pub edited: Vec<usize>,
    /// Tokens of the words that are kept and not target words, in the source prompt.
    pub kept: Vec<usize>,
    /// Tokens of the words in both lists, in the target's prompt.
    pub both: Vec<usize>,
}

impl UnifiedControl {
    /// Aligns the source prompt and the target's; `read` makes a prompt of a word.
    ///
    /// # Errors
    /// A word that is not there.
    pub fn plan(&self, [source, target]: [&Prompt; 2], read: &dyn Fn(&str) -> Prompt) -> Result<UnifiedPlan, Fault> {
        let [edited] = find_all([target], &self.target_words, read, "/target_words")?;
        find_all([source], &self.keep_words, read, "/keep_words")?;
        let targets: Vec<_> = self.target_words.iter().map(|word| read(word)).collect();
        let (both, kept): (Vec<_>, Vec<_>) =
            self.keep_words.iter().map(|word| read(word)).partition(|word| targets.contains(word));
        let tokens = |prompt: &Prompt, words: &[Prompt]| words.iter().flat_map(|word| prompt.find(word)).collect();
        Ok(UnifiedPlan {
            map: TokenMap::refine(source, target),
            ends: [source.end(), target.end()],
            edited,
            kept: tokens(source, &kept),
            both: tokens(target, &both),
        })
    }
}
