//! Solvers that are others in disguise: the same states, to rounding.

use darkroom::{denoiser::Prediction, noise::Path, process::Named, sampler::TABLEAUX};
use serde_json::{Value, json};
use tch::Tensor;

use crate::support::exact::{apart, model, sample, solver, uniform_lambda};

/// Ends of runs of 11 steps, uniform in lambda.
fn ends(values: &[Value]) -> Vec<Tensor> {
    let process = Named::ScaledLinear.process();
    let exact = model(process.clone(), Prediction::VPrediction);
    let x = Tensor::from_slice(&[9.0, -4.0, -14.0, 3.0, 5.0, 11.0]).view([3, 1, 1, 2]) * process.at_lambda(-2.5).alpha;
    let grid = uniform_lambda(&*process, -2.5, 2.5, 11);
    values.iter().map(|value| sample(&exact, solver(value), &grid, &x, &[1, 2, 3])).collect()
}

fn same(a: &Value, b: &Value) {
    let both = ends(&[a.clone(), b.clone()]);
    let off = apart(&both[0], &both[1]);
    assert!(off < 1e-11, "{a} and {b} are {off:.1e} apart");
}

#[test]
fn first_orders_are_all_ddim() {
    let ddim = json!("ddim");
    for other in [
        json!("euler"),
        json!({"name": "dpm_solver", "order": 1}),
        json!({"name": "dpm_solver", "order": 1, "variant": "multistep"}),
        json!({"name": "deis", "variant": "tab", "order": 1}),
        json!({"name": "deis", "variant": "rhoab", "order": 1}),
        json!({"name": "deis", "variant": "logrho", "order": 1}),
        json!({"name": "deis", "variant": "rhork", "order": 1}),
        json!({"name": "unipc", "order": 1, "corrector": false}),
        json!({"name": "pndm", "variant": "ipndm", "order": 1}),
        json!({"name": "ghvb", "momentum_number": 1}),
        json!({"name": "rk", "tableau": "euler"}),
        json!({"name": "rk", "tableau": "euler", "coordinate": "flow"}),
        json!({"name": "lms", "order": 1}),
        json!({"name": "edm", "order": 1}),
        json!({"name": "bdia", "gamma": 0}),
        json!({"name": "tcd", "eta": 0}),
        json!({"name": "usf", "plan": [{"order": 1}]}),
        json!({"name": "usf", "plan": [{"order": 1, "prediction": "noise"}]}),
        json!({"name": "euler_a", "eta": 0}),
    ] {
        same(&ddim, &other);
    }
    same(&json!({"name": "ddim", "eta": 1.0}), &json!("ddpm"));
}

#[test]
fn without_fresh_noise_the_stochastic_ones_are_their_deterministic_siblings() {
    same(&json!({"name": "dpmpp_2m_sde", "eta": 0}), &json!("dpmpp_2m"));
    same(&json!({"name": "dpm2_a", "eta": 0}), &json!("dpm2"));
    same(&json!({"name": "edm"}), &json!("heun"));
    same(&json!({"name": "restart", "low": 0.1, "high": 0.001}), &json!("heun"));
}

#[test]
fn second_orders_meet() {
    same(&json!("dpmpp_2m"), &json!({"name": "unipc", "order": 2, "corrector": false}));
    same(
        &json!({"name": "dpmpp_2m", "difference": "taylor"}),
        &json!({"name": "unipc", "order": 2, "corrector": false, "variant": "exact"}),
    );
    let taylor = json!({"name": "dpm_solver", "order": 2, "variant": "multistep", "difference": "taylor"});
    same(&taylor, &json!({"name": "deis", "variant": "logrho", "order": 2}));
    same(&json!({"name": "lms", "order": 1}), &json!({"name": "deis", "variant": "rhoab", "order": 1}));
    same(&json!({"name": "ghvb", "momentum_number": 4}), &json!({"name": "pndm", "variant": "ipndm"}));
    same(&json!("dpmpp_3m"), &json!({"name": "unipc", "order": 3, "corrector": false}));
}

/// Liu et al. 2024: the published solvers are plans.
#[test]
fn published_solvers_are_plans() {
    let bh2 = json!({"relaxation": "bh2"});
    let step = |order: u32, prediction: &str, corrector: &str, derivative: &Value| json!({"order": order, "prediction": prediction, "corrector": corrector, "derivative": derivative});
    let plan = |orders: [u32; 11], prediction: &str, corrector: &str, derivative: &Value| {
        let steps: Vec<Value> = orders.iter().map(|order| step(*order, prediction, corrector, derivative)).collect();
        json!({"name": "usf", "plan": steps})
    };
    let two = [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1];
    let none = json!({});
    same(&json!("dpmpp_2m"), &plan(two, "data", "none", &bh2));
    same(&json!("unipc"), &plan(two, "data", "relaxed", &bh2));
    let bh1 = json!({"relaxation": "bh1"});
    same(&json!({"name": "unipc", "variant": "bh1", "form": "noise"}), &plan(two, "noise", "relaxed", &bh1));
    let three = [1, 2, 3, 3, 3, 3, 3, 3, 3, 2, 1];
    same(&json!({"name": "deis", "variant": "logrho"}), &plan(three, "noise", "none", &none));
    same(&json!({"name": "unipc", "order": 3, "variant": "exact"}), &plan(three, "data", "plain", &none));
}

