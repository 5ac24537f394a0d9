//! What AUTOMATIC1111's clients send: every key, with the default that it has there.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A wish for pictures. Clients send every key; those of things that are not done here may only have the value that asks
/// for nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default = "Wish::usual")]
#[schema(as = SdapiTxt2img)]
#[schema(example = json!({
    "prompt": "a red heart, twemoji style", "seed": 7, "steps": 20, "width": 64, "height": 64, "sampler_name": "Euler a"
}))]
pub struct Wish {
    /// What the pictures show.
    pub prompt: String,
    /// What they do not show.
    pub negative_prompt: String,
    /// Saved styles; there are none here, and unknown ones do nothing, as there.
    pub styles: Vec<String>,
    /// Picture k has `seed + k`; -1: drawn, and reported in `info`.
    #[schema(minimum = -1, maximum = 9007199254740991i64, default = -1)]
    pub seed: i64,
    /// Seed of the variation; -1: drawn.
    #[schema(minimum = -1, maximum = 9007199254740991i64, default = -1)]
    pub subseed: i64,
    /// How much of the variation's noise is in the noise of the start; above 0 for a single picture only.
    #[schema(minimum = 0, maximum = 1)]
    pub subseed_strength: f64,
    /// 0 or below: not. Otherwise only `height` itself.
    pub seed_resize_from_h: i64,
    /// 0 or below: not. Otherwise only `width` itself.
    pub seed_resize_from_w: i64,
    /// A name or alias from `/sdapi/v1/samplers`, in any case; names of old versions that end in a schedule are split.
    pub sampler_name: Option<String>,
    /// The same under its old key, where `sampler_name` is left out.
    #[schema(default = "Euler")]
    pub sampler_index: String,
    /// A name or label from `/sdapi/v1/schedulers`, in any case.
    pub scheduler: Option<String>,
    /// Pictures of a batch. All `batch_size * n_iter` of them are one job.
    #[schema(minimum = 1, maximum = 16, default = 1)]
    pub batch_size: u32,
    /// Batches.
    #[schema(minimum = 1, maximum = 16, default = 1)]
    pub n_iter: u32,
    /// Steps.
    #[schema(minimum = 1, maximum = 1000, default = 50)]
    pub steps: u32,
    /// Scale of the classifier-free guidance.
    #[schema(minimum = 0, maximum = 100, default = 7)]
    pub cfg_scale: f64,
    /// Pixels; the model's native width when left out.
    #[schema(minimum = 1, maximum = 1048576)]
    pub width: Option<u32>,
    /// Pixels; the model's native height when left out.
    #[schema(minimum = 1, maximum = 1048576)]
    pub height: Option<u32>,
    /// Not done: false.
    pub restore_faces: bool,
    /// Not done: false.
    pub tiling: bool,
    /// No matter: pictures are kept with their job.
    pub do_not_save_samples: bool,
    /// No matter: there are no grids.
    pub do_not_save_grid: bool,
    /// Share of fresh noise, for samplers that draw some; others take 0 and 1.
    #[schema(minimum = 0, maximum = 1)]
    pub eta: Option<f64>,
    /// Share of the steps that run, 0.75 when left out. Of new pictures nothing: it is of a second pass.
    #[schema(minimum = 0, maximum = 1)]
    pub denoising_strength: Option<f64>,
    /// Not done: 0.
    pub s_min_uncond: f64,
    /// Noise added on the way, for Euler and Heun.
    #[schema(minimum = 0, maximum = 1000)]
    pub s_churn: Option<f64>,
    /// Greatest sigma at which it is added; 0: no limit.
    #[schema(minimum = 0, maximum = 1e6)]
    pub s_tmax: Option<f64>,
    /// Least sigma at which it is added.
    #[schema(minimum = 0, maximum = 1e6)]
    pub s_tmin: Option<f64>,
    /// Scale of fresh noise, for samplers that draw some; others take 1.
    #[schema(minimum = 0, maximum = 2)]
    pub s_noise: Option<f64>,
    /// Keys of `/sdapi/v1/options` for this request alone.
    #[schema(value_type = Object)]
    pub override_settings: Map<String, Value>,
    /// No matter: they are for this request alone.
    pub override_settings_restore_afterwards: bool,
    /// Not done: null.
    pub refiner_checkpoint: Option<String>,
    /// No matter without `refiner_checkpoint`.
    pub refiner_switch_at: Option<f64>,
    /// No matter: there are none.
    pub disable_extra_networks: bool,
    /// No matter without `enable_hr`.
    pub firstpass_image: Option<String>,
    /// No matter.
    #[schema(value_type = Object)]
    pub comments: Value,
    /// Not done: false.
    pub enable_hr: bool,
    /// No matter without `enable_hr`.
    pub firstphase_width: i64,
    /// No matter without `enable_hr`.
    pub firstphase_height: i64,
    /// No matter without `enable_hr`.
    pub hr_scale: f64,
    /// No matter without `enable_hr`.
    pub hr_upscaler: Option<String>,
    /// No matter without `enable_hr`.
    pub hr_second_pass_steps: i64,
    /// No matter without `enable_hr`.
    pub hr_resize_x: i64,
    /// No matter without `enable_hr`.
    pub hr_resize_y: i64,
    /// No matter without `enable_hr`.
    pub hr_checkpoint_name: Option<String>,
    /// No matter without `enable_hr`.
    pub hr_sampler_name: Option<String>,
    /// No matter without `enable_hr`.
    pub hr_scheduler: Option<String>,
    /// No matter without `enable_hr`.
    pub hr_prompt: String,
    /// No matter without `enable_hr`.
    pub hr_negative_prompt: String,
    /// The client's own name of the task, for `/internal/progress` and `/sdapi/v1/progress`.
    pub force_task_id: Option<String>,
    /// Not done: null.
    pub script_name: Option<String>,
    /// No matter without `script_name`.
    pub script_args: Vec<Value>,
    /// Whether the answer holds the pictures.
    #[schema(default = true)]
    pub send_images: bool,
    /// No matter: pictures are kept with their job.
    pub save_images: bool,
    /// Not done: `{}`, or scripts whose arguments ask for nothing.
    #[schema(value_type = Object)]
    pub alwayson_scripts: Map<String, Value>,
    /// The text of a picture made before: it fills in every key that is left out.
    pub infotext: Option<String>,
}

