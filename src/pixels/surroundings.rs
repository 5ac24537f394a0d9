use image::{
    GrayImage, Rgb, RgbImage, Rgba, Rgba32FImage,
    imageops::{FilterType, resize},
};

/// The picture with the colours around in the place of what a mask shows white: what it keeps is shrunk by half again and
/// again until it fills a pixel, and comes back under all that was known (Gortler et al. 1996, "The lumigraph", section
/// 3.4.2). Without any kept pixel it is the picture itself.
pub fn surrounded(picture: &RgbImage, mask: &GrayImage) -> RgbImage {
    if mask.pixels().all(|share| share.0[0] > 0) {
        return picture.clone();
    }
    let (width, height) = picture.dimensions();
    let kept = Rgba32FImage::from_fn(width, height, |x, y| {
        let share = 1.0 - f32::from(mask.get_pixel(x, y).0[0]) / 255.0;
        let [r, g, b] = picture.get_pixel(x, y).0.map(|part| f32::from(part) / 255.0 * share);
        Rgba([r, g, b, share])
    });
    let filled = filled(&kept);
    RgbImage::from_fn(width, height, |x, y| {
        let [r, g, b, _] = filled.get_pixel(x, y).0;
        Rgb([r, g, b].map(|part| (part * 255.0).round() as u8))
    })
}

/// Colours times their share of alpha, alpha last, over the same at half the size.
fn filled(known: &Rgba32FImage) -> Rgba32FImage {
    let (width, height) = known.dimensions();
    if width.max(height) == 1 {
        return whole(known);
    }
    let half = whole(&resize(known, width.div_ceil(2), height.div_ceil(2), FilterType::Triangle));
    let below = resize(&filled(&half), width, height, FilterType::Triangle);
    Rgba32FImage::from_fn(width, height, |x, y| {
        let (over, under) = (known.get_pixel(x, y).0, below.get_pixel(x, y).0);
        Rgba(std::array::from_fn(|part| over[part] + (1.0 - over[3]) * under[part]))
    })
}

/// Whatever is known of a pixel counts as all of it.
fn whole(known: &Rgba32FImage) -> Rgba32FImage {
    let mut whole = known.clone();
    for Rgba(parts) in whole.pixels_mut() {
        let alpha = parts[3];
        if alpha > f32::EPSILON {
            *parts = parts.map(|part| part / alpha);
        }
    }
    whole
}
