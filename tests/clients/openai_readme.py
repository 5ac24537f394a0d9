"""The lines of the README, as they stand there."""

import base64
import pathlib
import re

import openai
from openai_common import URL, decoded, read

readme = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
lines = re.search(r"## OpenAI clients.*?```python\n(.*?)```", readme, re.S).group(1)
names = {"base64": base64, "openai": openai}
exec(lines.replace("http://127.0.0.1:8080", URL), names)
assert read(names["heart"]).size == read(decoded(names["edited"])).size == (64, 64)
assert len(names["several"]) == 4 and all(url.startswith(URL) for url in names["several"])
assert names["events"] == ["image_generation.partial_image"] * 3 + ["image_generation.completed"], names["events"]
