//! Faults that users of other services reported: prompts, on the embedded model.

use serde_json::json;

use crate::support::server::Home;

/// C17: the text encoder folds capitals and white space, whatever kind of white space it is; the job's words stay as sent.
#[tokio::test(flavor = "multi_thread")]
async fn capitals_and_white_space_make_no_other_picture() {
    let home = Home::new().with("models__default", "emoji64").with("engine__strict", "true");
    let server = home.start();
    let mut made = Vec::new();
    for prompt in ["a red heart", "A RED  Heart\n", "a\u{a0}red\theart", "a red hear"] {
        let job = server.make(json!({"prompt": prompt, "steps": 4, "seed": 7})).await;
        assert_eq!(job["request"]["prompt"], prompt);
        // Not the bytes: the text chunks of a PNG name the prompt as it was sent.
        let picture = image::load_from_memory(&server.pictures(&job).await[0]).unwrap();
        made.push(picture.to_rgb8().into_raw());
    }
    assert_eq!(made[0], made[1], "capitals, two blanks and a new line");
    assert_eq!(made[0], made[2], "a no-break space and a tab");
    assert_ne!(made[0], made[3], "another word must be seen");
}
