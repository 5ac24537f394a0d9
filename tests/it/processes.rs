//! Processes, schedules, prediction types and noise against figures known in advance.

use darkroom::{
    denoiser::{Around, Prediction},
    noise::{Noise, Purpose, normals, philox},
    process::{Betas, Change, Level, Named, Process, Vp},
    schedule::{End, Ends, Ground, SCHEDULES, Start, Time, canonical},
};
use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};

use crate::support::exact::apart;

#[test]
fn processes_have_the_published_levels() {
    // alpha_bar at training times 0, 499, 999, in double precision from the definitions.
    let known = [
        (Named::Linear, [0.9999, 0.078_587_242_9, 4.035_830e-5]),
        (Named::ScaledLinear, [0.99915, 0.277_669_650_5, 0.004_660_098_5]),
        (Named::Cosine, [0.999_958_715_8, 0.493_843_590_4, 2.428_766_9e-9]),
    ];
    for (named, bars) in known {
        for (t, bar) in [0.0, 499.0, 999.0].into_iter().zip(bars) {
            let found = named.process().at(t).alpha.powi(2);
            assert!((found / bar - 1.0).abs() < 1e-6, "{named:?} at {t}: {found}");
        }
    }
}

#[test]
fn a_level_and_its_time_determine_each_other() {
    for named in Named::ALL {
        let process = named.process();
        let (low, high) = process.range();
        for k in 0..=200 {
            let level = process.at(low + (high - low) * f64::from(k) / 200.5);
            let back = process.at_lambda(level.lambda());
            assert!(
                (back.t - level.t).abs() < 1e-6 && (back.alpha - level.alpha).abs() < 1e-9,
                "{named:?} {level:?} {back:?}"
            );
        }
    }
}

#[test]
fn a_zero_terminal_process_ends_without_signal() {
    let betas = Betas::ScaledLinear { ends: (0.00085, 0.012), steps: 1000 };
    let process = Vp::zero_terminal(&betas);
    assert_eq!(process.at(999.0).alpha, 0.0);
    assert!((process.at(499.0).alpha.powi(2) - 0.242_359_166_6).abs() < 1e-9);
    assert!((process.at(0.0).alpha - Vp::new(&betas).at(0.0).alpha).abs() < 1e-12);
    for t in [998.0, 998.25, 998.5, 998.999] {
        let level = process.at(t);
        assert!(level.alpha > 0.0 && (process.at_lambda(level.lambda()).t - t).abs() < 1e-9, "{level:?}");
    }
}

fn times(name: &str, options: Value, steps: usize, ends: Ends) -> Vec<f64> {
    let kind = SCHEDULES.iter().find(|kind| kind.entry.name == name).unwrap();
    let process = Named::ScaledLinear.process();
    let options: Map<String, Value> = options.as_object().cloned().unwrap();
    let ground = Ground { process: &*process, offset: 1, latent: [4, 16, 16] };
    let grid = kind.entry.read(options).unwrap().grid(&ground, steps, &ends).unwrap();
    grid.levels()[..grid.len()].iter().map(|level| level.t).collect()
}

const WHOLE: Ends = Ends { start: Start::Unit, time: Time::Integer, end: End::Zero };

#[test]
fn spacings_are_those_of_their_definitions() {
    assert_eq!(times("leading", json!({}), 4, WHOLE), [751.0, 501.0, 251.0, 1.0]);
    assert_eq!(times("leading", json!({"offset": 0}), 3, WHOLE), [666.0, 333.0, 0.0]);
    assert_eq!(times("trailing", json!({}), 4, WHOLE), [999.0, 749.0, 499.0, 249.0]);
    // 1000 / 13 is no integer: each time is rounded by itself, no stride is added up.
    assert_eq!(times("trailing", json!({}), 13, WHOLE)[..3], [999.0, 922.0, 845.0]);
    // Ties go to the even number before 1 is taken off: 937.5, 812.5, 687.5.
    assert_eq!(times("trailing", json!({}), 16, WHOLE)[..6], [999.0, 937.0, 874.0, 811.0, 749.0, 687.0]);
    assert_eq!(times("linspace", json!({}), 4, WHOLE), [999.0, 666.0, 333.0, 0.0]);
    assert_eq!(times("linspace", json!({"drop_last": true}), 5, WHOLE), [999.0, 799.0, 599.0, 400.0, 200.0]);
    assert_eq!(times("karras", json!({}), 5, WHOLE), [999.0, 786.0, 427.0, 59.0, 0.0]);
    assert_eq!(times("exponential", json!({}), 5, WHOLE), [999.0, 681.0, 233.0, 20.0, 0.0]);
    assert_eq!(times("uniform_lambda", json!({}), 5, WHOLE), [999.0, 681.0, 233.0, 20.0, 0.0]);
}

