//! Every registered solver on the exact model: order, marginals, evaluation counts, identities.

use std::sync::Arc;

use darkroom::{
    ask::Net,
    denoiser::{Estimate, Prediction},
    model::gaussian::Gaussian,
    process::{Grid, Level, MeanReverting, Named, Process, Theta},
    sampler::{AnySolver, SAMPLERS, Sampler},
    schedule::{End, Ends, Ground, SCHEDULES, Start, Time},
};
use serde_json::{Map, json};
use tch::{Device, Kind, Tensor};

use crate::support::exact::{apart, finish, in_states, model, path, run, sample, solver, uniform_lambda};

const FROM: f64 = -2.5;
const TO: f64 = 2.5;

fn starts(process: &dyn Process) -> Tensor {
    let y = Tensor::from_slice(&[9.0, -4.0, -14.0, 3.0, 5.0, 11.0]).view([3, 1, 1, 2]);
    y * process.at_lambda(FROM).alpha
}

/// The options under which the order does not fall at the end.
fn full_order(name: &str) -> Box<dyn AnySolver> {
    let entry = &SAMPLERS.iter().find(|sampler| sampler.entry.name == name).unwrap().entry;
    let mut options = entry.canonical(&Map::new()).unwrap();
    if let Some(lowered) = options.get_mut("lower_order_final") {
        *lowered = false.into();
    }
    solver(&options)
}

/// Steps of the two runs whose errors give a formal order: divisible by the evaluations of a step of any order, and not so
/// many that the tables of training times show, which are linear in between.
const FORMAL: [usize; 2] = [84, 168];
/// The same for the order in practice: further out, where the first-order steps at the ends outweigh those between.
const PRACTICAL: [usize; 2] = [168, 336];
/// Estimates from before the start: as many as any solver looks back on.
const WARM: usize = 5;

/// The observed order, uniform in lambda: the formal one with exact estimates from before the start, which `warm` hands over,
/// or the one in practice.
fn order(exact: &Exact, model: &Gaussian, solver: &dyn Fn() -> Box<dyn AnySolver>, warm: bool) -> f64 {
    let [coarse, fine] = [0, 1].map(|at: usize| {
        let counts = if warm { FORMAL } else { PRACTICAL };
        let grid = uniform_lambda(&*exact.process, FROM, TO, counts[at]);
        let mut run = run(model, &Net::default(), &grid, &exact.x, &[1, 2, 3]);
        if warm {
            let known = exact.before[at].iter();
            let copy = |known: &Estimate| Estimate {
                x0: known.x0.shallow_clone(),
                eps: known.eps.shallow_clone(),
                range: None,
            };
            run.warm = known.map(|(level, estimate)| (*level, copy(estimate))).collect();
        }
        apart(&finish(model, solver(), run), &exact.end)
    });
    (coarse / fine).log2()
}

/// A process, where its runs start and where they would end, and what is known from before the start of the formal ones.
struct Exact {
    process: Arc<dyn Process>,
    x: Tensor,
    end: Tensor,
    before: [Vec<(Level, Estimate)>; 2],
}

impl Exact {
    fn new(process: Arc<dyn Process>) -> Self {
        let (x, exact) = (starts(&*process), model(process.clone(), Prediction::Epsilon));
        let start = process.at_lambda(FROM);
        let end = path(&exact, &x, &start, &process.at_lambda(TO));
        let before = FORMAL.map(|steps| {
            let lambda = |k: usize| FROM - (TO - FROM) * k as f64 / steps as f64;
            let levels = (1..=WARM).map(|k| process.at_lambda(lambda(k)));
            levels.map(|level| (level, estimate(&exact, &path(&exact, &x, &start, &level), &level))).collect()
        });
        Self { process, x, end, before }
    }
}

/// What the exact model says of the state `x` `[n, 1, 1, d]` at a level.
fn estimate(exact: &Gaussian, x: &Tensor, level: &Level) -> Estimate {
    let (n, d) = (x.size()[0], x.size()[3]);
    let column = |value: f64| Tensor::full([n, 1], value, (Kind::Double, Device::Cpu));
    let none = Tensor::full([n], -1, (Kind::Int64, Device::Cpu));
    let x0 = in_states(exact).denoise(&x.view([n, d]), &column(level.alpha), &column(level.sigma), &none);
    let x0 = x0.view(&x.size()[..]);
    Estimate { eps: (x - &x0 * level.alpha) / level.sigma, x0, range: None }
}

