"""Golden traces of samplers: every class of diffusers and every function of k-diffusion that has a counterpart here.

    python -m venv .venv && .venv/bin/pip install torch==2.13.0 diffusers==0.42.1 scipy safetensors
    .venv/bin/pip install --no-deps k-diffusion==0.1.1.post1 torchsde==0.2.6 trampoline==0.1.2 torchdiffeq==0.2.5
    .venv/bin/python tests/data/make_sampler_goldens.py

Writes tests/data/goldens/samplers.json (the table: which of theirs, with which options, is which of ours, under
which prediction) and samplers.safetensors (the levels that each run went through, and its final latents). The network
is a toy that both sides know, in float64; levels are data, so that samplers are compared and not schedules. Noise is
that of src/noise.rs: draw k of a run is that of step k.

Mended here, where the peer departs from the paper:
- Third order in several steps (DPMSolverMultistep, sample_dpmpp_3m_sde): the second derivative lacks a factor 2,
  without which the order is 2 (https://github.com/huggingface/diffusers/pull/1132 brought it over from the authors'
  code). That the mended third order is right, UniPCMultistep says, whose order 3 without corrector is the same.

Left out, because the peer computes something else:
- DDIM over `linspace`: its next time is t - 1000 / steps (https://github.com/huggingface/diffusers/issues/12633).
- DPMSolverMultistep of order 3 as sde-dpmsolver++ subtracts one half where it should add it
  (https://github.com/huggingface/diffusers/pull/9104), and as sde-dpmsolver has no branch
  (https://github.com/huggingface/diffusers/pull/13778).
- DPMSolverSinglestep of order 3 reaches its inner estimate by another second-order step than the authors' code.
  sample_dpm_fast and sample_dpm_adaptive stand for it.
- Churn in EulerDiscrete, EDMEuler and FlowMatchHeunDiscrete: the network is asked before noise is added. k-diffusion's
  functions stand for it.
- UniPCMultistep as bh1 into sigma 0 is not a number: an infinite B times 0.
- PNDM under v-prediction stores v and reads the sum of several with the state of one.
- IPNDM from pure noise takes x0 for 0; its betas are scaled here.
- DDPM with a learned variance adds noise in a last step from any time but 0: `leading` stands for all spacings.
- DPMSolverMultistep as sde-dpmsolver from 15 steps on ends in a step of second order.
- DDPMWuerstchen ends at alpha-bar 0.9999 without the noise that belongs there.
- KDPM2, DPMSolverSDE and Euler have no clean-picture prediction; k-diffusion's functions stand for that.
- k-diffusion's SDE functions at one step: https://github.com/crowsonkb/k-diffusion/issues/72.
Without a counterpart: SASolver (stochastic Adams), LTXEulerAncestralRF (another split of the noise than any eta),
CMStochasticIterative (its boundary condition is at its own least sigma), RePaint (inpainting), ScoreSdeVe, the inverse
classes (edits), and those over tokens or poses.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sampler_peers import SEED, SHAPE, cog_video, diffusers, kdiffusion, mended, of_name, sampling_module

OUT = Path(__file__).resolve().parent / "goldens"
STEPS = (1, 5, 10, 20)
FROM_TWO = (2, 5, 10, 20)
FROM_THREE = (3, 5, 9, 19)
# k-diffusion fails at one step.
NOT_FROM_ONE = ["dpmpp_2m_sde", "dpmpp_3m_sde"]

LINSPACE, TRAILING, LEADING = ({"timestep_spacing": name} for name in ["linspace", "trailing", "leading"])
KARRAS, EXPONENTIAL = dict(use_karras_sigmas=True), dict(use_exponential_sigmas=True)
NO_CLIP, TO_MIN = dict(clip_sample=False), dict(final_sigmas_type="sigma_min")
# Their words for our options.
DIFFERENCE = dict(midpoint="midpoint", heun="taylor")
RENAMED = dict(s_churn="churn", s_tmin="churn_min", s_tmax="churn_max", solver_type="difference")
SDE = dict(name="dpmpp_2m_sde", noise="independent")
FLOW = dict(prediction_type="flow_prediction", use_flow_sigmas=True)


def epsilon(**options):
    return dict(prediction_type="epsilon") | options


def v(**options):
    return dict(prediction_type="v_prediction") | options


def clean(**options):
    return dict(prediction_type="sample") | options


def row(peer, options, sampler, steps=STEPS, prediction=None, process=None, cls=None, **more):
    """One row of the table for a diffusers class: what it is called, and how to run it."""
    told = prediction or options.get("prediction_type", "epsilon")
    flow = told.startswith("flow")
    names = dict(peer=f"diffusers {peer}Scheduler", options={k: x for k, x in options.items() if k != "trained_betas"})
    runs = [(n, lambda n=n: diffusers(cls or of_name(peer), options, n, **more)) for n in steps]
    ours = dict(
        sampler=sampler, prediction="flow" if flow else told, process=process or ("flow" if flow else "scaled_linear")
    )
    extra = {k: x for k, x in more.items() if not callable(x)}
    return names | ({"call": extra} if extra else {}) | ours, runs


def ancestral_classes():
    for peer in ["DDIM", "DDIMParallel"]:
        yield row(peer, epsilon(**LEADING, **NO_CLIP), dict(name="ddim"))
        yield row(
            peer,
            v(**LEADING, **NO_CLIP, set_alpha_to_one=False, steps_offset=1),
            dict(name="ddim"),
            steps=(2, 5, 10, 20),
        )
        yield row(peer, clean(**TRAILING, **NO_CLIP), dict(name="ddim", eta=0.5), eta=0.5)
        yield row(peer, epsilon(**TRAILING, **NO_CLIP), dict(name="ddim", eta=1.0), eta=1.0)
    yield row("CogVideoXDDIM", epsilon(**LEADING), dict(name="ddim"))
    yield row("CogVideoXDDIM", v(**TRAILING), dict(name="ddim"))
    yield row("CogVideoXDDIM", clean(**TRAILING, snr_shift_scale=1.0), dict(name="ddim"))
    for peer in ["DDPM", "DDPMParallel"]:
        yield row(peer, epsilon(**LEADING, **NO_CLIP), dict(name="ddpm"))
        yield row(peer, v(**TRAILING, **NO_CLIP), dict(name="ddpm", variance="small"))
        yield row(peer, clean(**LINSPACE, **NO_CLIP, variance_type="fixed_large"), dict(name="ddpm", variance="large"))
        learned = dict(variance_type="learned_range")
        yield row(peer, epsilon(**LEADING, **NO_CLIP, **learned), dict(name="ddpm", variance="learned"))
    cosine = dict(beta_schedule="squaredcos_cap_v2")
    for options in [epsilon(**cosine), clean(**cosine), clean(**cosine, num_train_timesteps=500)]:
        yield row("UnCLIP", options | NO_CLIP, dict(name="ddpm"), steps=FROM_TWO, process="cosine")


def sigma_classes():
    for order, options in [(4, epsilon(**LINSPACE)), (3, v(**KARRAS)), (2, epsilon(**TRAILING))]:
        yield row("LMSDiscrete", options, dict(name="lms", order=order), order=order)
    yield row("EulerDiscrete", epsilon(**LINSPACE), dict(name="euler"))
    yield row("EulerDiscrete", v(**LINSPACE, **KARRAS), dict(name="euler"))
    yield row("EulerDiscrete", epsilon(**LEADING, **TO_MIN), dict(name="euler"))
    for options in [epsilon(**LINSPACE), v(**TRAILING), epsilon(**LEADING, steps_offset=1)]:
        yield row("EulerAncestralDiscrete", options, dict(name="euler_a"))
    for peer, ours in [
        ("HeunDiscrete", "heun"),
        ("KDPM2Discrete", "dpm2"),
        ("KDPM2AncestralDiscrete", "dpm2_a"),
        ("DPMSolverSDE", "dpmpp_sde"),
    ]:
        draws = dict(noise="independent") if ours == "dpmpp_sde" else {}
        for options in [epsilon(**LINSPACE), v(**LINSPACE, **KARRAS), epsilon(**TRAILING)]:
            yield row(peer, options, dict(name=ours) | draws)


def exponential_classes():
    cls = of_name("DPMSolverMultistep")
    ends = [epsilon(**LINSPACE), v(**LINSPACE, **KARRAS), clean(**TRAILING), FLOW | dict(flow_shift=3.0)]
    for options in ends:
        yield row("DPMSolverMultistep", options | dict(solver_order=1), dict(name="ddim"))
        for kind in ["midpoint", "heun"]:
            yield row(
                "DPMSolverMultistep",
                options | dict(solver_type=kind),
                dict(name="dpmpp_2m", difference=DIFFERENCE[kind]),
            )
    for kind in ["midpoint", "heun"]:
        options = epsilon(**LINSPACE, **TO_MIN, lower_order_final=False, solver_type=kind)
        yield row(
            "DPMSolverMultistep", options, dict(name="dpmpp_2m", difference=DIFFERENCE[kind], lower_order_final=False)
        )

    third = type("DPMSolverMultistepScheduler", (cls,), {"__module__": cls.__module__})
    third.multistep_dpm_solver_third_order_update = mended(
        cls.multistep_dpm_solver_third_order_update, "D2 = (1.0 / (r0 + r1))", "D2 = (2.0 / (r0 + r1))"
    )
    for options in ends:
        options = options | dict(solver_order=3)
        yield row("DPMSolverMultistep", options, dict(name="dpmpp_3m"), steps=(1, 5, 10), cls=third)
        full = dict(lower_order_final=False)
        yield row("DPMSolverMultistep", options | full, dict(name="dpmpp_3m") | full, steps=(20,), cls=third)

    noises = [epsilon(**LINSPACE), v(**TRAILING), clean(**LEADING, steps_offset=1)]
    for options in noises:
        options = options | TO_MIN | dict(algorithm_type="dpmsolver", lower_order_final=False)
        ours = dict(name="dpm_solver", variant="multistep", lower_order_final=False)
        yield row("DPMSolverMultistep", options | dict(solver_order=1), ours | dict(order=1))
        for kind in ["midpoint", "heun"]:
            yield row(
                "DPMSolverMultistep",
                options | dict(solver_type=kind),
                ours | dict(order=2, difference=DIFFERENCE[kind]),
            )
        yield row("DPMSolverMultistep", options | dict(solver_order=3), ours | dict(order=3), cls=third)

    for options in ends[:3]:
        options = options | dict(algorithm_type="sde-dpmsolver++")
        yield row("DPMSolverMultistep", options | dict(solver_order=1), dict(name="ddim", eta=1.0))
        for kind in ["midpoint", "heun"]:
            yield row("DPMSolverMultistep", options | dict(solver_type=kind), SDE | dict(difference=DIFFERENCE[kind]))
        options = options | TO_MIN | dict(algorithm_type="sde-dpmsolver")
        yield row("DPMSolverMultistep", options | dict(solver_order=1), SDE | dict(form="noise", order=1))
        for kind in ["midpoint", "heun"]:
            ours = SDE | dict(form="noise", difference=DIFFERENCE[kind])
            few = (1, 5, 10, 14)
            yield row("DPMSolverMultistep", options | dict(solver_type=kind), ours, steps=few)


def singlestep_classes():
    """In the noise form the peer repeats its last level, a step that does nothing."""
    for options in [epsilon(), v(**KARRAS), clean(**EXPONENTIAL)]:
        for kind in ["midpoint", "heun"]:
            common = options | dict(solver_type=kind, lower_order_final=True)
            yield row("DPMSolverSinglestep", common, dict(name="dpmpp_2s", difference=DIFFERENCE[kind]))
        noise = common | TO_MIN | dict(algorithm_type="dpmsolver")
        for kind in ["midpoint", "heun"]:
            ours = dict(name="dpm_solver", order=2, variant="singlestep", difference=DIFFERENCE[kind])
            ends = dict(steps=FROM_THREE, keep=once) if len(options) > 1 else dict(steps=FROM_TWO)
            ours = ours | dict(lower_order_final=len(options) == 1)
            yield row("DPMSolverSinglestep", noise | dict(solver_type=kind), ours, **ends)


def once(levels):
    """Without the last level, which is the one before it again."""
    assert np.allclose(levels[-1][1:], levels[-2][1:], rtol=1e-9)
    return levels[:-1]


def multistep_classes():
    for order in [1, 2, 3]:
        for options in [epsilon(**LINSPACE), v(**LINSPACE, steps_offset=1), clean(**TRAILING)]:
            options = options | dict(solver_order=order, lower_order_final=False)
            yield row(
                "DEISMultistep", options, dict(name="deis", variant="logrho", order=order, lower_order_final=False)
            )
    yield row(
        "DEISMultistep",
        epsilon(**LINSPACE, solver_order=2),
        dict(name="deis", variant="logrho", order=2),
        steps=(1, 5, 10, 14),
    )
    yield row(
        "DEISMultistep",
        epsilon(**LINSPACE, solver_order=3),
        dict(name="deis", variant="logrho", order=3),
        steps=(1, 5, 10, 14),
    )

    for order in [1, 2, 3, 4]:
        ours = dict(name="unipc", order=order, variant="bh2")
        for options in [epsilon(**LINSPACE), v(**LINSPACE, **KARRAS), clean(**TRAILING), FLOW | dict(flow_shift=3.0)]:
            yield row("UniPCMultistep", options | dict(solver_order=order), ours)
        options = epsilon(**LINSPACE, **TO_MIN, solver_order=order)
        yield row("UniPCMultistep", options | dict(solver_type="bh1"), ours | dict(variant="bh1"))
        yield row("UniPCMultistep", options | dict(lower_order_final=False), ours | dict(lower_order_final=False))
        yield row("UniPCMultistep", options | dict(predict_x0=False), ours | dict(form="noise"))
        off = list(range(50))
        yield row("UniPCMultistep", options | dict(disable_corrector=off), ours | dict(corrector=False))
    # The third order of DPM-Solver++ 2M's family and of its noise form, from a second peer.
    off = dict(solver_order=3, disable_corrector=list(range(50)))
    for options in [epsilon(**LINSPACE), v(**LINSPACE, **KARRAS), clean(**TRAILING)]:
        yield row("UniPCMultistep", options | off, dict(name="dpmpp_3m"))

    for variant, prk, steps in [("f", False, (4, 5, 10, 20)), ("s", True, FROM_TWO)]:
        if prk:
            ours = dict(name="plms", order=4)
        else:
            ours = dict(name="pndm", variant=variant)
        for options in [
            epsilon(**LEADING, set_alpha_to_one=True),
            epsilon(**LEADING, steps_offset=1),
            epsilon(**TRAILING, set_alpha_to_one=True),
        ]:
            yield row("PNDM", options | dict(skip_prk_steps=prk), ours, steps=steps)
    for name, curve in [("sine", lambda u: np.sin(u * np.pi / 2)), ("line", lambda u: u), ("square", lambda u: u * u)]:
        for n in FROM_TWO:
            betas = list(map(float, 0.98 * curve(np.linspace(1, 0, n + 1))))
            names, runs = row(
                "IPNDM",
                dict(trained_betas=betas),
                dict(name="pndm", variant="ipndm"),
                steps=(n,),
                prediction="v_prediction",
            )
            yield names | dict(options=dict(trained_betas=name)), runs


def preconditioned_classes():
    schedules = [
        v(sigma_schedule="karras"),
        v(sigma_schedule="exponential", sigma_data=1.0),
        v(sigma_schedule="karras", rho=3.0, sigma_max=20.0),
    ]
    ve = dict(process="ve")
    for options in schedules:
        yield row("EDMEuler", options, dict(name="euler"), **ve)
        for kind in ["midpoint", "heun"]:
            yield row(
                "EDMDPMSolverMultistep",
                options | dict(solver_type=kind),
                dict(name="dpmpp_2m", difference=DIFFERENCE[kind]),
                **ve,
            )
            sde = dict(algorithm_type="sde-dpmsolver++", solver_type=kind)
            yield row("EDMDPMSolverMultistep", options | sde, SDE | dict(difference=DIFFERENCE[kind]), **ve)
        options = {key: value for key, value in options.items() if key not in ["rho"]}
        yield row("CosineDPMSolverMultistep", options, SDE, **ve)


def consistency_classes():
    for options in [epsilon(), v(), clean()]:
        yield row("LCM", options | NO_CLIP, dict(name="lcm"))
    for options, eta in [(epsilon(), 0.3), (v(), 0.0), (clean(), 1.0), (epsilon(), 0.6)]:
        yield row("TCD", options | NO_CLIP | dict(set_alpha_to_one=False), dict(name="tcd", eta=eta), eta=eta)
    for data, greatest in [(0.5, 1.5), (1.0, 1.4), (0.25, 1.56454)]:
        times = dict(max_timesteps=greatest, intermediate_timesteps=None)
        yield row(
            "SCM", dict(sigma_data=data), dict(name="lcm"), prediction="v_prediction", process="ve", set_options=times
        )


def flow_classes():
    for shift in [1.0, 3.0, 7.0]:
        common = dict(prediction="flow", process="flow")
        yield row("FlowMatchEulerDiscrete", dict(shift=shift), dict(name="euler"), **common)
        yield row("FlowMatchEulerDiscrete", dict(shift=shift, stochastic_sampling=True), dict(name="lcm"), **common)
        yield row("FlowMatchHeunDiscrete", dict(shift=shift), dict(name="heun"), **common)
        yield row("FlowMatchLCM", dict(shift=shift), dict(name="lcm"), **common)


def video():
    for options in [epsilon(**LEADING), v(**TRAILING), clean(**TRAILING, snr_shift_scale=1.0)]:
        names = dict(peer="diffusers CogVideoXDPMScheduler", options=options, sampler=SDE)
        runs = [(n, lambda n=n, options=options: cog_video(options, n)) for n in STEPS]
        yield names | dict(prediction=options["prediction_type"], process="scaled_linear"), runs


def k_functions():
    sampling = sampling_module()
    third = mended(sampling.sample_dpmpp_3m_sde, "d2 = (d1_0 - d1_1) / (r0 + r1)", "d2 = 2 * (d1_0 - d1_1) / (r0 + r1)")
    vp, ve = (0.03, 14.6), (0.05, 40.0)
    places = [
        ("scaled_linear", "epsilon", lambda n: sampling.get_sigmas_karras(n, *vp), "karras"),
        ("scaled_linear", "v_prediction", lambda n: sampling.get_sigmas_exponential(n, *vp), "exponential"),
        ("ve", "sample", lambda n: sampling.get_sigmas_karras(n, *ve, rho=3.0), "karras, rho 3"),
    ]
    noisy = [{}, dict(eta=0.5), dict(eta=0.8, s_noise=0.9)]
    churned = [dict(s_churn=5.0), dict(s_churn=20.0, s_noise=0.95), dict(s_churn=3.0, s_tmin=0.3)]
    windowed = [dict(s_churn=3.0, s_tmin=0.3, s_tmax=5.0)] * 3
    plain = [{}] * 3
    kinds = [dict(solver_type=kind) | more for kind, more in zip(["heun", "midpoint", "heun"], noisy)]
    swapped = [dict(solver_type=kind) | more for kind, more in zip(["midpoint", "heun", "midpoint"], noisy)]
    cases = [
        (sampling.sample_euler, dict(name="euler"), plain),
        (sampling.sample_euler, dict(name="edm", order=1), churned),
        (sampling.sample_euler, dict(name="edm", order=1), windowed),
        (sampling.sample_heun, dict(name="heun"), plain),
        (sampling.sample_heun, dict(name="edm", order=2), churned),
        (sampling.sample_heun, dict(name="edm", order=2), windowed),
        (sampling.sample_euler_ancestral, dict(name="euler_a"), noisy),
        (sampling.sample_dpm_2, dict(name="dpm2"), plain),
        (sampling.sample_dpm_2_ancestral, dict(name="dpm2_a"), noisy),
        (sampling.sample_lms, dict(name="lms"), [dict(order=order) for order in [4, 3, 2]]),
        (sampling.sample_dpmpp_2s_ancestral, dict(name="dpmpp_2s_a"), noisy),
        (
            sampling.sample_dpmpp_sde,
            dict(name="dpmpp_sde", noise="independent"),
            [{}, dict(eta=0.5, r=0.4), dict(eta=0.8, s_noise=0.9, r=0.7)],
        ),
        (sampling.sample_dpmpp_2m, dict(name="dpmpp_2m"), plain),
        (sampling.sample_dpmpp_2m_sde, SDE, kinds),
        (sampling.sample_dpmpp_2m_sde, SDE, swapped),
        (third, dict(name="dpmpp_3m_sde", noise="independent"), noisy),
    ]
    for function, ours, choices in cases:
        for (process, prediction, sigmas, name), options in zip(places, choices):
            sampler = ours | {RENAMED.get(key, key): DIFFERENCE.get(value, value) for key, value in options.items()}
            names = dict(peer=f"k-diffusion {function.__name__}", options=options | dict(sigmas=name), sampler=sampler)
            counts = FROM_TWO if ours["name"] in NOT_FROM_ONE else STEPS
            runs = [
                (n, lambda n=n, a=(function, process, prediction, sigmas), o=options: kdiffusion(*a[:3], a[3](n), **o))
                for n in counts
            ]
            yield names | dict(prediction=prediction, process=process), runs
    yield from solvers_between_ends(sampling, places)


def solvers_between_ends(sampling, places):
    """dpm_fast and dpm_adaptive choose their own levels between two."""
    for (process, prediction, _, _), (low, high) in zip(places, [(0.03, 14.6), (0.03, 14.6), (0.05, 40.0)]):
        names = dict(prediction=prediction, process=process)

        def fast(n, process=process, prediction=prediction, low=low, high=high):
            # As many levels as evaluations, for the sampler reads its step count off the grid.
            sigmas = torch.linspace(np.log(high), np.log(low), n + 1).exp()
            return kdiffusion(sampling.sample_dpm_fast, process, prediction, sigmas, ends_only=True, n=n)

        runs = [(n, lambda n=n, fast=fast: fast(n)) for n in STEPS + (6, 8)]
        yield dict(peer="k-diffusion sample_dpm_fast", options={}, sampler=dict(name="dpm_fast")) | names, runs
        for options in [
            dict(order=2),
            dict(order=3),
            dict(order=3, rtol=0.01, atol=0.001),
            dict(order=2, rtol=0.005, atol=0.002),
        ]:
            ends = torch.tensor([high, low])
            runs = [
                (
                    1,
                    lambda o=options, e=ends, p=process, q=prediction: kdiffusion(
                        sampling.sample_dpm_adaptive, p, q, e, ends_only=True, **o
                    ),
                )
            ]
            yield (
                dict(
                    peer="k-diffusion sample_dpm_adaptive", options=options, sampler=dict(name="dpm_adaptive") | options
                )
                | names,
                runs,
            )


def table():
    for part in [
        ancestral_classes,
        sigma_classes,
        exponential_classes,
        singlestep_classes,
        multistep_classes,
        preconditioned_classes,
        consistency_classes,
        flow_classes,
        video,
        k_functions,
    ]:
        yield from part()


def main():
    rows, tensors, grids = [], {}, {}
    for names, runs in table():
        made = []
        latents = []
        for steps, run in runs:
            trace = run()
            assert trace.latents.isfinite().all(), (names, steps)
            levels = torch.tensor(trace.levels, dtype=torch.float64)
            grid = grids.setdefault(levels.numpy().tobytes(), f"grid.{len(grids)}")
            tensors[grid] = levels
            made.append(dict(steps=steps, start=trace.start, grid=grid))
            latents.append(trace.latents.flatten())
        tensors[f"row.{len(rows)}"] = torch.stack(latents)
        rows.append(names | dict(runs=made))
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    (OUT / "samplers.json").write_text(
        '{"seed": %d, "shape": %s, "rows": [\n%s\n]}\n' % (SEED, json.dumps(SHAPE), lines)
    )
    save_file(tensors, OUT / "samplers.safetensors")
    print(len(rows), "rows", sum(len(row["runs"]) for row in rows), "runs", len(grids), "grids")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    with torch.no_grad():
        main()
