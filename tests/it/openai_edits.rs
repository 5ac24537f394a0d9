//! Edits and variations in OpenAI's dialect: how pictures come in, and that transparency is the mask.

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::support::{
    app::TestApp,
    openai::{Part, clear, conforms, pictures, pixels, post, post_form, refusal, wish},
    pictures::{noise, png, quarters, turned, url, written},
};

const COMMON: [Part; 4] =
    [("prompt", "", b"1"), ("response_format", "", b"b64_json"), ("steps", "", b"6"), ("seed", "", b"3")];

/// White on the left.
fn left(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, _| Luma([if 2 * x < width { 255 } else { 0 }]))
}

fn half(picture: &RgbImage, right: bool) -> Vec<Rgb<u8>> {
    let side = |x: u32| (2 * x >= picture.width()) == right;
    picture.enumerate_pixels().filter(|(x, _, _)| side(*x)).map(|(_, _, pixel)| *pixel).collect()
}

async fn edited(app: &TestApp, parts: &[Part<'_>]) -> RgbImage {
    pixels(&pictures(&post_form(app, "edits", &[&COMMON, parts].concat()).await)[0])
}

/// C32
#[tokio::test(flavor = "multi_thread")]
async fn what_is_transparent_is_edited_and_nothing_else() {
    let app = TestApp::start().await;
    let picture = quarters(8, 8);
    let image = png(&picture);
    let masks = [255, 0].map(|colour| written(&clear(colour, &left(8, 8)).into()));
    let [white, black] = &masks;
    let made = edited(&app, &[("image", "a", &image), ("mask", "m", white)]).await;
    assert_eq!(
        made,
        edited(&app, &[("mask", "m", black), ("image", "a", &image)]).await,
        "hidden colours do not matter"
    );
    let native = png(&DynamicImage::from(left(8, 8)).to_rgb8());
    let same =
        app.edit(&json!({"image": url(&image), "mask": url(&native), "prompt": "1", "steps": 6, "seed": 3})).await;
    assert_eq!(made, app.pixels(&same, 0).await);
    assert_eq!(half(&made, true), half(&picture, true));
    assert_ne!(half(&made, false), half(&picture, false));
}

/// C32, D8
#[tokio::test(flavor = "multi_thread")]
async fn a_mask_that_shows_no_place_is_refused() {
    let app = TestApp::start().await;
    let image = png(&quarters(8, 8));
    let opaque = written(&clear(0, &GrayImage::new(8, 8)).into());
    for mask in [png(&quarters(8, 8)), opaque, b"no picture".to_vec(), Vec::new()] {
        let parts = [&COMMON[..], &[("image", "a", &image), ("mask", "m", &mask)]].concat();
        let answer = post_form(&app, "edits", &parts).await;
        assert_eq!(refusal(&answer), (400, "invalid_request_error".into(), json!("mask")), "{}", answer.json());
    }
}

/// C34, D8
#[tokio::test(flavor = "multi_thread")]
async fn a_mask_of_another_size_is_refused_before_a_job_exists() {
    let app = TestApp::start().await;
    let image = png(&quarters(64, 32));
    let small = written(&clear(0, &left(32, 32)).into());
    let across = written(&clear(0, &left(32, 64)).into());
    for mask in [small, across] {
        let parts = [&COMMON[..], &[("image", "a", &image), ("mask", "m", &mask)]].concat();
        let answer = post_form(&app, "edits", &parts).await;
        assert_eq!(refusal(&answer), (400, "invalid_request_error".into(), json!("mask")), "{}", answer.json());
    }
    assert_eq!(app.get("/v1/jobs").await.json()["data"], json!([]));
    // The same across picture that says it must be turned has the mask's size.
    let turned = turned(&quarters(64, 32), 6, ImageFormat::Jpeg);
    edited(&app, &[("image", "a", &turned), ("mask", "m", &written(&clear(0, &left(32, 64)).into()))]).await;
}

/// D4
#[tokio::test(flavor = "multi_thread")]
async fn without_a_mask_the_transparency_of_the_picture_is_one() {
    let app = TestApp::start().await;
    let seen = |colour| written(&clear(colour, &left(8, 8)).into());
    let made = edited(&app, &[("image", "a", &seen(0))]).await;
    assert_eq!(half(&made, true), vec![Rgb([0; 3]); 32]);
    assert_ne!(half(&made, false), vec![Rgb([255; 3]); 32]);
    let image = seen(0);
    let parts =
        [&COMMON[..], &[("image", "a", &image), ("method[name]", "", b"sdedit"), ("method[feather]", "", b"0")]]
            .concat();
    let job = post_form(&app, "edits", &parts).await.json()["job"].as_str().unwrap().to_owned();
    let request = app.get(&format!("/v1/jobs/{job}")).await.json()["request"].clone();
    assert_eq!((&request["method"]["name"], request["mask"].is_object()), (&json!("sdedit"), true));
    // All of it opaque: no mask.
    let opaque = written(&clear(9, &GrayImage::new(8, 8)).into());
    let answer = post_form(&app, "edits", &[&COMMON[..], &[("image", "a", &opaque)]].concat()).await.json();
    let request = app.get(&format!("/v1/jobs/{}", answer["job"].as_str().unwrap())).await.json()["request"].clone();
    assert_eq!((&request["mask"], &request["method"]["name"]), (&Value::Null, &json!("sdedit")));
}

/// C07, C10
#[tokio::test(flavor = "multi_thread")]
async fn a_form_says_all_that_a_document_says() {
    let app = TestApp::start().await;
    let webp = turned(&noise(8, 8), 1, ImageFormat::WebP);
    let parts: [Part; 15] = [
        ("prompt", "", b"123"),
        ("n", "", b"2"),
        ("size", "", b"16x8"),
        ("seed", "", b"0"),
        ("response_format", "", b"b64_json"),
        ("stream", "", b"false"),
        ("strength", "", b"0.5"),
        ("guidance_scale", "", b"1.5"),
        ("sampler[name]", "", b"dpmpp_2m"),
        ("sampler[wrap][][name]", "", b"momentum"),
        ("sampler[wrap][][beta]", "", b"0.8"),
        ("sampler[wrap][][name]", "", b"epsilon_scale"),
        ("schedule", "", br#"{"name": "karras", "rho": 5}"#),
        ("metadata[a]", "", b"1"),
        ("image", "a.jpeg", &webp),
    ];
    let form = post_form(&app, "edits", &parts).await;
    let body = json!({"images": [{"image_url": url(&webp)}], "prompt": "123", "n": 2, "size": "16x8", "seed": 0,
        "response_format": "b64_json", "strength": 0.5, "guidance": 1.5, "schedule": {"name": "karras", "rho": 5},
        "sampler": {"name": "dpmpp_2m", "wrap": [{"name": "momentum", "beta": 0.8}, {"name": "epsilon_scale"}]},
        "metadata": {"a": "1"}});
    let document = post(&app, "edits", body).await;
    assert_eq!(pictures(&form), pictures(&document));
    let jobs = app.get("/v1/jobs").await.json();
    assert_eq!(jobs["data"][0]["request"], jobs["data"][1]["request"]);
    assert_eq!((&jobs["data"][0]["request"]["seed"], &form.json()["data"][0]["seed"]), (&json!(0), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_parts_are_named() {
    let app = TestApp::start().await;
    let image = png(&quarters(8, 8));
    let deep = format!("a{}", "[b]".repeat(9));
    let cases: [(&[Part], &str); 12] = [
        (&[("prompt", "", b"a")], "image"),
        (&[("image", "a", &image)], "prompt"),
        (&[("prompt", "", b"a"), ("image", "a", b"text")], "image"),
        (&[("prompt", "", b"a"), ("image", "a", &image), ("prompt", "", b"b")], "prompt"),
        (&[("prompt", "", b"a"), ("image", "a", &image), ("seed", "", b"x")], "seed"),
        (&[("prompt", "", b"a"), ("image", "a", &image), ("stream", "", b"perhaps")], "stream"),
        (&[("prompt", "", b"a"), ("image", "a", &image), ("markup", "b", &image)], "markup"),
        (&[("prompt", "", b"a"), ("image", "a", &image), ("mask", "b", &image), ("mask", "c", &image)], "mask"),
        (&[("prompt", "", b"a\0"), ("image", "a", &image)], "prompt"),
        (&[("prompt", "", b"\xff"), ("image", "a", &image)], "prompt"),
        (&[("prompt", "", b"a"), ("image", "a", &image), (&deep, "", b"1")], &deep),
        (&[("prompt", "", b"a"), ("image", "a", &image), ("sampler", "", b"{")], "sampler"),
    ];
    for (parts, param) in cases {
        let answer = post_form(&app, "edits", parts).await;
        assert_eq!(refusal(&answer), (400, "invalid_request_error".into(), json!(param)), "{}", answer.json());
    }
    let many = vec![("image[]", "a", &image[..]); 17];
    let answer = post_form(&app, "edits", &[&[("prompt", "", &b"a"[..])][..], &many].concat()).await;
    assert_eq!(refusal(&answer).2, "image");
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_come_in_every_form_that_clients_have() {
    let app = TestApp::start().await;
    let made = post(&app, "generations", wish(json!({"response_format": "url"}))).await.json();
    let (id, address) = (made["data"][0]["id"].as_str().unwrap(), made["data"][0]["url"].as_str().unwrap());
    let bytes = app.get(&format!("/v1/images/{id}")).await.body;
    let wanted = edited(&app, &[("image", "a", &bytes)]).await;
    assert_eq!(edited(&app, &[("image[]", "a", &bytes)]).await, wanted);
    assert_eq!(edited(&app, &[("image", "", url(&bytes).as_bytes())]).await, wanted);
    let body =
        |images: Value| json!({"images": images, "prompt": "1", "response_format": "b64_json", "steps": 6, "seed": 3});
    for images in [
        json!([{"file_id": id}]),
        json!([{"image_url": url(&bytes)}]),
        json!([{"image_url": address}]),
        json!([{"file_id": id}, {"image_url": "ignored"}]),
    ] {
        let answer = post(&app, "edits", body(images.clone())).await;
        assert_eq!(pixels(&pictures(&answer)[0]), wanted, "{images}");
        let several = images.as_array().unwrap().len() > 1;
        assert_eq!(answer.json()["warnings"][0]["param"] == "image", several);
    }
    for images in [
        json!([]),
        json!([{}]),
        json!([{"image_url": "https://pictures.example/a.png"}]),
        json!([{"image_url": "http://127.0.0.1:1/v1/images/x"}]),
        json!([{"image_url": format!("{}/v1/images/../jobs", app.url)}]),
        json!([{"file_id": "file-abc"}]),
        json!([{"file_id": id, "image_url": url(&bytes)}]),
        json!([1]),
    ] {
        let answer = post(&app, "edits", body(images.clone())).await;
        assert_eq!(refusal(&answer), (400, "invalid_request_error".into(), json!("images")), "{images}");
    }
    // Both same-sized parts of a form may be repeated under one name.
    assert_eq!(edited(&app, &[("image", "a", &bytes), ("image", "b", b"not looked at")]).await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn fidelity_is_a_strength() {
    let app = TestApp::start().await;
    let image = png(&quarters(8, 8));
    for (more, strength) in [
        (&[][..], 0.8),
        (&[("input_fidelity", "", &b"high"[..])], 0.5),
        (&[("input_fidelity", "", b"low")], 0.8),
        (&[("input_fidelity", "", b"high"), ("strength", "", b"0.3")], 0.3),
    ] {
        let answer = post_form(&app, "edits", &[&COMMON[..], &[("image", "a", &image)], more].concat()).await.json();
        let job = app.get(&format!("/v1/jobs/{}", answer["job"].as_str().unwrap())).await.json();
        assert_eq!(job["request"]["strength"], json!(strength));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variations_start_from_the_picture_and_no_prompt() {
    let app = TestApp::start().await;
    let image = png(&quarters(8, 8));
    let parts: [Part; 4] =
        [("image", "a", &image), ("n", "", b"2"), ("response_format", "", b"b64_json"), ("seed", "", b"4")];
    let answer = post_form(&app, "variations", &parts).await;
    let made = pictures(&answer);
    assert!(made.len() == 2 && made[0] != made[1]);
    let document = answer.json();
    conforms("ImagesResponse", &document);
    let request = app.get(&format!("/v1/jobs/{}", document["job"].as_str().unwrap())).await.json()["request"].clone();
    assert_eq!(
        (&request["method"]["name"], &request["strength"], &request["prompt"]),
        (&json!("sdedit"), &json!(0.6), &json!(""))
    );
    let native = app
        .edit(&json!({"image": url(&image), "method": "sdedit", "strength": 0.6, "count": 2, "seed": 4, "guidance": 1,
            "output": {"quality": 100}}))
        .await;
    assert_eq!(made[1], app.picture(&native, 1).await);
    let bad = post_form(&app, "variations", &[("n", "", b"2")]).await;
    assert_eq!(refusal(&bad), (400, "invalid_request_error".into(), json!("image")));
    let mask = written(&clear(0, &left(8, 8)).into());
    let masked = post_form(&app, "variations", &[&parts[..], &[("mask", "m", &mask)]].concat()).await;
    assert_eq!(refusal(&masked), (400, "invalid_request_error".into(), json!("mask")));
    let weaker = post_form(&app, "variations", &[&parts[..], &[("strength", "", b"0")]].concat()).await;
    assert_ne!(pictures(&weaker), made);
}