fn declared_orders_hold(named: Named) {
    let exact = Exact::new(match named {
        // A table of 100 times shows in methods that count in them.
        Named::MeanReverting => Arc::new(MeanReverting::new(Theta::Cosine, 1000, 0.005, 0.4)),
        _ => named.process(),
    });
    // The prediction that models of the process usually make.
    let prediction = match named {
        Named::Flow => Prediction::Flow,
        Named::Ve => Prediction::Sample,
        Named::Cosine => Prediction::VPrediction,
        Named::Residual => Prediction::Residual,
        Named::Resfusion => Prediction::ResidualNoise,
        _ => Prediction::Epsilon,
    };
    let model = model(exact.process.clone(), prediction);
    let mut wrong = Vec::new();
    for (sampler, declared) in SAMPLERS.iter().filter_map(|sampler| Some((sampler, sampler.order?))) {
        let name = sampler.entry.name;
        let formal = order(&exact, &model, &|| full_order(name), true);
        let practical = order(&exact, &model, &|| solver(&json!(name)), false);
        // Between the order of its ends and its own a solver looks better than it is in the limit.
        let above = if declared.in_practice < declared.formal { 0.5 } else { 0.15 };
        let off = |observed: f64, declared: u32, above: f64| {
            let more = observed - f64::from(declared);
            more < -0.15 || more > above
        };
        if off(formal, declared.formal, 0.25) || off(practical, declared.in_practice, above) {
            wrong.push(format!("{name}: orders {formal:.3} and {practical:.3}, not {declared:?}"));
        }
    }
    assert!(wrong.is_empty(), "{named:?} {wrong:#?}");
}

#[test]
fn orders_hold_under_the_linear_process() {
    declared_orders_hold(Named::Linear);
}

#[test]
fn orders_hold_under_the_scaled_linear_process() {
    declared_orders_hold(Named::ScaledLinear);
}

#[test]
fn orders_hold_under_the_cosine_process() {
    declared_orders_hold(Named::Cosine);
}

#[test]
fn orders_hold_under_the_exploding_process() {
    declared_orders_hold(Named::Ve);
}

#[test]
fn orders_hold_under_flow_matching() {
    declared_orders_hold(Named::Flow);
}

#[test]
fn orders_hold_under_the_mean_reverting_process() {
    declared_orders_hold(Named::MeanReverting);
}

#[test]
fn orders_hold_under_the_residual_process() {
    declared_orders_hold(Named::Residual);
}

#[test]
fn orders_hold_under_the_process_of_resfusion() {
    declared_orders_hold(Named::Resfusion);
}

/// So what holds for one prediction holds for all.
#[test]
fn no_solver_can_tell_what_a_network_predicts() {
    for named in Named::ALL {
        let process = named.process();
        let x = starts(&*process);
        let grid = uniform_lambda(&*process, FROM, TO, 7);
        let models = Prediction::ALL.map(|prediction| model(process.clone(), prediction));
        for sampler in SAMPLERS {
            let end = |model| sample(model, solver(&json!(sampler.entry.name)), &grid, &x, &[1, 2, 3]);
            let first = end(&models[0]);
            for model in &models[1..] {
                assert!(apart(&end(model), &first) < 1e-9, "{} {named:?}", sampler.entry.name);
            }
        }
    }
}

#[test]
fn declared_evaluations_are_those_made() {
    let ways = [1, 2, 7].into_iter().flat_map(|steps| [(steps, End::Zero), (steps, End::First)]);
    for (named, (steps, end)) in Named::ALL.into_iter().flat_map(|named| ways.clone().map(move |way| (named, way))) {
        let process = named.process();
        let ground = Ground { process: &*process, offset: 0, latent: [4, 16, 16] };
        // From the last time, where restoring processes have no signal, or the last level with one.
        for name in ["linspace", "karras"] {
            let schedule = SCHEDULES.iter().find(|kind| kind.entry.name == name).unwrap();
            let ends = Ends { start: Start::Sigma, time: Time::Real, end };
            let grid = schedule.entry.read(Map::new()).unwrap().grid(&ground, steps, &ends).unwrap();
            for sampler in SAMPLERS {
                evaluates_as_declared(&process, &grid, sampler);
            }
        }
    }
}

