//! Prompts in the `weighted` syntax over HTTP: what they draw, what is refused, and what the job says.

use std::time::{Duration, Instant};

use darkroom::config::Switch;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    pixels::texts,
    support::{
        app::{TestApp, send},
        pictures::{png, quarters, url},
    },
};

const HEART: &str = "a red heart, twemoji style";

/// 30 words, of which the model reads 22 at a time, and one more.
fn long(last: &str) -> String {
    format!("{}{last}", "heart ".repeat(30))
}

/// The service with the embedded model, whose bytes no company changes, and so many chunks for a prompt.
async fn with_chunks(chunks: usize) -> TestApp {
    TestApp::with(|config| {
        config.models.dir = concat!(env!("CARGO_MANIFEST_DIR"), "/models").into();
        config.models.default = "emoji64".into();
        config.engine.strict = Switch::On;
        config.limits.prompt_chunks = chunks;
    })
    .await
}

async fn trained() -> TestApp {
    with_chunks(8).await
}

async fn latents(app: &TestApp, more: Value) -> Vec<f32> {
    let mut body = json!({"seed": 7, "steps": 4, "prompt_syntax": "weighted", "output": {"format": "safetensors"}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let job = app.generate(&body).await;
    let bytes = app.get(job["files"][0]["url"].as_str().unwrap()).await.body;
    darkroom::pixels::latents::read(&bytes, [4, 16, 16]).unwrap()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
}

/// C16
#[tokio::test(flavor = "multi_thread")]
async fn no_brackets_are_too_many() {
    let app = trained().await;
    let many = [1, 50, 5000].map(|n| "(".repeat(n));
    let prompts =
        many.iter().map(String::as_str).chain(["((((a", "a)))", "(a:)", "(a:1e9)", "(a:1000000000)", r"\(a\)"]);
    for prompt in
        prompts.chain([&*"[".repeat(5000), &*"([".repeat(5000), &*"(a:1.1".repeat(4000), &*"BREAK ".repeat(5000)])
    {
        let wish = json!({"prompt": prompt, "prompt_syntax": "weighted", "steps": 1});
        let start = Instant::now();
        assert_eq!(app.submit(&wish).await["request"]["prompt"], prompt);
        assert!(start.elapsed() < Duration::from_secs(2), "{:.20}: {:?}", prompt, start.elapsed());
        app.generate(&wish).await;
    }
}

/// C16, C17: what is escaped is literal, and capitals and white space make no other picture.
#[tokio::test(flavor = "multi_thread")]
async fn text_is_read_as_in_plain_prompts() {
    let app = trained().await;
    let plain = async |prompt: &str| latents(&app, json!({"prompt": prompt, "prompt_syntax": "plain"})).await;
    let weighted = async |prompt: &str| latents(&app, json!({"prompt": prompt})).await;
    assert_eq!(plain("heart (a) [b]").await, weighted(r"heart \(a\) \[b\]").await);
    assert_ne!(plain("heart (a) [b]").await, weighted("heart (a) [b]").await);
    let heart = plain(HEART).await;
    for prompt in [HEART, "A RED  Heart,\ntwemoji\u{a0}style", "a (red:1) heart, ([twemoji]) style"] {
        assert_eq!(heart, weighted(prompt).await, "{prompt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_more_a_word_weighs_the_more_the_picture_changes() {
    let app = trained().await;
    for syntax in [
        |weight: f64| format!("a (red:{weight}) heart, twemoji style"),
        |weight| format!("red heart BREAK (blue:{weight}) ring"),
    ] {
        let at = async |weight: f64| latents(&app, json!({"prompt": syntax(weight), "guidance": 5})).await;
        let one = at(1.0).await;
        for way in [[1.1, 1.3, 1.6, 2.0], [0.9, 0.7, 0.4, 0.0]] {
            let mut last = 0.0;
            for weight in way {
                let now = apart(&one, &at(weight).await);
                assert!(now > last, "{weight}: {now} is not above {last}");
                last = now;
            }
        }
    }
    // In the negative prompt too, and with fewer layers.
    for negative in ["(blue:1.5)", "(blue:0.5)", "blue"] {
        for skip in [0, 1] {
            let with = async |negative: &str| {
                latents(&app, json!({"prompt": HEART, "negative_prompt": negative, "clip_skip": skip})).await
            };
            assert_eq!(with(negative).await == with("blue").await, negative == "blue", "{negative} {skip}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_chunks_of_a_prompt_are_read() {
    let app = trained().await;
    for syntax in ["plain", "weighted"] {
        let with = async |last: &str| {
            let wish = json!({"prompt": long(last), "prompt_syntax": syntax, "steps": 4, "seed": 7, "negative_prompt": "red BREAK blue"});
            let job = app.generate(&wish).await;
            (app.pixels(&job, 0).await, job["warnings"].clone())
        };
        let ((red, warnings), (blue, _)) = (with("red").await, with("blue").await);
        assert_eq!(red != blue, syntax == "weighted");
        let message = "truncated: the last 9 tokens are more than the model reads";
        let expected = if syntax == "plain" { json!([{"pointer": "/prompt", "message": message}]) } else { json!([]) };
        assert_eq!(warnings, expected);
    }
    // Empty chunks pad whichever prompt is the shorter one.
    let with = async |prompt: &str, negative: &str| {
        latents(&app, json!({"prompt": prompt, "negative_prompt": negative})).await
    };
    assert_ne!(with(HEART, &long("red")).await, with(HEART, &long("blue")).await);
    assert_ne!(with(&long("red"), HEART).await, with(&long("blue"), HEART).await);
    assert_eq!(with("heart BREAK red", "").await, with("heart BREAK red", "BREAK").await);
    assert_ne!(with("heart", "").await, with("heart BREAK BREAK red", "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_limited() {
    let app = with_chunks(2).await;
    let with = async |last: &str| {
        let prompt = format!("{} BREAK {last}", long("red"));
        let job =
            app.generate(&json!({"negative_prompt": prompt, "prompt_syntax": "weighted", "steps": 2, "seed": 7})).await;
        let message = "truncated: the last 2 tokens are more than fit 2 chunks, which is limits.prompt_chunks";
        assert_eq!(job["warnings"], json!([{"pointer": "/negative_prompt", "message": message}]));
        app.pixels(&job, 0).await
    };
    assert_eq!(with("blue heart").await, with("green ring").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_and_the_picture_post_back() {
    let app = trained().await;
    let prompt = format!("(red:1.4) {} BREAK [sun]", long("ring"));
    let job = app.generate(&json!({"prompt": prompt, "prompt_syntax": "weighted", "steps": 4, "count": 2})).await;
    assert_eq!(job["request"]["prompt_syntax"], "weighted");
    let again = app.generate(&job["request"]).await;
    assert_eq!((&again["request"], app.picture(&again, 1).await), (&job["request"], app.picture(&job, 1).await));
    let carried: Value = serde_json::from_str(&texts(&app.picture(&job, 1).await)["darkroom"].1).unwrap();
    let again = app.generate(&carried).await;
    assert_eq!(app.picture(&again, 0).await, app.picture(&job, 1).await);
    // A job without the field is a plain one.
    assert_eq!(app.submit(&json!({"prompt": "x", "steps": 1})).await["request"]["prompt_syntax"], "plain");
}

/// Prompts of unlike lengths do not disturb each other.
#[tokio::test(flavor = "multi_thread")]
async fn company_changes_nothing() {
    let app = trained().await;
    let wishes = ["(red:1.3) heart", "(red:1.3) heart BREAK ring", "red BREAK BREAK [blue] heart", HEART]
        .map(|prompt| json!({"prompt": prompt, "prompt_syntax": "weighted", "steps": 6, "seed": 3, "count": 2}));
    let mut alone = Vec::new();
    for wish in &wishes {
        alone.push(app.pixels(&app.generate(wish).await, 1).await);
    }
    let together = wishes.iter().map(async |wish| app.pixels(&app.generate(wish).await, 1).await);
    assert_eq!(futures_util::future::join_all(together).await, alone);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_neither_syntax_is_refused() {
    let app = TestApp::start().await;
    let image = url(&png(&quarters(8, 8)));
    for path in ["/v1/generations", "/v1/edits", "/v1/inversions"] {
        for other in ["compel", "Weighted", ""] {
            let mut body = json!({"image": image, "prompt_syntax": other});
            if path == "/v1/generations" {
                body.as_object_mut().unwrap().remove("image");
            }
            let answer = app.post(path, &body).await;
            assert_eq!((answer.status, answer.pointers()), (422, vec!["/prompt_syntax".to_owned()]), "{path} {other}");
            let message = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
            assert!(message.contains("plain") && message.contains("weighted"), "{message}");
        }
    }
    let described = app.get("/openapi.json").await.json();
    let schema = &described["components"]["schemas"];
    assert_eq!(schema["PromptSyntax"]["enum"], json!(["plain", "weighted"]));
    for request in ["GenerateRequest", "EditRequest", "InversionRequest"] {
        let field = &schema[request]["properties"]["prompt_syntax"];
        assert_eq!(
            (&field["$ref"], &field["default"]),
            (&json!("#/components/schemas/PromptSyntax"), &json!("plain")),
            "{field}"
        );
    }
    // A model that reads no text ignores it, and says so.
    let job = app.generate(&json!({"prompt": "(a:2)", "prompt_syntax": "weighted", "steps": 2})).await;
    assert_eq!(job["warnings"][0]["pointer"], "/prompt");
}

/// A picture that the model draws, as a data URL.
async fn drawn(app: &TestApp) -> String {
    let job = app.generate(&json!({"prompt": HEART, "seed": 4, "steps": 8})).await;
    url(&app.picture(&job, 0).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_read_weights_in_all_prompts() {
    let app = trained().await;
    let image = drawn(&app).await;
    let made = async |method: &Value, source: &str, wish: &str| {
        let body = json!({"image": image, "method": method, "source_prompt": source, "prompt": wish, "guidance": 4,
            "steps": 4, "seed": 1, "prompt_syntax": "weighted"});
        app.edit(&body).await
    };
    let with = async |method: &Value, source: &str, wish: &str| app.pixels(&made(method, source, wish).await, 0).await;
    let sdedit = json!("sdedit");
    assert_ne!(with(&sdedit, "", "blue heart").await, with(&sdedit, "", "(blue:1.5) heart").await);
    let methods = ["direct", "edit_friendly", "infedit"].map(|name| json!({"name": name}));
    for method in methods.iter().chain([&json!({"name": "null_text", "iterations": 1})]) {
        let plain = with(method, "red heart", "blue heart").await;
        assert_ne!(with(method, "(red:1.5) heart", "blue heart").await, plain, "{method}");
        // Either prompt may be the longer one.
        assert_ne!(with(method, "red heart", "blue heart BREAK ring").await, plain, "{method}");
        assert_ne!(with(method, "red heart BREAK ring", "blue heart").await, plain, "{method}");
        let weighed = made(method, "red heart", "(blue:1.5) heart").await;
        assert_ne!(app.pixels(&weighed, 0).await, plain, "{method}");
        let again = app.edit(&weighed["request"]).await;
        assert!(app.picture(&again, 0).await == app.picture(&weighed, 0).await, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attention_control_wants_plain_prompts() {
    let app = trained().await;
    let image = drawn(&app).await;
    let controlled = [json!("prompt_to_prompt"), json!({"name": "infedit", "attention": {}})];
    for (method, path) in controlled.iter().flat_map(|method| [(method, "/v1/edits"), (method, "/v1/inversions")]) {
        let mut body =
            json!({"image": image, "method": method, "prompt": "blue heart", "prompt_syntax": "weighted", "steps": 4});
        let answer = app.post(path, &body).await;
        if path == "/v1/edits" || method == "prompt_to_prompt" {
            assert_eq!((answer.status, answer.pointers()), (422, vec!["/prompt_syntax".to_owned()]), "{method}");
            assert!(answer.json()["errors"][0]["message"].as_str().unwrap().contains("attention control finds words"));
        }
        body["prompt_syntax"] = "plain".into();
        if path == "/v1/edits" {
            app.edit(&body).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_reads_prompts_as_its_inversion_did() {
    let app = trained().await;
    let image = drawn(&app).await;
    let inverted = async |method: Value, prompt: &str, syntax: &str| {
        let body = json!({"image": image, "method": method, "prompt": prompt, "prompt_syntax": syntax, "steps": 6, "guidance": 3});
        app.done(app.request(Method::POST, "/v1/inversions").json(&body)).await
    };
    let made = inverted(json!("direct"), "a (red:1.4) heart BREAK ring", "weighted").await;
    assert_eq!(made["request"]["prompt_syntax"], "weighted");
    let again = app.done(app.request(Method::POST, "/v1/inversions").json(&made["request"])).await;
    assert_eq!(again["files"][0]["sha256"], made["files"][0]["sha256"]);
    let file = &made["files"][0]["id"];
    let edit = app.edit(&json!({"inversion": file, "prompt": "a (blue:1.4) heart"})).await;
    assert_eq!((&edit["request"]["prompt_syntax"], &edit["warnings"]), (&json!("weighted"), &json!([])));
    let refused = app.post("/v1/edits", &json!({"inversion": file, "prompt": "x", "prompt_syntax": "plain"})).await;
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/prompt_syntax".to_owned()]));

    // Learned texts are as long as the prompts were.
    let learned = json!({"name": "null_text", "iterations": 1});
    let short = inverted(learned.clone(), "a red heart", "weighted").await;
    let from = async |made: &Value, prompt: &str| {
        let body = json!({"inversion": made["files"][0]["id"], "prompt": prompt});
        send(app.request(Method::POST, "/v1/edits").header("prefer", "wait=60").json(&body)).await
    };
    assert_eq!(from(&short, "a (blue:1.4) heart").await.status, 200);
    let answer = from(&short, "a blue heart BREAK ring").await;
    assert_eq!((answer.status, answer.pointers()), (422, vec!["/inversion".to_owned()]), "{}", answer.json());
    let long = inverted(learned, "a red heart BREAK ring", "weighted").await;
    assert_eq!(from(&long, "a blue heart").await.json()["status"], "succeeded");
    assert_eq!(from(&long, "a blue heart BREAK ring").await.json()["status"], "succeeded");
}
