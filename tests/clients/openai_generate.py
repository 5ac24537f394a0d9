"""Pictures from prompts, as the openai client asks for them."""

import asyncio
import urllib.request

import openai
from openai_common import URL, client, decoded, read, refused

client = client()
heart = {"prompt": "a red heart, twemoji style", "quality": "low", "extra_body": {"seed": 7}}

answer = client.images.generate(model="gpt-image-1", **heart)
picture = decoded(answer.data[0].b64_json)
assert read(picture).size == (64, 64) and read(picture).format == "PNG"
assert answer.quality == "low" and answer.size == "64x64" and answer.output_format == "png", answer
assert answer.usage.input_tokens == 6 and answer.usage.output_tokens == 10, answer.usage
assert answer.usage.total_tokens == 16 and answer._request_id, answer.usage

# The same seed makes the same bytes; other steps make others.
again = client.images.generate(model="gpt-image-1", **heart)
assert decoded(again.data[0].b64_json) == picture
body = {"seed": 7, "steps": 4, "sampler": {"name": "ddim", "eta": 0.5}, "guidance_scale": 3, "negative_prompt": "blue"}
other = client.images.generate(model="gpt-image-1", prompt=heart["prompt"], extra_body=body)
assert decoded(other.data[0].b64_json) != picture and other.usage.output_tokens == 4, other.usage

# By address, several at once; the picture of seed 7 is the same in any company.
answer = client.images.generate(n=3, size="auto", response_format="url", user="somebody", **heart)
assert len(answer.data) == 3 and [one.seed for one in answer.data] == [7, 8, 9], answer
assert all(one.b64_json is None for one in answer.data)
fetched = [urllib.request.urlopen(one.url).read() for one in answer.data]
assert fetched[0] == picture and len(set(fetched)) == 3

answer = client.images.generate(
    response_format="b64_json", size="64x128", output_format="webp", output_compression=60, style="natural", **heart
)
made = read(decoded(answer.data[0].b64_json))
assert (made.size, made.format) == ((64, 128), "WEBP"), made
assert [remark["param"] for remark in answer.warnings] == ["style"], answer.warnings

# What is said as null is left out.
answer = client.images.generate(
    prompt="pizza", model=None, n=None, size=None, quality=None, response_format=None, extra_body={"steps": 2, "seed": None}
)
assert answer.data[0].url.startswith(f"{URL}/v1/images/"), answer

wrong = lambda **fields: lambda: client.images.generate(**{"prompt": "pizza", **fields})
refused(openai.BadRequestError, "prompt", wrong(prompt=""))
refused(openai.BadRequestError, "n", wrong(n=11))
refused(openai.BadRequestError, "size", wrong(size="64X64"))
refused(openai.BadRequestError, "size", wrong(size="60x64"))
refused(openai.BadRequestError, "size", wrong(size="99999x16"))
refused(openai.BadRequestError, "background", wrong(background="transparent"))
refused(openai.BadRequestError, "sampler", wrong(extra_body={"sampler": "dimm"}))
refused(openai.BadRequestError, "sede", wrong(extra_body={"sede": 1}))
unknown = refused(openai.NotFoundError, "model", wrong(model="no-such"))
assert unknown.code == "model_not_found", unknown.code


async def at_once():
    async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="any") as client:
        wishes = [client.images.generate(model="gpt-image-1", **heart) for _ in range(3)]
        answers = await asyncio.gather(*wishes)
        assert all(decoded(answer.data[0].b64_json) == picture for answer in answers)


asyncio.run(at_once())
