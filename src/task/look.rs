//! What the network sees in pictures: activations at chosen times and blocks, or how far those of two pictures differ.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use image::RgbImage;
use tch::{Device, Kind, Tensor};

use super::{
    Made, Product, Told,
    finished::drawn,
    prompted::{Prompted, question},
};
use crate::{
    ask::{Ask, Net, Stage, Tap},
    error::Result,
    job::{Features, Pool, PromptSyntax},
    model::Card,
    noise::Noise,
    process::Level,
};

/// Everything that looking at pictures needs besides the network, worked out off the engine thread.
pub struct Look {
    /// The model.
    pub card: Arc<Card>,
    /// The valid request.
    pub request: Features,
    /// The pictures at the size of the request: one, or two that are compared.
    pub pictures: Vec<RgbImage>,
    told: Told,
}

impl Look {
    /// For a valid request, whose pictures are still to be read.
    pub fn new(card: Arc<Card>, request: Features) -> Self {
        let told = Told::new(card.clone(), [&request.prompt, ""], PromptSyntax::Plain, request.label);
        Self { card, request, pictures: Vec::new(), told }
    }

    /// The same with its pictures.
    pub fn with_pictures(self, pictures: Vec<RgbImage>) -> Self {
        Self { pictures, ..self }
    }

    /// Network evaluations: one for each time.
    pub fn evaluations(&self) -> u64 {
        self.request.timesteps.len() as u64
    }

    /// Rows of each.
    pub fn rows(&self) -> u32 {
        1 + u32::from(self.request.image_b.is_some())
    }

    fn levels(&self) -> Vec<Level> {
        self.request.timesteps.iter().map(|t| self.card.process.at(*t)).collect()
    }

    fn shape(&self) -> [i64; 3] {
        self.card.latent_for(self.request.width, self.request.height)
    }
}

/// Keeps what chosen blocks give, `[n, c, h, w]` in f32; a forward that is tried again overwrites.
struct Recorder {
    wanted: Vec<String>,
    seen: RefCell<BTreeMap<String, Tensor>>,
}

impl Tap for Recorder {
    fn feature(&self, block: &str, x: &Tensor) {
        if self.wanted.iter().any(|wanted| wanted == block) {
            self.seen.borrow_mut().insert(block.to_owned(), x.to_kind(Kind::Float));
        }
    }
}

/// Pictures to a file of activations, or two to a map of what differs (the mechanism of DDPM-CD, Bandara et al. 2025, arXiv
/// 2206.11892): all pictures have the same noise at a time, so that equal ones do not differ.
///
/// # Errors
/// What the network fails with.
pub async fn look(look: Look, net: Net, device: Device) -> Result<Vec<Product>> {
    let request = &look.request;
    let states = states(&look, &net, device).await?;
    let prompted = Prompted::of(&look.told, (look.shape(), 0), &net, device).await?;
    let noise = Noise::new(vec![request.seed], &look.shape(), Kind::Float, device);
    let levels = look.levels();
    // The noise at a time does not depend on what other times are looked at.
    let noised = |level: &Level| &states * level.alpha + noise.anew((level.t * 1000.0) as u32) * level.sigma;
    let noised: Vec<Tensor> = levels.iter().map(noised).collect();
    let seen = seen(&look, &net, &prompted, (&noised, &levels)).await?;
    match look.pictures.len() {
        1 => activations(&look, &net, &seen).await,
        _ => changed(&look, &net, &seen).await,
    }
}

/// The clean states `[n, C, h, w]` of the pictures.
async fn states(look: &Look, net: &Net, device: Device) -> Result<Tensor> {
    let pixels: Vec<_> = look.pictures.iter().map(|picture| super::edit::pixels(picture, device)).collect();
    let pixels = Tensor::cat(&pixels, 0);
    let latents = net.ask(question(&look.card, Stage::Encode, pixels, 0)).await?.output;
    Ok(latents.contiguous())
}

