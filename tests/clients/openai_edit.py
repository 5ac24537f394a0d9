"""Edits and variations, as the openai client asks for them."""

import io
import warnings

import openai
from openai_common import client, colours, decoded, png, refused
from PIL import Image

client = client()
heart = {"prompt": "a red heart, twemoji style", "quality": "low", "extra_body": {"seed": 7}}
made = client.images.generate(model="gpt-image-1", **heart).data[0]
picture = decoded(made.b64_json)
original = colours(picture)
wish = {"model": "gpt-image-1", "prompt": "a blue heart, twemoji style", "quality": "low"}


def edit(image, **more):
    more.setdefault("extra_body", {"seed": 3})
    return colours(decoded(client.images.edit(image=image, **wish, **more).data[0].b64_json))


# Bytes, a file, a file with a name and type, a list of one and of two: the same picture.
plain = edit(picture)
assert plain.size == (64, 64) and plain != original
assert edit(io.BytesIO(picture)) == plain
jpeg = io.BytesIO()
original.save(jpeg, "WEBP", lossless=True)
assert edit(("a.jpeg", jpeg.getvalue(), "image/jpeg")) == plain
assert edit([picture]) == plain
assert edit([picture, picture]) == plain

# What is transparent in the mask is edited, whatever colour it hides.
for colour in (255, 0):
    mask = Image.new("RGBA", (64, 64), (colour, colour, colour, 255))
    mask.paste((colour, colour, colour, 0), (0, 0, 32, 64))
    masked = edit(picture, mask=png(mask))
    right, left = (32, 0, 64, 64), (0, 0, 32, 64)
    assert masked.crop(right) == original.crop(right), "the right half was to stay"
    assert masked.crop(left) != original.crop(left)
    carried = original.convert("RGBA")
    carried.putalpha(mask.getchannel("A"))
    assert edit(png(carried)).crop(right) == original.crop(right), "the picture's own alpha is a mask"

# More fields, in the notation of the client's forms.
body = {"seed": 3, "strength": 0.5, "sampler": {"name": "dpmpp_2m", "wrap": [{"name": "momentum", "beta": 0.5}]}}
assert edit(picture, extra_body=body) != plain
body = {"seed": 3, "method": "direct", "source_prompt": heart["prompt"]}
assert edit(picture, extra_body=body) != plain

wrong = lambda **fields: lambda: client.images.edit(**{"image": picture, **wish, **fields})
refused(openai.BadRequestError, "mask", wrong(mask=png(Image.new("RGB", (64, 64)))))
refused(openai.BadRequestError, "mask", wrong(mask=png(Image.new("RGBA", (32, 32)))))
refused(openai.BadRequestError, "image", wrong(image=b"no picture"))
refused(openai.BadRequestError, "strength", wrong(extra_body={"strength": 2}))

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    varied = client.images.create_variation(image=picture, n=2, response_format="b64_json")
alike = [colours(decoded(one.b64_json)) for one in varied.data]
assert alike[0] != alike[1] and original not in alike
