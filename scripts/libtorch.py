#!/usr/bin/env python3
"""Makes LibTorch 2.13.0 available as `.libtorch` (cpu) or `.libtorch-cuda` (cuda) in this checkout.

The libraries come out of the `torch` wheel and, because they ask for them, out of a few wheels of the CUDA tool kit.
They are unpacked once per user into `$XDG_CACHE_HOME/darkroom` (`~/.cache/darkroom`) and linked from there. A `LIBTORCH`
in the environment wins: then nothing is fetched. Python is needed for this script only, never at run time.
"""

import argparse
import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from wheels import Wheel, cache, say

ROOT = Path(__file__).resolve().parent.parent
VERSION = "2.13.0"
TORCH = Wheel("torch", VERSION, "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7", 527)
RUNTIME = Wheel("nvidia-cuda-runtime", "13.0.96", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548", 3)
CUPTI = Wheel("nvidia-cuda-cupti", "13.0.85", "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8", 11)
# What libtorch_cuda.so and the libraries it loads need: the releases that the torch wheel's own metadata asks for.
CUDA = [
    Wheel("nvidia-cublas", "13.1.1.3", "37936a16db8fe4ac1f065c2139360608a543a09275cb1a1af612e08cfa065436", 423),
    Wheel("nvidia-cuda-nvrtc", "13.0.88", "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575", 90),
    Wheel("nvidia-cudnn-cu13", "9.20.0.48", "0c45dd8eeb50b603f07995b1b300c62ffe6a1980482b82b3bcf94a4ca9d49304", 366),
    Wheel("nvidia-cufft", "12.0.0.61", "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3", 214),
    Wheel("nvidia-cufile", "1.15.1.6", "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44", 1),
    Wheel("nvidia-curand", "10.4.0.35", "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc", 60),
    Wheel("nvidia-cusolver", "12.0.4.66", "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112", 201),
    Wheel("nvidia-cusparse", "12.6.3.3", "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b", 146),
    Wheel("nvidia-cusparselt-cu13", "0.8.1", "786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0", 170),
    Wheel("nvidia-nccl-cu13", "2.29.7", "edd81538446786ec3b73972543e53bb43bcaf0bfc8ef76cb679fcc390ffe136d", 206),
    Wheel("nvidia-nvjitlink", "13.5.37", "280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb", 47),
    Wheel("nvidia-nvshmem-cu13", "3.4.5", "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80", 60),
]
CPU_LIBRARIES = ["libc10.so", "libgomp.so.1", "libtorch_cpu.so", "libcudart.so.13", "libcupti.so.13"]
CUDA_LIBRARIES = ["libc10_cuda.so", "libcaffe2_nvrtc.so", "libtorch_cuda.so", "libtorch_cuda_linalg.so", "libtorch_nvshmem.so"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Make LibTorch available in this checkout.")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    device = parser.parse_args().device
    if own := os.environ.get("LIBTORCH"):
        return check_own(Path(own))
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit(f"LibTorch is fetched for 64-bit Linux only: install LibTorch {VERSION} and set LIBTORCH to its folder")
    place = cache() / f"libtorch-{VERSION}-{device}"
    if not whole(place, device):
        fill(place, device)
    link(ROOT / (".libtorch" if device == "cpu" else ".libtorch-cuda"), place)


def check_own(own: Path) -> None:
    if not (own / "lib" / "libtorch_cpu.so").exists():
        sys.exit(f"LIBTORCH is set, but {own}/lib/libtorch_cpu.so does not exist")
    say(f"using LIBTORCH={own}")


def whole(place: Path, device: str) -> bool:
    """Whether `place` holds all that the build and the running program need."""
    libraries = [*CPU_LIBRARIES, "libtorch.so", *(CUDA_LIBRARIES if device == "cuda" else [])]
    files = [place / "lib" / name for name in libraries]
    files.append(place / "include/torch/csrc/api/include/torch/torch.h")
    return all(file.is_file() and file.stat().st_size for file in files)


def fill(place: Path, device: str) -> None:
    """Fills `place` at once: in a folder beside it that then takes its name, so that nobody ever sees a half-filled one."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if whole(place, device):
            return
        for left in place.parent.glob(f".{place.name}.part-*"):
            shutil.rmtree(left)
        part = Path(tempfile.mkdtemp(prefix=f".{place.name}.part-", dir=place.parent))
        part.chmod(0o755)
        downloads = place.parent / "wheels"
        unpack(downloads, part, device)
        if not whole(part, device):
            sys.exit(f"the wheels did not hold all of LibTorch; what they gave lies in {part}")
        if place.exists():
            shutil.rmtree(place)
        part.rename(place)
        shutil.rmtree(downloads)
    say(f"LibTorch {VERSION} ({device}) lies in {place}")


def unpack(downloads: Path, part: Path, device: str) -> None:
    """Puts headers and libraries under `part`; wheels stay in `downloads`, so that an interrupted run goes on from there."""
    wheels = [TORCH, RUNTIME, CUPTI, *(CUDA if device == "cuda" else [])]
    paths = [wheel.fetch(downloads) for wheel in wheels]
    wanted = set(CPU_LIBRARIES) if device == "cpu" else {*CPU_LIBRARIES, *CUDA_LIBRARIES, "libtorch.so"}
    (part / "lib").mkdir()
    for wheel, path in zip(wheels, paths):
        say(f"unpacking {wheel.name}")
        extract(path, part, None if wheel in CUDA else wanted)
    if device == "cpu":
        empty_libtorch(part / "lib" / "libtorch.so")
    (part / "build-version").write_text(VERSION + "\n")


def extract(wheel: Path, part: Path, wanted: set[str] | None) -> None:
    """Takes the headers of torch and the `wanted` libraries (all of them if None) out of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            file = Path(name)
            if name.startswith("torch/include/"):
                copy(archive, name, part / file.relative_to("torch"))
            elif ".so" in file.name and file.parent.name == "lib" and (wanted is None or file.name in wanted):
                copy(archive, name, part / "lib" / file.name)


def copy(archive: zipfile.ZipFile, name: str, to: Path) -> None:
    if name.endswith("/"):
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, to.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def empty_libtorch(path: Path) -> None:
    """The linker is told `-ltorch`; the real one only loads the CUDA half, so the CPU flavour needs the name alone."""
    compiler = os.environ.get("CC", "cc").split()
    command = [*compiler, "-shared", "-o", path, "-Wl,-soname,libtorch.so", "-x", "c", "/dev/null"]
    if subprocess.run(command).returncode:
        sys.exit("the C compiler could not link an empty library")


def link(name: Path, place: Path) -> None:
    """Points the link `name` to `place`; a folder of that name, which somebody put there, is left alone."""
    if name.is_dir() and not name.is_symlink() or name.is_symlink() and Path(os.readlink(name)) == place:
        return
    fresh = name.with_name(f"{name.name}.{os.getpid()}")
    fresh.symlink_to(place)
    fresh.replace(name)


if __name__ == "__main__":
    main()