#[test]
fn canonical_schedules_say_every_end() {
    let habit = Ends { start: Start::Sigma, time: Time::Real, end: End::Zero };
    let full = canonical(&json!({"name": "karras", "end": "first"}), &habit).unwrap();
    let wanted = json!({"name": "karras", "over": "sigmas", "drop_last": false, "rho": 7.0, "sigma_min": null, "sigma_max": null, "start": "sigma", "time": "real", "end": "first"});
    assert_eq!(full, wanted);
    assert_eq!(canonical(&full, &WHOLE).unwrap(), wanted);
    assert_eq!(canonical(&json!({"name": "karras", "rhoo": 3}), &habit).unwrap_err().pointer, "/rhoo");
    assert_eq!(canonical(&json!({"name": "karras", "rho": 0.5}), &habit).unwrap_err().pointer, "/rho");
}

#[test]
fn predictions_read_back_what_they_wrote() {
    let level = Level { t: 0.0, alpha: 0.8, sigma: 0.6 };
    let (x0, eps) = (Tensor::from_slice(&[0.3, -1.2]), Tensor::from_slice(&[1.1, 0.4]));
    let x = &x0 * level.alpha + &eps * level.sigma;
    let mu = Tensor::from_slice(&[0.5, -0.1]);
    let changed = Around { change: Change { mean: 0.9, scale: 0.2, kappa: 0.4 }, mu: Some(&mu) };
    for (prediction, around) in
        Prediction::ALL.into_iter().flat_map(|kind| [(kind, Around::default()), (kind, changed)])
    {
        let output = prediction.write(&x0, &eps, &level, around);
        let (read_x0, read_eps) = prediction.read(&x, &output, &level, around);
        assert!(apart(&read_x0, &x0) < 1e-12 && apart(&read_eps, &eps) < 1e-12, "{prediction:?}");
    }
}

#[test]
fn philox_gives_the_published_bits() {
    // Known answers of the Random123 distribution for philox4x32 with 10 rounds.
    assert_eq!(philox([0, 0], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    let ones = u32::MAX;
    assert_eq!(philox([ones, ones], [ones; 4]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
}

#[test]
fn noise_is_standard_normal_and_a_function_of_its_counter() {
    let draws: Vec<f64> = normals(7, Purpose::Step, 3, 200_000).into_iter().map(f64::from).collect();
    let moment = |power: i32| draws.iter().map(|draw| draw.powi(power)).sum::<f64>() / draws.len() as f64;
    assert!(moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.02 && (moment(4) - 3.0).abs() < 0.1);
    assert_eq!(normals(7, Purpose::Start, 0, 10)[..5], normals(7, Purpose::Start, 0, 5)[..]);
    assert_ne!(normals(7, Purpose::Start, 0, 4), normals(7, Purpose::Step, 0, 4));
    let noise = Noise::new(vec![7, 8], &[3], Kind::Float, Device::Cpu);
    let (second, again) = (noise.step(1), noise.step(1));
    assert!(apart(&second, &again) == 0.0 && apart(&noise.step(2), &second) > 0.1);
    let alone = Noise::new(vec![8], &[3], Kind::Float, Device::Cpu);
    assert!(apart(&alone.step(1), &second.narrow(0, 1, 1)) == 0.0);
}
