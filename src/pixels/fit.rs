//! A picture of any size to the size that is asked for.

use image::{
    ImageBuffer, Pixel,
    imageops::{FilterType, crop_imm, replace, resize},
};

use crate::job::Resize;

/// A picture of eight-bit parts.
pub type Picture<P> = ImageBuffer<P, Vec<u8>>;

/// How a picture is resampled.
#[derive(Clone, Copy, Debug)]
pub struct Resampling<P> {
    /// The filter; a wider one is sharper and rings.
    pub filter: FilterType,
    /// What margins are filled with.
    pub ground: P,
}

/// The picture at `width` by `height`. At its own size it stays as it is, to the byte.
pub fn fit<P>(picture: &Picture<P>, size: (u32, u32), mode: Resize, with: Resampling<P>) -> Picture<P>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    match mode {
        Resize::Stretch => scaled(picture, size, with.filter),
        Resize::Crop => {
            let (width, height) = inside(size, picture.dimensions());
            let (left, top) = ((picture.width() - width) / 2, (picture.height() - height) / 2);
            scaled(&crop_imm(picture, left, top, width, height).to_image(), size, with.filter)
        }
        Resize::Pad => {
            let (width, height) = inside(picture.dimensions(), size);
            let mut canvas = Picture::from_pixel(size.0, size.1, with.ground);
            let (left, top) = ((size.0 - width) / 2, (size.1 - height) / 2);
            let small = scaled(picture, (width, height), with.filter);
            replace(&mut canvas, &small, i64::from(left), i64::from(top));
            canvas
        }
    }
}

/// All of the picture in its own shape, between margins in the colours of its edges.
pub fn edged<P>(picture: &Picture<P>, size: (u32, u32), filter: FilterType) -> Picture<P>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    let (width, height) = inside(picture.dimensions(), size);
    let small = scaled(picture, (width, height), filter);
    let (left, top) = ((size.0 - width) / 2, (size.1 - height) / 2);
    let near = |at: u32, before: u32, length: u32| at.saturating_sub(before).min(length - 1);
    Picture::from_fn(size.0, size.1, |x, y| *small.get_pixel(near(x, left, width), near(y, top, height)))
}

/// The largest size of the shape of `shape` inside `frame`.
fn inside(shape: (u32, u32), frame: (u32, u32)) -> (u32, u32) {
    let (w, h) = (u64::from(shape.0), u64::from(shape.1));
    let (width, height) = (u64::from(frame.0), u64::from(frame.1));
    let divided = |a: u64, b: u64, most: u32| u32::try_from((a + b / 2) / b).unwrap_or(most).clamp(1, most);
    match width * h > height * w {
        true => (divided(height * w, h, frame.0), frame.1),
        false => (frame.0, divided(width * h, w, frame.1)),
    }
}

/// The picture at that size, whatever its shape was. Shrunk first and then grown, so that no size in between is larger than both ends.
pub(super) fn scaled<P>(picture: &Picture<P>, (width, height): (u32, u32), filter: FilterType) -> Picture<P>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    let small = resize(picture, width.min(picture.width()), height.min(picture.height()), filter);
    if small.dimensions() == (width, height) { small } else { resize(&small, width, height, filter) }
}
