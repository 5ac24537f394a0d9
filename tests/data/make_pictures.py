"""Pictures of the embedded model's own data, prepared as its recipe prepares them: 64x64, RGB, over white.

    python -m venv .venv && .venv/bin/pip install pillow
    .venv/bin/python tests/data/make_pictures.py [FOLDER WITH THE PACKED PACKAGES]

Writes tests/data/pictures/*.png and pictures.json (file, caption, hand, licence of each). Fetches the two packages that
the pictures are in with `npm pack` (140 MB), unless the folder holds them already. What models/emoji64/recipe/data.py does
to a picture is done here too; a compressed picture of the same pixels is all that is written.
"""

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from PIL import Image

OUT = Path(__file__).resolve().parent / "pictures"
SIDE = 64
# What the model draws well, by the code points in the packages' file names.
SUBJECTS = {
    "red heart": "2764-fe0f",
    "smiling face with sunglasses": "1f60e",
    "cat face": "1f431",
    "dog face": "1f436",
    "red apple": "1f34e",
    "cactus": "1f335",
    "rainbow": "1f308",
}
# Hand: (package, folder in it, licence).
HANDS = {
    "noto": ("emoji-datasource-google", "img/google/64", "Apache-2.0"),
    "twemoji": ("emoji-datasource-twitter", "img/twitter/64", "CC-BY-4.0"),
}
VERSION = "16.0.0"


def packed(package, folder):
    """The package as npm packs it."""
    path = folder / f"{package}-{VERSION}.tgz"
    if not path.exists():
        subprocess.run(["npm", "pack", "--silent", f"{package}@{VERSION}"], cwd=folder, check=True)
    return path


def prepared(encoded):
    """Over white, as the recipe's `load`."""
    picture = Image.open(io.BytesIO(encoded)).convert("RGBA")
    if picture.size != (SIDE, SIDE):
        picture = picture.resize((SIDE, SIDE), Image.LANCZOS)
    paper = Image.new("RGBA", (SIDE, SIDE), (255, 255, 255, 255))
    paper.alpha_composite(picture)
    return paper.convert("RGB")


def pictures(folder):
    for hand, (package, place, licence) in HANDS.items():
        with tarfile.open(packed(package, folder)) as archive:
            for subject, points in SUBJECTS.items():
                encoded = archive.extractfile(f"package/{place}/{points}.png").read()
                file = f"{subject.replace(' ', '-')}.{hand}.png"
                prepared(encoded).save(OUT / file, optimize=True)
                yield dict(file=file, caption=f"{subject}, {hand} style", hand=hand, licence=licence)


def main():
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        rows = list(pictures(Path(sys.argv[1] if len(sys.argv) > 1 else scratch)))
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    (OUT / "pictures.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
