"""Golden levels of the schedules: from diffusers, and from the formulas of k-diffusion, AUTOMATIC1111 and ComfyUI.

    python -m venv .venv && .venv/bin/pip install torch==2.13.0 diffusers==0.42.1 scipy==1.17.1
    .venv/bin/python tests/data/make_schedule_goldens.py

Writes tests/data/goldens/schedules.json: `cases`, each a schedule as a request names it, the process, the ends, the steps,
the latent shape, and what the peer computes: `times` that the network is told, `sigmas` (sigma / alpha) or `shares`
(sigma / (alpha + sigma), the sigma of flow matching), without the end of the path; and `quantiles` of the Beta distribution.

Where a peer is known to be wrong, it is asked in the way that avoids the fault:

- FlowMatchEulerDiscreteScheduler(shift=s) shifts its last level twice
  (https://github.com/huggingface/diffusers/issues/13243): here the shift is set after it is made.
- ComfyUI's ddim_uniform runs more steps than asked where they do not divide the training times
  (https://github.com/Comfy-Org/ComfyUI/issues/12485): here the least noisy ones, as many as there are steps.
- ComfyUI's kl_optimal is NaN at one step (https://github.com/Comfy-Org/ComfyUI/pull/14904): here not asked.
- ComfyUI's beta drops times that repeat after rounding, and so runs fewer steps
  (https://github.com/Comfy-Org/ComfyUI/issues/9247): here only asked where none repeat.
- Euler's `linspace` of diffusers interpolates sigma between training times, others log sigma
  (k-diffusion does): here only asked at whole training times.
- AUTOMATIC1111 rounds the tables of Align Your Steps to three digits; ComfyUI's are used.
"""

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LCMScheduler,
    TCDScheduler,
)
from scipy import stats

OUT = Path(__file__).resolve().parent / "goldens/schedules.json"
SD = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
N = 1000

BETAS = np.linspace(SD["beta_start"] ** 0.5, SD["beta_end"] ** 0.5, N) ** 2
BARS = np.cumprod(1 - BETAS)
SIGMAS = np.sqrt((1 - BARS) / BARS)
LOGS = np.log(SIGMAS)

cases = []


def case(schedule, steps, process="scaled_linear", end="zero", time="real", offset=0, latent=(4, 64, 64), **found):
    numbers = {name: [float(f"{x:.8g}") for x in np.asarray(values, dtype=float)] for name, values in found.items()}
    asked = schedule if isinstance(schedule, dict) else {"name": schedule}
    cases.append(dict(
        schedule=asked, process=process, steps=steps, end=end, time=time, offset=offset, latent=latent, **numbers
    ))


def t_to_sigma(t):
    return np.exp(np.interp(t, np.arange(N), LOGS))


def sigma_to_t(sigma):
    return np.interp(np.log(sigma), LOGS, np.arange(N))


def diffusers_times():
    for spacing in ["leading", "trailing", "linspace"]:
        scheduler = DDIMScheduler(**SD, timestep_spacing=spacing, steps_offset=1)
        for steps in [1, 2, 7, 16, 50] if spacing != "linspace" else [2, 7, 16, 50]:
            scheduler.set_timesteps(steps)
            case(spacing, steps, time="integer", offset=1, times=scheduler.timesteps)
    for steps in [2, 7, 20]:
        scheduler = DPMSolverMultistepScheduler(**SD, timestep_spacing="linspace")
        scheduler.set_timesteps(steps)
        case({"name": "linspace", "drop_last": True}, steps, time="integer", times=scheduler.timesteps,
             sigmas=scheduler.sigmas[:-1])
    for steps in [1, 2, 4, 7, 13, 25, 48, 49, 50]:
        scheduler = LCMScheduler(**SD)
        scheduler.set_timesteps(steps)
        case("distilled", steps, time="integer", times=scheduler.timesteps)
    for steps in [1, 4, 7, 30, 50]:
        # Said aloud, the number makes TCD choose from all training times.
        scheduler = TCDScheduler(**SD)
        scheduler.set_timesteps(steps, original_inference_steps=50)
        case({"name": "distilled", "dense": True}, steps, time="integer", times=scheduler.timesteps)
    scheduler = LCMScheduler(**SD)
    scheduler.set_timesteps(5, original_inference_steps=30)
    case({"name": "distilled", "original_steps": 30}, 5, time="integer", times=scheduler.timesteps)


