//! From the points of a spacing to levels of which each is truly less noisy than the one before.

use super::{
    Points, Wanted,
    ground::{of_share, share},
};
use crate::{
    error::{Fault, Result},
    process::{Level, Process},
};

/// The least fall of `sigma / alpha` from one level to the next. A step of nothing divides by zero in every rule of higher
/// order, and one much smaller than its neighbours would weigh the network's rounding errors.
const LEAST_FALL: f64 = 1e-6;

/// How far above the end of a path its last evaluation lies, where a spacing puts both at the same level.
const HAIR: f64 = 1e-4;

/// The levels of points, noise falling at every step.
///
/// # Errors
/// The first point is not above the last.
pub fn levels(wanted: &Wanted, points: Points) -> Result<Vec<Level>, Fault> {
    let (process, whole) = (wanted.ground.process, wanted.whole);
    let mut levels = match points {
        Points::Times(times) if whole => rounded(process, &times),
        Points::Times(times) => times.into_iter().map(|t| process.at(t)).collect(),
        Points::Ratios(ratios) => ratios.into_iter().map(|ratio| told(process.at_ratio(ratio), whole)).collect(),
    };
    if wanted.to_first {
        lift(process, &mut levels);
    }
    falling(process, levels, whole)
}

/// Lifts the last evaluation above the end of the path, where it would be at that very level.
fn lift(process: &dyn Process, levels: &mut [Level]) {
    if let [.., before, end] = levels
        && !below(end, before)
    {
        *before = Level { t: before.t.max(end.t), ..process.at_ratio(end.ratio() * (1.0 + HAIR)) };
    }
}

/// The level with the time that the network is told: rounded where it knows whole ones only. The noise stays exact.
fn told(level: Level, whole: bool) -> Level {
    if whole { Level { t: level.t.round_ties_even(), ..level } } else { level }
}

/// The levels of training times. Times that round to the same one as a neighbour keep their own noise.
fn rounded(process: &dyn Process, times: &[f64]) -> Vec<Level> {
    let whole: Vec<f64> = times.iter().map(|t| t.round_ties_even()).collect();
    let alone = |k: usize| {
        let beside = [k.checked_sub(1), Some(k + 1)].into_iter().flatten().filter_map(|near| whole.get(near));
        beside.into_iter().all(|near| *near != whole[k])
    };
    let level = |k: usize| if alone(k) { process.at(whole[k]) } else { told(process.at(times[k]), true) };
    (0..times.len()).map(level).collect()
}

/// Leaves levels that fall as they are. Those that do not, where more steps are asked for than a spacing has levels, are
/// spread evenly, by their share of noise, between the nearest ones that do.
fn falling(process: &dyn Process, mut levels: Vec<Level>, whole: bool) -> Result<Vec<Level>, Fault> {
    let last = levels.len() - 1;
    if last > 0 && !below(&levels[last], &levels[0]) {
        return Err(Fault::new(
            "/schedule",
            "has no room for a step: its noisiest level is no noisier than its cleanest",
        ));
    }
    let kept = kept(&levels);
    for pair in kept.windows(2) {
        let (from, to) = (share(levels[pair[0]].ratio()), share(levels[pair[1]].ratio()));
        let gaps = (pair[1] - pair[0]) as f64;
        for (k, level) in levels[pair[0]..pair[1]].iter_mut().enumerate().skip(1) {
            *level = told(process.at_ratio(of_share(from + (to - from) * k as f64 / gaps)), whole);
        }
    }
    Ok(levels)
}

/// Indices of the levels that stay: the two ends, and what lies between them and below all before.
fn kept(levels: &[Level]) -> Vec<usize> {
    let last = levels.len() - 1;
    let mut kept = vec![0];
    for (k, level) in levels.iter().enumerate().take(last).skip(1) {
        if below(level, &levels[kept[kept.len() - 1]]) && below(&levels[last], level) {
            kept.push(k);
        }
    }
    kept.extend((last > 0).then_some(last));
    kept
}

fn below(level: &Level, other: &Level) -> bool {
    falls(other.ratio(), level.ratio())
}

/// Whether a step from one `sigma / alpha` to another takes noise away, and more than a rounding error.
pub fn falls(from: f64, to: f64) -> bool {
    to < from && to <= from * (1.0 - LEAST_FALL)
}
