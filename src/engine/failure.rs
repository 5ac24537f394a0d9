//! Failures stay in their rows: a forward that fails is tried again in smaller pieces, and only what fails alone fails.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::error::{Failure, Result};

/// Rows `from..from + rows` of one ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Whose they are.
    pub id: usize,
    /// First row.
    pub from: usize,
    /// Number of rows.
    pub rows: usize,
    /// Whether they must not be split.
    pub together: bool,
}

impl Piece {
    fn halves(self) -> [Self; 2] {
        let first = self.rows / 2;
        [Self { rows: first, ..self }, Self { from: self.from + first, rows: self.rows - first, ..self }]
    }
}

/// What to do with pieces whose forward failed.
enum Again {
    /// Try these apart.
    Split(Vec<Piece>, Vec<Piece>),
    /// Try each once alone.
    Each,
    /// Nothing more to try.
    GiveUp,
}

/// Runs a forward over the pieces. When memory runs out they are halved, down to one row; after any other failure each is
/// tried once alone.
pub fn attempt<A>(pieces: &[Piece], forward: &mut dyn FnMut(&[Piece]) -> Result<Vec<A>>) -> Vec<(Piece, Result<A>)> {
    let failure = match forward(pieces) {
        Ok(answers) => return pieces.iter().copied().zip(answers.into_iter().map(Ok)).collect(),
        Err(failure) => failure,
    };
    match again(pieces, &failure) {
        Again::Split(first, second) => {
            let mut answers = attempt(&first, forward);
            answers.extend(attempt(&second, forward));
            answers
        }
        Again::Each => pieces.iter().flat_map(|piece| alone(*piece, forward)).collect(),
        Again::GiveUp => pieces.iter().map(|piece| (*piece, Err(failure.clone()))).collect(),
    }
}

fn alone<A>(piece: Piece, forward: &mut dyn FnMut(&[Piece]) -> Result<Vec<A>>) -> Vec<(Piece, Result<A>)> {
    match forward(&[piece]) {
        Ok(answers) => answers.into_iter().map(|answer| (piece, Ok(answer))).collect(),
        Err(Failure::OutOfMemory(_)) if piece.rows > 1 && !piece.together => attempt(&[piece], forward),
        Err(failure) => vec![(piece, Err(failure))],
    }
}

fn again(pieces: &[Piece], failure: &Failure) -> Again {
    match (pieces, failure) {
        ([piece], Failure::OutOfMemory(_)) if piece.rows > 1 && !piece.together => {
            let [first, second] = piece.halves();
            Again::Split(vec![first], vec![second])
        }
        ([_], _) => Again::GiveUp,
        (many, Failure::OutOfMemory(_)) => {
            let (first, second) = many.split_at(many.len() / 2);
            Again::Split(first.to_vec(), second.to_vec())
        }
        _ => Again::Each,
    }
}

/// Runs `f`; a panic, which is how torch errors arrive, becomes a failure.
///
/// # Errors
/// What `f` answers, or its panic.
pub fn caught<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| Err(classify(&message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}

fn classify(message: &str) -> Failure {
    let short = message.lines().next().unwrap_or_default().to_owned();
    let memory = ["out of memory", "can't allocate memory", "not enough memory", "bad_alloc"];
    if memory.iter().any(|sign| message.contains(sign)) {
        Failure::OutOfMemory(short)
    } else {
        Failure::Internal(short)
    }
}

/// Whether the device will answer nothing any more, so that only a new process can help.
pub fn is_sticky(failure: &Failure) -> bool {
    let signs = ["CUDA error", "CUDNN_STATUS_EXECUTION_FAILED", "device-side assert"];
    matches!(failure, Failure::Internal(text) if signs.iter().any(|sign| text.contains(sign)))
}