def diffusers_sigmas():
    euler = {"karras": {}, "exponential": {}, "beta": {"over": "sigmas"}}
    for name, options in euler.items():
        for steps in [2, 5, 20]:
            scheduler = EulerDiscreteScheduler(**SD, **{f"use_{name}_sigmas": True})
            scheduler.set_timesteps(steps)
            case({"name": name, **options}, steps, times=scheduler.timesteps, sigmas=scheduler.sigmas[:-1])
    for steps in [2, 5, 20]:
        scheduler = DPMSolverMultistepScheduler(**SD, use_lu_lambdas=True)
        scheduler.set_timesteps(steps)
        case("uniform_lambda", steps, time="integer", times=scheduler.timesteps, sigmas=scheduler.sigmas[:-1])


def diffusers_flow():
    def flow(options, steps, scheduler, latent=(4, 64, 64), **given):
        scheduler.set_timesteps(**(given or {"num_inference_steps": steps}))
        case({"name": "flow_shift", **options}, steps, process="flow", latent=latent, times=scheduler.timesteps,
             shares=scheduler.sigmas[:-1])

    for steps in [1, 2, 5, 28]:
        for shift in [1.0, 3.0, 7.0]:
            scheduler = FlowMatchEulerDiscreteScheduler()
            scheduler.set_shift(shift)
            flow({"shift": shift, "to_least": True}, steps, scheduler)
        even = np.linspace(1.0, 1 / steps, steps)
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        flow({}, steps, scheduler, sigmas=even)
        for kind in ["exponential", "linear"]:
            for latent in [(16, 64, 64), (16, 128, 128), (16, 96, 160)]:
                patches = (latent[1] // 2) * (latent[2] // 2)
                mu = 0.5 + (1.15 - 0.5) * (patches - 256) / (4096 - 256)
                scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type=kind)
                flow({"kind": kind}, steps, scheduler, latent, sigmas=even, mu=mu)
    for name in ["karras", "exponential", "beta"]:
        for steps in [2, 5, 28]:
            scheduler = FlowMatchEulerDiscreteScheduler(**{f"use_{name}_sigmas": True})
            scheduler.set_timesteps(steps)
            case({"name": name, "over": "shares"}, steps, process="flow", times=scheduler.timesteps,
                 shares=scheduler.sigmas[:-1])
    for steps in [2, 5, 28]:
        scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1)
        mu = 0.95 + (2.05 - 0.95) * (1024 - 1024) / (4096 - 1024)
        options = dict(kind="exponential", base_shift=0.95, max_shift=2.05, base_image_seq_len=1024, shift_terminal=0.1)
        flow(options, steps, scheduler, sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)


def k_diffusion():
    low, high = SIGMAS[0], SIGMAS[-1]
    for steps in [2, 5, 20]:
        for rho in [0.5, 1.0, 3.0]:
            ramp = np.linspace(1, 0, steps) ** rho
            sigmas = np.exp(ramp * (np.log(high) - np.log(low)) + np.log(low))
            case({"name": "polyexponential", "rho": rho}, steps, times=sigma_to_t(sigmas), sigmas=sigmas)
        for power in [2.0, 3.0]:
            times = np.linspace((N - 1) ** (1 / power), 0, steps) ** power
            case({"name": "quadratic", "power": power}, steps, times=times, sigmas=t_to_sigma(times))


