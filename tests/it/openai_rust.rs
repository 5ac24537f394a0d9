//! The Rust client of OpenAI's API as people install it.

use async_openai::{
    Client,
    config::OpenAIConfig,
    error::OpenAIError,
    types::images::{
        CreateImageEditRequestArgs, CreateImageRequestArgs, Image, ImageEditInput, ImageGenStreamEvent, ImageInput,
        ImageSize, ImagesResponse,
    },
};
use futures_util::StreamExt;

use crate::support::{
    app::TestApp,
    openai::{clear, pixels},
    pictures::{png, quarters, written},
};

fn client(app: &TestApp) -> Client<OpenAIConfig> {
    Client::with_config(OpenAIConfig::new().with_api_base(format!("{}/v1", app.url)).with_api_key("any"))
}

fn bytes(answer: &ImagesResponse, at: usize) -> Vec<u8> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    match &*answer.data[at] {
        Image::B64Json { b64_json, .. } => BASE64_STANDARD.decode(b64_json.as_bytes()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_generates_edits_streams_and_lists() {
    let app = TestApp::start().await;
    let client = client(&app);
    let models = client.models().list().await.unwrap();
    assert!(models.data.iter().any(|model| model.id == "gaussian"), "{models:?}");
    assert_eq!(client.models().retrieve("gaussian").await.unwrap().object, "model");

    let mut wish = CreateImageRequestArgs::default();
    wish.prompt("a").n(2).size(ImageSize::Other("16x8".into()));
    let made = client.images().generate(wish.build().unwrap()).await.unwrap();
    assert_eq!((made.data.len(), made.size.clone()), (2, Some(ImageSize::Other("16x8".into()))));
    let picture = bytes(&made, 0);
    assert_eq!(pixels(&picture).dimensions(), (16, 8));

    let mask = image::GrayImage::from_fn(8, 8, |x, _| image::Luma([if x < 4 { 255 } else { 0 }]));
    let source = quarters(8, 8);
    let edit = CreateImageEditRequestArgs::default()
        .prompt("a")
        .image(ImageEditInput::Images(vec![ImageInput::from_vec_u8("a.png".into(), png(&source))]))
        .mask(ImageInput::from_vec_u8("m.png".into(), written(&clear(0, &mask).into())))
        .build()
        .unwrap();
    let edited = pixels(&bytes(&client.images().edit(edit).await.unwrap(), 0));
    let kept = |picture: &image::RgbImage| {
        picture.enumerate_pixels().filter(|(x, _, _)| *x > 3).map(|(_, _, p)| *p).collect::<Vec<_>>()
    };
    assert_eq!(kept(&edited), kept(&source));

    let streamed = wish.n(1).partial_images(3).build().unwrap();
    let events: Vec<_> = client.images().generate_stream(streamed).await.unwrap().collect().await;
    let events: Vec<_> = events.into_iter().map(Result::unwrap).collect();
    assert!(
        matches!(
            events.as_slice(),
            [
                ImageGenStreamEvent::PartialImage(_),
                ImageGenStreamEvent::PartialImage(_),
                ImageGenStreamEvent::PartialImage(_),
                ImageGenStreamEvent::Completed(_),
            ]
        ),
        "{events:?}"
    );

    match client.images().generate(CreateImageRequestArgs::default().prompt("").build().unwrap()).await {
        Err(OpenAIError::ApiError(error)) => {
            let told = format!("{error:?}");
            assert!(told.contains("invalid_request_error") && told.contains("prompt"), "{told}");
        }
        other => panic!("{other:?}"),
    }
}
