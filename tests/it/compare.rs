//! `darkroom compare`, through the real binary and on the exact model.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

fn compare(dir: &Path, arguments: &[&str]) -> Output {
    on("gaussian", "no-such-folder", dir, arguments)
}

fn on(model: &str, models: &str, dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_darkroom"))
        .arg("compare")
        .args(arguments)
        .current_dir(dir)
        .env("DARKROOM__MODELS__DEFAULT", model)
        .env("DARKROOM__MODELS__DIR", models)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The runs of a sampler by rising steps.
fn runs<'a>(results: &'a Value, title: &str) -> Vec<&'a Value> {
    results["runs"].as_array().unwrap().iter().filter(|run| run["title"] == title).collect()
}

fn errors(results: &Value, title: &str) -> Vec<f64> {
    runs(results, title).iter().map(|run| run["error"]["mean"].as_f64().unwrap()).collect()
}

#[test]
fn errors_fall_with_the_steps_and_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let eta = r#"{"name": "ddim", "eta": 0.5}"#;
    let arguments = ["--samplers", "euler,heun,euler_a", "--sampler", eta, "--steps", "20,5,10,10", "--seeds", "2"];
    let more = ["--label", "1", "--schedule", "karras", "--reference-steps", "200", "-o", "out/deep"];
    let done = compare(dir.path(), &[&arguments[..], &more].concat());
    assert_eq!((done.status.code(), text(&done.stderr).as_str()), (Some(0), ""));

    let folder = dir.path().join("out/deep");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let results: Value = serde_json::from_str(&read("results.json")).unwrap();
    for (title, evaluations) in [("Euler", [5.0, 10.0, 20.0]), ("Heun", [10.0, 20.0, 40.0])] {
        let counted: Vec<_> = runs(&results, title).iter().map(|run| run["evaluations"].as_f64().unwrap()).collect();
        assert_eq!(counted, evaluations, "{title}");
        let errors = errors(&results, title);
        assert!(errors.is_sorted_by(|more, fewer| more > fewer), "{title}: {errors:?}");
    }
    for (heun, euler) in errors(&results, "Heun").iter().zip(errors(&results, "Euler")).skip(1) {
        assert!(*heun < euler, "{heun} {euler}");
    }
    let moved = results["reference"]["moved"].as_f64().unwrap();
    assert!(moved < 1e-3 && moved > 0.0, "{moved}");
    for title in ["Euler ancestral", "DDIM, eta 0.5"] {
        for run in runs(&results, title) {
            assert_eq!((&run["stochastic"], &run["error"]), (&Value::Bool(true), &Value::Null), "{run}");
        }
    }

    let table = read("table.md");
    assert_eq!(table.lines().filter(|line| line.starts_with("| Euler  ")).count(), 3, "{table}");
    assert_eq!(table.lines().filter(|line| line.starts_with('|')).count(), 2 + 4 * 3, "{table}");
    assert_eq!(table.matches("draws noise").count(), 6, "{table}");
    assert!(text(&done.stdout).starts_with(&table), "the table is printed");
    assert!(text(&done.stdout).ends_with("out/deep/results.json\n"));

    let (plot, grid) = (read("plot.svg"), read("grid.svg"));
    assert_eq!(plot.matches("<polyline").count(), 2, "a line for each sampler with an error");
    assert_eq!(plot.matches("<circle").count(), 6, "a point for each of its runs");
    assert_eq!(grid.matches("data:image/png;base64,").count(), 4 * 3 + 1, "the pictures, and the converged one");
}

