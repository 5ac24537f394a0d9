"""Measures darkroom against a bare loop and against the peer (benches/peer/server.py), all in one run on one machine.

    make build && cargo bench --no-run --profile release --bench bare_loop
    python -m venv .venv && .venv/bin/pip install -r benches/peer/requirements.txt
    .venv/bin/python benches/measure.py [--rounds 3] [--only start,f32,overhead,answers,bf16]

Prints the tables of benches/RESULTS.md. Servers get free ports and a store in a temporary folder.
"""

import argparse
import concurrent.futures
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
THINGS = ["a red heart", "pizza", "snail", "smiling face with sunglasses", "rocket", "cat face", "sun", "rainbow"]
HANDS = ["noto", "twemoji", "fluent"]
BINARY = ROOT / "target/release/darkroom"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(url, body, headers=None):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"} | (headers or {}))
    with urllib.request.urlopen(request, timeout=600) as answer:
        return answer.read()


class Darkroom:
    """Our server; a picture is asked for and fetched."""

    def __init__(self, port, folder, bf16):
        self.base = f"http://127.0.0.1:{port}"
        self.command = [str(BINARY), "serve"]
        self.environment = {
            "DARKROOM__HTTP__LISTEN": f"127.0.0.1:{port}",
            "DARKROOM__STORE__DATABASE_URL": f"sqlite://{folder}/d.db",
            "DARKROOM__STORE__BLOB_URL": f"file://{folder}/blobs",
            "DARKROOM__MODELS__DIR": str(ROOT / "models"),
            "DARKROOM__ENGINE__PRECISION": "bf16" if bf16 else "f32",
        }

    def picture(self, request):
        job = json.loads(post(f"{self.base}/v1/generations", request, {"prefer": "wait=60"}))
        while job["status"] not in ("succeeded", "failed", "canceled"):
            time.sleep(0.02)
            with urllib.request.urlopen(f"{self.base}/v1/jobs/{job['id']}") as answer:
                job = json.loads(answer.read())
        assert job["status"] == "succeeded", job
        with urllib.request.urlopen(self.base + job["images"][0]["url"]) as answer:
            return answer.read()


class Peer:
    """The Python server."""

    options = []

    def __init__(self, port, folder, bf16):
        self.base = f"http://127.0.0.1:{port}"
        program = str(ROOT / "benches/peer/server.py")
        self.command = [sys.executable, program, "--port", str(port), *self.options] + ["--bf16"] * bf16
        self.environment = {}

    def picture(self, request):
        return post(f"{self.base}/generate", request)


class Tuned(Peer):
    """The Python server at its best."""

    options = ["--tuned"]


@contextmanager
def running(kind, bf16=False, folder=None, environment=None):
    """A server that is ready, and the seconds that took. Its store is in `folder` or in one that goes with it."""
    with tempfile.TemporaryDirectory() as passing:
        folder = folder or passing
        server = kind(free_port(), folder, bf16)
        began = time.perf_counter()
        log = open(f"{folder}/log", "w")
        environment = os.environ | server.environment | (environment or {})
        process = subprocess.Popen(server.command, env=environment, stdout=log, stderr=log, cwd=folder)
        try:
            while True:
                assert process.poll() is None, Path(f"{folder}/log").read_text()
                try:
                    urllib.request.urlopen(server.base + "/readyz").close()
                    break
                except OSError:
                    time.sleep(0.005)
            server.ready, server.pid = time.perf_counter() - began, process.pid
            yield server
        finally:
            process.terminate()
            process.wait()