def comfy():
    for steps in [1, 2, 7, 20]:
        times = np.linspace(N - 1, 0, steps + 1)[:-1]
        case("sgm_uniform", steps, times=times, sigmas=t_to_sigma(times))
        times = np.linspace(N - 1, 0, steps)
        case("normal", steps, times=times, sigmas=t_to_sigma(times))
        stride = N / steps
        times = [N - (1 + int(x * stride)) for x in range(steps)]
        case("simple", steps, times=times, sigmas=SIGMAS[times])
        case("simple", steps, process="flow", shares=[(t + 1) / N for t in times])
    for steps in [1, 2, 20, 36]:
        times = list(range(1, N, max(N // steps, 1)))[:steps][::-1]
        case("ddim_uniform", steps, times=times, sigmas=SIGMAS[times])
    for steps in [1, 2, 7, 20]:
        quantiles = stats.beta.ppf(1 - np.linspace(0, 1, steps, endpoint=False), 0.6, 0.6)
        times = np.rint(quantiles * (N - 1)).astype(int)
        assert len(set(times)) == steps
        case("beta", steps, time="integer", times=times, sigmas=SIGMAS[times])
    for steps in [2, 7, 20]:
        # ComfyUI ends at sigma_min before 0; AUTOMATIC1111 has one step less and no 0.
        share = np.linspace(0, 1, steps)
        sigmas = np.tan(share * np.arctan(SIGMAS[0]) + (1 - share) * np.arctan(SIGMAS[-1]))
        case("kl_optimal", steps, sigmas=sigmas)
        case("kl_optimal", steps - 1, end="first", sigmas=sigmas[:-1])


NOISE_LEVELS = {
    "sd15": [14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904,
             0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582],
    "sdxl": [14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141, 0.5550693289,
             0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582],
    "svd": [700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002],
}


def align_your_steps():
    def log_linear(levels, count):
        places = np.linspace(0, 1, count)
        return np.exp(np.interp(places, np.linspace(0, 1, len(levels)), np.log(levels)))

    for table, levels in NOISE_LEVELS.items():
        process = "ve" if table == "svd" else "scaled_linear"
        for steps in [1, 4, 10, 25]:
            options = {"name": "align_your_steps", "table": table}
            case(options, steps, process=process, sigmas=log_linear(levels, steps + 1)[:-1])
            if steps > 1:
                case(options | {"keep_last": True}, steps, process=process, sigmas=log_linear(levels, steps))


def linear_quadratic():
    from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule

    for steps in [2, 7, 20, 64]:
        options = {"name": "linear_quadratic"}
        even = np.array(linear_quadratic_schedule(steps, 0.025))
        case(options, steps, process="flow", shares=even)
        case(options | {"over": "sigmas"}, steps, sigmas=even * SIGMAS[-1])
        if steps in [7, 20]:
            # With more steps these numbers would make the published curve pass 1 and come back.
            given = options | {"threshold_noise": 0.1, "linear_steps": 2}
            case(given, steps, process="flow", shares=linear_quadratic_schedule(steps, 0.1, 2))
    case("linear_quadratic", 1, process="flow", shares=[1.0])


def main():
    for make in [diffusers_times, diffusers_sigmas, diffusers_flow, k_diffusion, comfy, align_your_steps, linear_quadratic]:
        make()
    # The steepest and the flattest distributions that are allowed: rho is a probability, the rest its quantile.
    quantiles = [
        [a, b, p, float(stats.beta.ppf(p, a, b))]
        for a, b in [(0.3, 0.3), (0.6, 0.6), (0.3, 10.0), (10.0, 0.3), (10.0, 10.0), (1.0, 1.0), (2.0, 5.0)]
        for p in [0.001, 0.02, 0.25, 0.5, 0.9, 0.999]
    ]
    lines = ",\n".join(json.dumps(case) for case in cases)
    OUT.write_text('{"quantiles": ' + json.dumps(quantiles) + ',\n"cases": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
