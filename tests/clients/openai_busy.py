"""A full queue, as the openai client hears of it."""

import openai
from openai_common import client

try:
    client().images.generate(prompt="pizza")
except openai.RateLimitError as error:
    assert error.code == "queue_full" and error.type == "rate_limit_error", error
    assert float(error.response.headers["retry-after-ms"]) == 5000, error.response.headers
    assert error.request_id
else:
    raise AssertionError("a full queue took a job")