fn evaluates_as_declared(process: &Arc<dyn Process>, grid: &Grid, sampler: &Sampler) {
    let exact = model(process.clone(), Prediction::Sample);
    let solver = solver(&json!(sampler.entry.name));
    let (declared, most) = (solver.evaluations(grid), solver.most(grid) as u64);
    let x = Tensor::ones([2, 1, 1, 2], (Kind::Double, Device::Cpu));
    let end = sample(&exact, solver, grid, &x, &[1, 2]);
    let at = format!("{} at {} steps of {}", sampler.entry.name, grid.len(), process.name());
    assert!(end.isfinite().all().int64_value(&[]) == 1, "{at}");
    let made = exact.counted().0;
    assert!(made <= most, "{at}: {made} evaluations, at most {most}");
    assert_eq!(made, declared.map_or(made, |n| n as u64), "{at}");
}

#[test]
fn rows_do_not_know_each_other() {
    let process = Named::ScaledLinear.process();
    let exact = model(process.clone(), Prediction::VPrediction);
    let grid = uniform_lambda(&*process, FROM, TO, 9);
    let x = starts(&*process);
    // A sampler that reads values gets a run for each picture.
    for sampler in SAMPLERS.iter().filter(|sampler| !solver(&json!(sampler.entry.name)).alone()) {
        let all = sample(&exact, solver(&json!(sampler.entry.name)), &grid, &x, &[5, 6, 7]);
        for row in 0..3 {
            let seed = 5 + u64::try_from(row).unwrap();
            let one = sample(&exact, solver(&json!(sampler.entry.name)), &grid, &x.narrow(0, row, 1), &[seed]);
            assert!(apart(&one, &all.narrow(0, row, 1)) < 1e-12, "{} row {row}", sampler.entry.name);
        }
    }
}

#[test]
fn noise_matters_exactly_where_a_solver_is_stochastic() {
    let process = Named::Cosine.process();
    let exact = model(process.clone(), Prediction::Sample);
    let grid = uniform_lambda(&*process, FROM, TO, 6);
    let x = starts(&*process);
    let options = [
        json!({"name": "ddim", "eta": 0.5}),
        json!({"name": "euler_a", "eta": 0.0}),
        json!({"name": "euler_a", "s_noise": 0.0}),
        json!({"name": "edm", "churn": 10}),
        json!({"name": "tcd", "eta": 0}),
        json!({"name": "dpmpp_2m_sde", "eta": 0}),
        json!({"name": "dpmpp_3m_sde", "noise": "independent"}),
        json!({"name": "dpmpp_sde", "s_noise": 0}),
        json!({"name": "dpm2_a", "eta": 0}),
    ];
    for value in SAMPLERS.iter().map(|sampler| json!(sampler.entry.name)).chain(options) {
        let stochastic = solver(&value).stochastic();
        let (a, b) = (
            sample(&exact, solver(&value), &grid, &x, &[1, 2, 3]),
            sample(&exact, solver(&value), &grid, &x, &[4, 5, 6]),
        );
        assert_eq!(apart(&a, &b) > 1e-3, stochastic, "{value}");
    }
}

#[test]
fn euler_is_deterministic_ddim_and_the_first_step_of_2m() {
    let process = Named::ScaledLinear.process();
    let exact = model(process.clone(), Prediction::Epsilon);
    let x = starts(&*process);
    let grid = uniform_lambda(&*process, FROM, TO, 7);
    let end = |name: &str, grid| sample(&exact, solver(&json!(name)), grid, &x, &[1, 2, 3]);
    assert!(apart(&end("euler", &grid), &end("ddim", &grid)) < 1e-13);
    let one = uniform_lambda(&*process, FROM, TO, 1);
    assert!(apart(&end("dpmpp_2m", &one), &end("ddim", &one)) < 1e-13);
}

