//! Streams in OpenAI's dialect: as many previews as were asked for, then each picture, or an error.

use base64::{Engine, prelude::BASE64_STANDARD};
use darkroom::pixels::latents;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    app::TestApp,
    openai::{conforms, decoded, events, form, pictures, pixels, post, refusal, wish},
    pictures::{png, quarters},
};

async fn streamed(app: &TestApp, more: Value) -> Vec<Value> {
    let mut body = wish(more);
    body["stream"] = true.into();
    events(app.request(Method::POST, "/v1/images/generations").json(&body)).await
}

/// The indices of the previews of each of `n` pictures, all of which are finished behind them.
fn previews(events: &[Value], family: &str, n: usize) -> Vec<Vec<u64>> {
    let [gen_partial, gen_completed] = match family {
        "image_edit" => ["ImageEditPartialImageEvent", "ImageEditCompletedEvent"],
        _ => ["ImageGenPartialImageEvent", "ImageGenCompletedEvent"],
    };
    let mut seen = vec![Vec::new(); n];
    let mut completed = Vec::new();
    for event in events {
        let index = usize::try_from(event["index"].as_u64().unwrap()).unwrap();
        if event["type"] == format!("{family}.completed") {
            conforms(gen_completed, event);
            completed.push(index);
        } else {
            conforms(gen_partial, event);
            assert!(completed.is_empty(), "a preview behind a finished picture");
            seen[index].push(event["partial_image_index"].as_u64().unwrap());
        }
    }
    assert_eq!(completed, (0..n).collect::<Vec<_>>());
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_exactly_as_many_previews_as_asked_for() {
    let app = TestApp::start().await;
    let samplers = [json!("dpmpp_2m"), json!("heun"), json!("euler_a"), json!({"name": "dpm_adaptive"}), json!("ddpm")];
    for (k, sampler) in samplers.iter().cycle().take(25).enumerate() {
        for partials in 0..=3_usize {
            let n = 1 + k % 3;
            let more =
                json!({"partial_images": partials, "n": n, "steps": 6 + 7 * (k % 4), "sampler": sampler, "seed": k});
            let events = streamed(&app, more).await;
            let wanted: Vec<_> = (0..partials as u64).collect();
            assert_eq!(previews(&events, "image_generation", n), vec![wanted; n], "{sampler} {k}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn few_evaluations_have_few_previews() {
    let app = TestApp::start().await;
    for (steps, partials, shown) in [(1, 3, 0), (2, 3, 1), (3, 3, 2), (4, 3, 3), (2, 1, 1), (3, 2, 2)] {
        let events = streamed(&app, json!({"steps": steps, "partial_images": partials, "sampler": "ddim"})).await;
        assert_eq!(previews(&events, "image_generation", 1)[0].len(), shown, "{steps} {partials}");
    }
}

/// Previews part the run evenly, and each is the network's estimate at its place.
#[tokio::test(flavor = "multi_thread")]
async fn previews_are_spread_over_the_run() {
    let app = TestApp::start().await;
    for (previews, steps, at) in
        [(3, 20, vec![6, 11, 16]), (1, 20, vec![11]), (2, 7, vec![3, 6]), (3, 4, vec![2, 3, 4])]
    {
        let job = app.submit(&json!({"steps": steps, "previews": previews, "sampler": "ddim", "label": 1})).await;
        let events = app.events(job["id"].as_str().unwrap(), None).await;
        let shown = events.iter().filter(|event| event.event == "preview");
        let places: Vec<_> = shown.map(|event| event.data["evaluations"].as_u64().unwrap()).collect();
        // The estimate of an evaluation is told when the next one is made.
        assert_eq!(places, at, "{previews} of {steps}");
    }
    let both = app.post("/v1/generations", &json!({"previews": 1, "preview_every": 1})).await;
    assert_eq!((both.status, both.pointers()), (422, vec!["/previews".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_a_stream_are_those_of_an_answer_and_previews_look_alike() {
    let app = TestApp::start().await;
    for format in ["png", "jpeg", "webp"] {
        let more = json!({"n": 2, "size": "16x8", "steps": 30, "output_format": format, "partial_images": 3});
        let streamed = streamed(&app, more.clone()).await;
        let answer = post(&app, "generations", wish(more)).await;
        let finished: Vec<_> = streamed.iter().filter(|event| event["type"] == "image_generation.completed").collect();
        assert_eq!(finished.iter().map(|event| decoded(&event["b64_json"])).collect::<Vec<_>>(), pictures(&answer));
        assert_eq!((&finished[1]["seed"], &finished[1]["usage"]["output_tokens"]), (&json!(8), &json!(30)));
        let last = streamed.iter().rfind(|event| event["partial_image_index"] == 2 && event["index"] == 1).unwrap();
        let bytes = decoded(&last["b64_json"]);
        assert_eq!(
            image::guess_format(&bytes).unwrap(),
            image::guess_format(&decoded(&finished[1]["b64_json"])).unwrap()
        );
        let (preview, picture) = (pixels(&bytes), pixels(&decoded(&finished[1]["b64_json"])));
        assert_eq!((preview.dimensions(), &last["size"]), ((16, 8), &json!("16x8")));
        let apart = preview.iter().zip(picture.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / 384.0;
        assert!(apart < 40.0, "{format}: {apart} of 255 apart");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_streams_too() {
    let app = TestApp::start().await;
    let image = png(&quarters(8, 8));
    let parts: [(&str, &str, &[u8]); 5] = [
        ("image[]", "a", &image),
        ("prompt", "", b"a"),
        ("stream", "", b"true"),
        ("partial_images", "", b"2"),
        ("response_format", "", b"url"),
    ];
    let events = events(form(&app, "/v1/images/edits", &parts)).await;
    assert_eq!(previews(&events, "image_edit", 1), [[0, 1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_comes_as_data_and_a_bad_field_before_the_stream() {
    let app = TestApp::start().await;
    let poison = BASE64_STANDARD.encode(latents::write(&[3e38; 64], [1, 8, 8]).unwrap());
    let events = streamed(&app, json!({"latents": poison, "steps": 40})).await;
    assert_eq!(events.len(), 1, "{events:?}");
    conforms("ErrorResponse", &events[0]);
    assert_eq!(
        (&events[0]["error"]["type"], &events[0]["error"]["code"]),
        (&json!("server_error"), &json!("not_finite"))
    );
    let refused = post(&app, "generations", wish(json!({"stream": true, "size": "1"}))).await;
    assert_eq!(refusal(&refused), (400, "invalid_request_error".into(), json!("size")));
}

/// A slow client loses nothing: its previews are kept for it alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_gets_every_preview() {
    let app = TestApp::start().await;
    let body = wish(json!({"stream": true, "partial_images": 3, "n": 4, "steps": 30}));
    let response = app.request(Method::POST, "/v1/images/generations").json(&body).send().await.unwrap();
    while app.get("/v1/jobs").await.json()["data"][0]["status"] != "succeeded" {}
    let text = response.text().await.unwrap();
    assert_eq!(text.matches("event: image_generation.partial_image").count(), 12);
    assert_eq!(text.matches("event: image_generation.completed").count(), 4);
}