/// What the chosen blocks give for states `[n, C, h, w]` at each of some levels, all in one forward.
async fn seen(
    look: &Look,
    net: &Net,
    prompted: &Prompted<'_>,
    (states, levels): (&[Tensor], &[Level]),
) -> Result<Vec<BTreeMap<String, Tensor>>> {
    let n = states[0].size()[0];
    let pictures = states.iter().zip(levels).map(|(x, level)| prompted.coordinates.picture(x, level));
    let x = Tensor::cat(&pictures.collect::<Vec<_>>(), 0);
    let each = usize::try_from(n).expect("a size is not negative");
    let recorder = Rc::new(Recorder { wanted: look.request.blocks.clone(), seen: RefCell::default() });
    let ask = Ask {
        t: levels.iter().flat_map(|level| std::iter::repeat_n(level.t, each)).collect(),
        cond: prompted.conditions(x.size()[0]).positive().clone(),
        together: true,
        pictures: levels.len(),
        tap: Some(recorder.clone()),
        ..Ask::new(look.card.id.clone(), Stage::Predict, x)
    };
    net.ask(ask).await?;
    let all = recorder.seen.take();
    let of = |k: i64| all.iter().map(|(block, x)| (block.clone(), x.narrow(0, k * n, n))).collect();
    Ok((0..).take(levels.len()).map(of).collect())
}

/// The activations of one picture, `{block}.t{time}`: `[c, h, w]`, or `[c]` where they are pooled.
async fn activations(look: &Look, net: &Net, seen: &[BTreeMap<String, Tensor>]) -> Result<Vec<Product>> {
    let mut tensors = Vec::new();
    for (t, blocks) in look.request.timesteps.iter().zip(seen) {
        for (block, x) in blocks {
            let x = match look.request.pool {
                Pool::None => x.get(0),
                Pool::Mean => x.get(0).mean_dim([1i64, 2].as_slice(), false, Kind::Float),
            };
            tensors.push((format!("{block}.t{t}"), net.fetch(&x.contiguous()).await?));
        }
    }
    Ok(vec![Product { index: 0, made: Made::Features(tensors), over: None }])
}

/// The mean over times and blocks of `1 - cos` of both pictures' activations, as the file's `change` `[H, W]`, and as a grey
/// picture that is white where it is greatest.
async fn changed(look: &Look, net: &Net, seen: &[BTreeMap<String, Tensor>]) -> Result<Vec<Product>> {
    let (width, height) = (i64::from(look.request.width), i64::from(look.request.height));
    let maps: Vec<Tensor> = seen.iter().flat_map(BTreeMap::values).map(|x| apart(x, [height, width])).collect();
    let change = Tensor::stack(&maps, 0).mean_dim([0i64].as_slice(), false, Kind::Float);
    let shown = &change / change.max().clamp_min(1e-6);
    let grey = (shown * 2.0 - 1.0).expand([1, 3, height, width], false);
    let picture = drawn(net, &grey).await?.remove(0);
    let file = Made::Features(vec![("change".into(), net.fetch(&change.contiguous()).await?)]);
    Ok(vec![Product { index: 0, made: picture, over: None }, Product { index: 0, made: file, over: None }])
}

/// `1 - cos` of the channels of two pictures' activations `[2, c, h, w]`, at the size of the pictures.
fn apart(x: &Tensor, [height, width]: [i64; 2]) -> Tensor {
    let (a, b) = (x.narrow(0, 0, 1), x.narrow(0, 1, 1));
    // By their difference, which is exactly 0 for equal pictures: |a / |a| - b / |b||^2 / 2.
    let unit = |x: Tensor| {
        let length = x.norm_scalaropt_dim(2, [1], true).clamp_min(1e-12);
        x / length
    };
    let half = (unit(a) - unit(b)).square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float) / 2.0;
    half.upsample_bilinear2d([height, width], false, None, None).squeeze_dim(0).squeeze_dim(0)
}