#[test]
fn the_last_step_into_zero_is_the_clean_picture() {
    for process in Named::ALL.map(Named::process) {
        let exact = model(process.clone(), Prediction::VPrediction);
        let last = process.at_lambda(1.0);
        let grid = Grid::new(vec![last, process.clean()]);
        let x = starts(&*process);
        let clean = estimate(&exact, &x, &last).x0;
        for sampler in SAMPLERS {
            let end = sample(&exact, solver(&json!(sampler.entry.name)), &grid, &x, &[1, 2, 3]);
            // The boundary condition of consistency models keeps a share of the state, that of its time.
            let kept = if sampler.entry.name == "lcm" { 0.25 / (10.0 * last.t).powi(2) } else { 0.0 };
            let off = apart(&end, &clean);
            assert!(off < 1e-9 + 100.0 * kept, "{} {}: {off:e}", sampler.entry.name, process.name());
        }
    }
}

/// UniPC with p estimates has order p without and p + 1 with the corrector, in both forms; with one and without it is DDIM.
#[test]
fn unipc_has_the_order_of_its_estimates() {
    let exact = Exact::new(Named::Cosine.process());
    let (process, x) = (exact.process.clone(), &exact.x);
    let model = model(process.clone(), Prediction::VPrediction);
    for form in ["data", "noise"] {
        for (estimates, corrector, declared) in [(1, true, 2.0), (2, false, 2.0), (2, true, 3.0)] {
            let value = json!({
                "name": "unipc", "order": estimates, "corrector": corrector, "form": form, "lower_order_final": false
            });
            let observed = order(&exact, &model, &|| solver(&value), false);
            assert!((observed - declared).abs() < 0.2, "{value}: order {observed:.3}, not {declared}");
        }
    }
    let grid = uniform_lambda(&*process, FROM, TO, 9);
    let first = sample(&model, solver(&json!({"name": "unipc", "order": 1, "corrector": false})), &grid, x, &[1, 2, 3]);
    assert!(apart(&first, &sample(&model, solver(&json!("ddim")), &grid, x, &[1, 2, 3])) < 1e-13);
}

/// The weights through p estimates integrate every polynomial in lambda of a degree below p, here by Simpson's rule.
#[test]
fn exponential_weights_are_exact_for_polynomials() {
    use darkroom::sampler::{Form, Span, through};
    let process = Named::ScaledLinear.process();
    let level = |lambda: f64| process.at_lambda(lambda);
    for (lambdas, h) in
        [(vec![0.3, -0.5, -0.9, -2.0], 0.7), (vec![0.3, -0.5, -0.9, -2.0], 3.0), (vec![1.0, 0.99, 0.98], 0.01)]
    {
        let past: Vec<_> = lambdas.iter().map(|lambda| level(*lambda)).collect();
        let (from, to) = (past[0], level(lambdas[0] + h));
        for form in [Form::Data, Form::Noise] {
            let span = Span { from, to, past: &past, index: 4, left: 3, process: &*process };
            let weights = through(form, &span);
            let (own, sign, scale) = match form {
                Form::Data => (&weights.x0, -1.0, to.alpha),
                Form::Noise => (&weights.eps, 1.0, -to.sigma),
            };
            for degree in 0..past.len() {
                let power = i32::try_from(degree).unwrap();
                let value = |u: f64| (sign * (h - u)).exp() * u.powi(power);
                let n = 2000;
                let at = |k: i32| value(h * f64::from(k) / f64::from(n));
                let inner: f64 = (1..n).map(|k| if k % 2 == 1 { 4.0 * at(k) } else { 2.0 * at(k) }).sum();
                let exact = scale * (at(0) + inner + at(n)) * h / (3.0 * f64::from(n));
                let weighed: f64 =
                    own.iter().zip(&lambdas).map(|(w, lambda)| w * (lambda - lambdas[0]).powi(power)).sum();
                assert!(
                    (weighed - exact).abs() < 1e-9 * (1.0 + exact.abs()),
                    "{form:?} h {h} degree {degree}: {weighed} {exact}"
                );
            }
        }
    }
}
