"""Draws docs/images/emoji64.png: starts `target/release/darkroom`, asks for all pictures at once, and puts them together.

    make build && .venv/bin/python docs/images/make.py
"""

import io
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))

from measure import Darkroom, running  # noqa: E402

HANDS = ["twemoji", "noto", "fluent"]
THINGS = [
    "a red heart", "smiling face with sunglasses", "rainbow", "cactus", "fox", "penguin", "hamburger", "panda", "rocket", "crown",
]
SIDE = 64
GAP = 4


def main():
    wishes = [dict(prompt=f"{thing}, {hand} style", steps=25, seed=7) for hand in HANDS for thing in THINGS]
    with running(Darkroom) as server, ThreadPoolExecutor(len(wishes)) as pool:
        pictures = [Image.open(io.BytesIO(picture)) for picture in pool.map(server.picture, wishes)]
    step = SIDE + GAP
    sheet = Image.new("RGB", (len(THINGS) * step + GAP, len(HANDS) * step + GAP), "white")
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (GAP + place % len(THINGS) * step, GAP + place // len(THINGS) * step))
    sheet.save(ROOT / "docs/images/emoji64.png", optimize=True)


if __name__ == "__main__":
    main()
