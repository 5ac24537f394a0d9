"""The peer: a FastAPI server around a diffusers pipeline, as one writes it first. One request at a time, behind a lock.

    python benches/peer/server.py --port 8081 [--bf16]
"""

import argparse
import io
import threading
from pathlib import Path

import torch
import uvicorn
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler, StableDiffusionPipeline
from fastapi import FastAPI, Response
from pydantic import BaseModel

MODEL = Path(__file__).resolve().parents[2] / "models/emoji64"
SAMPLERS = {"dpmpp_2m": DPMSolverMultistepScheduler, "euler": EulerDiscreteScheduler, "heun": HeunDiscreteScheduler}


class Request(BaseModel):
    prompt: str
    steps: int = 20
    guidance: float = 5.0
    seed: int = 0
    sampler: str = "dpmpp_2m"


def application(dtype):
    pipe = StableDiffusionPipeline.from_pretrained(MODEL, torch_dtype=dtype, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    config, lock, app = pipe.scheduler.config, threading.Lock(), FastAPI()

    @app.get("/readyz")
    def ready():
        return {"status": "ready"}

    @app.post("/generate")
    def generate(request: Request):
        with lock, torch.inference_mode():
            pipe.scheduler = SAMPLERS[request.sampler].from_config(config)
            generator = torch.Generator().manual_seed(request.seed)
            picture = pipe(
                request.prompt, num_inference_steps=request.steps, guidance_scale=request.guidance, generator=generator,
                height=64, width=64,
            ).images[0]
        out = io.BytesIO()
        picture.save(out, "PNG")
        return Response(out.getvalue(), media_type="image/png")

    return app


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=8081)
    arguments.add_argument("--bf16", action="store_true")
    arguments = arguments.parse_args()
    dtype = torch.bfloat16 if arguments.bf16 else torch.float32
    uvicorn.run(application(dtype), host="127.0.0.1", port=arguments.port, log_level="warning")
