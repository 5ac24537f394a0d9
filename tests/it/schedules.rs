//! Schedules: what holds for every one on every process, and the levels that other programs compute.

use darkroom::{
    error::Fault,
    process::{Betas, Grid, Level, Named, Process, Vp},
    registry::find,
    schedule::{End, Ends, Ground, Kind, SCHEDULES, Start, Time},
};
use serde::Deserialize;
use serde_json::{Value, json};
use statrs::function::beta::inv_beta_reg;

use crate::folders::root;

const LATENT: [i64; 3] = [4, 64, 64];

fn ends(end: End, time: Time) -> Ends {
    Ends { start: Start::Sigma, time, end }
}

/// The levels of a schedule as a request names it.
fn levels(asked: &Value, process: &dyn Process, steps: usize, ends: &Ends) -> Result<Grid, Fault> {
    let (kind, options) = find(asked, SCHEDULES, |kind: &Kind| &kind.entry)?;
    let ground = Ground { process, offset: 0, latent: LATENT };
    kind.entry.read(options)?.grid(&ground, steps, ends)
}

/// Every schedule that needs no levels of the client's, at the default options and some others.
fn every() -> Vec<Value> {
    let names = SCHEDULES.iter().map(|kind| kind.entry.name).filter(|name| !["custom", "distilled"].contains(name));
    let mut all: Vec<Value> = names.map(Value::from).collect();
    all.extend([
        json!({"name": "distilled", "original_steps": 1000}),
        json!({"name": "distilled", "original_steps": 1000, "dense": true}),
        json!({"name": "linspace", "drop_last": true}),
        json!({"name": "karras", "drop_last": true}),
        json!({"name": "exponential", "drop_last": true}),
        json!({"name": "karras", "rho": 100}),
        json!({"name": "polyexponential", "rho": 10}),
        json!({"name": "polyexponential", "rho": 0.1}),
        json!({"name": "quadratic", "power": 10}),
        json!({"name": "quadratic", "power": 0.1}),
        json!({"name": "beta", "alpha": 0.3, "beta": 0.3}),
        json!({"name": "beta", "alpha": 0.3, "beta": 10}),
        json!({"name": "beta", "alpha": 10, "beta": 0.3, "over": "sigmas"}),
        json!({"name": "align_your_steps", "table": "sdxl", "keep_last": true}),
        json!({"name": "align_your_steps", "table": "svd"}),
        json!({"name": "beta", "over": "shares"}),
        json!({"name": "karras", "over": "shares"}),
        json!({"name": "exponential", "over": "shares"}),
        json!({"name": "linear_quadratic", "over": "sigmas"}),
        json!({"name": "linear_quadratic", "threshold_noise": 0.5}),
        json!({"name": "flow_shift", "kind": "exponential", "to_least": true}),
        json!({"name": "flow_shift", "kind": "linear", "shift_terminal": 0.9}),
        json!({"name": "flow_shift", "shift": 100}),
        json!({"name": "flow_shift", "shift": 0.01}),
    ]);
    all
}

fn zero_terminal() -> Vp {
    Vp::zero_terminal(&Betas::ScaledLinear { ends: (0.00085, 0.012), steps: 1000 })
}

#[test]
fn noise_falls_at_every_step_of_every_schedule_on_every_process() {
    let named = Named::ALL.map(Named::process);
    let (zero, short) = (zero_terminal(), Vp::new(&Betas::Linear { ends: (1e-3, 0.2), steps: 50 }));
    let processes = named.iter().map(|process| &**process).chain([&zero as &dyn Process, &short]);
    for process in processes {
        for (asked, steps) in every().iter().flat_map(|asked| [1, 2, 3, 27, 1000].map(|steps| (asked, steps))) {
            for end in [End::Zero, End::First] {
                for time in [Time::Integer, Time::Real] {
                    let at = format!("{asked} in {steps} steps to {end:?}, {time:?}, {process:?}");
                    match levels(asked, process, steps, &ends(end, time)) {
                        Ok(grid) => falls(&grid, process, steps, end, &at),
                        // A model of few training times cannot have had a teacher of 1000 steps.
                        Err(fault) => {
                            assert_eq!(fault.pointer, "/schedule/original_steps", "{at}");
                            assert!(process.train_steps() <= 100, "{at}");
                        }
                    }
                }
            }
        }
    }
}

