use crate::noise::{Purpose, normals};

/// The noise of one picture's start turned by a share towards that of another seed, on the great circle between them: both
/// ends are as far from 0 as noise is (Shoemake 1985, "Animating rotation with quaternion curves").
///
/// `shape` is that of the latents, `[C, h, w]`; the values are row by row.
pub fn variation(shape: [i64; 3], seed: u64, (other, share): (u64, f64)) -> Vec<f32> {
    let n = usize::try_from(shape.iter().product::<i64>()).unwrap_or(0);
    let (from, to) = (normals(seed, Purpose::Start, 0, n), normals(other, Purpose::Start, 0, n));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cos = dot(&from, &to) / (dot(&from, &from) * dot(&to, &to)).sqrt();
    let angle = cos.clamp(-1.0, 1.0).acos();
    let (mine, theirs) = match angle.sin() {
        flat if flat < 1e-3 => (1.0 - share, share),
        sin => (((1.0 - share) * angle).sin() / sin, (share * angle).sin() / sin),
    };
    from.iter().zip(&to).map(|(a, b)| (mine * f64::from(*a) + theirs * f64::from(*b)) as f32).collect()
}
