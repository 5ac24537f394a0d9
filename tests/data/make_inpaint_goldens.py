"""Golden numbers of an inpainting UNet: the embedded model's, told a mask and a masked picture beside its latents.

    .venv/bin/python tests/data/make_inpaint_goldens.py

Needs what make_goldens.py needs, and the `emoji64.safetensors` that it writes. Writes `inpaint.safetensors` beside it: the
five channels more of the second UNet case (`concat`: the mask, then four of latents, as `StableDiffusionInpaintPipeline`
orders them) and what the widened network says. The weights of those channels are the waves below; the test makes them anew.
"""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/data/goldens"


def waves(shape, speed, scale):
    numel = torch.Size(shape).numel()
    return ((torch.arange(numel, dtype=torch.float64) * speed).sin() * scale).float().view(shape)


def widened(narrow):
    """The same network with five channels more in."""
    unet = UNet2DConditionModel.from_config({**narrow.config, "in_channels": 9})
    weights = narrow.state_dict()
    own = weights["conv_in.weight"]
    weights["conv_in.weight"] = torch.cat([own, waves((own.shape[0], 5, 3, 3), 0.37, 0.05)], dim=1)
    unet.load_state_dict(weights)
    return unet.eval()


if __name__ == "__main__":
    unet = widened(UNet2DConditionModel.from_pretrained(ROOT / "models/emoji64/unet", torch_dtype=torch.float32))
    case = load_file(OUT / "emoji64.safetensors")
    x, t, context = (case[f"unet1.{name}"] for name in ["x", "t", "context"])
    mask = (waves((2, 1, 16, 16), 0.11, 1.0) > 0).float()
    concat = torch.cat([mask, waves((2, 4, 16, 16), 0.73, 1.0)], dim=1)
    with torch.no_grad():
        out = unet(torch.cat([x, concat], dim=1), t, context).sample
    save_file({"concat": concat.contiguous(), "out": out.contiguous()}, OUT / "inpaint.safetensors")
