"""New and changed pictures, as the webuiapi client asks for them."""

import sys
from urllib.parse import urlparse

import webuiapi
from PIL import Image, ImageChops, ImageDraw

address = urlparse(sys.argv[1])
api = webuiapi.WebUIApi(host=address.hostname, port=address.port, steps=4)

made = api.txt2img(prompt="a red heart, twemoji style", negative_prompt="blue", seed=7, width=64, height=64)
assert made.image.size == (64, 64) and len(made.images) == 1
assert made.info["seed"] == 7 and made.info["all_seeds"] == [7] and made.info["sampler_name"] == "Euler a", made.info
assert made.parameters["prompt"] == "a red heart, twemoji style"

# What the picture says of itself is what the answer says of it, also to other readers of PNGs.
told = made.info["infotexts"][0]
assert made.image.info["parameters"] == told
read = api.png_info(made.image)
assert read.info == told
for part in ["Steps: 4", "Sampler: Euler a", "Schedule type: Uniform", "CFG scale: 7", "Seed: 7", "Size: 64x64", "Model: emoji64"]:
    assert part in told, told

# Drawn seeds are reported, and each picture can be made again alone.
four = api.txt2img(prompt="pizza", batch_size=2, n_iter=2, width=64, height=64, sampler_name="DPM++ 2M Karras")
seeds = four.info["all_seeds"]
assert seeds == list(range(seeds[0], seeds[0] + 4)) and len(four.images) == 4
again = api.txt2img(prompt="pizza", seed=seeds[3], width=64, height=64, sampler_name="DPM++ 2M", scheduler="karras")
off = ImageChops.difference(again.image.convert("RGB"), four.images[3].convert("RGB"))
assert max(high for _, high in off.getextrema()) <= 2, "the same but for the rounding of its company"

changed = api.img2img(images=[made.image], prompt="a blue heart, twemoji style", seed=7, width=64, height=64, steps=8)
assert changed.image.size == (64, 64) and changed.image.tobytes() != made.image.tobytes()

# Black stays.
mask = Image.new("L", (64, 64), 0)
ImageDraw.Draw(mask).rectangle((8, 8, 24, 24), fill=255)
for whole in (False, True):
    painted = api.img2img(
        images=[made.image], mask_image=mask, mask_blur=0, inpainting_fill=1, inpaint_full_res=whole, prompt="a star",
        denoising_strength=0.9, seed=7, width=64, height=64,
    )
    box = ImageChops.difference(painted.image.convert("RGB"), made.image.convert("RGB")).getbbox()
    assert box and box[0] >= 8 and box[1] >= 8 and box[2] <= 25 and box[3] <= 25, box

larger = api.extra_single_image(made.image, upscaler_1="Lanczos", upscaling_resize=2)
assert larger.image.size == (128, 128)
assert [one.size for one in api.extra_batch_images([made.image] * 2, upscaler_1="Nearest").images] == [(128, 128)] * 2

for asked, named in [
    ({"sampler_name": "Oiler"}, "Euler"),
    ({"scheduler": "karas"}, "karras"),
    ({"enable_hr": True}, "enable_hr"),
    ({"restore_faces": True}, "restore_faces"),
    ({"override_settings": {"sd_model_checkpoint": "nobody"}}, "emoji64"),
    ({"width": 65}, "width"),
]:
    try:
        api.txt2img(prompt="a star", **{"width": 64, "height": 64, **asked})
    except RuntimeError as error:
        assert error.args[0] == 422 and named in error.args[1], error
    else:
        raise AssertionError(f"{asked} was accepted")
answer = api.session.post(f"{api.baseurl}/img2img", json={"init_images": ["not base64!"]})
assert answer.status_code == 422 and set(answer.json()) == {"error", "detail", "body", "errors"}, answer.text
assert "init_images" in answer.json()["detail"] and float(answer.headers["x-process-time"]) >= 0
