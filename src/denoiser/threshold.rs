use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

/// Dynamic thresholding (Saharia et al. 2022, section 2.3): with s the quantile `p` of `|x0|` of a picture, kept within
/// 1..`max`, the picture is cut to -s..s and divided by s. At `max` 1 it is cut to -1..1. For models of pixels: latents
/// have no such range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Threshold {
    /// Share of the values that are not cut.
    #[schema(minimum = 0.5, maximum = 1)]
    pub p: f64,
    /// Greatest s.
    #[schema(minimum = 1, maximum = 100)]
    pub max: f64,
}

impl Default for Threshold {
    fn default() -> Self {
        Self { p: 0.995, max: 1.0 }
    }
}

impl Threshold {
    /// Clean pictures `[n, C, h, w]` in their range.
    pub fn apply(&self, x0: &Tensor) -> Tensor {
        let size = x0.size();
        let rows = x0.reshape([size[0], -1]);
        let s = rows.abs().quantile_scalar(self.p, 1, true, "linear").clamp(1.0, self.max);
        (rows.minimum(&s).maximum(&-&s) / s).view(&size[..])
    }
}
