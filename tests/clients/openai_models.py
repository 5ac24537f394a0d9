"""The models, as the openai client lists and retrieves them."""

import sys

import openai

client = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="any")
models = client.models.list().data
assert "emoji64" in [model.id for model in models], models
assert all(model.object == "model" and model.created >= 0 and model.owned_by for model in models), models
assert client.models.retrieve("emoji64").id == "emoji64"
try:
    client.models.retrieve("no/such")
except openai.NotFoundError as error:
    assert error.code in ("model_not_found", "not_found"), error.code
else:
    raise AssertionError("a model that nobody knows was found")
