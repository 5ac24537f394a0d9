//! What the decoders do not look at: whether a JPEG comes to its end, and how large the frames inside a WebP say they are.

/// The markers that stand alone: start of image, restarts and `TEM`.
const LONE: [u8; 10] = [0xd8, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0x01];
const END: u8 = 0xd9;

/// Whether the end marker follows the segments and scans of a JPEG (ITU T.81, annex B).
pub fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((marker, behind)) = next_marker(rest) {
        rest = match marker {
            END => return true,
            marker if LONE.contains(&marker) => behind,
            _ => match segment(behind) {
                Some(behind) => behind,
                None => return false,
            },
        };
    }
    false
}

/// The next marker and what stands behind it; in the coded data of a scan 0xff is followed by 0.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let is = |pair: &[u8]| pair[0] == 0xff && ![0, 0xff].contains(&pair[1]);
    let at = bytes.windows(2).position(is)?;
    Some((bytes[at + 1], &bytes[at + 2..]))
}

/// What stands behind a segment that begins with its length.
fn segment(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.first_chunk::<2>().map(|length| u16::from_be_bytes(*length))?;
    bytes.get(usize::from(length)..)
}

/// Width and height that the lossy frames in a WebP declare, at its top and in the frames of an animation (RFC 9649).
pub fn webp_frames(bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let top = chunks(bytes.get(12..).unwrap_or_default());
    top.flat_map(|(name, data)| match name {
        b"ANMF" => chunks(data.get(16..).unwrap_or_default()).filter_map(declared).collect(),
        _ => declared((name, data)).into_iter().collect::<Vec<_>>(),
    })
}

/// The chunks of a RIFF, as far as they can be read.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (head, behind) = rest.split_at_checked(8)?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let data = &behind[..length.min(behind.len())];
        rest = behind.get(length.saturating_add(length % 2)..).unwrap_or_default();
        Some((&head[..4], data))
    })
}

/// The size in the head of a lossy frame (RFC 6386, section 9.1).
fn declared((name, data): (&[u8], &[u8])) -> Option<(u32, u32)> {
    let size = data.get(6..10).filter(|_| name == b"VP8 ")?;
    let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    Some((side(size[0], size[1]), side(size[2], size[3])))
}
