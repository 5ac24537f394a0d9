use tch::Tensor;

use crate::process::Level;

/// `sum of coefficient * tensor`, the one place where a sampler's tensors are added up.
///
/// All tensors have one shape. Terms with coefficient 0 are left out, so that an infinite tensor there does no harm.
///
/// # Panics
/// No term at all.
pub fn combine(terms: &[(f64, &Tensor)]) -> Tensor {
    let first = terms.first().expect("there is something to add up").1;
    let mut sum: Option<Tensor> = None;
    for (coefficient, tensor) in terms.iter().filter(|(coefficient, _)| *coefficient != 0.0) {
        let term = *tensor * *coefficient;
        sum = Some(match sum {
            None => term,
            Some(mut sum) => {
                #[allow(clippy::disallowed_methods, reason = "the sum is fresh and ours alone")]
                let added = sum.g_add_(&term);
                added
            }
        });
    }
    sum.unwrap_or_else(|| first.zeros_like())
}

/// DDIM's way of the states x with a noise from one level to another, up or down:
/// `x' = (alpha' / alpha) x + (sigma' - (alpha' / alpha) sigma) eps`, `alpha` above 0.
pub fn along(x: &Tensor, eps: &Tensor, (from, to): (&Level, &Level)) -> Tensor {
    let kept = to.alpha / from.alpha;
    combine(&[(kept, x), (to.sigma - kept * from.sigma, eps)])
}
