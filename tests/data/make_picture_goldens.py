"""Golden latents and pictures of whole runs, from the schedulers of Python diffusers on the embedded model.

    python -m venv .venv && .venv/bin/pip install torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 safetensors
    .venv/bin/python tests/data/make_picture_goldens.py

Writes tests/data/goldens/pictures.json (the table: which peer class, with which options, is which of our samplers and
schedules, with which ends) and pictures.safetensors (final latents and pictures of each row). Run it again when the
embedded model changes.

20 steps, guidance 5, one picture. Initial and step noise are those of noise.py, so the
two sides start at the same point and draw the same numbers.

Left out, because the peer computes something else:
- DDIM with `linspace` takes t - 1000 / steps for the next time, which is not the next entry of the list
  (huggingface/diffusers#12633).
- DPMSolverMultistep with `leading` strides by 1000 div (steps + 1).
- DDPM with `fixed_large` over `leading` and `trailing` adds noise to the last, clean level too, because its time is
  above 0.
- Karras and exponential spacings of the ancestral Euler: the class has none.
Mended here: with `use_exponential_sigmas` DPMSolverMultistep cuts the times it tells the network to integers where it
rounds them for its other spacings; the goldens round.
"""

import json
from pathlib import Path

import noise
import numpy as np
import torch
from diffusers import (
    AutoencoderKL, DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler, HeunDiscreteScheduler, UNet2DConditionModel,
)
from diffusers.schedulers import scheduling_ddpm, scheduling_euler_ancestral_discrete
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/emoji64"
OUT = ROOT / "tests/data/goldens"
STEPS, GUIDANCE, SEED, PROMPT = 20, 5.0, 7, "a red heart, twemoji style"
SHAPE = (1, 4, 16, 16)


def normals(purpose, step):
    """Standard normals of the picture: purpose 0 is the start, 1 a step."""
    return torch.from_numpy(noise.normals(SEED, purpose, step, SHAPE))


class StepNoise:
    """Stands in for the peers' own draws: call k is the noise of step k."""

    def __init__(self):
        self.step = 0

    def __call__(self, shape, **_):
        assert tuple(shape) == SHAPE
        self.step += 1
        return normals(1, self.step - 1)


def table():
    """(peer class, its options, our sampler, our schedule, start, time, end, options of the peer's step)."""
    spaced = [("leading", "leading", {}), ("trailing", "trailing", {}), ("linspace", "linspace", {})]
    sigmas = [("karras", "linspace", dict(use_karras_sigmas=True)), ("exponential", "linspace", dict(use_exponential_sigmas=True))]
    for name, spacing, _ in spaced[:2]:
        for end, to_one in [("first", False), ("zero", True)]:
            yield DDIMScheduler, dict(timestep_spacing=spacing, set_alpha_to_one=to_one, clip_sample=False), "ddim", name, "unit", "integer", end, {}
        options = dict(timestep_spacing=spacing, set_alpha_to_one=True, clip_sample=False)
        yield DDIMScheduler, options, {"name": "ddim", "eta": 1.0}, name, "unit", "integer", "zero", dict(eta=1.0)
    for name, spacing, _ in spaced:
        for variance, kind in [("small", "fixed_small"), ("large", "fixed_large")]:
            if variance == "large" and name != "linspace":
                continue
            options = dict(timestep_spacing=spacing, variance_type=kind, clip_sample=False)
            yield DDPMScheduler, options, {"name": "ddpm", "variance": variance}, name, "unit", "integer", "zero", {}
    for peer, ours in [(EulerDiscreteScheduler, "euler"), (HeunDiscreteScheduler, "heun"), (EulerAncestralDiscreteScheduler, "euler_a")]:
        for name, spacing, more in spaced + (sigmas if ours != "euler_a" else []):
            start = "unit" if spacing == "leading" else "sigma"
            yield peer, dict(timestep_spacing=spacing) | more, ours, name, start, "real", "zero", {}
    lambdas = [("uniform_lambda", "linspace", dict(use_lu_lambdas=True))]
    for name, spacing, more in spaced[1:] + sigmas + lambdas:
        schedule = {"name": "linspace", "drop_last": True} if name == "linspace" else name
        yield DPMSolverMultistepScheduler, dict(timestep_spacing=spacing) | more, "dpmpp_2m", schedule, "unit", "integer", "zero", {}


def load(cls, part):
    return cls.from_pretrained(MODEL / part, torch_dtype=torch.float32).eval()


def sample(scheduler, unet, context, step_options):
    """The pipeline's loop with a guided network; for the ddim peer the noise is handed over, the others ask for it."""
    scheduler.set_timesteps(STEPS)
    if getattr(scheduler.config, "use_exponential_sigmas", False) and isinstance(scheduler, DPMSolverMultistepScheduler):
        logs = np.log(np.array(((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod) ** 0.5))
        times = [scheduler._sigma_to_t(sigma, logs).round() for sigma in scheduler.sigmas[:-1].numpy()]
        scheduler.timesteps = torch.from_numpy(np.array(times).astype(np.int64))
        scheduler.set_begin_index(0)
    draw = StepNoise()
    scheduling_ddpm.randn_tensor = scheduling_euler_ancestral_discrete.randn_tensor = draw
    x = normals(0, 0) * scheduler.init_noise_sigma
    for index, t in enumerate(scheduler.timesteps):
        entered = scheduler.scale_model_input(torch.cat([x, x]), t)
        negative, positive = unet(entered, t, context).sample.chunk(2)
        options = dict(step_options)
        if options.get("eta"):
            options["variance_noise"] = normals(1, index)
        x = scheduler.step(negative + GUIDANCE * (positive - negative), t, x, **options).prev_sample
    return x


def main():
    tokenizer = CLIPTokenizer.from_pretrained(MODEL / "tokenizer")
    ids = tokenizer(["", PROMPT], padding="max_length", truncation=True, return_tensors="pt").input_ids
    context = load(CLIPTextModel, "text_encoder")(ids).last_hidden_state
    unet, vae = load(UNet2DConditionModel, "unet"), load(AutoencoderKL, "vae")
    trained = json.loads((MODEL / "scheduler/scheduler_config.json").read_text())
    betas = {key: trained[key] for key in ["beta_start", "beta_end", "beta_schedule", "num_train_timesteps", "steps_offset"]}
    rows, tensors = [], {"noise": normals(0, 0), "step_noise": normals(1, 3)}
    for number, (peer, options, sampler, schedule, start, time, end, step_options) in enumerate(table()):
        accepted = {key: value for key, value in betas.items() if key in peer().config}
        latents = sample(peer(**accepted, **options), unet, context, step_options)
        pixels = vae.decode(latents / vae.config.scaling_factor).sample
        tensors[f"{number}.latents"] = latents.contiguous()
        tensors[f"{number}.picture"] = ((pixels.clamp(-1, 1) + 1) * 127.5).round()[0].to(torch.uint8).contiguous()
        named = {"name": schedule} if isinstance(schedule, str) else schedule
        row = dict(peer=peer.__name__, options=options, sampler=sampler, schedule=named | dict(start=start, time=time, end=end))
        rows.append(row)
        print(number, row, float(latents.abs().max()))
    request = dict(prompt=PROMPT, steps=STEPS, guidance=GUIDANCE, seed=SEED)
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    (OUT / "pictures.json").write_text('{"request": %s, "rows": [\n%s\n]}\n' % (json.dumps(request), lines))
    save_file(tensors, OUT / "pictures.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.no_grad():
        main()
