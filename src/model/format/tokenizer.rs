//! The CLIP tokenizer: byte-level byte-pair encoding of lower-cased text, from `vocab.json` and `merges.txt`.

use std::{collections::HashMap, ops::Range, path::Path};

use serde::Deserialize;
use serde_json::Value;
use tokenizers::{
    AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior,
    models::bpe::BPE,
    normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers, replace::ReplacePattern},
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence as PreTokenizers,
        split::{Split, SplitPattern},
    },
};

use super::options::Options;
use crate::error::{Failure, Result};

/// Words, as the text encoder was trained on them: special tokens, English contractions, runs of letters, single
/// digits, runs of anything else but white space (Radford et al. 2021, the released code).
const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// What the last token of a word ends with.
const WORD_END: &str = "</w>";

/// Token ids of a text, always of the length that the text encoder reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Begin, the text, end, padding.
    pub ids: Vec<i64>,
    /// Tokens at the end of the text that found no room.
    pub dropped: usize,
}

/// Text to token ids.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    length: usize,
    begin: i64,
    end: i64,
    pad: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Special {
    Text(String),
    Token {
        content: String,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        #[serde(default)]
        single_word: bool,
        #[serde(default)]
        normalized: bool,
    },
}

impl From<Special> for AddedToken {
    fn from(special: Special) -> Self {
        match special {
            Special::Text(content) => Self::from(content, true),
            Special::Token { content, lstrip, rstrip, single_word, normalized } => {
                Self::from(content, true).lstrip(lstrip).rstrip(rstrip).single_word(single_word).normalized(normalized)
            }
        }
    }
}

impl Tokenizer {
    /// Reads a `tokenizer` folder. `longest` is what the text encoder can read.
    ///
    /// # Errors
    /// A missing or broken file, or a special token that is not in the vocabulary.
    pub fn read(dir: &Path, longest: usize) -> Result<Self> {
        let said =
            |error: Box<dyn std::error::Error + Send + Sync>| Failure::Internal(format!("{}: {error}", dir.display()));
        let mut config = Options::read(&dir.join("tokenizer_config.json"))?;
        let [begin, end, unknown, pad] = specials(dir, &mut config)?;
        let file = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let bpe = BPE::from_file(&file("vocab.json"), &file("merges.txt"))
            .continuing_subword_prefix(String::new())
            .end_of_word_suffix(WORD_END.into())
            .unk_token(unknown.content.clone());
        let mut inner = tokenizers::Tokenizer::new(bpe.build().map_err(said)?);
        inner.with_normalizer(Some(normalizer().map_err(said)?)).map_err(said)?;
        inner.with_pre_tokenizer(Some(words().map_err(said)?));
        let known: HashMap<_, _> = inner.get_vocab(false);
        let id = |token: &AddedToken| {
            let id = known.get(&token.content).copied().map(i64::from);
            id.ok_or_else(|| said(format!("special token `{}` is not in the vocabulary", token.content).into()))
        };
        let ids = (id(&begin)?, id(&end)?, id(&pad)?);
        id(&unknown)?;
        inner.add_special_tokens([begin, end, unknown, pad]).map_err(said)?;
        let length = config.take("model_max_length", longest as f64)?.min(longest as f64) as usize;
        if length < 2 {
            return Err(config.wrong("`model_max_length` must be 2 or more"));
        }
        Ok(Self { inner, length, begin: ids.0, end: ids.1, pad: ids.2 })
    }

    /// The largest token id.
    pub fn largest(&self) -> i64 {
        self.inner.get_vocab(true).into_values().map(i64::from).max().unwrap_or(0)
    }

    /// Token ids of a text: as many as the text encoder reads, truncated or padded. Time is linear in the text but for a
    /// logarithm.
    pub fn encode(&self, text: &str) -> Tokens {
        let ids = self.ids(text);
        Tokens { ids: self.framed(&ids), dropped: ids.len().saturating_sub(self.room()) }
    }

    /// Token ids of the text alone, however many.
    pub fn ids(&self, text: &str) -> Vec<i64> {
        self.tokens(text).into_iter().map(i64::from).collect()
    }

    /// Tokens of a text that the text encoder has room for between begin and end.
    pub fn room(&self) -> usize {
        self.length - 2
    }

    /// Begin, as many of the ids as there is room for, end, padding.
    pub fn framed(&self, ids: &[i64]) -> Vec<i64> {
        let kept = &ids[..ids.len().min(self.room())];
        let mut framed = [&[self.begin], kept, &[self.end]].concat();
        framed.resize(self.length, self.pad);
        framed
    }

    /// The token of a comma that stands alone, where the vocabulary has one.
    pub fn comma(&self) -> Option<i64> {
        self.inner.token_to_id(&format!(",{WORD_END}")).map(i64::from)
    }

    /// How many tokens of a text the text encoder reads, begin and end not counted.
    pub fn count(&self, text: &str) -> usize {
        self.tokens(text).len().min(self.length - 2)
    }

    /// Where the words of a text are among its [`Tokens::ids`], in order: the positions of the tokens of each, from 1 behind
    /// the begin token. Words are what tokens were made of: letters, one digit, or signs; a special token is one too. Those
    /// that found no room are left out.
    pub fn words(&self, text: &str) -> Vec<Range<usize>> {
        let mut tokens = self.tokens(text);
        tokens.truncate(self.room());
        let (mut words, mut start) = (Vec::new(), 1);
        for (end, id) in (2..).zip(&tokens) {
            if end > tokens.len() || self.ends_word(*id) {
                words.push(start..end);
                start = end;
            }
        }
        words
    }

    fn tokens(&self, text: &str) -> Vec<u32> {
        let encoding = self.inner.encode_fast(text, false).expect("what has no token is the unknown one");
        encoding.get_ids().to_vec()
    }

    fn ends_word(&self, id: u32) -> bool {
        let special = [self.begin, self.end, self.pad].contains(&i64::from(id));
        special || self.inner.id_to_token(id).is_some_and(|token| token.ends_with(WORD_END))
    }
}

/// Begin, end, unknown, pad. The older `special_tokens_map.json` wins over a configuration without `added_tokens_decoder`.
fn specials(dir: &Path, config: &mut Options) -> Result<[AddedToken; 4]> {
    let newer = config.take::<Option<Value>>("added_tokens_decoder", None)?.is_some();
    let path = dir.join("special_tokens_map.json");
    let mut map = if !newer && path.is_file() { Some(Options::read(&path)?) } else { None };
    let mut token = |key: &str, default: &str| -> Result<AddedToken> {
        let configured = config.take(key, Special::Text(default.into()))?;
        Ok(map.as_mut().map_or(Ok(None), |map| map.take(key, None))?.unwrap_or(configured).into())
    };
    const END: &str = "<|endoftext|>";
    Ok([
        token("bos_token", "<|startoftext|>")?,
        token("eos_token", END)?,
        token("unk_token", END)?,
        token("pad_token", END)?,
    ])
}

fn normalizer() -> tokenizers::Result<NormalizerWrapper> {
    let spaces = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ")?;
    Ok(Normalizers::new(vec![NFC.into(), spaces.into(), Lowercase.into()]).into())
}

fn words() -> tokenizers::Result<PreTokenizerWrapper> {
    let split = Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::new(false, true, true);
    Ok(PreTokenizers::new(vec![split.into(), bytes.into()]).into())
}
