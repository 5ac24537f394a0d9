//! What the decoders do not look at: whether a JPEG comes to its end, and what the chunks inside a WebP claim; and what the
//! encoder does not write: a WebP's EXIF.

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

/// Whether the EXIF of a WebP, at its top or in a frame, ends before the file does; the decoder asks for the memory first.
pub fn webp_exif_ends(bytes: &[u8]) -> bool {
    let ends = |(name, data, length): Chunk<'_>| name != b"EXIF" || data.len() == length;
    webp_chunks(bytes).all(|chunk| ends(chunk) && inner(chunk).all(ends))
}

/// Whether each lossy frame in the frames of an animated WebP is as large as the frame around it says.
pub fn webp_frames_fit(bytes: &[u8]) -> bool {
    webp_chunks(bytes).all(|chunk| {
        let said = outer(chunk);
        lossy(chunk).all(|frame| said.is_some() && declared(frame) == said)
    })
}

/// Width and height that the lossy frames in a WebP declare, at its top and in the frames of an animation (RFC 9649).
pub fn webp_frames(bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    webp_chunks(bytes).flat_map(|chunk| std::iter::once(chunk).chain(lossy(chunk)).filter_map(declared))
}

/// A WebP of one frame in the extended form, with EXIF behind the frame (RFC 9649, section 2.7).
pub fn webp_with_exif(bytes: &[u8], (width, height): (u32, u32), exif: &[u8]) -> Vec<u8> {
    let less = |side: u32| (side - 1).to_le_bytes();
    let ([w0, w1, w2, _], [h0, h1, h2, _]) = (less(width), less(height));
    let mut inside = b"WEBP".to_vec();
    inside.extend(chunk(b"VP8X", &[0x08, 0, 0, 0, w0, w1, w2, h0, h1, h2]));
    inside.extend(bytes.get(12..).unwrap_or_default());
    inside.extend(chunk(b"EXIF", exif));
    chunk(b"RIFF", &inside)
}

/// A chunk, filled up to an even length.
fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("a picture has fewer than 4 GB");
    let mut chunk = [name.as_slice(), &length.to_le_bytes(), data].concat();
    chunk.resize(chunk.len() + data.len() % 2, 0);
    chunk
}

/// A chunk's name, its data as far as there are any, and how many bytes of data it claims.
type Chunk<'a> = (&'a [u8], &'a [u8], usize);

fn webp_chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    chunks(bytes.get(12..).unwrap_or_default())
}

/// The chunks within a frame of an animation.
fn inner((name, data, _): Chunk<'_>) -> impl Iterator<Item = Chunk<'_>> {
    let frame = data.get(16..).filter(|_| name == b"ANMF");
    chunks(frame.unwrap_or_default())
}

/// The lossy ones of them; what stands behind the alpha is decoded as one, whatever its name.
fn lossy(chunk: Chunk<'_>) -> impl Iterator<Item = Chunk<'_>> {
    let mut behind_alpha = false;
    inner(chunk).filter_map(move |(name, data, length)| {
        let found = (behind_alpha || name == b"VP8 ").then_some((b"VP8 ".as_slice(), data, length));
        behind_alpha = name == b"ALPH";
        found
    })
}

/// The size of a frame of an animation.
fn outer((name, data, _): Chunk<'_>) -> Option<(u32, u32)> {
    let size = data.get(6..12).filter(|_| name == b"ANMF")?;
    let side = |bytes: &[u8]| 1 + u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
    Some((side(&size[..3]), side(&size[3..])))
}

/// The chunks of a RIFF, as far as they can be read.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (head, behind) = rest.split_at_checked(8)?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let data = &behind[..length.min(behind.len())];
        rest = behind.get(length.saturating_add(length % 2)..).unwrap_or_default();
        Some((&head[..4], data, length))
    })
}

/// The size in the head of a lossy frame (RFC 6386, section 9.1).
fn declared((name, data, _): Chunk<'_>) -> Option<(u32, u32)> {
    let size = data.get(6..10).filter(|_| name == b"VP8 ")?;
    let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    Some((side(size[0], size[1]), side(size[2], size[3])))
}
