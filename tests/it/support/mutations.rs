//! Changes to valid bytes that an enemy, or a bad disk, would make.

use proptest::{collection::vec, prelude::*, sample::Index};

use crate::support::pictures::chunk;

/// Numbers at which readers break: a field's own bounds, and lengths that no file has.
const EXTREMES: [u64; 14] =
    [0, 1, 2, 0x7f, 0xff, 0x3fff, 0x4000, 0x7fff, 0xffff, 0xff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u64::MAX];

/// What the pieces of a file begin with, and how many bytes before that.
const PNG: (&[&[u8]], usize) = (&[b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"IDAT", b"IEND"], 4);
const RIFF: (&[&[u8]], usize) = (&[b"RIFF", b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"ICCP"], 0);
const JPEG: (&[&[u8]], usize) = (
    &[
        b"\xff\xd8",
        b"\xff\xc0",
        b"\xff\xc2",
        b"\xff\xc4",
        b"\xff\xda",
        b"\xff\xdb",
        b"\xff\xe0",
        b"\xff\xe1",
        b"\xff\xd9",
    ],
    0,
);
const TEXT: (&[&[u8]], usize) = (&[b"\r\n--", b"\r\n\r\n", b"; ", b"{", b"[", b",", b"\""], 0);

/// One change. Places are shares of what there is, so that each change fits any bytes.
#[derive(Clone, Debug)]
pub enum Mutation {
    /// Turns a bit over.
    Flip(Index, u8),
    /// Writes another byte.
    Set(Index, u8),
    /// Breaks off.
    Truncate(Index),
    /// Leaves a stretch out.
    Cut(Index, usize),
    /// Says a stretch twice.
    Repeat(Index, usize),
    /// Puts a stretch of another sample in.
    Splice(Index, Index, Index, usize),
    /// Writes an extreme number of so many bytes, little end first or not, at so many bytes from the start of a piece.
    Number(Index, usize, Extreme),
    /// Says a piece twice.
    Double(Index),
    /// Leaves a piece out.
    Drop(Index),
    /// Exchanges two pieces.
    Swap(Index, Index),
}

/// A number, its bytes, and whether the little end comes first.
type Extreme = (u64, usize, bool);

/// A few changes, one after the other.
pub fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<Index>;
    let number = (prop::sample::select(&EXTREMES[..]), prop::sample::select(&[1_usize, 2, 3, 4, 8][..]), any::<bool>());
    let one = prop_oneof![
        2 => (at(), 0..8_u8).prop_map(|(place, bit)| Mutation::Flip(place, bit)),
        2 => (at(), any::<u8>()).prop_map(|(place, byte)| Mutation::Set(place, byte)),
        1 => at().prop_map(Mutation::Truncate),
        1 => (at(), 1..64_usize).prop_map(|(place, length)| Mutation::Cut(place, length)),
        1 => (at(), 1..64_usize).prop_map(|(place, length)| Mutation::Repeat(place, length)),
        1 => (at(), at(), at(), 1..256_usize).prop_map(|(to, sample, from, length)| Mutation::Splice(to, sample, from, length)),
        4 => (at(), 0..32_usize, number).prop_map(|(piece, offset, number)| Mutation::Number(piece, offset, number)),
        1 => at().prop_map(Mutation::Double),
        1 => at().prop_map(Mutation::Drop),
        1 => (at(), at()).prop_map(|(a, b)| Mutation::Swap(a, b)),
    ];
    vec(one, 1..6)
}

/// The bytes after these changes; `others` is what is spliced in.
pub fn mutated(bytes: &[u8], changes: &[Mutation], others: &[Vec<u8>]) -> Vec<u8> {
    changes
        .iter()
        .fold(bytes.to_vec(), |bytes, change| if bytes.is_empty() { bytes } else { change.apply(bytes, others) })
}

/// A PNG with the checksums that its chunks should have, so that a change inside them is looked at.
pub fn checksummed(bytes: &[u8]) -> Vec<u8> {
    let (signature, mut rest) = bytes.split_at(bytes.len().min(8));
    let mut mended = signature.to_vec();
    while let Some((data, behind)) = rest.get(..4).and_then(|length| {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        rest.split_at_checked(length.checked_add(12)?)
    }) {
        mended.extend(chunk(&data[4..8], &data[8..data.len() - 4]));
        rest = behind;
    }
    mended.extend(rest);
    mended
}

impl Mutation {
    fn apply(&self, mut bytes: Vec<u8>, others: &[Vec<u8>]) -> Vec<u8> {
        let length = bytes.len();
        let stretch = |place: &Index, most: usize| {
            let at = place.index(length);
            at..length.min(at + most)
        };
        match self {
            Self::Flip(place, bit) => bytes[place.index(length)] ^= 1 << bit,
            Self::Set(place, byte) => bytes[place.index(length)] = *byte,
            Self::Truncate(place) => bytes.truncate(place.index(length)),
            Self::Cut(place, most) => drop(bytes.drain(stretch(place, *most))),
            Self::Repeat(place, most) => {
                let again = bytes[stretch(place, *most)].to_vec();
                insert(&mut bytes, place.index(length), &again);
            }
            Self::Splice(to, sample, from, most) => {
                let other = sample.get(others);
                let from = from.index(other.len());
                insert(&mut bytes, to.index(length), &other[from..other.len().min(from + most)]);
            }
            Self::Number(piece, offset, (number, width, little)) => {
                let at = piece.get(&pieces(&bytes)) + offset;
                let mut written = number.to_le_bytes()[..*width].to_vec();
                if !little {
                    written.reverse();
                }
                bytes.iter_mut().skip(at).zip(written).for_each(|(old, new)| *old = new);
            }
            Self::Double(place) => {
                let piece = piece(&bytes, place);
                let again = bytes[piece.clone()].to_vec();
                insert(&mut bytes, piece.start, &again);
            }
            Self::Drop(place) => drop(bytes.drain(piece(&bytes, place))),
            Self::Swap(a, b) => return swapped(&bytes, piece(&bytes, a), piece(&bytes, b)),
        }
        bytes
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, more: &[u8]) {
    drop(bytes.splice(at..at, more.iter().copied()));
}

fn swapped(bytes: &[u8], a: std::ops::Range<usize>, b: std::ops::Range<usize>) -> Vec<u8> {
    let (first, second) = if a.start <= b.start { (a, b) } else { (b, a) };
    if second.start < first.end {
        return bytes.to_vec();
    }
    let between = first.end..second.start;
    [&bytes[..first.start], &bytes[second.clone()], &bytes[between], &bytes[first], &bytes[second.end..]].concat()
}

/// From one start of a piece to the next.
fn piece(bytes: &[u8], place: &Index) -> std::ops::Range<usize> {
    let starts = pieces(bytes);
    let at = place.index(starts.len());
    starts[at]..starts.get(at + 1).copied().unwrap_or(bytes.len())
}

/// Where the pieces of a file start, as its format marks them; the start of the file is one.
fn pieces(bytes: &[u8]) -> Vec<usize> {
    let (marks, before) = match bytes {
        [0x89, ..] => PNG,
        [b'R', ..] => RIFF,
        [0xff, ..] => JPEG,
        _ => TEXT,
    };
    let found = (before..bytes.len()).filter(|at| marks.iter().any(|mark| bytes[*at..].starts_with(mark)));
    std::iter::once(0).chain(found.map(|at| at - before).filter(|at| *at > 0)).collect()
}
