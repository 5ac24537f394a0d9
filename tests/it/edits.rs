//! Editing methods against what is known exactly: counts, start levels, what is held, and how well RePaint agrees.

use std::sync::Arc;

use darkroom::{
    ask::Net,
    denoiser::{Kept, Prediction},
    edit::{self, tail},
    job::Generation,
    model::{
        Model,
        gaussian::{Gaussian, Mixture},
    },
    noise::{Noise, Purpose, normals},
    pixels::Given,
    process::{Betas, Grid, Named, Process, Vp},
    sampler::SAMPLERS,
    task::{Made, Plan, work},
};
use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::support::exact::{self, apart, around, drive, finish, normal, run, sample, solver, uniform_lambda};

fn vp() -> Arc<dyn Process> {
    Named::ScaledLinear.process()
}

fn grid(steps: usize) -> Grid {
    uniform_lambda(&*vp(), -2.0, 2.0, steps)
}

/// D3
#[test]
fn strength_is_a_share_of_the_steps() {
    let run = |steps: usize, strength| tail(&grid(steps), steps, strength).map_or(0, |tail| tail.len());
    let cases =
        [(50, 0.75, 37), (50, 0.8, 40), (50, 0.01, 1), (50, 1.0, 50), (50, 0.0, 0), (100, 0.29, 29), (7, 0.5, 3)];
    for (steps, strength, wanted) in cases {
        assert_eq!(run(steps, strength), wanted, "{strength} of {steps}");
    }
    for steps in 1..=200 {
        let counts: Vec<_> = (0..=steps).map(|k| run(steps, k as f64 / steps as f64)).collect();
        assert_eq!(counts, (0..=steps).collect::<Vec<_>>(), "k / {steps} is k steps for every k");
    }
    assert_eq!(tail(&grid(10), 10, 0.3).unwrap().levels(), &grid(10).levels()[7..]);
}

/// The counts of Lugmayr et al. 2022 and its published code.
#[test]
fn resampling_costs_what_the_paper_says() {
    let legs = |steps: usize, jump: u32, resample: u32| {
        let method = edit::read(&json!({"name": "inpaint", "jump": jump, "resample": resample})).unwrap();
        method.legs(uniform_lambda(&*vp(), -4.0, 4.0, steps))
    };
    let cases = [
        (250, 10, 10, 2410),
        (250, 10, 1, 250),
        (250, 10, 5, 1210),
        (100, 10, 5, 460),
        (50, 10, 10, 410),
        (50, 5, 3, 140),
        (5, 10, 5, 5),
        (1, 1, 20, 1),
    ];
    for (steps, jump, resample, calls) in cases {
        let legs = legs(steps, jump, resample);
        assert_eq!(legs.iter().map(Grid::len).sum::<usize>(), calls, "({steps}, {jump}, {resample})");
        let whole = uniform_lambda(&*vp(), -4.0, 4.0, steps);
        assert_eq!((legs[0].first(), legs.last().unwrap().last()), (whole.first(), whole.last()));
        let at = |level| whole.levels().iter().position(|known| *known == level).unwrap();
        for pair in legs.windows(2) {
            assert_eq!(at(pair[0].last()), at(pair[1].first()) + jump as usize, "a way up is `jump` levels");
        }
    }
}

/// A request to a model of one channel.
fn request(edit: Value, sampler: &Value, schedule: Value) -> Generation {
    let mut body = json!({
        "model": "gaussian", "prompt": "", "negative_prompt": "", "count": 1, "seed": 5, "width": 1, "height": 1,
        "clip_skip": 0, "prompt_syntax": "plain", "steps": 1000, "sampler": sampler, "schedule": schedule,
        "guidance": {"name": "none"}, "output": {"format": "safetensors"}, "preview_every": 0, "priority": 0, "metadata": {},
        "image": {"blob": "sha256:00"}, "source_prompt": "", "resize": "crop",
    });
    body.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
    serde_json::from_value(body).unwrap()
}

