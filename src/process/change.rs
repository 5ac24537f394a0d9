/// The change of variables `x = mean mu + scale y` at a level: x is what a network sees around a degraded picture mu, y
/// what solvers see.
///
/// Published processes that run between a picture and a degraded one become ordinary ones in y, whose clean end is
/// `y0 = (x0 - mu) / scale`, so that every solver serves them unchanged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Share of the degraded picture, 0 where there is none and 1 at the clean end.
    pub mean: f64,
    /// Pictures per unit of y, above 0.
    pub scale: f64,
    /// What a residual noise holds of the residual `mu - x0` beside the noise.
    pub kappa: f64,
}

impl Default for Change {
    /// None: the network sees what the solver sees.
    fn default() -> Self {
        Self { mean: 0.0, scale: 1.0, kappa: 0.0 }
    }
}
