//! Integrals of the polynomials that are 1 at one place and 0 at the others (Lagrange's basis), against an exponential.

/// Terms of the series of [`moment`], which serves up to `|a| = 1`.
const TERMS: u32 = 20;

/// `int_0^1 e^(-a (1 - v)) L_j(v) dv` for each basis polynomial `L_j` over the places.
pub fn integrals(a: f64, places: &[f64]) -> Vec<f64> {
    let integral = |j| basis(places, j).iter().enumerate().map(|(k, c)| c * moment(a, k)).sum();
    (0..places.len()).map(integral).collect()
}

/// Coefficients, from the constant up, of the polynomial that is 1 at place j and 0 at the others.
pub fn basis(places: &[f64], j: usize) -> Vec<f64> {
    let mut polynomial = vec![1.0];
    for (_, place) in places.iter().enumerate().filter(|(other, _)| *other != j) {
        let scale = 1.0 / (places[j] - place);
        let mut next = vec![0.0; polynomial.len() + 1];
        for (k, coefficient) in polynomial.iter().enumerate() {
            next[k + 1] += coefficient * scale;
            next[k] -= coefficient * scale * place;
        }
        polynomial = next;
    }
    polynomial
}

/// `I_k = int_0^1 e^(-a (1 - v)) v^k dv`: by `I_k = (1 - k I_(k-1)) / a` from `I_0 = (1 - e^-a) / a`, and where that loses
/// digits by its series `sum_j (-a)^j k! / (j + k + 1)!`.
pub fn moment(a: f64, k: usize) -> f64 {
    if a.abs() > 1.0 {
        return (1..=k).fold(-(-a).exp_m1() / a, |before, k| (1.0 - k as f64 * before) / a);
    }
    let mut term = 1.0 / (k as f64 + 1.0);
    let mut sum = term;
    for j in 1..TERMS {
        term *= -a / (f64::from(j) + k as f64 + 1.0);
        sum += term;
    }
    sum
}
