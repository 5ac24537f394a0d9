"""Fetches pinned files of the Python package registry through pip, so that the user's pip configuration holds."""

import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Named one by one, because older pips do not know that a newer platform may use an older one's wheels.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 25, 24, 18, 17, 12, 5)]
PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]


@dataclass(frozen=True)
class Wheel:
    """One release of a package for 64-bit Linux, with the sha256 of its wheel and its size in MB."""

    name: str
    version: str
    sha256: str
    megabytes: int

    def find(self, folder: Path) -> Path | None:
        """The wheel in `folder`, if a whole one lies there."""
        stem = f"{self.name.replace('-', '_')}-{self.version}-"
        whole = (path for path in sorted(folder.glob("*.whl")) if path.name.startswith(stem) and sha256(path) == self.sha256)
        return next(whole, None)

    def fetch(self, folder: Path) -> Path:
        """The wheel, downloaded into `folder` unless a whole one lies there already. Ends the program when pip fails."""
        found = self.find(folder)
        if found:
            return found
        say(f"fetching {self.name} {self.version} ({self.megabytes} MB)")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            pin = Path(scratch, "pin.txt")
            pin.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n")
            pip_download(pin, folder)
        return self.find(folder) or sys.exit(f"{self.name} {self.version}: pip left no wheel with the pinned sha256 in {folder}")


def pip_download(pin: Path, folder: Path) -> None:
    """Downloads what the requirements file `pin` names. The Python version is fixed, so that any Python may run this."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "none"]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    if subprocess.run([*command, *quiet, "--dest", folder, "--requirement", pin]).returncode:
        sys.exit("pip could not fetch it; the lines above say why (no network, or a package index without this release?)")


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def cache() -> Path:
    """The folder of this user where fetched things are kept for every checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "darkroom"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
