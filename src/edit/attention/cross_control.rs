use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Prompt, TokenMap,
    prompt::{find_all, missing},
};
use crate::error::Fault;

/// How the maps of two prompts are matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `replace` where both prompts have as many words, else `refine`.
    #[default]
    Auto,
    /// Words are swapped one for one.
    Replace,
    /// Words that both prompts have keep their place; those that only the prompt has find their own.
    Refine,
    /// The same prompt twice, with other weights.
    Reweight,
}

/// What the attention to a word is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(minimum = -2.0, maximum = 10.0)]
pub struct Weight(pub f64);

/// How the source's attention shapes the picture of the prompt (Hertz et al. 2022).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CrossControl {
    /// How the words of the source prompt and of the prompt are matched.
    #[schema(inline)]
    pub kind: Kind,
    /// Share of the steps, from the first, in which attention to the text is the source's. Weights act in the same steps.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub cross: f64,
    /// Share of the steps, from the first, in which attention among the pixels is the source's.
    #[serde(rename = "self")]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub self_: f64,
    /// The finest attention among pixels that is the source's: at most this many squared.
    #[schema(minimum = 1, maximum = 128)]
    pub self_side: u32,
    /// Words of the prompt, and what the attention to each is multiplied by: above 1 for more of it, below 1 for less.
    #[schema(inline)]
    pub weights: BTreeMap<String, Weight>,
    /// Words of either prompt where the picture may change; elsewhere it stays the source's. Without any it may change
    /// everywhere.
    #[schema(max_items = 75)]
    pub blend_words: Vec<String>,
    /// How strong, compared with the strongest, the attention to those words is where the picture may change.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub blend_threshold: f64,
}

impl Default for CrossControl {
    fn default() -> Self {
        Self {
            kind: Kind::Auto,
            cross: 0.8,
            self_: 0.4,
            self_side: 16,
            weights: BTreeMap::new(),
            blend_words: Vec::new(),
            blend_threshold: 0.3,
        }
    }
}

/// What [`CrossControl`] comes to for two prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossPlan {
    /// From the source's tokens to the target's.
    pub map: TokenMap,
    /// Tokens of the blend words in the source prompt and in the target's.
    pub blend: [Vec<usize>; 2],
}

impl CrossControl {
    /// Matches the source prompt and the target's; `read` makes a prompt of a word.
    ///
    /// # Errors
    /// Prompts that the kind cannot match, or a word that is not there.
    pub fn plan(&self, [source, target]: [&Prompt; 2], read: &dyn Fn(&str) -> Prompt) -> Result<CrossPlan, Fault> {
        let matched = match self.kind {
            Kind::Auto => Ok(TokenMap::auto(source, target)),
            Kind::Replace => TokenMap::replace(source, target),
            Kind::Refine => Ok(TokenMap::refine(source, target)),
            Kind::Reweight => TokenMap::same(source, target),
        };
        let mut map = matched.map_err(|why| Fault::new("/kind", why))?;
        if self.weights.len() > 75 {
            return Err(Fault::new("/weights", "has more than 75 words"));
        }
        for (word, weight) in &self.weights {
            let tokens = target.find(&read(word));
            if tokens.is_empty() {
                let pointer = format!("/weights/{}", word.replace('~', "~0").replace('/', "~1"));
                return Err(Fault::new(pointer, missing(word)));
            }
            map = map.weighted(&tokens, weight.0);
        }
        let blend = find_all([source, target], &self.blend_words, read, "/blend_words")?;
        Ok(CrossPlan { map, blend })
    }
}
