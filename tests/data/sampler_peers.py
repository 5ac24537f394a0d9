"""Runs of the peers' samplers on a toy network, in float64 and with our noise.

Every run is told in one frame, `x = alpha x0 + sigma eps` with the state x: a trace is where the state starts, the
levels (time, alpha, sigma) that the peer went through, and where it ended.
"""

import importlib
import importlib.util
import inspect
import sys
import textwrap
import types
from dataclasses import dataclass

import noise
import numpy as np
import torch

SEED, SHAPE = 7, (1, 1, 2, 4)
STABLE_DIFFUSION = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


@dataclass
class Trace:
    """`start` scales the noise that the run starts from."""

    start: float
    levels: list
    latents: torch.Tensor


def network(x, t):
    """The toy: its raw output, whatever that is taken for."""
    return 0.8 * torch.sin(1.3 * x) + 0.1 * float(t) / 1000


def share(x):
    """What it says beside that, where a peer reads variances."""
    return torch.sin(2.1 * x)


def normals(purpose, step):
    return torch.from_numpy(noise.normals(SEED, purpose, step, SHAPE)).double()


class Draws:
    """Stands in for the peers' random numbers: call k is the noise of step k."""

    def __init__(self):
        self.made = 0

    def __call__(self, *_, **__):
        self.made += 1
        return normals(1, self.made - 1)


class Double:
    """torch or numpy as the peers see it: what they call float32 is float64."""

    def __init__(self, library):
        self.library, self.float32 = library, library.float64

    def __getattr__(self, name):
        return getattr(self.library, name)


def mended(thing, wrong, right):
    """A peer's function with one expression put right."""
    source = textwrap.dedent(inspect.getsource(thing))
    assert source.count(wrong) == 1, f"{thing.__qualname__} no longer has {wrong}"
    space = dict(inspect.getmodule(thing).__dict__)
    exec(source.replace(wrong, right), space)
    return space[thing.__name__]


# ---------------------------------------------------------------- diffusers


def bars(scheduler, stride):
    """Levels of the classes that count in alpha-bars; they end at `final_alpha_cumprod`, else clean."""
    times = [int(t) for t in scheduler.timesteps]
    if hasattr(scheduler, "_timesteps"):
        times = [int(t) for t in scheduler._timesteps[::-1]]
    all_bars = [float(scheduler.alphas_cumprod[t]) for t in times]
    end = float(getattr(scheduler, "final_alpha_cumprod", 1.0))
    return [(float(t), bar**0.5, (1 - bar) ** 0.5) for t, bar in zip(times + [0], all_bars + [end])]


def ratios(scheduler, stride):
    """Levels of the classes that count in sigma / alpha; with two evaluations a step every other entry is a level."""
    times = [float(t) for t in scheduler.timesteps[::stride]]
    sigmas = [float(s) for s in scheduler.sigmas[::stride]][: len(times)] + [float(scheduler.sigmas[-1])]
    return [(t, (1 + s * s) ** -0.5, s * (1 + s * s) ** -0.5) for t, s in zip(times + [0.0], sigmas)]


def flows(scheduler, stride):
    times = [float(t) for t in scheduler.timesteps[::stride]]
    sigmas = [float(s) for s in scheduler.sigmas[::stride]][: len(times)] + [float(scheduler.sigmas[-1])]
    return [(t, 1 - s, s) for t, s in zip(times + [0.0], sigmas)]


def preconditioned(scheduler, stride):
    """EDM networks see `x / sqrt(sigma^2 + sigma_data^2)` and say v, for pictures that are divided by sigma_data."""
    data = scheduler.config.sigma_data
    times = [float(t) for t in scheduler.timesteps]
    roots = [(float(s), (float(s) ** 2 + data**2) ** 0.5) for s in scheduler.sigmas]
    return [(t, data / root, s / root) for t, (s, root) in zip(times + [0.0], roots)]


