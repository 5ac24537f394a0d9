//! What is read from outside, mutated: each reader takes it in full or says no in words, soon and in little memory.
//!
//! So many cases of fixed seeds by default. With `DARKROOM_FUZZ_SECONDS=600`, as `make fuzz` sets it, each reader gets
//! other cases for that long, and its address space is watched, for which it must run alone. A case that fails is shrunk
//! and shown as bytes: mend the reader and make a regression test of them.

use std::{
    env, fmt, fs,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    response::IntoResponse,
};
use darkroom::{
    edit::{
        Part, Sizes,
        file::{self, About, InversionFile},
    },
    http::{
        a1111::infotext, caller::Caller, edit_request::EditRequest, edits, error::Problem, form::Form,
        json as documents,
    },
    model::format::safetensors,
    pixels::{decode, exif, latents, said},
};
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, RngSeed, TestCaseError, TestCaseResult, TestRunner},
};
use serde_json::json;
use tch::{Device, Kind, Tensor};
use tokio::runtime::Runtime;

use crate::support::{
    app::TestApp,
    mutations::{checksummed, mutated, mutations},
    pictures::noise,
    samples,
};

/// Pixels that a picture may have here.
const PIXELS: u64 = 1 << 16;

/// Boundaries as a header gives them; that of the samples most often.
const BOUNDARIES: [&str; 12] =
    ["XyZ", "XyZ", "XyZ", "XyZ", "Xy", "XyZ-", "-", "\"\"", "\"X Z\"", "\"\\\"\"", "XyZ; boundary=b", "é"];

/// Time on a processor that a case may take; the slowest honest one takes a hundredth.
const LONGEST: Duration = Duration::from_secs(1);

/// Bytes by which a case may widen the address space of a process that does nothing else.
const ROOM: u64 = 1 << 28;

