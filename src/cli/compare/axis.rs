//! A logarithmic axis.

/// Decades from which on only powers of ten are marked.
const WIDE: f64 = 2.5;

/// From values to places.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    values: (f64, f64),
    places: (f64, f64),
}

impl Axis {
    /// An axis with some air at both ends, over values above 0; without any, over one decade.
    pub fn new(values: impl Iterator<Item = f64>, places: (f64, f64)) -> Self {
        let (least, greatest) =
            values.fold((f64::INFINITY, 0.0_f64), |(least, greatest), value| (least.min(value), greatest.max(value)));
        let (least, greatest) = if least <= greatest { (least, greatest) } else { (1.0, 10.0) };
        let air = (greatest / least).powf(0.05).max(1.1);
        Self { values: (least / air, greatest * air), places }
    }

    /// The place of a value, which may lie outside.
    pub fn at(&self, value: f64) -> f64 {
        let share = (value / self.values.0).ln() / (self.values.1 / self.values.0).ln();
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    /// Round values within: powers of ten, and on a short axis their doubles and halves too.
    pub fn ticks(&self) -> Vec<f64> {
        let (low, high) = (self.values.0.log10().floor() as i32, self.values.1.log10().ceil() as i32);
        let wide = (self.values.1 / self.values.0).log10() > WIDE;
        let within: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = (low..=high).flat_map(|power| within.iter().map(move |digit| digit * 10.0_f64.powi(power)));
        all.filter(|tick| (self.values.0..=self.values.1).contains(tick)).collect()
    }
}