fn falls(grid: &Grid, process: &dyn Process, steps: usize, end: End, at: &str) {
    assert_eq!(grid.len(), steps, "{at}");
    let (low, high) = process.range();
    for level in grid.levels() {
        let finite = level.t.is_finite() && level.alpha.is_finite() && level.sigma.is_finite();
        assert!(finite, "{at}: {level:?}");
        assert!(!process.integer_times() || (low..=high).contains(&level.t), "{at}: {level:?}");
        assert!(level.alpha > 0.0 || level.sigma > 0.0, "{at}: {level:?}");
    }
    for (from, to) in grid.steps() {
        assert!(to.ratio() < from.ratio(), "{at}: {from:?} {to:?}");
        assert!(to.sigma == 0.0 || to.t <= from.t, "{at}: {from:?} {to:?}");
    }
    let wanted = if end == End::Zero { process.clean() } else { process.at(low) };
    assert!((grid.last().sigma - wanted.sigma).abs() < 1e-9, "{at}: ends at {:?}", grid.last());
}

#[derive(Deserialize)]
struct Goldens {
    quantiles: Vec<[f64; 4]>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    schedule: Value,
    process: Named,
    steps: usize,
    end: End,
    time: Time,
    offset: u32,
    latent: [i64; 3],
    times: Option<Vec<f64>>,
    sigmas: Option<Vec<f64>>,
    shares: Option<Vec<f64>>,
}

fn goldens() -> Goldens {
    serde_json::from_slice(&std::fs::read(root().join("tests/data/goldens/schedules.json")).unwrap()).unwrap()
}

/// The peers compute in single precision, ours is double.
#[test]
fn levels_are_those_of_other_programs() {
    let mut seen = Vec::new();
    for case in goldens().cases {
        let (kind, options) = find(&case.schedule, SCHEDULES, |kind: &Kind| &kind.entry).unwrap();
        let process = case.process.process();
        let ground = Ground { process: &*process, offset: case.offset, latent: case.latent };
        let grid = kind.entry.read(options).unwrap().grid(&ground, case.steps, &ends(case.end, case.time)).unwrap();
        let at = format!("{} in {} steps", case.schedule, case.steps);
        let compare = |golden: Option<Vec<f64>>, read: fn(&Level) -> f64, slack: f64| {
            for (k, wanted) in golden.iter().flatten().enumerate() {
                let found = read(&grid.levels()[k]);
                assert!((found - wanted).abs() <= 1e-4 * wanted.abs() + slack, "{at}: {found} for {wanted} at {k}");
            }
            assert!(golden.is_none_or(|golden| golden.len() == case.steps), "{at}");
        };
        let slack = if case.time == Time::Integer { 0.0 } else { 2e-3 };
        compare(case.times, |level| level.t, slack);
        compare(case.sigmas, Level::ratio, 0.0);
        compare(case.shares, |level| level.sigma / (level.alpha + level.sigma), 0.0);
        seen.push(kind.entry.name);
    }
    let missing = SCHEDULES.iter().map(|kind| kind.entry.name).find(|name| *name != "custom" && !seen.contains(name));
    assert_eq!(missing, None, "no golden of it");
}

#[test]
fn quantiles_of_the_beta_distribution_are_exact() {
    for [a, b, share, wanted] in goldens().quantiles {
        let found = inv_beta_reg(a, b, share);
        assert!((found - wanted).abs() <= 1e-9 * wanted, "{a} {b} at {share}: {found} for {wanted}");
    }
}

/// C26: many steps crowd where there is little noise, where rounded times repeat; the noise must not.
#[test]
fn crowded_steps_keep_their_own_noise() {
    let process = Named::ScaledLinear.process();
    for (name, steps) in [("karras", 100), ("quadratic", 100), ("beta", 400)] {
        let grid = |time| levels(&json!(name), &*process, steps, &ends(End::Zero, time)).unwrap();
        let (whole, real) = (grid(Time::Integer), grid(Time::Real));
        let repeated = whole.levels()[..steps].windows(2).filter(|pair| pair[0].t == pair[1].t).count();
        assert!(repeated > 0, "{name} repeats no time");
        for (rounded, exact) in whole.levels().iter().zip(real.levels()) {
            assert!(rounded.t.fract() == 0.0 && (rounded.t - exact.t).abs() <= 0.5, "{name}: {rounded:?} {exact:?}");
        }
        for (pair, exact) in whole.levels()[..steps].windows(2).zip(real.levels()) {
            assert!(pair[0].t != pair[1].t || pair[0].sigma == exact.sigma, "{name}: {pair:?} {exact:?}");
        }
    }
}