/// Bytes that show themselves as a literal.
#[derive(Clone)]
struct Bytes(Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Runs `cases` cases, and more of other seeds while `DARKROOM_FUZZ_SECONDS` last.
fn fuzz<T: fmt::Debug>(cases: u32, inputs: &impl Strategy<Value = T>, check: impl Fn(T) -> TestCaseResult) {
    let seconds = long().map_or(0, |seconds| seconds.as_secs());
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let first = if seconds == 0 { 0 } else { now() };
    let (began, run) = (Instant::now(), AtomicU64::new(0));
    let bounded = |input: T| {
        run.fetch_add(1, Relaxed);
        within_bounds(|| check(input))
    };
    for seed in first.. {
        let config = Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
        let result = TestRunner::new(config).run(inputs, bounded);
        result.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        if began.elapsed().as_secs() >= seconds {
            break;
        }
    }
    let (run, taken) = (run.into_inner(), began.elapsed().as_secs_f64());
    println!("{run} cases in {taken:.1} s, {:.0} a second", run as f64 / taken);
}

fn long() -> Option<Duration> {
    env::var("DARKROOM_FUZZ_SECONDS").ok().map(|text| Duration::from_secs(text.parse().unwrap()))
}

fn within_bounds(case: impl FnOnce() -> TestCaseResult) -> TestCaseResult {
    let alone = long().is_some();
    let space = || if alone { status("VmPeak:") } else { 0 };
    let (space_before, time_before) = (space(), on_processor());
    case()?;
    let (taken, wider) = (on_processor() - time_before, space() - space_before);
    prop_assert!(taken < LONGEST, "it takes {taken:?}");
    prop_assert!(wider < ROOM, "it asks for {wider} bytes");
    Ok(())
}

/// Time that this thread has spent on a processor.
fn on_processor() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// A size in bytes from the status of this process.
fn status(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Samples after a few changes.
fn changed(samples: Vec<Vec<u8>>) -> impl Strategy<Value = Bytes> {
    (any::<Index>(), mutations())
        .prop_map(move |(sample, changes)| Bytes(mutated(&samples[sample.index(samples.len())], &changes, &samples)))
}

/// A problem that is the client's fault, with pointers that are ones (RFC 6901).
fn refusal(problem: &Problem) -> TestCaseResult {
    let document = serde_json::to_value(problem.document("/")).unwrap();
    let status = problem.clone().into_response().status();
    prop_assert!(status.is_client_error(), "{document}");
    for error in document["errors"].as_array().into_iter().flatten() {
        let pointer = error["pointer"].as_str().unwrap();
        let escaped = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        prop_assert!(escaped && (pointer.is_empty() || pointer.starts_with('/')), "{document}");
    }
    Ok(())
}

#[test]
fn mutated_pictures_are_read_or_refused() {
    let samples = samples::pictures();
    for sample in &samples {
        let read = decode(sample, PIXELS);
        assert!(read.is_ok() || samples.last() == Some(sample), "{read:?}: {}", sample.escape_ascii());
    }
    let mended = |(Bytes(bytes), mend): (Bytes, bool)| Bytes(if mend { checksummed(&bytes) } else { bytes });
    let inputs = (changed(samples), prop::bool::weighted(0.8)).prop_map(mended);
    fuzz(10_000, &inputs, |Bytes(bytes)| {
        match decode(&bytes, PIXELS) {
            Ok(read) => {
                let pixels = u64::from(read.rgb.width()) * u64::from(read.rgb.height());
                prop_assert!(pixels > 0 && pixels <= PIXELS, "{pixels} pixels");
                drop(said(&bytes));
                prop_assert_eq!(read.rgb.as_raw().len() as u64, 3 * pixels);
            }
            Err(words) => prop_assert!(!words.is_empty()),
        }
        Ok(())
    });
}

#[test]
fn mutated_comments_are_read_or_not() {
    let words = "a heart\nNegative prompt: \"x\"\nSteps: 4, Sampler: Euler a, Seed: 7, Size: 8x8, Model: \"a, b\"";
    let samples = vec![exif::write(words).unwrap(), words.as_bytes().to_vec()];
    assert_eq!(exif::read(&samples[0]).as_deref(), Some(words));
    assert_eq!(infotext::parameters(words)["Model"], "a, b");
    fuzz(10_000, &changed(samples), |Bytes(bytes)| {
        drop(exif::read(&bytes));
        let found = infotext::parameters(&String::from_utf8_lossy(&bytes));
        prop_assert!(found.contains_key("Prompt"));
        Ok(())
    });
}

#[test]
fn mutated_tensors_are_read_or_refused() {
    let samples = samples::tensors();
    assert!(samples.iter().all(|sample| safetensors::from_bytes(sample).is_ok()));
    fuzz(20_000, &changed(samples), |Bytes(bytes)| {
        match latents::read(&bytes, [4, 2, 2]) {
            Ok(numbers) => prop_assert!(numbers.len() == 16 && numbers.iter().all(|number| number.is_finite())),
            Err(fault) => prop_assert_eq!(fault.pointer, "/latents"),
        }
        if let Ok(tensors) = safetensors::from_bytes(&bytes) {
            let held = tensors.iter().map(|(_, tensor)| tensor.numel() * tensor.kind().elt_size_in_bytes());
            prop_assert!(held.sum::<usize>() <= bytes.len());
        }
        Ok(())
    });
}

/// An inversion of an 8 by 8 picture with a code of two states.
fn inversion() -> Vec<u8> {
    let request = json!({
        "model": "gaussian", "image": {"blob": "sha256:00"}, "resize": "crop", "method": {"name": "bdia"}, "prompt": "",
        "negative_prompt": "", "seed": 1, "width": 8, "height": 8, "clip_skip": 0, "prompt_syntax": "plain", "steps": 4,
        "strength": 1.0, "sampler": {"name": "bdia"}, "schedule": {"name": "trailing"}, "guidance": {"name": "none"},
        "precision": "f32", "priority": 0, "metadata": {},
    });
    let about = About { request: serde_json::from_value(request).unwrap(), model_sha256: "00".into() };
    let pair = Tensor::arange(128, (Kind::Float, Device::Cpu)).view([2, 1, 8, 8]);
    file::write(&about, &noise(8, 8), vec![("pair".into(), pair)]).unwrap()
}

#[test]
fn mutated_inversions_are_read_or_refused() {
    let (parts, sizes) = ([("pair", Part::States(2))], Sizes { state: [1, 8, 8], text: [0, 0] });
    InversionFile::read(&inversion()).unwrap().check(&parts, sizes).unwrap();
    fuzz(10_000, &changed(vec![inversion()]), move |Bytes(bytes)| {
        let Ok(file) = InversionFile::read(&bytes) else { return Ok(()) };
        if file.check(&parts, sizes).is_ok() {
            let code = file.code(&parts, sizes).unwrap();
            prop_assert_eq!(code.get("pair").size(), [1, 2, 1, 8, 8]);
            let request = &file.about.request;
            prop_assert_eq!(file.picture().unwrap().dimensions(), (request.width, request.height));
        }
        Ok(())
    });
}

#[test]
fn mutated_documents_are_read_or_refused() {
    let samples = samples::documents();
    assert!(samples.iter().all(|sample| documents::parse(sample).is_ok()));
    fuzz(20_000, &changed(samples), |Bytes(bytes)| match documents::parse(&bytes) {
        Ok(document) => {
            let again = documents::parse(document.to_string().as_bytes());
            prop_assert_eq!(again.map_err(|problem| TestCaseError::fail(problem.to_string()))?, document);
            Ok(())
        }
        Err(problem) => refusal(&problem),
    });
}

/// A running service, and what is needed to hand it forms without a connection.
struct Reader {
    runtime: Runtime,
    app: TestApp,
}

impl Reader {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let app = runtime.block_on(TestApp::with(|config| config.limits.pixels = PIXELS));
        Self { runtime, app }
    }

    fn read(&self, body: Vec<u8>, boundary: &str) -> Result<Form, Problem> {
        let request =
            Request::post("/v1/edits").header("content-type", format!("multipart/form-data; boundary={boundary}"));
        let request = request.body(Body::from(body)).unwrap();
        self.runtime.block_on(Form::from_request(request, &self.app.app))
    }
}

#[test]
fn mutated_forms_are_read_or_refused() {
    let reader = Reader::new();
    let inputs = (changed(samples::forms()), select(&BOUNDARIES[..]));
    fuzz(4_000, &inputs, |(Bytes(body), boundary)| {
        let form = match reader.read(body, boundary) {
            Ok(form) => form,
            Err(problem) => return refusal(&problem),
        };
        if let Form::Parts(parts) = &form {
            parts.document(EditRequest::type_of).err().map_or(Ok(()), |problem| refusal(&problem))?;
        }
        let accepted = reader.runtime.block_on(edits::accept(&reader.app.app, &Caller::anyone(), form));
        accepted.err().map_or(Ok(()), |problem| refusal(&problem))
    });
}

#[test]
fn forms_are_read_as_they_were_written() {
    let reader = Reader::new();
    let text = "[^\"\\\\\\r\\n\\x00-\\x1f\\x7f]{0,12}\"?[a-z]?";
    let file = proptest::option::of((text, select(&["image/png", "application/octet-stream", "text/plain"][..])));
    let parts = btree_map(text, (file, vec(any::<u8>(), 0..300), "\\PC{0,40}"), 0..12);
    let boundary = "[0-9A-Za-z'()+_,./:=?-]{8,69}[0-9A-Za-z]";
    fuzz(1_000, &(parts, boundary), |(parts, boundary)| {
        let written: Vec<samples::Part> = parts
            .iter()
            .map(|(name, (file, bytes, text))| match file {
                Some((file, kind)) => (name.as_str(), Some(file.as_str()), Some(*kind), bytes.as_slice()),
                None => (name.as_str(), None, None, text.as_bytes()),
            })
            .collect();
        let read = reader.read(samples::form(&written, &boundary), &format!("\"{boundary}\""));
        let Form::Parts(read) = read.map_err(|problem| TestCaseError::fail(problem.to_string()))? else {
            return Err(TestCaseError::fail("it is no form"));
        };
        prop_assert_eq!(read.texts.len() + read.files.len(), parts.len());
        for (name, file, _, bytes) in written {
            let found = read.files.get(name).map(|bytes| &bytes[..]);
            let found = if file.is_some() { found } else { read.texts.get(name).map(String::as_bytes) };
            prop_assert_eq!(found, Some(bytes), "{}", name);
        }
        Ok(())
    });
}
