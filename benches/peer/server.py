"""The peer: a FastAPI server around a diffusers pipeline, one request at a time.

    python benches/peer/server.py --port 8081 [--bf16] [--tuned]

As one writes it first, the framework's threads take turns behind a lock. LibTorch then has a pool of threads for each of
them beside that of the thread which loaded the model, more than there are processors, and sleeps between operators.
--tuned keeps all of LibTorch on the main thread and the weights channels last: the best this design reaches.
"""

import argparse
import io
import queue
import threading
from concurrent.futures import Future
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


class Turns:
    """Calls one after the other on the thread that asks."""

    def __init__(self):
        self.lock = threading.Lock()

    def call(self, work):
        with self.lock:
            return work()


class MainThread:
    """Calls one after the other on the thread that runs `work`."""

    def __init__(self):
        self.calls = queue.Queue()

    def call(self, work):
        answer = Future()
        self.calls.put((work, answer))
        return answer.result()

    def work(self):
        while True:
            work, answer = self.calls.get()
            try:
                answer.set_result(work())
            except Exception as cause:
                answer.set_exception(cause)


def pipeline(dtype, tuned):
    pipe = StableDiffusionPipeline.from_pretrained(MODEL, torch_dtype=dtype, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    if tuned:
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    return pipe


def application(pipe, turns):
    config, app = pipe.scheduler.config, FastAPI()

    @app.get("/readyz")
    def ready():
        return {"status": "ready"}

    @app.post("/generate")
    def generate(request: Request):
        return Response(turns.call(lambda: picture(request)), media_type="image/png")

    @torch.inference_mode()
    def picture(request):
        pipe.scheduler = SAMPLERS[request.sampler].from_config(config)
        generator = torch.Generator().manual_seed(request.seed)
        found = pipe(
            request.prompt, num_inference_steps=request.steps, guidance_scale=request.guidance, generator=generator,
            height=64, width=64,
        ).images[0]
        out = io.BytesIO()
        found.save(out, "PNG")
        return out.getvalue()

    return app


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=8081)
    arguments.add_argument("--bf16", action="store_true")
    arguments.add_argument("--tuned", action="store_true")
    arguments = arguments.parse_args()
    turns = MainThread() if arguments.tuned else Turns()
    app = application(pipeline(torch.bfloat16 if arguments.bf16 else torch.float32, arguments.tuned), turns)
    serve = lambda: uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning")
    if arguments.tuned:
        threading.Thread(target=serve, daemon=True).start()
        turns.work()
    else:
        serve()
