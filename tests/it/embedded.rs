//! The embedded model as a client meets it: previews in its colours, and forwards that keep within memory.

use image::{RgbImage, imageops};
use serde_json::{Value, json};

use crate::support::server::{Home, Server};

fn home() -> Home {
    Home::new().with("models__default", "emoji64")
}

fn colours(bytes: &[u8]) -> RgbImage {
    imageops::thumbnail(&image::load_from_memory(bytes).unwrap().to_rgb8(), 16, 16)
}

/// The last preview of a job's first picture.
async fn preview(server: &Server, id: &str) -> Vec<u8> {
    let mut last = Vec::new();
    loop {
        let answer = server.get(&format!("/v1/jobs/{id}/previews/0")).send().await.unwrap();
        if answer.status() == 200 {
            last = answer.bytes().await.unwrap().to_vec();
        } else if !last.is_empty() {
            return last;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn previews_have_the_colours_of_the_picture() {
    let home = home();
    let server = home.start();
    let wish = json!({"prompt": "a red heart, twemoji style", "seed": 7, "steps": 20, "preview_every": 1});
    let id = server.submit(wish).await;
    let preview = preview(&server, &id).await;
    server.ended(&id).await;
    let preview = colours(&preview);
    let (heart, corner) = (preview.get_pixel(8, 8).0, preview.get_pixel(0, 15).0);
    assert!(heart[0] > 150 && heart[1] < 110 && heart[2] < 110, "the heart is red: {heart:?}");
    assert!(corner.iter().all(|part| *part > 180), "the ground is white: {corner:?}");
}

/// The most rows that a predict forward had, by the buckets of its histogram.
async fn most_rows(server: &Server) -> f64 {
    let text = server.get("/metrics").send().await.unwrap().text().await.unwrap();
    let buckets = text.lines().filter_map(|line| {
        let bucket = line.strip_prefix("darkroom_batch_rows_bucket{model=\"emoji64\",le=\"")?;
        let (bound, count) = bucket.split_once("\"} ")?;
        Some((bound.parse::<f64>().unwrap(), count.parse::<u64>().unwrap()))
    });
    let buckets: Vec<_> = buckets.collect();
    let all = buckets.last().unwrap().1;
    buckets.iter().find(|(_, count)| *count == all).unwrap().0
}

#[tokio::test]
async fn forwards_keep_within_the_memory_that_there_is() {
    let home = home().with("engine__memory_mb", "100");
    let server = home.start();
    let great = server.submit(json!({"prompt": "pizza", "width": 512, "height": 512, "steps": 2})).await;
    let failed: Value = server.ended(&great).await;
    assert_eq!(failed["error"]["code"], "out_of_memory", "{failed}");
    assert!(failed["error"]["detail"].as_str().unwrap().contains("100 MB are free"), "{failed}");
    server.make(json!({"prompt": "pizza", "count": 16, "steps": 2})).await;
    let rows = most_rows(&server).await;
    assert!((2.0..=16.0).contains(&rows), "32 rows were asked for and forwards had up to {rows}");
}

#[tokio::test]
async fn a_model_that_does_not_fit_ends_the_process_with_1() {
    let home = home().with("engine__memory_mb", "1");
    let mut server = home.start();
    assert_eq!(server.exited().await.code(), Some(1));
    assert!(server.log().contains("out of memory"), "{}", server.log());
}

/// C13: sizes that the network cannot halve often enough are refused, all others are drawn as asked.
#[tokio::test]
async fn sizes_fit_the_whole_network() {
    let home = home();
    let server = home.start();
    for (width, height, refused) in [(68, 64, "/width"), (64, 72, "/height"), (8, 8, "/width")] {
        let wish = json!({"prompt": "sun", "width": width, "height": height, "steps": 1});
        let answer = server.post("/v1/generations", &wish).send().await.unwrap();
        assert_eq!(answer.status(), 422);
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["errors"][0]["pointer"], refused, "{problem}");
    }
    for (width, height) in [(80, 48), (16, 16)] {
        let job = server.make(json!({"prompt": "sun", "width": width, "height": height, "steps": 1})).await;
        let picture = image::load_from_memory(&server.pictures(&job).await[0]).unwrap();
        assert_eq!((picture.width(), picture.height()), (width, height));
    }
}
