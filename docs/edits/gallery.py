"""Draws docs/edits/gallery.png and measures it for docs/edits/table.md: each wish of wishes.json by each of methods.json.

    make build venv && .venv/bin/python docs/edits/gallery.py

Starts `target/release/darkroom`, asks for all edits, and scores what comes back as scores.py says.
"""

import base64
import io
import json
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "docs/edits"
PICTURES = ROOT / "tests/data/pictures"
sys.path.insert(0, str(ROOT / "benches"))

from measure import Darkroom, post, running  # noqa: E402
from scores import Scores, psnr  # noqa: E402

ALL = {"steps": 50, "guidance": 4, "seed": 7}
SCALE, SIDE, GAP, LINE = 2, 64, 4, 18
ENDED = ("succeeded", "failed", "canceled")


def request(wish, column):
    """The fields of one edit; `{old}` and `{new}` in a method are the first words that the two captions do not share."""
    shown, wished = [wish[name].replace(",", "").split() for name in ("source", "wish")]
    old = next(word for word in shown if word not in wished)
    new = next(word for word in wished if word not in shown)
    method = json.loads(json.dumps(column["method"]).replace("{old}", old).replace("{new}", new))
    source = {} if method == "sdedit" else {"source_prompt": wish["source"]}
    options = {name: value for name, value in column.items() if name != "title"} | {"method": method}
    image = base64.b64encode((PICTURES / wish["file"]).read_bytes()).decode()
    return ALL | options | source | {"image": image, "prompt": wish["wish"]}


def edited(server, fields):
    """The picture and its evaluations."""
    job = json.loads(post(f"{server.base}/v1/edits", fields, {"prefer": "wait=60"}))
    while job["status"] not in ENDED:
        time.sleep(1)
        with urllib.request.urlopen(f"{server.base}/v1/jobs/{job['id']}") as answer:
            job = json.loads(answer.read())
    assert job["status"] == "succeeded", job
    with urllib.request.urlopen(server.base + job["images"][0]["url"]) as answer:
        return picture(io.BytesIO(answer.read())), job["usage"]["evaluations"]


def picture(file):
    return np.asarray(Image.open(file).convert("RGB"))


def edits(wishes, columns):
    """What `edited` gives, by places in the two lists."""
    cells = [(row, column) for row in range(len(wishes)) for column in range(len(columns))]
    with running(Darkroom) as server, ThreadPoolExecutor(len(cells)) as pool:
        asked = {
            pool.submit(edited, server, request(wishes[row], columns[column])): (row, column) for row, column in cells
        }
        for done, _ in enumerate(as_completed(asked), 1):
            print(f"\r{done} of {len(cells)} edits", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {cell: future.result() for future, cell in asked.items()}


def grid(wishes, columns, sources, made):
    """Rows are wishes, the picture they start from first."""
    size, font = SCALE * SIDE, ImageFont.load_default(13)
    step, band = size + GAP, size + LINE + GAP
    sheet = Image.new("RGB", ((len(columns) + 1) * step, 2 * LINE + len(wishes) * band), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(["the picture", *(column["title"] for column in columns)]):
        pen.multiline_text((column * step, 0), title.replace(", ", ",\n"), "black", font)
    for row, (wish, source) in enumerate(zip(wishes, sources)):
        top = 2 * LINE + row * band
        pen.text((0, top), f"{wish['source']}  ->  {wish['wish']}", "black", font)
        for column, pixels in enumerate([source, *(made[row, column][0] for column in range(len(columns)))]):
            large = Image.fromarray(pixels).resize((size, size), Image.NEAREST)
            sheet.paste(large, (column * step, top + LINE))
    return sheet


def row(scores, wish, source, cell):
    pixels, evaluations = cell
    before, after = scores.latents([source]), scores.latents([pixels])
    text = scores.wish(after, wish["source"], wish["wish"])
    return 1e3 * scores.structure(before, after), 1e2 * text, psnr(source, pixels), evaluations


def table(wishes, columns, sources, made):
    """Means over the wishes."""
    scores, columns = Scores(), [*columns, {"title": "(the picture itself)"}]
    lines = ["| method | structure distance, 1e-3 | text score, % | PSNR, dB | evaluations |"]
    lines.append("|---|--:|--:|--:|--:|")
    for place, column in enumerate(columns):
        print(f"\r{place + 1} of {len(columns)} scored", end="", file=sys.stderr, flush=True)
        cells = [made.get((k, place), (source, 0)) for k, source in enumerate(sources)]
        rows = [row(scores, *each) for each in zip(wishes, sources, cells)]
        structure, text, decibels, evaluations = np.mean(rows, axis=0)
        level = "-" if np.isinf(decibels) else f"{decibels:.1f}"
        lines.append(f"| {column['title']} | {structure:.1f} | {text:+.2f} | {level} | {evaluations:.0f} |")
    print(file=sys.stderr)
    return "\n".join(lines) + "\n"


def main():
    wishes, columns = [json.loads((HERE / file).read_text()) for file in ("wishes.json", "methods.json")]
    sources = [picture(PICTURES / wish["file"]) for wish in wishes]
    made = edits(wishes, columns)
    grid(wishes, columns, sources, made).save(HERE / "gallery.png", optimize=True)
    (HERE / "table.md").write_text(table(wishes, columns, sources, made))


if __name__ == "__main__":
    main()
