/// Weights lie between this and its negative: what is written further out counts as this.
pub const HEAVIEST: f64 = 10.0;

/// A part of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text of one weight.
    Text(String, f64),
    /// Where a new chunk starts.
    Break,
}

/// A prompt in the `weighted` syntax, taken apart. Neighbouring text of one weight is one part, and no text is empty.
///
/// `(a)` weighs 1.1 times what stands around it, `(a:1.3)` 1.3 times, `[a]` 1 / 1.1 times. Brackets of the two kinds are
/// matched each for itself; one that is never closed ends with the prompt, and one that was never opened is text. `\` makes
/// text of the bracket or `\` behind it, and is nothing elsewhere. `BREAK` as a word of its own is [`Part::Break`], inside
/// brackets too. No prompt is an error, and time is linear in its length.
pub fn parse(prompt: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut weights = Bracket::BOTH.map(|_| vec![1.0]);
    for event in events(prompt) {
        match event {
            Event::Open(bracket, factor) => {
                let stack = &mut weights[bracket as usize];
                let around = stack.last().copied().unwrap_or(1.0);
                stack.push(bounded(around * factor));
            }
            Event::Close(bracket) => drop(weights[bracket as usize].pop()),
            Event::Text(text) => {
                let weight = weights.iter().filter_map(|stack| stack.last()).product();
                add(&mut parts, text, bounded(weight));
            }
            Event::Break => parts.push(Part::Break),
        }
    }
    parts
}

fn bounded(weight: f64) -> f64 {
    weight.clamp(-HEAVIEST, HEAVIEST)
}

fn add(parts: &mut Vec<Part>, text: &str, weight: f64) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(last, of)) if *of == weight => last.push_str(text),
        _ => parts.push(Part::Text(text.to_owned(), weight)),
    }
}

/// A kind of bracket.
#[derive(Clone, Copy)]
enum Bracket {
    Round,
    Square,
}

impl Bracket {
    const BOTH: [Self; 2] = [Self::Round, Self::Square];

    /// What it multiplies weights with when it names no weight.
    fn factor(self) -> f64 {
        match self {
            Self::Round => 1.1,
            Self::Square => 1.0 / 1.1,
        }
    }
}

/// A piece of the prompt, once it is known which brackets belong together.
enum Event<'a> {
    Open(Bracket, f64),
    Close(Bracket),
    Text(&'a str),
    Break,
}

/// The pieces of a prompt in order. What an opening bracket multiplies with is only known at its closing one.
fn events(prompt: &str) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    let mut open = Bracket::BOTH.map(|_| Vec::new());
    let mut rest = prompt;
    while let Some((token, behind)) = next(rest) {
        let written = &rest[..rest.len() - behind.len()];
        rest = behind;
        match token {
            Token::Open(bracket) => {
                open[bracket as usize].push(events.len());
                events.push(Event::Open(bracket, bracket.factor()));
            }
            Token::Close(bracket, factor) => match open[bracket as usize].pop() {
                Some(at) => {
                    events[at] = Event::Open(bracket, factor);
                    events.push(Event::Close(bracket));
                }
                None => events.push(Event::Text(written)),
            },
            Token::Escaped(text) => events.push(Event::Text(text)),
            Token::Text => broken(written, &mut events),
        }
    }
    events
}

/// What stands at the front of a prompt.
enum Token<'a> {
    Open(Bracket),
    /// With what it multiplies.
    Close(Bracket, f64),
    Escaped(&'a str),
    Text,
}

const SIGNS: [char; 6] = ['(', ')', '[', ']', ':', '\\'];

/// The first token, and what stands behind it.
fn next(prompt: &str) -> Option<(Token<'_>, &str)> {
    let behind = &prompt[prompt.chars().next()?.len_utf8()..];
    let token = match prompt.as_bytes()[0] {
        b'(' => Token::Open(Bracket::Round),
        b'[' => Token::Open(Bracket::Square),
        b')' => Token::Close(Bracket::Round, Bracket::Round.factor()),
        b']' => Token::Close(Bracket::Square, Bracket::Square.factor()),
        b'\\' => {
            let literal = usize::from(behind.starts_with(['(', ')', '[', ']', '\\']));
            return Some((Token::Escaped(&behind[..literal]), &behind[literal..]));
        }
        b':' => {
            let close = weight(behind).map(|(weight, behind)| (Token::Close(Bracket::Round, weight), behind));
            return Some(close.unwrap_or((Token::Text, behind)));
        }
        _ => return Some((Token::Text, &prompt[prompt.find(SIGNS).unwrap_or(prompt.len())..])),
    };
    Some((token, behind))
}

/// A number and the bracket that closes behind it, with blanks around the number; and what stands behind that.
fn weight(text: &str) -> Option<(f64, &str)> {
    let text = text.trim_start();
    let signed = text.strip_prefix(['+', '-']).unwrap_or(text);
    let behind = signed.trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit());
    let number = text[..text.len() - behind.len()].parse().ok()?;
    Some((number, behind.trim_start().strip_prefix(')')?))
}

const BREAK: &str = "BREAK";

/// Text that may hold the word for a break.
fn broken<'a>(text: &'a str, events: &mut Vec<Event<'a>>) {
    let is_word = |letter: char| letter == '_' || letter.is_alphanumeric();
    let mut start = 0;
    for (at, _) in text.match_indices(BREAK) {
        let end = at + BREAK.len();
        if text[..at].ends_with(is_word) || text[end..].starts_with(is_word) {
            continue;
        }
        events.extend([Event::Text(&text[start..at]), Event::Break]);
        start = end;
    }
    events.push(Event::Text(&text[start..]));
}
