use tch::{Kind, Tensor};

/// Where the sum of the maps of some tokens is above a share of its largest value, `[n, 1, h, w]` (bool) for latents of
/// `size`: the local blend's mask of Hertz et al. 2022, section 3.2, with the 3x3 maximum of the released code. `maps` is
/// `[n, m, h', w']`. `None` without tokens.
pub fn summed(maps: &Tensor, tokens: &[usize], size: [i64; 2], threshold: f64) -> Option<Tensor> {
    let sum = of(maps, tokens)?.sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
    let spread = sum.max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false);
    Some(above(&spread, size, threshold))
}

/// The same of the largest of the maps, not spread (Xu et al. 2023, section 4.2).
pub fn largest(maps: &Tensor, tokens: &[usize], size: [i64; 2], threshold: f64) -> Option<Tensor> {
    Some(above(&of(maps, tokens)?.amax([1], true), size, threshold))
}

/// `b` where the mask `[n, 1, h, w]` is set, else `a`, both `[n, C, h, w]`; `a` without a mask.
pub fn chosen(mask: Option<&Tensor>, b: &Tensor, a: &Tensor) -> Tensor {
    mask.map_or_else(|| a.shallow_clone(), |mask| b.where_self(mask, a))
}

/// Where one of two masks is set.
pub fn either(a: Option<Tensor>, b: Option<Tensor>) -> Option<Tensor> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.logical_or(&b)),
        (a, b) => a.or(b),
    }
}

/// The maps of some tokens, `[n, tokens, h, w]`.
fn of(maps: &Tensor, tokens: &[usize]) -> Option<Tensor> {
    let one = |n: &usize| maps.narrow(1, i64::try_from(*n).expect("a prompt is short"), 1);
    let maps: Vec<_> = tokens.iter().map(one).collect();
    (!maps.is_empty()).then(|| Tensor::cat(&maps, 1))
}

fn above(map: &Tensor, [h, w]: [i64; 2], threshold: f64) -> Tensor {
    let map = map.upsample_nearest2d([h, w], None, None);
    // A map that is zero everywhere is above nothing.
    let most = map.amax([2, 3], true).clamp_min(f64::from(f32::MIN_POSITIVE));
    (map / most).gt(threshold)
}
