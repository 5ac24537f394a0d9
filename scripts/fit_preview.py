"""Fits the linear map from latents to colours that previews are drawn with, and writes it into a model's darkroom.json.

    .venv/bin/python scripts/fit_preview.py models/emoji64 --prompt "a red heart, twemoji style" --prompt "pizza, noto style"

Makes pictures of the prompts, and solves by least squares for the colours of each latent cell's patch, red, green and blue
in 0..1 from the cell's channels and a constant. Prints how much of the colours' variance the map explains.
"""

import argparse
import json
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline


@torch.inference_mode()
def pairs(pipe, prompt, seed, steps):
    """Latent cells with a constant [h w, C + 1], and the mean colour of each cell's patch [h w, 3]."""
    native = pipe.unet.config.sample_size * pipe.vae_scale_factor
    latents = pipe(
        prompt, num_inference_steps=steps, generator=torch.Generator().manual_seed(seed), output_type="latent", height=native,
        width=native,
    ).images
    decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    colours = torch.nn.functional.avg_pool2d((decoded / 2 + 0.5).clamp(0, 1), pipe.vae_scale_factor)
    cells = latents[0].flatten(1).T
    return torch.cat([cells, torch.ones(len(cells), 1)], 1), colours[0].flatten(1).T


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("--prompt", action="append", required=True)
    arguments.add_argument("--steps", type=int, default=20)
    arguments = arguments.parse_args()
    pipe = StableDiffusionPipeline.from_pretrained(arguments.model, torch_dtype=torch.float32, safety_checker=None)
    found = [pairs(pipe, prompt, seed, arguments.steps) for seed, prompt in enumerate(arguments.prompt)]
    cells, colours = (torch.cat(parts) for parts in zip(*found))
    chosen = torch.linalg.lstsq(cells, colours).solution
    left = (colours - cells @ chosen).var() / colours.var()
    print(f"{len(found)} pictures; explains {100 * (1 - left):.1f} % of the variance")
    path = arguments.model / "darkroom.json"
    card = json.loads(path.read_text()) if path.exists() else {}
    card["preview"] = [[round(value, 4) for value in row] for row in chosen.tolist()]
    text = json.dumps(card, indent=2)
    for row in card["preview"]:
        text = text.replace(json.dumps(row, indent=2).replace("\n", "\n    "), json.dumps(row))
    path.write_text(text + "\n")


if __name__ == "__main__":
    main()
