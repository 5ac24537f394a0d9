//! Pictures: which format a client gets, what caches are told, and what a PNG carries.

use darkroom::http::accept::choose;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp, send};

const OFFERS: [&str; 3] = ["image/png", "image/webp", "image/jpeg"];

#[test]
fn quality_decides_and_the_first_offer_wins_a_tie() {
    for (accept, chosen) in [
        ("*/*", Some("image/png")),
        ("", Some("image/png")),
        ("nonsense", Some("image/png")),
        ("image/webp", Some("image/webp")),
        ("IMAGE/WebP", Some("image/webp")),
        ("image/webp,image/jpeg", Some("image/webp")),
        ("image/webp;q=0.3, image/jpeg;q=0.4", Some("image/jpeg")),
        ("image/avif,image/webp,image/apng,*/*;q=0.8", Some("image/webp")),
        ("image/*;q=0.5, image/png;q=0", Some("image/webp")),
        ("image/png;q=0, */*", Some("image/webp")),
        ("text/html, */*;q=0.1", Some("image/png")),
        ("image/jpeg ; q=0.5 , image/png;q=0.4999", Some("image/jpeg")),
        ("image/gif", None),
        ("image/*;q=0", None),
        ("image/png;q=2", None),
        ("*/*;q=x", None),
    ] {
        assert_eq!(choose(Some(accept), &OFFERS), chosen, "{accept}");
    }
    assert_eq!(choose(None, &OFFERS), Some("image/png"));
}

async fn ask(app: &TestApp, method: Method, url: &str, headers: &[(&str, &str)]) -> Answer {
    let request = app.request(method, url);
    send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

fn is(format: &str, bytes: &[u8]) -> bool {
    match format {
        "image/png" => bytes.starts_with(b"\x89PNG"),
        "image/webp" => bytes.starts_with(b"RIFF") && &bytes[8..12] == b"WEBP",
        _ => bytes.starts_with(b"\xff\xd8\xff"),
    }
}

/// C38
#[tokio::test(flavor = "multi_thread")]
async fn each_format_has_its_own_bytes_and_tag() {
    let app = TestApp::start().await;
    let job = app.generate(&json!({"steps": 4, "seed": 2, "width": 24, "height": 16})).await;
    let url = job["images"][0]["url"].as_str().unwrap();
    let mut tags = Vec::new();
    for format in OFFERS {
        let got = ask(&app, Method::GET, url, &[("accept", format)]).await;
        assert_eq!((got.status, got.header("content-type"), is(format, &got.body)), (200, format, true));
        assert_eq!((got.header("vary"), got.header("cache-control").contains("immutable")), ("accept", true));
        let head = ask(&app, Method::HEAD, url, &[("accept", format)]).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-type", "content-length", "etag", "vary", "cache-control"] {
            assert_eq!(head.header(name), got.header(name), "{name}");
        }
        assert_eq!(got.header("content-length"), got.body.len().to_string());
        tags.push(got.header("etag").to_owned());
    }
    for (format, accept) in OFFERS.iter().enumerate() {
        for (other, tag) in tags.iter().enumerate() {
            let got = ask(&app, Method::GET, url, &[("accept", accept), ("if-none-match", tag)]).await;
            assert_eq!(got.status, if format == other { 304 } else { 200 }, "{accept} {tag}");
            assert_eq!(got.header("etag"), tags[format]);
        }
    }
    let many = format!("\"x\", W/{}", tags[0]);
    assert_eq!(ask(&app, Method::GET, url, &[("if-none-match", &many)]).await.status, 304);
    let refused = ask(&app, Method::GET, url, &[("accept", "image/gif")]).await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str(), refused.header("vary")),
        (406, Some("not_acceptable"), "accept")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_comes_as_it_was_made() {
    let app = TestApp::start().await;
    for (format, content_type) in [("png", "image/png"), ("webp", "image/webp"), ("jpeg", "image/jpeg")] {
        let job = app.generate(&json!({"steps": 4, "output": {"format": format}})).await;
        let image = &job["images"][0];
        let got = ask(&app, Method::GET, image["url"].as_str().unwrap(), &[("accept", "image/avif, image/*")]).await;
        assert_eq!((got.header("content-type"), &image["content_type"]), (content_type, &json!(content_type)));
        assert_eq!(image["size_bytes"], got.body.len());
        assert!(is(content_type, &got.body));
    }
    let low = app
        .generate(
            &json!({"steps": 4, "seed": 1, "width": 64, "height": 64, "output": {"format": "jpeg", "quality": 10}}),
        )
        .await;
    let high = app
        .generate(
            &json!({"steps": 4, "seed": 1, "width": 64, "height": 64, "output": {"format": "jpeg", "quality": 95}}),
        )
        .await;
    assert!(low["images"][0]["size_bytes"].as_u64() < high["images"][0]["size_bytes"].as_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_picture_is_not_there_yet() {
    let app = TestApp::start().await;
    let job = app.submit(&json!({"count": 16, "steps": 1000, "sampler": "ddim", "guidance": 3, "label": 1})).await;
    let answer = app.get(job["images"][0]["url"].as_str().unwrap()).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (404, Some("not_found")));
    assert!(answer.json()["detail"].as_str().unwrap().contains("pending"));
}

/// The text chunks of a PNG: kind, keyword and text, with every checksum compared.
fn texts(png: &[u8]) -> Vec<(String, String, String)> {
    let (mut rest, mut found) = (&png[8..], Vec::new());
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let (kind, data) = (std::str::from_utf8(&rest[4..8]).unwrap(), &rest[8..8 + length]);
        assert_eq!(crc(&rest[4..8 + length]).to_be_bytes(), rest[8 + length..12 + length]);
        let keyword = || data.split(|byte| *byte == 0).next().unwrap();
        let text = match kind {
            "tEXt" => Some(
                data[keyword().len() + 1..]
                    .iter()
                    .map(|byte| {
                        assert!(
                            *byte == b'\n' || (32..127).contains(byte) || *byte >= 160,
                            "{byte} is not legal in tEXt"
                        );
                        char::from(*byte)
                    })
                    .collect(),
            ),
            "iTXt" => Some(String::from_utf8(data[keyword().len() + 5..].to_vec()).unwrap()),
            _ => None,
        };
        found.extend(text.map(|text| (kind.to_owned(), String::from_utf8(keyword().to_vec()).unwrap(), text)));
        rest = &rest[12 + length..];
    }
    found
}

