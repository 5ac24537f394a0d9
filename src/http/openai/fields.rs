//! The fields that OpenAI's clients know.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{http::schema::Shape, job::Format};

/// All fields of all three routes; `null` means the same as leaving one out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// What the picture shows. Needed.
    pub prompt: String,
    /// Id from `/v1/models`, such as a name of `openai.models`; the server's default when left out.
    pub model: Option<String>,
    /// Pictures to make, 1 when left out. Picture k has the seed `seed + k`.
    #[schema(minimum = 1, maximum = 10)]
    pub n: Option<u32>,
    /// `WIDTHxHEIGHT` in pixels, multiples of the model's `size_multiple`; `auto`, or left out: the model's native size.
    pub size: Option<String>,
    /// How many steps, as `openai.quality` says: `low` 10, `medium` and `standard` 25, `high` and `hd` 50; `auto` the model's
    /// own. `steps` beside it wins.
    pub quality: Option<String>,
    /// Ignored, with a warning.
    pub style: Style,
    /// Pictures have no alpha here: `transparent` is refused.
    pub background: Background,
    /// Ignored: nothing is moderated here.
    pub moderation: Moderation,
    /// The form of the pictures.
    pub output_format: PictureFormat,
    /// Quality of `jpeg` and `webp`, 100 when left out.
    #[schema(minimum = 0, maximum = 100)]
    pub output_compression: Option<u8>,
    /// Left out: `b64_json` for the models `gpt-image-*` and `chatgpt-image-*`, else `url`. A stream is always in base64.
    #[schema(value_type = ResponseFormat)]
    pub response_format: Option<ResponseFormat>,
    /// Answer with server-sent events as the pictures are made.
    pub stream: bool,
    /// Previews of each picture in a stream; fewer only where a picture has fewer evaluations.
    #[schema(minimum = 0, maximum = 3, default = 0)]
    pub partial_images: u32,
    /// Kept as the job's `metadata.user`, by which `/v1/jobs` can be searched; 512 bytes at most.
    pub user: Option<String>,
    /// Kept as the job's `metadata.safety_identifier`; 512 bytes at most.
    pub safety_identifier: Option<String>,
    /// `high` keeps more of the picture: a strength of `openai.fidelity_strength`. A mask, or `strength`, wins.
    pub input_fidelity: Fidelity,
    /// The picture, PNG, JPEG or WebP: a data URL, or the id of an earlier picture in the forms of `images`. Of several the first
    /// is edited.
    #[schema(value_type = Value)]
    pub image: Option<Value>,
    /// In JSON: `[{"image_url": "data:..."}]`, or `[{"file_id": id}]` of an earlier picture; its address on this server does
    /// too, others are not fetched. Of several the first is edited.
    #[schema(value_type = Value)]
    pub images: Option<Value>,
    /// A picture of the same size: what is transparent is edited. Left out: what is transparent in the picture itself.
    #[schema(value_type = Value)]
    pub mask: Option<Value>,
}

/// What the fields are checked against.
pub static SHAPE: LazyLock<Shape> = LazyLock::new(Shape::of::<Fields>);

/// A look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// Bold.
    #[default]
    Vivid,
    /// Plain.
    Natural,
}

/// What is behind the thing shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Background {
    /// As the model likes.
    #[default]
    Auto,
    /// Something.
    Opaque,
    /// Nothing.
    Transparent,
}

/// How strictly wishes are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Moderation {
    /// As usual.
    #[default]
    Auto,
    /// Less.
    Low,
}

/// How much of a picture an edit keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fidelity {
    /// As the method likes.
    #[default]
    Low,
    /// More.
    High,
}

/// Where the bytes of a picture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// Under an address on this server.
    Url,
    /// In the answer.
    B64Json,
}

/// How pictures are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PictureFormat {
    /// Lossless, carries its own request.
    #[default]
    Png,
    /// Lossy.
    Jpeg,
    /// Lossy.
    Webp,
}

impl From<PictureFormat> for Format {
    fn from(format: PictureFormat) -> Self {
        match format {
            PictureFormat::Png => Self::Png,
            PictureFormat::Jpeg => Self::Jpeg,
            PictureFormat::Webp => Self::Webp,
        }
    }
}
