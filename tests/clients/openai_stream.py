"""Streams of pictures, as the openai client reads them."""

import openai
from openai_common import client, decoded, png, read, refused

client = client()
heart = {"prompt": "a red heart, twemoji style", "quality": "low", "extra_body": {"seed": 7}}
whole = decoded(client.images.generate(model="gpt-image-1", **heart).data[0].b64_json)

for partials in (0, 1, 3):
    events = list(client.images.generate(stream=True, partial_images=partials, **heart))
    kinds = [event.type for event in events]
    assert kinds == ["image_generation.partial_image"] * partials + ["image_generation.completed"], kinds
    assert [event.partial_image_index for event in events[:-1]] == list(range(partials))
    assert all(read(decoded(event.b64_json)).size == (64, 64) for event in events)
    assert decoded(events[-1].b64_json) == whole
    assert events[-1].usage.output_tokens == 10 and events[-1].quality == "low", events[-1].usage

events = list(client.images.generate(stream=True, partial_images=2, n=2, output_format="jpeg", **heart))
shown = [(event.type.split(".")[1], event.index) for event in events]
assert sorted(shown[:4]) == [("partial_image", 0)] * 2 + [("partial_image", 1)] * 2, shown
assert shown[4:] == [("completed", 0), ("completed", 1)], shown
assert all(read(decoded(event.b64_json)).format == "JPEG" for event in events)

fields = {"image": png(read(whole)), "prompt": "a blue heart, twemoji style", "quality": "low"}
events = list(client.images.edit(stream=True, partial_images=1, **fields))
assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"], events

# A bad field is refused before the stream; what fails in it is raised by it.
refused(openai.BadRequestError, "partial_images", lambda: client.images.generate(stream=True, partial_images=4, **heart))
late = client.images.generate(
    stream=True, prompt="pizza", n=10, extra_body={"steps": 1000}, extra_headers={"cancel-after": "1"}
)
try:
    list(late)
except openai.APIError as error:
    assert error.code == "deadline" and "Cancel-After" in error.message, (error.code, error.message)
else:
    raise AssertionError("a job that ran out of time ended well")
