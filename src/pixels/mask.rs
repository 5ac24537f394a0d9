//! Masks: white is what may change, black what stays, grey a blend of both.

use image::{
    GrayImage, Luma, Rgb, RgbImage,
    imageops::{FilterType, grayscale},
};

use super::fit::{Resampling, fit};
use crate::job::Resize;

/// A picture and its mask at the size of the model.
#[derive(Clone, Debug)]
pub struct Given {
    /// The picture.
    pub picture: RgbImage,
    /// What of it may change; all of it without a mask.
    pub mask: Option<GrayImage>,
}

impl Given {
    /// Brings a picture and a mask of its size to `size`; margins are white and stay. The mask's edge is spread over
    /// `feather` pixels.
    pub fn new(picture: &RgbImage, mask: Option<&RgbImage>, (size, mode): ((u32, u32), Resize), feather: u32) -> Self {
        let colours = Resampling { filter: FilterType::Lanczos3, ground: Rgb([255; 3]) };
        // A filter that rings would let parts change that the mask keeps.
        let greys = Resampling { filter: FilterType::Triangle, ground: Luma([0]) };
        let mask = mask.map(|mask| feathered(&fit(&grayscale(mask), size, mode, greys), feather));
        Self { picture: fit(picture, size, mode, colours), mask }
    }

    /// A new picture of this size, RGB row by row, with the parts that the mask keeps.
    pub fn put_back(&self, new: Vec<u8>) -> Vec<u8> {
        match &self.mask {
            Some(mask) => blended(&new, self.picture.as_raw(), mask.as_raw()),
            None => new,
        }
    }
}

/// The mask under a tent of the half width `feather` along both axes: what lies further than that from any grey or white
/// pixel stays black.
pub fn feathered(mask: &GrayImage, feather: u32) -> GrayImage {
    if feather == 0 {
        return mask.clone();
    }
    let (width, height) = mask.dimensions();
    let along = GrayImage::from_fn(width, height, |x, y| tent(x, width, feather, |x| mask.get_pixel(x, y)));
    GrayImage::from_fn(width, height, |x, y| tent(y, height, feather, |y| along.get_pixel(x, y)))
}

/// The weighted mean around a place of a line; beyond its ends the line goes on as it ended.
fn tent<'a>(at: u32, length: u32, feather: u32, pixel: impl Fn(u32) -> &'a Luma<u8>) -> Luma<u8> {
    let reach = i64::from(feather);
    let weighted = (-reach..=reach).map(|d| {
        let place = (i64::from(at) + d).clamp(0, i64::from(length) - 1);
        (reach + 1 - d.abs()) as u64 * u64::from(pixel(place as u32).0[0])
    });
    let whole = u64::from(feather + 1).pow(2);
    Luma([((weighted.sum::<u64>() + whole / 2) / whole) as u8])
}

/// The new picture where the mask is white, the old one where it is black, RGB row by row.
pub fn blended(new: &[u8], old: &[u8], mask: &[u8]) -> Vec<u8> {
    let share = mask.iter().flat_map(|share| [u32::from(*share); 3]);
    let blend = |((new, old), share): ((&u8, &u8), u32)| {
        ((u32::from(*new) * share + u32::from(*old) * (255 - share) + 127) / 255) as u8
    };
    new.iter().zip(old).zip(share).map(blend).collect()
}
