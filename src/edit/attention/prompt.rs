use std::ops::Range;

use crate::error::Fault;

/// A prompt as the text encoder reads it, and which of its tokens are one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    ids: Vec<i64>,
    words: Vec<Range<usize>>,
}

impl Prompt {
    /// From the token ids of the encoder's whole length (begin, the text, end, padding), and the positions of the tokens of
    /// each word among them, in order and without gaps.
    ///
    /// # Panics
    /// A word beyond the ids.
    pub fn new(ids: Vec<i64>, words: Vec<Range<usize>>) -> Self {
        assert!(words.iter().all(|word| word.end < ids.len()), "the end has a token too");
        Self { ids, words }
    }

    /// Tokens that the encoder reads.
    pub fn length(&self) -> usize {
        self.ids.len()
    }

    /// The position of the end token.
    pub fn end(&self) -> usize {
        self.words.last().map_or(1, |word| word.end)
    }

    /// The tokens from begin to end.
    pub fn text(&self) -> &[i64] {
        &self.ids[..=self.end()]
    }

    /// Token positions of each word that the encoder reads.
    pub fn words(&self) -> &[Range<usize>] {
        &self.words
    }

    /// The tokens of a word.
    pub fn word(&self, word: &Range<usize>) -> &[i64] {
        &self.ids[word.clone()]
    }

    /// Token positions of every place where the words of `phrase` stand one after the other; none for an empty phrase.
    pub fn find(&self, phrase: &Self) -> Vec<usize> {
        let n = phrase.words.len();
        if n == 0 {
            return Vec::new();
        }
        let same = |run: &&[Range<usize>]| run.iter().zip(&phrase.words).all(|(a, b)| self.word(a) == phrase.word(b));
        let mut found: Vec<_> =
            self.words.windows(n).filter(same).flat_map(|run| run[0].start..run[n - 1].end).collect();
        // Places may overlap: "a a" stands twice in "a a a".
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Token positions of all `phrases` in the first prompt, in the second and so on, each once. `read` makes a prompt of a text.
///
/// # Errors
/// A phrase that stands in none of them, at `pointer` and its index.
pub fn find_all<const N: usize>(
    prompts: [&Prompt; N],
    phrases: &[String],
    read: &dyn Fn(&str) -> Prompt,
    pointer: &str,
) -> Result<[Vec<usize>; N], Fault> {
    let mut all = [(); N].map(|()| Vec::new());
    for (i, phrase) in phrases.iter().enumerate() {
        let read = read(phrase);
        let found = prompts.map(|prompt| prompt.find(&read));
        if found.iter().all(Vec::is_empty) {
            return Err(Fault::new(format!("{pointer}/{i}"), missing(phrase)));
        }
        all.iter_mut().zip(found).for_each(|(all, found)| all.extend(found));
    }
    // Phrases may share words.
    all.iter_mut().for_each(|tokens| {
        tokens.sort_unstable();
        tokens.dedup();
    });
    Ok(all)
}

/// That a phrase is not there.
pub fn missing(phrase: &str) -> String {
    format!("`{phrase}` does not stand in the prompt, or behind the last token that the text encoder reads")
}
