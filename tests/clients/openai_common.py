"""What the scripts for the openai client share: a client of the server, pictures, and what must be refused."""

import base64
import io
import sys

import openai
from PIL import Image

URL = sys.argv[1]


def client(**options):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key="any", max_retries=0, **options)


def read(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def colours(data: bytes) -> Image.Image:
    """The picture without its texts, which would make equal pictures unequal."""
    picture = read(data).convert("RGB")
    picture.info = {}
    return picture


def decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def refused(error, param, work):
    """The work raises this error of the client, about this field."""
    try:
        work()
    except error as raised:
        assert raised.param == param, (raised.param, raised.message)
        assert raised.request_id, raised
        return raised
    raise AssertionError(f"{error.__name__} about {param} was not raised")