#[test]
fn every_option_of_a_plan_matters() {
    let base = json!({"order": 3});
    let others = [
        json!({"order": 2}),
        json!({"order": 3, "prediction": "noise"}),
        json!({"order": 3, "corrector": "plain"}),
        json!({"order": 3, "derivative": {"points": 1}}),
        json!({"order": 3, "derivative": {"relaxation": "linear", "rate": 0.5}}),
        json!({"order": 3, "derivative": {"relaxation": "bh1"}}),
    ];
    let values: Vec<Value> =
        std::iter::once(base).chain(others).map(|step| json!({"name": "usf", "plan": [step]})).collect();
    let ends = ends(&values);
    for (value, end) in values.iter().zip(&ends).skip(1) {
        assert!(apart(end, &ends[0]) > 1e-6, "{value} changes nothing");
    }
}

/// Butcher's conditions up to order 3, and that rows sum to their nodes.
#[test]
fn tableaux_satisfy_their_order_conditions() {
    for tableau in TABLEAUX {
        let b = tableau.butcher();
        let sum = |f: &dyn Fn(usize) -> f64| (0..b.weights.len()).map(|k| b.weights[k] * f(k)).sum::<f64>();
        let near = |found: f64, right: f64| assert!((found - right).abs() < 1e-14, "{tableau:?}: {found}, not {right}");
        for (node, stages) in b.nodes.iter().zip(b.stages) {
            near(stages.iter().sum(), *node);
        }
        near(sum(&|_| 1.0), 1.0);
        if b.order >= 2 {
            near(sum(&|k| b.nodes[k]), 0.5);
        }
        if b.order >= 3 {
            near(sum(&|k| b.nodes[k] * b.nodes[k]), 1.0 / 3.0);
            near(sum(&|k| b.stages[k].iter().zip(b.nodes).map(|(a, c)| a * c).sum()), 1.0 / 6.0);
        }
        if b.order >= 4 {
            near(sum(&|k| b.nodes[k].powi(3)), 0.25);
        }
    }
}

/// The noise gathered over a way is that gathered over its parts, and each part is standard normal.
#[test]
fn a_brownian_path_adds_up() {
    let share: f64 = 0.7;
    let clock = |lambda: f64| (2.0 * share * lambda).exp();
    let (a, b, c) = (-1.0, 0.25, 2.0);
    let path = Path::new(share, vec![(a, b), (b, c), (a, c), (a, a + 1e-9)]);
    let n = 20_000;
    let part = |k: u32| path.increment(5, k, n).unwrap();
    let (first, second, whole) = (part(0), part(1), part(2));
    let length = |from: f64, to: f64| (clock(to) - clock(from)).sqrt() as f32;
    for i in 0..n {
        let sum = first[i] * length(a, b) + second[i] * length(b, c);
        assert!((sum - whole[i] * length(a, c)).abs() < 1e-3, "{sum} {}", whole[i]);
    }
    for part in [&first, &second, &whole] {
        let mean: f32 = part.iter().sum::<f32>() / n as f32;
        let variance: f32 = part.iter().map(|z| z * z).sum::<f32>() / n as f32;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
    }
    let product: f32 = first.iter().zip(&second).map(|(a, b)| a * b).sum::<f32>() / n as f32;
    assert!(product.abs() < 0.03, "parts are independent: {product}");
    assert!(path.increment(5, 3, n).is_none() && path.increment(5, 4, n).is_none());
}

/// More steps along one path refine the same end; with independent noise they draw another.
#[test]
fn a_brownian_path_is_refined_by_more_steps() {
    let process = Named::ScaledLinear.process();
    let exact = model(process.clone(), Prediction::Epsilon);
    let x = Tensor::from_slice(&[9.0, -4.0, -14.0, 3.0, 5.0, 11.0]).view([3, 1, 1, 2]) * process.at_lambda(-2.5).alpha;
    let gap = |noise: &str| {
        let end = |steps| {
            let value = json!({"name": "dpmpp_2m_sde", "noise": noise});
            sample(&exact, solver(&value), &uniform_lambda(&*process, -2.5, 2.5, steps), &x, &[1, 2, 3])
        };
        apart(&end(100), &end(200))
    };
    let (path, fresh) = (gap("brownian"), gap("independent"));
    assert!(path < 0.5 * fresh, "{path} along a path, {fresh} without");
}