#[test]
fn every_option_moves_a_level() {
    let changed = [
        json!({"name": "linspace", "drop_last": true}),
        json!({"name": "karras", "drop_last": true}),
        json!({"name": "exponential", "drop_last": true}),
        json!({"name": "leading", "offset": 1}),
        json!({"name": "polyexponential", "rho": 2}),
        json!({"name": "polyexponential", "sigma_min": 0.1}),
        json!({"name": "polyexponential", "sigma_max": 5}),
        json!({"name": "quadratic", "power": 3}),
        json!({"name": "beta", "alpha": 0.7}),
        json!({"name": "beta", "beta": 0.7}),
        json!({"name": "beta", "over": "sigmas"}),
        json!({"name": "kl_optimal", "sigma_min": 0.1}),
        json!({"name": "kl_optimal", "sigma_max": 5}),
        json!({"name": "align_your_steps", "table": "sdxl"}),
        json!({"name": "align_your_steps", "keep_last": true}),
        json!({"name": "linear_quadratic", "threshold_noise": 0.1}),
        json!({"name": "linear_quadratic", "linear_steps": 2}),
        json!({"name": "linear_quadratic", "over": "sigmas"}),
        json!({"name": "flow_shift", "kind": "linear"}),
        json!({"name": "flow_shift", "shift": 2}),
        json!({"name": "flow_shift", "to_least": true}),
        json!({"name": "flow_shift", "shift_terminal": 0.1}),
        json!({"name": "distilled", "original_steps": 40}),
        json!({"name": "distilled", "dense": true}),
    ];
    let process = Named::ScaledLinear.process();
    let grid = |asked: &Value| levels(asked, &*process, 7, &ends(End::Zero, Time::Real)).unwrap();
    for asked in &changed {
        assert_ne!(grid(asked), grid(&asked["name"]), "{asked}");
    }
    let dynamic = json!({"name": "flow_shift", "kind": "exponential"});
    for (option, value) in [
        ("base_shift", 1.0),
        ("max_shift", 2.0),
        ("base_image_seq_len", 100.0),
        ("max_image_seq_len", 8192.0),
        ("patch", 1.0),
    ] {
        let mut asked = dynamic.clone();
        asked[option] = if option.ends_with("shift") { json!(value) } else { json!(value as u32) };
        assert_ne!(grid(&asked), grid(&dynamic), "{asked}");
    }
}

/// As k-diffusion's users leave the next to last level out: that of one step more.
#[test]
fn the_last_level_of_one_step_more_can_be_left_out() {
    let process = Named::ScaledLinear.process();
    let of = |asked: Value, steps| levels(&asked, &*process, steps, &ends(End::Zero, Time::Real)).unwrap();
    for name in ["karras", "exponential", "linspace"] {
        let (left, whole) = (of(json!({"name": name, "drop_last": true}), 5), of(json!(name), 6));
        for (level, other) in left.levels()[..5].iter().zip(whole.levels()) {
            assert!((level.ratio() / other.ratio() - 1.0).abs() < 1e-12, "{name}: {level:?} {other:?}");
        }
        assert_eq!(left.last().sigma, 0.0);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_the_field() {
    let process = Named::ScaledLinear.process();
    let refused = [
        (json!({"name": "distilled"}), 51, "/steps"),
        (json!({"name": "distilled", "original_steps": 4, "dense": true}), 5, "/steps"),
        (json!({"name": "linear_quadratic", "linear_steps": 7}), 7, "/schedule/linear_steps"),
        (json!({"name": "linear_quadratic", "linear_steps": 1, "threshold_noise": 0.5}), 7, "/schedule/linear_steps"),
        (json!({"name": "karras", "sigma_min": 3, "sigma_max": 3}), 2, "/schedule"),
        (
            json!({"name": "flow_shift", "kind": "linear", "base_shift": 0, "max_shift": 10, "base_image_seq_len": 4096, "max_image_seq_len": 4097}),
            2,
            "/schedule/max_shift",
        ),
    ];
    for (asked, steps, pointer) in refused {
        let fault = levels(&asked, &*process, steps, &ends(End::Zero, Time::Real)).unwrap_err();
        assert_eq!(fault.pointer, pointer, "{asked}: {fault}");
    }
    assert_eq!(
        levels(&json!({"name": "karras", "sigma_min": 3, "sigma_max": 3}), &*process, 1, &ends(End::Zero, Time::Real))
            .unwrap()
            .len(),
        1
    );
}
