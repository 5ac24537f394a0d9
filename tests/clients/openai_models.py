"""The models, as the openai client lists and retrieves them."""

import openai
from openai_common import client, refused

client = client()
models = client.models.list().data
assert {"emoji64", "gpt-image-1", "dall-e-3", "org/other"} <= {model.id for model in models}, models
assert all(model.object == "model" and model.created >= 0 and model.owned_by for model in models), models
assert client.models.retrieve("emoji64").id == "emoji64"
assert client.models.retrieve("org/other").alias_of == "emoji64"
assert refused(openai.NotFoundError, None, lambda: client.models.retrieve("no/such")).code == "model_not_found"
try:
    client.models.delete("emoji64")
except openai.APIStatusError as error:
    assert error.status_code == 405, error
else:
    raise AssertionError("a model was deleted")
