//! Pictures and files beside the rows that name them.

use std::time::Duration;

use darkroom::store::{Found, blobs::Blobs, sweep};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    store::{memory, put},
    support::jobs::{generation, new_job},
};

#[tokio::test]
async fn blobs_are_whole_or_absent() {
    let dir = TempDir::new().unwrap();
    let url = format!("file://{}/blobs", dir.path().display());
    for blobs in [Blobs::open(&url).unwrap(), Blobs::open("memory:").unwrap()] {
        assert_eq!(blobs.get("a").await.unwrap(), None);
        blobs.put("a", "one".into()).await.unwrap();
        blobs.put("a", "two".into()).await.unwrap();
        assert_eq!(blobs.get("a").await.unwrap().unwrap(), "two");
        let name = blobs.put_input("abc".into()).await.unwrap();
        assert_eq!(name, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(blobs.get_input(&name).await.unwrap().unwrap(), "abc");
        assert_eq!(blobs.get_input("sha256:../a").await.unwrap(), None);
        blobs.delete("a").await.unwrap();
        blobs.delete("a").await.unwrap();
        assert_eq!(blobs.get("a").await.unwrap(), None);
    }
    assert!(Blobs::open("s4://x").is_err());
    // What a cut-off write leaves is no blob, and goes with the next start.
    let torn = dir.path().join("blobs/b#1");
    std::fs::write(&torn, "half").unwrap();
    let blobs = Blobs::open(&url).unwrap();
    assert!(!torn.exists());
    assert_eq!(blobs.older_than(Duration::ZERO).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_sweeper_deletes_what_no_row_names() {
    let store = memory().await;
    let blobs = Blobs::open("memory:").unwrap();
    let input = blobs.put_input("noise".into()).await.unwrap();
    let mut request = generation("a", 1);
    request.latents = Some(json!({"blob": input}));
    let new = new_job(request);
    put(&store, &new).await;
    let named = new.job.images[0].id.to_string();
    for key in [named.as_str(), "nobody"] {
        blobs.put(key, "x".into()).await.unwrap();
    }
    let hour = Duration::from_secs(3600);
    assert_eq!(sweep::sweep(&store, &blobs, hour).await.unwrap(), sweep::Swept { blobs: 0, marks: 0 });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(sweep::sweep(&store, &blobs, Duration::ZERO).await.unwrap(), sweep::Swept { blobs: 1, marks: 0 });
    assert!(blobs.get("nobody").await.unwrap().is_none() && blobs.get(&named).await.unwrap().is_some());
    assert!(blobs.get_input(&input).await.unwrap().is_some());
    assert!(matches!(sweep::erase(&store, &blobs, new.job.id).await.unwrap(), Found::Here(())));
    assert!(blobs.get(&named).await.unwrap().is_none(), "the pictures go with the job");
    assert_eq!(sweep::sweep(&store, &blobs, Duration::ZERO).await.unwrap(), sweep::Swept { blobs: 1, marks: 0 });
    assert!(blobs.get_input(&input).await.unwrap().is_none(), "no job names the input any more");
}
