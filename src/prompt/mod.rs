//! Prompts as a text encoder reads them: token ids in chunks of its length, and a weight for each token.
//!
//! [`parse()`] takes the `weighted` syntax apart, [`encode`] lays what it finds into chunks, and [`joined`] makes one text of
//! the chunks' features, each token with its weight. The syntax and its rules are those of AUTOMATIC1111's web UI.

use crate::{
    job::PromptSyntax,
    model::{Text, Tokenizer},
};

mod chunks;
mod emphasis;
mod parse;

pub use emphasis::{emphasised, joined};
pub use parse::{HEAVIEST, Part, parse};

/// What one forward of the text encoder reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Token ids of the encoder's length: begin, the text, end, padding.
    pub ids: Vec<i64>,
    /// Weight of each of them; 1 but for the text's.
    pub weights: Vec<f64>,
}

/// A prompt in token ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// One at least.
    pub chunks: Vec<Chunk>,
    /// Tokens at the end of the text that found no room.
    pub dropped: usize,
}

/// A prompt as a model reads it: in one chunk where it is `plain`, in at most [`Text::chunks`] where it is `weighted`. A
/// prompt without syntax that one chunk holds is the same in both. Time is linear in the prompt but for a logarithm.
pub fn encode(prompt: &str, syntax: PromptSyntax, text: &Text) -> Encoded {
    let tokenizer = &text.tokenizer;
    match syntax {
        PromptSyntax::Plain => {
            let ids = tokenizer.ids(prompt);
            let room = tokenizer.room().min(ids.len());
            let tokens: Vec<_> = ids[..room].iter().map(|id| (*id, 1.0)).collect();
            Encoded { chunks: vec![Chunk::new(&tokens, tokenizer)], dropped: ids.len() - room }
        }
        PromptSyntax::Weighted => {
            let mut chunks = chunks::laid(&parse(prompt), tokenizer);
            let rest = chunks.split_off(chunks.len().min(text.chunks));
            let dropped = rest.iter().map(Vec::len).sum();
            Encoded { chunks: chunks.iter().map(|tokens| Chunk::new(tokens, tokenizer)).collect(), dropped }
        }
    }
}

impl Encoded {
    /// Puts chunks of the empty prompt behind its own, up to `chunks` in all.
    pub fn pad(&mut self, chunks: usize, tokenizer: &Tokenizer) {
        let all = chunks.max(self.chunks.len());
        self.chunks.resize_with(all, || Chunk::new(&[], tokenizer));
    }
}

impl Chunk {
    /// From tokens and their weights, which must not be more than the encoder has room for.
    fn new(tokens: &[(i64, f64)], tokenizer: &Tokenizer) -> Self {
        let (ids, own): (Vec<_>, Vec<_>) = tokens.iter().copied().unzip();
        let ids = tokenizer.framed(&ids);
        let mut weights = vec![1.0];
        weights.extend(own);
        weights.resize(ids.len(), 1.0);
        Self { ids, weights }
    }
}
