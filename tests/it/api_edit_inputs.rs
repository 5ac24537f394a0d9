//! How a picture comes in: base64 as people write it, forms, pictures of earlier jobs, and what is kept of it.

use std::time::Duration;

use base64::{Engine, prelude::*};
use darkroom::store::{blobs::sha256, sweep};
use image::{Rgb, RgbImage};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{
    app::{TestApp, send},
    pictures::{animated_webp, apng, mask, noise, png, quarters, turned, url},
};

/// Parts of a form: name, further words of its disposition and type, bytes.
type Part<'a> = (&'a str, &'a str, &'a [u8]);

fn form(app: &TestApp, parts: &[Part<'_>]) -> RequestBuilder {
    let mut body = Vec::new();
    for (name, more, bytes) in parts {
        let (file, kind) = more.split_once('|').unwrap_or((more, ""));
        let file = if file.is_empty() { String::new() } else { format!("; filename=\"{file}\"") };
        let kind = if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
        body.extend(format!("--XyZ\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n{kind}\r\n").bytes());
        body.extend_from_slice(bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--XyZ--\r\n");
    app.request(Method::POST, "/v1/edits").header("content-type", "multipart/form-data; boundary=XyZ").body(body)
}

/// The pixels that an edit without a step makes of this picture.
async fn seen(app: &TestApp, image: &Value) -> RgbImage {
    let job = app.edit(&json!({"image": image, "strength": 0})).await;
    app.pixels(&job, 0).await
}

/// C49
#[tokio::test(flavor = "multi_thread")]
async fn base64_is_read_as_people_write_it() {
    let app = TestApp::start().await;
    // Padded, and with a plus in it.
    let written = (1..200).map(|side| png(&noise(8, side))).map(|bytes| BASE64_STANDARD.encode(bytes));
    let bare = written.into_iter().find(|text| text.ends_with("==") && text.contains('+')).unwrap();
    let lines: Vec<_> = bare.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let wanted = seen(&app, &json!(format!("data:image/png;base64,{bare}"))).await;
    for text in [
        bare.clone(),
        bare.trim_end_matches('=').to_owned(),
        lines.join("\n"),
        lines.join("\r\n"),
        format!("data:;base64,{bare}"),
        format!("data:image/jpeg;base64,{bare}"),
    ] {
        assert_eq!(seen(&app, &json!(text)).await, wanted, "{}...", &text[..40]);
    }
    for text in
        [bare.replace('+', " "), String::new(), "data:image/png;base64,".into(), format!("data:image/png,{bare}")]
    {
        let answer = app.post("/v1/edits", &json!({"image": text})).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/image".to_owned()]), "{}", answer.json());
    }
}

/// C07 and D11
#[tokio::test(flavor = "multi_thread")]
async fn a_form_says_the_same_as_a_document() {
    let app = TestApp::start().await;
    let (picture, masked) = (noise(8, 8), png(&mask(8, 8, |x, _| x < 4)));
    let webp = turned(&picture, 1, image::ImageFormat::WebP);
    let sampler = json!({"name": "ddim", "eta": 0.5}).to_string();
    let parts: [Part; 10] = [
        ("image", "a.jpeg|application/octet-stream", &webp),
        ("mask", "mask.png|image/png", &masked),
        ("seed", "", b"0"),
        ("steps", "", b"6"),
        ("strength", "", b"0.5"),
        ("label", "", b"1"),
        ("sampler", "", sampler.as_bytes()),
        ("guidance", "", b"1.5"),
        ("method", "", b"inpaint"),
        ("metadata", "", br#"{"a": "1"}"#),
    ];
    let job = app.done(form(&app, &parts)).await;
    let same = app
        .edit(&json!({"image": BASE64_STANDARD.encode(&webp), "mask": url(&masked), "seed": 0, "steps": 6, "strength": 0.5,
            "label": 1, "sampler": {"name": "ddim", "eta": 0.5}, "guidance": 1.5, "method": "inpaint", "metadata": {"a": "1"}}))
        .await;
    assert_eq!(job["request"], same["request"]);
    assert_eq!(job["images"][0]["seed"], 0);
    assert_eq!(app.picture(&job, 0).await, app.picture(&same, 0).await);

    let reference = json!({"image": job["images"][0]["id"]}).to_string();
    let named = app.done(form(&app, &[("image", "", reference.as_bytes()), ("strength", "", b"0")])).await;
    assert_eq!(app.pixels(&named, 0).await, seen(&app, &json!({"image": job["images"][0]["id"]})).await);

    let image = ("image", "a.png|image/png", png(&picture));
    let bad: [(&[Part], &str); 12] = [
        (&[("image", "a.png|image/png", b"just a text")], "/image"),
        (&[("seed", "", b"7")], "/image"),
        (&[("image", image.1, &image.2), ("seed", "", b"x")], "/seed"),
        (&[("image", image.1, &image.2), ("seed", "", b"")], "/seed"),
        (&[("image", image.1, &image.2), ("steps", "", b"2.5")], "/steps"),
        (&[("image", image.1, &image.2), ("image", image.1, &image.2)], "/image"),
        (&[("image", image.1, &image.2), ("prompt", "", b"\xff\xfe")], "/prompt"),
        (&[("image", image.1, &image.2), ("prompt", "", b"a\0b")], "/prompt"),
        (&[("image", image.1, &image.2), ("extra", "b.png|image/png", &image.2)], "/extra"),
        (&[("image", image.1, &image.2), ("b~/c", "b.png|image/png", &image.2)], "/b~0~1c"),
        (&[("image", image.1, &image.2), ("b~/c", "", b"a\0b")], "/b~0~1c"),
        (&[("image", image.1, &image.2), ("sampler", "", b"{\"name\": ")], "/sampler"),
    ];
    for (parts, pointer) in bad {
        let answer = send(form(&app, parts)).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec![pointer.to_owned()]), "{}", answer.json());
    }
    let many: Vec<Part> = (0..101).map(|_| ("x", "", b"".as_slice())).collect();
    assert_eq!(send(form(&app, &many)).await.status, 422);
    let request = |kind: &str| app.request(Method::POST, "/v1/edits").header("content-type", kind).body("no form");
    assert_eq!(send(request("multipart/form-data; boundary=x")).await.status, 422);
    for kind in ["multipart/form-data", "text/plain", "image/png"] {
        assert_eq!(send(request(kind)).await.status, 415, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_content_decides_the_format() {
    let app = TestApp::start().await;
    let picture = quarters(8, 8);
    let wanted = seen(&app, &json!(url(&png(&picture)))).await;
    for format in [image::ImageFormat::WebP, image::ImageFormat::Png] {
        assert_eq!(seen(&app, &json!(url(&turned(&picture, 1, format)))).await, wanted, "{format:?}");
    }
}

/// C08 and D13
#[tokio::test(flavor = "multi_thread")]
async fn an_animation_is_its_first_frame_and_the_job_says_so() {
    let app = TestApp::start().await;
    let frames = [60, 200].map(|grey| RgbImage::from_pixel(8, 8, Rgb([grey; 3])));
    let wanted = seen(&app, &json!(url(&png(&frames[0])))).await;
    for bytes in [apng(&frames), animated_webp(&frames)] {
        let job = app.edit(&json!({"image": url(&bytes), "strength": 0})).await;
        // The WebP decoder blends frames, and loses one of 255 on the way.
        let off = app.pixels(&job, 0).await.as_raw()[0].abs_diff(wanted.as_raw()[0]);
        assert!(off <= 1, "{off}/255 apart");
        let warnings = job["warnings"].as_array().unwrap();
        assert!(warnings.len() == 1 && warnings[0]["pointer"] == "/image", "{warnings:?}");
    }
}

/// C34 and D8
#[tokio::test(flavor = "multi_thread")]
async fn a_mask_has_the_size_of_its_picture() {
    let app = TestApp::start().await;
    let image = url(&png(&noise(64, 32)));
    let with = |mask: &[u8]| json!({"image": image, "mask": url(mask), "steps": 2});
    for mask in [png(&mask(32, 32, |_, _| true)), png(&mask(32, 64, |_, _| true))] {
        let answer = app.post("/v1/edits", &with(&mask)).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/mask".to_owned()]), "{}", answer.json());
        assert!(answer.json()["detail"].as_str().unwrap().contains("64 x 32"));
    }
    // Stored on its side, and turned upright by its EXIF.
    app.edit(&with(&turned(&mask(32, 64, |_, _| true), 6, image::ImageFormat::Png))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_bounded_before_anything_is_stored() {
    let app = TestApp::with(|config| config.limits.pixels = 64).await;
    let (fits, large) = (png(&noise(8, 8)), png(&noise(8, 9)));
    let answer = app.post("/v1/edits", &json!({"image": url(&large)})).await;
    assert_eq!((answer.status, answer.pointers()), (422, vec!["/image".to_owned()]));
    assert!(answer.json()["detail"].as_str().unwrap().contains("limits.pixels allows 64"), "{}", answer.json());
    // A good picture beside a bad field is not stored either.
    let refused = app.post("/v1/edits", &json!({"image": url(&fits), "mask": url(b"no picture")})).await;
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/mask".to_owned()]));
    let blobs = app.app.blobs.older_than(Duration::ZERO).await.unwrap();
    assert!(blobs.is_empty(), "{blobs:?}");
    assert_eq!(app.post("/v1/edits", &json!({"image": url(&fits)})).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_is_kept_once_and_as_long_as_a_job_names_it() {
    let app = TestApp::start().await;
    let bytes = png(&noise(8, 8));
    let name = format!("sha256:{}", sha256(&bytes));
    // Picture and mask are one blob here, and two jobs name it.
    let body = json!({"image": url(&bytes), "mask": url(&bytes), "steps": 2});
    let (first, second) = (app.edit(&body).await, app.edit(&body).await);
    assert_eq!((&first["request"]["image"]["blob"], &first["request"]["mask"]["blob"]), (&json!(name), &json!(name)));
    let swept = async || {
        tokio::time::sleep(Duration::from_millis(5)).await;
        sweep::sweep(&*app.app.store, &app.app.blobs, Duration::ZERO).await.unwrap();
        app.app.blobs.get_input(&name).await.unwrap()
    };
    assert_eq!(swept().await.unwrap(), bytes);
    app.delete(&format!("/v1/jobs/{}", first["id"].as_str().unwrap())).await;
    assert_eq!(swept().await.unwrap(), bytes);
    let third = app.edit(&json!({"image": {"blob": name}, "strength": 0})).await;
    assert_eq!(third["request"]["image"]["blob"], json!(name));
    for job in [&second, &third] {
        app.delete(&format!("/v1/jobs/{}", job["id"].as_str().unwrap())).await;
    }
    assert!(swept().await.is_none());
    assert_eq!(app.post("/v1/edits", &json!({"image": {"blob": name}})).await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_picture_can_be_edited_until_it_is_erased() {
    let app = TestApp::start().await;
    let made = app.generate(&json!({"label": 1, "steps": 4, "output": {"format": "webp"}})).await;
    let image = json!({"image": made["images"][0]["id"]});
    let job = app.edit(&json!({"image": image, "strength": 0.5, "steps": 4})).await;
    app.delete(&format!("/v1/jobs/{}", made["id"].as_str().unwrap())).await;
    let answer = app.post("/v1/edits", &json!({"image": image})).await;
    assert_eq!((answer.status, answer.pointers()), (422, vec!["/image".to_owned()]));
    // The edit has its own copy.
    let again = app.edit(&job["request"]).await;
    assert_eq!(app.picture(&again, 0).await, app.picture(&job, 0).await);
}
