//! The comment that JPEG and WebP carry in their EXIF (CIPA DC-008, `UserComment`), where the AUTOMATIC1111 family writes what
//! it writes into PNG texts.

/// The directory of EXIF's own fields.
const EXIF: u16 = 0x8769;

/// The comment, of the type `UNDEFINED`.
const USER_COMMENT: u16 = 0x9286;

/// What the comment's letters are: two bytes each, in the order of the file.
const UNICODE: &[u8; 8] = b"UNICODE\0";

/// Where the comment stands in what [`write()`] makes: behind the header and two directories of one field each.
const BEHIND: u32 = 8 + 2 * 18;

/// EXIF that holds a comment and nothing else; `None` where it would not fit into a segment of a JPEG.
pub fn write(comment: &str) -> Option<Vec<u8>> {
    let letters = comment.encode_utf16().flat_map(u16::to_be_bytes);
    let comment: Vec<u8> = UNICODE.iter().copied().chain(letters).collect();
    let length = u32::try_from(comment.len()).ok().filter(|length| *length <= 65000)?;
    let mut exif = b"MM\0\x2a\0\0\0\x08".to_vec();
    exif.extend(directory(EXIF, 4, 1, 8 + 18));
    exif.extend(directory(USER_COMMENT, 7, length, BEHIND));
    exif.extend(comment);
    Some(exif)
}

/// A directory of one field, and no further one.
fn directory(tag: u16, kind: u16, count: u32, value: u32) -> Vec<u8> {
    let head = [1, tag, kind].into_iter().flat_map(u16::to_be_bytes);
    head.chain([count, value, 0].into_iter().flat_map(u32::to_be_bytes)).collect()
}

/// The comment in EXIF from anywhere, where it has one that can be read.
pub fn read(exif: &[u8]) -> Option<String> {
    let little = match exif.get(..4)? {
        b"MM\0\x2a" => false,
        b"II\x2a\0" => true,
        _ => return None,
    };
    let file = File { bytes: exif, little };
    let own = file.field(file.long(4)?, EXIF)?;
    let (at, length) = file.field(own.0, USER_COMMENT)?;
    let comment = exif.get(at as usize..(at as usize).checked_add(length as usize)?)?;
    match comment.split_first_chunk::<8>()? {
        (UNICODE, letters) => Some(file.letters(letters)),
        (b"ASCII\0\0\0", letters) => Some(String::from_utf8_lossy(letters).trim_end_matches('\0').to_owned()),
        _ => None,
    }
}

struct File<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl File<'_> {
    fn short(&self, at: u32) -> Option<u16> {
        let bytes = *self.bytes.get(at as usize..)?.first_chunk()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn long(&self, at: u32) -> Option<u32> {
        let bytes = *self.bytes.get(at as usize..)?.first_chunk()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// Value and count of a field of the directory at a place.
    fn field(&self, directory: u32, tag: u16) -> Option<(u32, u32)> {
        let fields = u32::from(self.short(directory)?);
        let places = (0..fields).map_while(|field| directory.checked_add(2 + 12 * field));
        let at = places.into_iter().find(|at| self.short(*at) == Some(tag))?;
        Some((self.long(at.checked_add(8)?)?, self.long(at.checked_add(4)?)?))
    }

    /// Letters of two bytes each. Some writers keep to one order whatever the file's: the one with fewer high bytes is meant.
    fn letters(&self, bytes: &[u8]) -> String {
        let (pairs, _) = bytes.as_chunks::<2>();
        let high = |at: usize| pairs.iter().filter(|pair| pair[at] != 0).count();
        let little = match high(0).cmp(&high(1)) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => self.little,
        };
        let letter = |pair: &[u8; 2]| if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) };
        String::from_utf16_lossy(&pairs.iter().map(letter).collect::<Vec<_>>())
    }
}
