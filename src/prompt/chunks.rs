use super::Part;
use crate::model::Tokenizer;

/// Tokens from a chunk's end to its last comma, counted with it, so that the cut moves back there.
const BACK: usize = 20;

/// A token's id and its weight.
type Token = (i64, f64);

/// The tokens of each chunk: as many as the text encoder has room for. A chunk is cut behind its last comma where that is
/// near its end, unless the next token is one.
pub(super) fn laid(parts: &[Part], tokenizer: &Tokenizer) -> Vec<Vec<Token>> {
    let mut chunks = Chunks { done: Vec::new(), open: Vec::new(), comma: None };
    let (room, comma) = (tokenizer.room(), tokenizer.comma());
    for part in parts {
        let Part::Text(text, weight) = part else {
            chunks.close(Vec::new());
            continue;
        };
        for id in tokenizer.ids(text) {
            let is_comma = comma == Some(id);
            if chunks.open.len() >= room {
                let moved = if is_comma { Vec::new() } else { chunks.behind_comma() };
                chunks.close(moved);
            }
            if is_comma {
                chunks.comma = Some(chunks.open.len());
            }
            chunks.open.push((id, *weight));
        }
    }
    if !chunks.open.is_empty() || chunks.done.is_empty() {
        chunks.close(Vec::new());
    }
    chunks.done
}

struct Chunks {
    done: Vec<Vec<Token>>,
    open: Vec<Token>,
    /// Where in the open chunk its last comma is.
    comma: Option<usize>,
}

impl Chunks {
    /// Takes what stands behind a comma that is near the end of the open chunk.
    fn behind_comma(&mut self) -> Vec<Token> {
        match self.comma {
            Some(at) if self.open.len() - at <= BACK => self.open.split_off(at + 1),
            _ => Vec::new(),
        }
    }

    /// Ends the open chunk; the next one begins with `moved`.
    fn close(&mut self, moved: Vec<Token>) {
        self.done.push(std::mem::replace(&mut self.open, moved));
        self.comma = None;
    }
}