def trigonometric(scheduler, stride):
    return [(float(t), float(torch.cos(t)), float(torch.sin(t))) for t in scheduler.timesteps]


def tabulated(scheduler, stride):
    times = [float(t) for t in scheduler.timesteps] + [0.0]
    return [(t, float(a), float(b)) for t, a, b in zip(times, scheduler.alphas, scheduler.betas)]


# How a class counts, the state it keeps (our state times what), evaluations a step.
FRAMES = {
    "LMSDiscrete": (ratios, "ratio", 1),
    "EulerDiscrete": (ratios, "ratio", 1),
    "EulerAncestralDiscrete": (ratios, "ratio", 1),
    "HeunDiscrete": (ratios, "ratio", 2),
    "KDPM2Discrete": (ratios, "ratio", 2),
    "KDPM2AncestralDiscrete": (ratios, "ratio", 2),
    "DPMSolverSDE": (ratios, "ratio", 2),
    "DPMSolverMultistep": (ratios, "unit", 1),
    "DPMSolverSinglestep": (ratios, "unit", 1),
    "DEISMultistep": (ratios, "unit", 1),
    "UniPCMultistep": (ratios, "unit", 1),
    "EDMEuler": (preconditioned, "data", 1),
    "EDMDPMSolverMultistep": (preconditioned, "data", 1),
    "CosineDPMSolverMultistep": (preconditioned, "data", 1),
    "SCM": (trigonometric, "trigonometric", 1),
    "IPNDM": (tabulated, "unit", 1),
    "FlowMatchEulerDiscrete": (flows, "unit", 1),
    "FlowMatchLCM": (flows, "unit", 1),
    "FlowMatchHeunDiscrete": (flows, "unit", 2),
}


def of_name(name):
    """A scheduler class of diffusers, counting in float64."""
    cls = getattr(importlib.import_module("diffusers"), name + "Scheduler")
    for base in cls.__mro__:
        if base.__module__.startswith("diffusers.schedulers.scheduling_"):
            space = vars(sys.modules[base.__module__])
            space.update(torch=Double(torch), np=Double(np))
    return cls


def outside(kind, scheduler, level):
    """The peer's state over ours at a level."""
    if kind == "ratio":
        return 1 / level[1]
    if kind == "data":
        return scheduler.config.sigma_data / level[1]
    return scheduler.config.sigma_data if kind == "trigonometric" else 1.0


def diffusers(cls, options, steps, keep=None, set_options=None, **step_options):
    """A run of a scheduler class; `keep` picks the levels that are also ours."""
    accepted = {
        key: value for key, value in STABLE_DIFFUSION.items() if key in inspect.signature(cls.__init__).parameters
    }
    scheduler = cls(**accepted | options)
    scheduler.set_timesteps(steps, **set_options or {})
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    count, kind, stride = FRAMES.get(cls.__name__.removesuffix("Scheduler"), (bars, "unit", 1))
    levels = (flows if scheduler.config.get("use_flow_sigmas") else count)(scheduler, stride)
    patch(scheduler, Draws())
    first = outside(kind, scheduler, levels[0])
    begin = first if kind == "trigonometric" else float(getattr(scheduler, "init_noise_sigma", 1.0))
    x = normals(0, 0) * begin
    for index, t in enumerate(scheduler.timesteps[: len(scheduler.timesteps) - (kind == "trigonometric")]):
        x = advance(scheduler, x, t, index, step_options)
    return Trace(begin / first, keep(levels) if keep else levels, x / outside(kind, scheduler, levels[-1]))


def patch(scheduler, draws):
    vars(sys.modules[type(scheduler).__module__])["randn_tensor"] = draws
    if hasattr(scheduler, "noise_sampler"):
        scheduler.noise_sampler = draws