/// The final latents `[n, d]` of n pictures of an edit.
fn edited(model: &Gaussian, request: Generation, pictures: u32, given: Given) -> Tensor {
    let request = Generation { width: given.picture.width(), height: given.picture.height(), ..request };
    let plan =
        Plan::new(model.card().clone(), request, (0..pictures).collect(), &|id| Err(format!("no {id}"))).unwrap();
    let net = Net::default();
    let made = drive(&net, model, work(plan.with_given(Some(given)), net.clone(), Device::Cpu)).unwrap();
    let row = |product: darkroom::task::Product| match product.made {
        Made::Latents(values) => Tensor::from_slice(&values),
        _ => panic!("latents were asked for"),
    };
    Tensor::stack(&made.into_iter().map(row).collect::<Vec<_>>(), 0).to_kind(Kind::Double)
}

fn pixel(value: f64) -> (RgbImage, f64) {
    let byte = ((value + 1.0) * 127.5).round() as u8;
    (RgbImage::from_pixel(1, 1, Rgb([byte; 3])), f64::from(byte) / 127.5 - 1.0)
}

/// From `alpha x_in + sigma z` the exact path of `N(mean, std^2)` ends in `mean + std / s (alpha (x_in - mean) + sigma z)`
/// with `s^2 = alpha^2 std^2 + sigma^2`; at alpha = sigma and std 0.5, mean + 0.4472 (x_in - mean) + 0.4472 z.
#[test]
fn sdedit_walks_down_from_the_noised_picture() {
    let (mean, std) = (0.2, 0.5);
    let model = normal(vp(), mean, std, 1);
    let (picture, x_in) = pixel(-0.6);
    for strength in [0.2, 0.5, 0.9] {
        let wish = json!({"method": {"name": "sdedit", "feather": 0}, "strength": strength});
        let schedule = json!({"name": "linspace", "start": "unit", "time": "integer", "end": "zero"});
        let request = request(wish, &json!({"name": "dpmpp_2m"}), schedule);
        let plan = Plan::new(model.card().clone(), request.clone(), vec![0], &|id| Err(format!("no {id}"))).unwrap();
        let level = plan.legs[0].first();
        let given = Given { picture: picture.clone(), mask: None };
        let found = edited(&model, request, 4, given);
        for k in 0..4 {
            let z = f64::from(normals(5 + k, Purpose::Start, 0, 1)[0]);
            let s = (level.alpha * std).hypot(level.sigma);
            let wanted = mean + std / s * (level.alpha * (x_in - mean) + level.sigma * z);
            let off = (found.double_value(&[k as i64, 0]) - wanted).abs();
            assert!(off < 2e-3, "strength {strength}, seed {}: {off:e}", 5 + k);
        }
    }
}

fn halves() -> (Tensor, Tensor) {
    (Tensor::from_slice(&[0.4, -0.7]).view([1, 1, 1, 2]), Tensor::from_slice(&[true, false]).view([1, 1, 1, 2]))
}