def memory(pid):
    """Resident memory in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmRSS"].split()[0]) / 1024


def unlike(n):
    """Requests that differ in prompt, seed, steps, sampler and guidance; 20 steps in the mean."""
    return [
        dict(prompt=f"{THINGS[k % 8]}, {HANDS[k % 3]} style", seed=k, steps=16 + k % 9, sampler=["dpmpp_2m", "euler"][k % 2],
             guidance=4.0 + k % 3)
        for k in range(n)
    ]


def latency(server, rounds):
    request = dict(prompt="a red heart, twemoji style", steps=20, guidance=5.0, seed=7, sampler="dpmpp_2m")
    times = []
    for k in range(2 + 3 * rounds):
        began = time.perf_counter()
        server.picture(request | dict(seed=k))
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])


def throughput(server, requests, rounds):
    """Pictures per second of all requests at once; the best of the rounds, which other load disturbs least."""
    rates = []
    with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
        for _ in range(rounds):
            began = time.perf_counter()
            list(pool.map(server.picture, requests))
            rates.append(len(requests) / (time.perf_counter() - began))
    return max(rates)


def overhead(rounds):
    alike = [dict(prompt=f"{THINGS[k % 8]}", seed=k, steps=20, sampler="dpmpp_2m", guidance=5.0) for k in range(32)]
    bench = max((ROOT / "target/release/deps").glob("bare_loop-*[!.d]"), key=lambda path: path.stat().st_mtime)
    bare, served = {}, []
    for _ in range(rounds):
        done = subprocess.run([str(bench), "32", "20"], capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            rows, rate = line.split()
            bare[rows] = max(float(rate), bare.get(rows, 0))
        with running(Darkroom) as server:
            served.append(throughput(server, alike, 3))
    print("| | pictures/s |\n|---|---|")
    for rows, rate in bare.items():
        print(f"| bare loop, {rows} rows a forward | {rate:.2f} |")
    print(f"| through HTTP, 32 requests at once | {max(served):.2f} |")
    print(f"| ratio to the best | {max(served) / max(bare.values()):.2f} |\n")


def against_peers(bf16, rounds):
    kinds = (Darkroom, Peer, Tuned)
    found = []
    for kind in kinds:
        with running(kind, bf16) as server:
            found.append((latency(server, rounds), throughput(server, unlike(32), rounds), memory(server.pid)))
    latencies, rates, resident = zip(*found)
    print(f"| {'bf16' if bf16 else 'f32'} | darkroom | peer | ratio | tuned peer | ratio |\n|---|---|---|---|---|---|")

    def row(what, values, form, ratios):
        print(f"| {what} | {values[0]:{form}} | {values[1]:{form}} | {ratios[0]:.2f} | {values[2]:{form}} | {ratios[1]:.2f} |")

    row("one request, ms", [1e3 * value for value in latencies], ".0f", [value / latencies[0] for value in latencies[1:]])
    row("32 unlike at once, pictures/s", rates, ".2f", [rates[0] / value for value in rates[1:]])
    row("resident after it, MB", resident, ".0f", [value / resident[0] for value in resident[1:]])
    print()


def start(rounds):
    """The first start of a store measures forwards, later ones know them."""
    print("| | ready after, s | resident, MB |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        cases = [("darkroom, first start", Darkroom, None), ("darkroom, later starts", Darkroom, folder), ("peer", Peer, None)]
        for name, kind, again in cases:
            times = []
            for _ in range(rounds):
                with running(kind, folder=again) as server:
                    times.append(server.ready)
                    resident = memory(server.pid)
            print(f"| {name} | {statistics.median(times):.2f} | {resident:.0f} |")


def answers(rounds):
    """How soon a small question is answered while the engine is busy, for both ways in which LibTorch's threads wait."""
    print("| threads that wait | GET /v1/models, p50 ms | p99 ms | pictures/s |\n|---|---|---|---|")
    for policy in ("spin", "sleep"):
        times, rates = [], []
        with running(Darkroom, environment={"OMP_WAIT_POLICY": "PASSIVE"} if policy == "sleep" else {}) as server:
            for _ in range(rounds):
                with concurrent.futures.ThreadPoolExecutor(32) as pool:
                    began = time.perf_counter()
                    work = [pool.submit(server.picture, request) for request in unlike(32)]
                    while not all(picture.done() for picture in work):
                        asked = time.perf_counter()
                        urllib.request.urlopen(server.base + "/v1/models").read()
                        times.append(time.perf_counter() - asked)
                        time.sleep(0.02)
                    rates.append(len(work) / (time.perf_counter() - began))
        cuts = statistics.quantiles(times, n=100)
        print(f"| {policy} | {1e3 * cuts[49]:.1f} | {1e3 * cuts[98]:.1f} | {max(rates):.2f} |")
    print()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", default="start,f32,overhead,answers,bf16")
    arguments = arguments.parse_args()
    parts = {
        "overhead": lambda: overhead(arguments.rounds),
        "f32": lambda: against_peers(False, arguments.rounds),
        "bf16": lambda: against_peers(True, arguments.rounds),
        "start": lambda: start(arguments.rounds),
        "answers": lambda: answers(arguments.rounds),
    }
    for part in arguments.only.split(","):
        parts[part]()
