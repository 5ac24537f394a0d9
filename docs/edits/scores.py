"""What an edit kept and what it reached, as the embedded model itself sees it."""

from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline

ROOT = Path(__file__).resolve().parents[2]
# Of 1000: for the structure few, where most of the picture is left; for the text nearly all.
STRUCTURE_TIMES = [50, 100, 200]
TEXT_TIMES = list(range(50, 950, 100))
NOISES = 4


class Scores:
    """Everything is measured under the same noises, so that differences between pictures are not the noise's."""

    def __init__(self):
        pipe = StableDiffusionPipeline.from_pretrained(
            ROOT / "models/emoji64", torch_dtype=torch.float32, safety_checker=None
        )
        self.vae, self.unet, self.pipe = pipe.vae, pipe.unet, pipe
        self.process = DDPMScheduler.from_config(pipe.scheduler.config)
        side = self.unet.config.sample_size
        self.noises = torch.randn(NOISES, 4, side, side, generator=torch.Generator().manual_seed(0))
        self.features = None
        self.unet.up_blocks[1].register_forward_hook(self.keep)

    def keep(self, _module, _inputs, output):
        self.features = output

    @torch.no_grad()
    def latents(self, pictures):
        """Mean latents `[n, 4, h, w]` of pictures `[n, 64, 64, 3]` of bytes."""
        pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1
        return self.vae.encode(pixels).latent_dist.mean * self.vae.config.scaling_factor

    def text(self, caption):
        """`[1, tokens, width]`"""
        tokenizer = self.pipe.tokenizer
        padded = {"padding": "max_length", "max_length": tokenizer.model_max_length, "truncation": True}
        return self.pipe.text_encoder(tokenizer(caption, return_tensors="pt", **padded).input_ids)[0]

    def predicted(self, x0, time, text):
        """The noise that the network finds in one picture under every noise."""
        times = torch.full((NOISES,), time)
        x = self.process.add_noise(x0.expand(NOISES, -1, -1, -1), self.noises, times)
        return self.unet(x, times, text.expand(NOISES, -1, -1)).sample

    def similarity(self, x0, time, text):
        """Cosines between the features of all places, `[places, places]`, from features averaged over the noises."""
        self.predicted(x0, time, text)
        features = self.features.mean(0).flatten(1).T
        features = features / features.norm(dim=1, keepdim=True)
        return features @ features.T

    @torch.no_grad()
    def structure(self, source, edited):
        """Mean squared difference of the self-similarities (Tumanyan et al. 2022, eq. 6), with features of the UNet's
        second up block instead of DINO's keys, under no text."""
        text = self.text("")
        square = [
            (self.similarity(source, time, text) - self.similarity(edited, time, text)).square().mean()
            for time in STRUCTURE_TIMES
        ]
        return torch.stack(square).mean().item()

    @torch.no_grad()
    def wish(self, edited, shown, wished):
        """By how much the wish explains a picture better than the source's caption does: the difference of the two errors
        over their sum, averaged over the times (Li et al. 2023, eq. 4 and 5). 0 is undecided, above 0 the wish."""
        texts = self.text(shown), self.text(wished)
        shares = []
        for time in TEXT_TIMES:
            said = [self.predicted(edited, time, text) for text in texts]
            of_source, of_wish = [(noise - self.noises).square().mean() for noise in said]
            shares.append((of_source - of_wish) / (of_source + of_wish))
        return torch.stack(shares).mean().item()


def psnr(source, edited):
    """Of pictures of bytes, in dB; infinite where they are the same."""
    mean = np.square(source.astype(float) - edited).mean()
    return 10 * np.log10(255**2 / mean) if mean else np.inf