/// Held through its estimates, the kept part of every sampler's state ends in the picture.
#[test]
fn every_sampler_ends_in_what_is_known() {
    let model = exact::model(vp(), Prediction::Epsilon);
    let (known, free) = halves();
    let mut wrong = Vec::new();
    // EDICT mixes two states and ends in neither's estimate; LCM keeps a share of the noisy state at small times.
    for sampler in SAMPLERS.iter().filter(|sampler| !["edict", "lcm", "usf"].contains(&sampler.entry.name)) {
        for steps in [1, 3, 8] {
            let mut levels = uniform_lambda(&*vp(), -3.0, 3.0, steps).levels().to_vec();
            levels[steps] = vp().clean();
            let grid = Grid::new(levels);
            let seeds = [1, 2, 3];
            let z = Noise::new(seeds.to_vec(), &[1, 1, 2], Kind::Double, Device::Cpu).start();
            let x = &known * grid.first().alpha + z * grid.first().sigma;
            let net = Net::default();
            let mut run = run(&model, &net, &grid, &x, &seeds);
            run.denoiser.anchor =
                Some(Box::new(Kept { known: known.shallow_clone(), free: free.shallow_clone(), fresh: None }));
            let end = finish(&model, solver(&json!(sampler.entry.name)), run);
            let off = apart(&end.narrow(3, 1, 1), &known.narrow(3, 1, 1).expand([3, 1, 1, 1], false));
            if off > 1e-9 {
                wrong.push(format!("{} {steps} steps: {off:e}", sampler.entry.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// For solvers of one evaluation a step and without noise of their own, what is told through the estimate is what is written over the state after each
/// step (Avrahami et al. 2023, algorithm 1, with one noise).
#[test]
fn holding_is_blending_after_every_step() {
    let model = exact::model(vp(), Prediction::VPrediction);
    let (known, free) = halves();
    let grid = grid(9);
    let z = Noise::new(vec![1, 2], &[1, 1, 2], Kind::Double, Device::Cpu).start();
    let at = |level: &darkroom::process::Level| &known * level.alpha + &z * level.sigma;
    for name in ["ddim", "euler"] {
        let mut blended = at(&grid.first());
        for step in 0..grid.len() {
            let leg = grid.between(step, step + 1);
            let next = sample(&model, solver(&json!(name)), &leg, &blended, &[1, 2]);
            blended = next.where_self(&free, &at(&leg.last()));
        }
        let net = Net::default();
        let mut run = run(&model, &net, &grid, &at(&grid.first()), &[1, 2]);
        run.denoiser.anchor =
            Some(Box::new(Kept { known: known.shallow_clone(), free: free.shallow_clone(), fresh: None }));
        let off = apart(&finish(&model, solver(&json!(name)), run), &blended);
        assert!(off < 1e-9, "{name}: {off:e}");
    }
}

/// `N(0, [[1, r], [r, 1]])` as a row of small Gaussians along its long axis: their variance is that of the short one.
fn correlated(r: f64) -> Gaussian {
    let (short, spread) = (1.0 - r, (2.0 * r).sqrt());
    let places: Vec<f64> = (-40..=40).map(|k| f64::from(k) * 0.1).collect();
    let weights: Vec<f64> = places.iter().map(|place| (-0.5 * place * place).exp()).collect();
    let whole: f64 = weights.iter().sum();
    let along = |place: f64| place * spread * std::f64::consts::FRAC_1_SQRT_2;
    let means: Vec<f64> = places.iter().flat_map(|place| [along(*place); 2]).collect();
    let mixture = Mixture {
        means: Tensor::from_slice(&means).view([places.len() as i64, 2]),
        stds: vec![short.sqrt(); places.len()],
        weights: weights.iter().map(|weight| weight / whole).collect(),
        labels: vec![0; places.len()],
    };
    let process: Arc<dyn Process> = Arc::new(Vp::new(&Betas::Linear { ends: (1e-4, 0.02), steps: 1000 }));
    around(process, Prediction::Epsilon, mixture, |shape| vec![0.0; shape.iter().product::<i64>() as usize])
}

/// One of two correlated numbers is kept: the other should have the mean `r a`. Blending falls short of it, and each
/// resampling comes nearer. The method card's own simulation at 250 steps: 0.624, 0.762, 0.851 of a against 0.9.
#[test]
fn resampling_brings_both_parts_to_agree() {
    let model = correlated(0.9);
    let (_, a) = pixel(0.75);
    let byte = ((a + 1.0) * 127.5).round() as u8;
    let picture = RgbImage::from_raw(2, 1, [[byte; 3], [128; 3]].concat()).unwrap();
    let mask = GrayImage::from_fn(2, 1, |x, _| Luma([if x == 0 { 0 } else { 255 }]));
    let mut means = Vec::new();
    for resample in [1, 2, 5] {
        let method = json!({"name": "inpaint", "feather": 0, "resample": resample, "jump": 10, "noise": "fresh"});
        let schedule = json!({"name": "trailing", "start": "unit", "time": "integer", "end": "zero"});
        let wish = json!({"method": method, "strength": 1, "mask": {"blob": "sha256:00"}, "steps": 250});
        let given = Given { picture: picture.clone(), mask: Some(mask.clone()) };
        let request = request(wish, &json!({"name": "ddpm"}), schedule);
        let found = edited(&model, request, 800, given);
        assert!(
            apart(&found.select(1, 0), &Tensor::from_slice(&[a])) < 1e-4,
            "what is kept is kept in the latents too"
        );
        let other = found.select(1, 1);
        means.push(other.mean(Kind::Double).double_value(&[]) / a);
        println!(
            "resample {resample}: mean {:.3} a, variance {:.3}",
            means.last().unwrap(),
            other.var(true).double_value(&[])
        );
    }
    for (found, wanted) in means.iter().zip([0.624, 0.762, 0.851]) {
        assert!((found - wanted).abs() < 0.08, "{means:?}");
    }
    assert!(means.is_sorted(), "{means:?}");
}
