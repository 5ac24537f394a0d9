//! A step that goes below the next level and comes back up to it with fresh noise, in ratios `s = sigma / alpha`.

/// The level below and the standard deviation of the fresh noise, `(down, up)`, of a step from ratio `s` to `next`.
///
/// `up = eta next sqrt(1 - (next / s)^2)`, `down^2 = next^2 - up^2`: at `eta` 1 the posterior's variance (Song et al. 2021,
/// eq. 16).
pub fn split(s: f64, next: f64, eta: f64) -> (f64, f64) {
    let gone = if s.is_finite() { next / s } else { 0.0 };
    let up = (eta * next * (1.0 - gone * gone).max(0.0).sqrt()).min(next);
    ((next * next - up * up).max(0.0).sqrt(), up)
}