def advance(scheduler, x, t, index, options):
    if hasattr(scheduler, "scale_model_input"):
        output = network(scheduler.scale_model_input(x, t), t)
        if scheduler.config.get("variance_type") == "learned_range":
            output = torch.cat([output, share(x)], 1)
    else:
        data = scheduler.config.get("sigma_data", 1.0)
        output = network(x / data, t) * data
    more = dict(options)
    if "prev_timestep" in inspect.signature(scheduler.step).parameters:
        following = scheduler.timesteps[index + 1 :]
        more["prev_timestep"] = int(following[0]) if len(following) else -1
    return scheduler.step(output, t, x, **more).prev_sample


def cog_video(options, steps):
    """CogVideoXDPMScheduler: a step wants the estimate and the time before, and of its two draws the last counts."""
    cls = of_name("CogVideoXDPM")
    scheduler = cls(**STABLE_DIFFUSION | options)
    scheduler.set_timesteps(steps)
    x, old, back = normals(0, 0), None, None
    for index, t in enumerate(scheduler.timesteps):
        sys.modules[cls.__module__].randn_tensor = lambda *_, **__: normals(1, index)
        x, old = scheduler.step(network(x, t), old, t, back, x, return_dict=False)
        back = t
    return Trace(1.0, bars(scheduler, 1), x)


# ---------------------------------------------------------------- k-diffusion


def sampling_module():
    """k_diffusion.sampling alone: the package's other modules need libraries that it does not."""
    root = importlib.util.find_spec("k_diffusion").submodule_search_locations
    package = types.ModuleType("k_diffusion")
    package.__path__ = list(root)
    functional = types.ModuleType("torchvision.transforms.functional")
    transforms = types.ModuleType("torchvision.transforms")
    transforms.functional = functional
    for name, module in [
        ("k_diffusion", package),
        ("torchvision", types.ModuleType("torchvision")),
        ("torchvision.transforms", transforms),
        ("torchvision.transforms.functional", functional),
    ]:
        sys.modules.setdefault(name, module)
    return importlib.import_module("k_diffusion.sampling")


def stable_diffusion_times():
    """Time of a sigma / alpha: `ln(sigma / alpha)` is linear in time between training times."""
    roots = np.linspace(STABLE_DIFFUSION["beta_start"] ** 0.5, STABLE_DIFFUSION["beta_end"] ** 0.5, 1000)
    all_bars = np.cumprod(1 - roots**2)
    logs = 0.5 * (np.log1p(-all_bars) - np.log(all_bars))
    return lambda sigma: float(np.interp(np.log(sigma), logs, np.arange(1000.0)))


PROCESSES = {
    "scaled_linear": (stable_diffusion_times(), lambda s: (1 + s * s) ** -0.5),
    "ve": (lambda sigma: float(np.log(sigma)) / 4, lambda s: 1.0),
}


def denoiser(process, prediction):
    """The toy as k-diffusion wants it: from `x0 + sigma eps` to x0."""
    time, alpha = PROCESSES[process]

    def denoise(y, sigma):
        s = float(sigma[0])
        a = alpha(s)
        output = network(y * a, time(s))
        if prediction == "epsilon":
            return y - s * output
        if prediction == "sample":
            return output
        size = a * a * (1 + s * s)
        return (a * (y * a) - a * s * output) / size

    return denoise


def kdiffusion(function, process, prediction, sigmas, ends_only=False, **options):
    """A run of a k-diffusion function over sigmas, or between the first and the last of them."""
    time, alpha = PROCESSES[process]
    draws = Draws()
    torch.randn_like, kept = draws, torch.randn_like
    if "noise_sampler" in inspect.signature(function).parameters:
        options["noise_sampler"] = draws
    levels = [(time(s) if s > 0 else 0.0, alpha(s), s * alpha(s)) for s in map(float, sigmas)]
    y = normals(0, 0) * float(sigmas[0])
    path = (float(sigmas[-1]), float(sigmas[0])) if ends_only else (sigmas,)
    y = function(denoiser(process, prediction), y, *path, disable=True, **options)
    torch.randn_like = kept
    return Trace(levels[0][2], levels, y * levels[-1][1])
