"""What the webuiapi client asks of the server beside pictures: lists, options, progress and the end of a long run."""

import base64
import io
import sys
import threading
import time
from urllib.parse import urlparse

import webuiapi
from PIL import Image

address = urlparse(sys.argv[1])
api = webuiapi.WebUIApi(host=address.hostname, port=address.port)
assert not (api.has_controlnet or api.has_adetailer or api.has_animatediff)
assert api.get_scripts() == {"txt2img": [], "img2img": []}

samplers = {sampler["name"]: sampler for sampler in api.get_samplers()}
assert "k_euler_a" in samplers["Euler a"]["aliases"] and samplers["DPM++ 2M"]["options"] == {"scheduler": "karras"}
schedulers = {scheduler["name"]: scheduler["label"] for scheduler in api.get_schedulers()}
assert schedulers["automatic"] == "Automatic" and schedulers["sgm_uniform"] == "SGM Uniform"
models = {model["model_name"]: model for model in api.get_sd_models()}
title = models["emoji64"]["title"]
assert title == f"emoji64 [{models['emoji64']['sha256'][:10]}]" and set(models) == {"emoji64", "gaussian"}
assert {"loaded", "skipped"} == set(api.get_embeddings())
for empty in (api.get_loras, api.get_sd_vae, api.get_hypernetworks, api.get_face_restorers, api.get_prompt_styles):
    assert empty() == [], empty
assert "Lanczos" in [upscaler["name"] for upscaler in api.get_upscalers()]
memory = api.get_memory()["ram"]
assert 0 < memory["used"] < memory["total"] == memory["used"] + memory["free"]
assert isinstance(api.get_cmd_flags(), dict) and api.refresh_checkpoints() is None

# Options: what was got may be sent back, and a model that was set is the one of the next pictures.
assert api.util_get_current_model() == title
assert api.set_options(api.get_options()) is None
api.util_set_model("gaussian")
assert api.util_get_current_model() == models["gaussian"]["title"]
assert api.txt2img(seed=7, steps=2, width=8, height=8).info["sd_model_name"] == "gaussian"
api.util_set_model("emoji64")
assert api.session.post(f"{api.baseurl}/options", json={"no_such_option": 1}).status_code == 422

# Progress, and the end before the time: the call that waits gets what is there.
assert api.get_progress()["state"]["job_count"] == 0
api.util_wait_for_ready(check_interval=0.01)
answers = []
ask = lambda: answers.append(api.txt2img(prompt="a red heart", seed=7, steps=1000, width=64, height=64))
waiting = threading.Thread(target=ask)
other = webuiapi.WebUIApi(host=address.hostname, port=address.port)
waiting.start()
for _ in range(3000):
    seen = other.get_progress()
    if seen["current_image"]:
        break
    time.sleep(0.02)
assert 0 < seen["progress"] < 1 and seen["state"]["job_count"] == 1 and seen["state"]["sampling_steps"] == 1000, seen
assert seen["eta_relative"] > 0
assert Image.open(io.BytesIO(base64.b64decode(seen["current_image"]))).size == (64, 64)
assert other.session.get(f"{other.baseurl}/progress?skip_current_image=true").json()["current_image"] is None
assert other.interrupt() == {}
waiting.join(timeout=60)
assert answers and answers[0].image.size == (64, 64) and answers[0].info["seed"] == 7
other.util_wait_for_ready(check_interval=0.01)
assert other.skip() is None
