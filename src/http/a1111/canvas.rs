//! The picture and the mask of a changed picture, at the size that is asked for: what is done before and after the run.

use image::{
    GrayImage, Luma, Pixel, Rgb, RgbImage,
    imageops::{FilterType, blur, crop_imm, invert, replace, resize},
};

use crate::{
    job::Resize,
    pixels::{
        fit::{Picture, Resampling, edged, fit},
        mask::blended,
    },
};

/// A side of pixels, left or top and length.
type Side = (u32, u32);

/// How a picture comes to the canvas.
#[derive(Clone, Copy, Debug)]
pub struct Laying {
    /// Width and height.
    pub size: (u32, u32),
    /// 0 stretched, 1 cropped, 2 filled up with the colours of its edges.
    pub mode: u32,
    /// Whether black may change instead of white.
    pub inverted: bool,
    /// Standard deviation of the blur of a mask.
    pub blur: u32,
    /// Pixels that go with the part around a mask, where that alone is worked on.
    pub around: Option<u32>,
}

/// A picture at its size, what of it may change, and the part that is worked on, if not all.
#[derive(Clone, Debug)]
pub struct Canvas {
    picture: RgbImage,
    mask: Option<GrayImage>,
    part: Option<(Side, Side)>,
}

impl Canvas {
    /// Lays a picture and its mask, which is stretched to it where it has another size.
    pub fn new(picture: &RgbImage, mask: Option<&GrayImage>, how: Laying) -> Self {
        let over = laid(picture, how, COLOURS);
        let mask = mask.map(|mask| {
            let mut mask = laid(&sized(mask, picture.dimensions()), how, GREYS);
            if how.inverted {
                invert(&mut mask);
            }
            if how.blur > 0 { blur(&mask, how.blur as f32) } else { mask }
        });
        let part = how.around.zip(mask.as_ref()).and_then(|(around, mask)| part(mask, around));
        Self { picture: over, mask, part }
    }

    /// Whether only a part is worked on.
    pub fn is_parted(&self) -> bool {
        self.part.is_some()
    }

    /// The picture and the mask to work on, both of the canvas's size.
    pub fn work(&self) -> (RgbImage, Option<GrayImage>) {
        let Some(((left, width), (top, height))) = self.part else { return (self.picture.clone(), self.mask.clone()) };
        let (w, h) = self.picture.dimensions();
        let picture = crop_imm(&self.picture, left, top, width, height).to_image();
        let mask = self.mask.as_ref().map(|mask| crop_imm(mask, left, top, width, height).to_image());
        let grey = |mask: GrayImage| resize(&mask, w, h, FilterType::Triangle);
        (resize(&picture, w, h, FilterType::Lanczos3), mask.map(grey))
    }

    /// The whole picture with a new part, which has the canvas's size; `None` where all of it was worked on.
    pub fn with(&self, new: &RgbImage) -> Option<RgbImage> {
        let (((left, width), (top, height)), mask) = self.part.zip(self.mask.as_ref())?;
        let mut whole = self.picture.clone();
        replace(&mut whole, &resize(new, width, height, FilterType::Lanczos3), i64::from(left), i64::from(top));
        let (w, h) = whole.dimensions();
        RgbImage::from_raw(w, h, blended(whole.as_raw(), self.picture.as_raw(), mask.as_raw()))
    }
}

const COLOURS: Resampling<Rgb<u8>> = Resampling { filter: FilterType::Lanczos3, ground: Rgb([255; 3]) };
/// A filter that rings would let parts change that the mask keeps.
const GREYS: Resampling<Luma<u8>> = Resampling { filter: FilterType::Triangle, ground: Luma([0]) };

fn laid<P: Pixel<Subpixel = u8> + 'static>(picture: &Picture<P>, how: Laying, with: Resampling<P>) -> Picture<P> {
    match how.mode {
        0 => fit(picture, how.size, Resize::Stretch, with),
        1 => fit(picture, how.size, Resize::Crop, with),
        _ => edged(picture, how.size, with.filter),
    }
}

/// A mask at the size of its picture.
fn sized(mask: &GrayImage, size: (u32, u32)) -> GrayImage {
    fit(mask, size, Resize::Stretch, GREYS)
}

/// The part around all that may change, in the shape of the canvas; `None` where nothing may.
fn part(mask: &GrayImage, around: u32) -> Option<(Side, Side)> {
    let free = || mask.enumerate_pixels().filter(|(.., grey)| grey.0[0] > 0);
    let x = reach(free().map(|(x, ..)| x), around, mask.width())?;
    let y = reach(free().map(|(_, y, _)| y), around, mask.height())?;
    // The side that is short of the shape of the whole is widened.
    let scale = f64::max(f64::from(x.1) / f64::from(mask.width()), f64::from(y.1) / f64::from(mask.height()));
    Some((widened(x, mask.width(), scale), widened(y, mask.height(), scale)))
}

/// From the least place to the greatest, with so much around it as there is on a side of that length.
fn reach(places: impl Iterator<Item = u32>, around: u32, length: u32) -> Option<Side> {
    let ends = places.fold(None, |ends: Option<(u32, u32)>, at| {
        Some(ends.map_or((at, at), |(least, most)| (least.min(at), most.max(at))))
    });
    let (least, most) = ends?;
    let (from, to) = (least.saturating_sub(around), most.saturating_add(around).min(length - 1));
    Some((from, to - from + 1))
}

/// A side that is a share of the whole one, about its middle as far as there is room.
fn widened((from, length): Side, whole: u32, share: f64) -> Side {
    let wanted = ((f64::from(whole) * share).round() as u32).clamp(length, whole);
    (from.saturating_sub((wanted - length) / 2).min(whole - wanted), wanted)
}