impl Wish {
    /// The wish of a client that says nothing.
    fn usual() -> Self {
        Self {
            seed: -1,
            subseed: -1,
            seed_resize_from_h: -1,
            seed_resize_from_w: -1,
            sampler_index: "Euler".into(),
            batch_size: 1,
            n_iter: 1,
            steps: 50,
            cfg_scale: 7.0,
            override_settings_restore_afterwards: true,
            hr_scale: 2.0,
            send_images: true,
            ..Self::default()
        }
    }
}

/// What a wish for changed pictures adds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Start {
    /// The picture, one: PNG, JPEG or WebP in base64 or as a data URL. Needed.
    pub init_images: Vec<String>,
    /// A picture likewise, white where the other may change; brought to its size.
    pub mask: Option<String>,
    /// Not done: null.
    pub latent_mask: Option<String>,
    /// How the picture is brought to `width` and `height`: 0 stretched, 1 cropped, 2 filled up with the colours of its
    /// edges; 3, in latents, is not done.
    #[schema(minimum = 0, maximum = 3)]
    pub resize_mode: u32,
    /// Standard deviation, in pixels, of the blur of the mask's edge.
    #[schema(minimum = 0, maximum = 64, default = 4)]
    pub mask_blur: Option<u32>,
    /// The same along x; along both axes only.
    #[schema(minimum = 0, maximum = 64)]
    pub mask_blur_x: Option<u32>,
    /// The same along y; along both axes only.
    #[schema(minimum = 0, maximum = 64)]
    pub mask_blur_y: Option<u32>,
    /// No matter: a mask counts from half white on where latents are told apart.
    pub mask_round: bool,
    /// What a mask's white is before the noise: 0 the colours around, 1 the picture, 2 noise, 3 nothing.
    #[schema(minimum = 0, maximum = 3)]
    pub inpainting_fill: u32,
    /// Whether the part around the mask alone is worked on, at the whole size.
    #[schema(default = true)]
    pub inpaint_full_res: bool,
    /// Pixels around the mask that go with it then.
    #[schema(minimum = 0, maximum = 16384)]
    pub inpaint_full_res_padding: u32,
    /// 1: black may change instead of white.
    #[schema(minimum = 0, maximum = 1)]
    pub inpainting_mask_invert: u32,
    /// Not done: 1.
    pub initial_noise_multiplier: Option<f64>,
    /// Not done: 1.5 or 0.
    pub image_cfg_scale: Option<f64>,
    /// Whether the `parameters` of the answer repeat the pictures.
    pub include_init_images: bool,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            init_images: Vec::new(),
            mask: None,
            latent_mask: None,
            resize_mode: 0,
            mask_blur: None,
            mask_blur_x: None,
            mask_blur_y: None,
            mask_round: true,
            inpainting_fill: 0,
            inpaint_full_res: true,
            inpaint_full_res_padding: 0,
            inpainting_mask_invert: 0,
            initial_noise_multiplier: None,
            image_cfg_scale: None,
            include_init_images: false,
        }
    }
}