/// CRC-32 as PNG defines it (ISO 3309), bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    })
}

/// C19, D2, D6
#[tokio::test(flavor = "multi_thread")]
async fn a_png_carries_the_request_that_makes_it() {
    let app = TestApp::start().await;
    for prompt in
        ["a red heart", "é", "赤いハート ❤️ é", "\u{1f98a}", "a\nNegative prompt: x\nSteps: 99", "tab\tand \u{7f}"]
    {
        let job = app.generate(&json!({"prompt": prompt, "seed": 9, "count": 2, "steps": 3, "label": 1})).await;
        let png = app.picture(&job, 1).await;
        let texts = texts(&png);
        let request: Value = serde_json::from_str(&texts.iter().find(|text| text.1 == "darkroom").unwrap().2).unwrap();
        assert_eq!((&request["prompt"], &request["seed"], &request["count"]), (&json!(prompt), &json!(10), &json!(1)));
        let again = app.generate(&request).await;
        assert_eq!(app.picture(&again, 0).await, png, "{prompt}");
        let latin = prompt.chars().all(|c| c == '\n' || (' '..='~').contains(&c) || ('\u{a0}'..='\u{ff}').contains(&c));
        let kinds: Vec<_> = texts.iter().map(|text| text.0.as_str()).collect();
        if !latin {
            assert!(kinds.contains(&"iTXt"), "{prompt}: {kinds:?}");
        }
    }
}

#[tokio::test]
async fn a_thumbnail_is_a_small_webp_with_a_tag_of_its_own() {
    let app = TestApp::with(|config| config.models.gaussian.shape = [1, 300, 600]).await;
    let job = app.generate(&json!({"steps": 1})).await;
    let url = job["images"][0]["url"].as_str().unwrap();
    let whole = app.get(url).await;
    for (width, height) in [(128, 64), (256, 128), (512, 256)] {
        let answer = app.get(&format!("{url}?width={width}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "image/webp"));
        let small = image::load_from_memory(&answer.body).unwrap();
        assert_eq!((small.width(), small.height()), (width, height));
        let tag = answer.header("etag");
        assert_ne!(tag, whole.header("etag"));
        let again = app.request(Method::GET, &format!("{url}?width={width}")).header("if-none-match", tag);
        assert_eq!(send(again).await.status, 304);
    }
    let means = [whole, app.get(&format!("{url}?width=128")).await].map(|answer| {
        let grey = image::load_from_memory(&answer.body).unwrap().to_luma8();
        grey.pixels().map(|pixel| f64::from(pixel.0[0])).sum::<f64>() / f64::from(grey.width() * grey.height())
    });
    assert!((means[0] - means[1]).abs() < 2.0, "{means:?}: it is another picture");
    for wrong in ["100", "0", "-1", "x", ""] {
        assert_eq!(app.get(&format!("{url}?width={wrong}")).await.pointers(), ["/query/width"], "{wrong}");
    }
}

#[tokio::test]
async fn a_small_picture_does_not_grow_for_its_thumbnail() {
    let app = TestApp::start().await;
    let job = app.generate(&json!({"steps": 1})).await;
    let answer = app.get(&format!("{}?width=512", job["images"][0]["url"].as_str().unwrap())).await;
    assert_eq!(image::load_from_memory(&answer.body).unwrap().width(), 8);
}