/// The ranking of the papers: DDIM is the worst of the good ones, UniPC the best, and wrappers mend what they are made for.
#[test]
fn the_trained_model_ranks_samplers_as_published() {
    let dir = tempfile::tempdir().unwrap();
    let wrapped = [
        r#"{"name": "ddim", "wrap": ["dualfast"]}"#,
        r#"{"name": "ddim", "wrap": ["time_shift"]}"#,
        r#"{"name": "plms", "wrap": [{"name": "momentum", "beta": 0.8}]}"#,
    ];
    let mut arguments = vec!["--samplers", "ddim,dpmpp_2m,deis,unipc,plms", "--steps", "8,10"];
    arguments.extend(["--schedule", "uniform_lambda", "--reference", "unipc", "--reference-steps", "80"]);
    arguments.extend(wrapped.iter().flat_map(|sampler| ["--sampler", sampler]));
    let done = on("emoji64", concat!(env!("CARGO_MANIFEST_DIR"), "/models"), dir.path(), &arguments);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let results = std::fs::read(dir.path().join("compare/results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    assert!(results["reference"]["moved"].as_f64().unwrap() < 0.002);
    let worse_to_better = [
        ("DDIM", "DPM-Solver++ 2M"),
        ("DDIM", "DEIS"),
        ("DPM-Solver++ 2M", "UniPC"),
        ("DEIS", "UniPC"),
        ("DDIM", "DDIM + dualfast"),
        ("DDIM", "DDIM + time_shift"),
        ("PLMS", "PLMS + momentum, beta 0.8"),
    ];
    for (worse, better) in worse_to_better {
        for (worse_error, error) in errors(&results, worse).iter().zip(errors(&results, better)) {
            assert!(error < *worse_error, "{better} {error}, {worse} {worse_error}");
        }
    }
}

/// With the reference itself among the runs the distance is none at all, in latents and in pictures.
#[test]
fn the_reference_is_at_no_distance_from_itself() {
    let dir = tempfile::tempdir().unwrap();
    let sampler = ["--samplers", "ddim", "--reference", "ddim", "--steps", "50", "--reference-steps", "50"];
    let done = compare(dir.path(), &[&sampler[..], &["--schedule", "uniform_lambda", "--seed", "3"]].concat());
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let results = std::fs::read(dir.path().join("compare/results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    let run = &results["runs"][0];
    assert!(run["error"]["mean"].as_f64().unwrap() < 1e-6, "{run}");
    assert!(results["reference"]["moved"].as_f64().unwrap() > 1e-3);
}

#[test]
fn a_title_is_only_text_in_the_drawings() {
    let dir = tempfile::tempdir().unwrap();
    let done = compare(
        dir.path(),
        &["--samplers", "ddim", "--steps", "2", "--reference-steps", "4", "--prompt", "<b> & \"c\""],
    );
    assert!(text(&done.stderr).contains("warning: /prompt: ignored"), "{}", text(&done.stderr));
    for name in ["plot.svg", "grid.svg"] {
        let drawing = std::fs::read_to_string(dir.path().join("compare").join(name)).unwrap();
        assert!(drawing.contains("&lt;b&gt; &amp; ") && !drawing.contains("<b>"), "{name}");
    }
}

#[test]
fn wrong_use_is_2_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, said) in [
        (&["--samplers", "ddim,heunn"][..], "--samplers: unknown name `heunn`; did you mean `heun`?"),
        (&["--sampler", r#"{"name": "ddim", "etta": 1}"#], "did you mean `eta`?"),
        (
            &["--sampler", r#"{"name": "heun", "wrap": ["momentum"]}"#],
            "/wrap/0: `heun` with these options does not carry",
        ),
        (&["--reference", "euler_a"], "--reference: Euler ancestral draws noise"),
        (&["--schedule", "karas"], "--schedule: unknown name `karas`; did you mean `karras`?"),
        (&["--steps", "5,0"], "'0'"),
        (&["--seeds", "17"], "17"),
        (&["--label", "9"], "/label: must be at most 3"),
        (&["--model", "gausian"], "did you mean `gaussian`?"),
    ] {
        let refused = compare(dir.path(), arguments);
        assert_eq!((refused.status.code(), text(&refused.stdout).as_str()), (Some(2), ""), "{arguments:?}");
        assert!(text(&refused.stderr).contains(said), "{arguments:?}: {}", text(&refused.stderr));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is written");
}
