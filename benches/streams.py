"""How quickly a busy service answers: 1,000 open event streams, an engine that never rests, and what status routes take.

Usage: python3 benches/streams.py [--streams 1000] [--requests 2000] [--limit-ms 50]

It starts `target/release/darkroom` on the embedded model in a folder of its own, keeps the engine full of jobs, opens the
streams (half of one job each, half `GET /v1/events`), and asks the status routes one after the other over one connection
that is kept open, as a dashboard does. It prints a table and exits with 1 where a route's p99 is over the limit.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def start(folder):
    env = os.environ | {
        "DARKROOM__HTTP__LISTEN": "127.0.0.1:0",
        "DARKROOM__STORE__DATABASE_URL": f"sqlite://{folder}/darkroom.db",
        "DARKROOM__STORE__BLOB_URL": f"file://{folder}/blobs",
        "DARKROOM__MODELS__DIR": str(ROOT / "models"),
        "DARKROOM__QUEUE__MAX_DEPTH": "5000",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    server = subprocess.Popen(
        [ROOT / "target/release/darkroom", "serve"], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    for line in server.stdout:
        if "/docs" in line:
            port = int(line.split("127.0.0.1:")[1].split("/")[0])
            return server, port
    raise SystemExit("the server did not start")


class Connection:
    """One kept-alive HTTP/1.1 connection."""

    def __init__(self, port):
        self.port = port

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def ask(self, method, path, body=None):
        content = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        self.writer.write(head.encode() + content)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.split("content-length: ")[1].split("\r\n")[0])
        return int(answer.split(" ")[1]), await self.reader.readexactly(length)


async def follow(port, path, opened):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head, head
    opened.append(path)
    while await reader.read(65536):
        pass


async def fill(client, jobs):
    long = {"prompt": "a red heart", "steps": 1000, "sampler": "ddpm", "count": 4}
    ids = []
    for _ in range(jobs):
        status, body = await client.ask("POST", "/v1/generations", long)
        assert status == 202, body
        ids.append(json.loads(body)["id"])
    return ids


async def measure(port, arguments):
    client = await Connection(port).open()
    while (await client.ask("GET", "/readyz"))[0] != 200:
        await asyncio.sleep(0.2)
    ids = await fill(client, arguments.streams // 2)
    opened = []
    paths = [f"/v1/jobs/{one}/events" for one in ids] + ["/v1/events"] * (arguments.streams - len(ids))
    streams = [asyncio.create_task(follow(port, path, opened)) for path in paths]
    while len(opened) < len(paths):
        await asyncio.sleep(0.1)
    await asyncio.sleep(3)
    routes = ["/livez", "/readyz", f"/v1/jobs/{ids[0]}", f"/v1/jobs/{ids[-1]}", "/v1/models", "/metrics"]
    times = {route: [] for route in routes}
    for at in range(arguments.requests):
        route = routes[at % len(routes)]
        began = time.perf_counter()
        status, _ = await client.ask("GET", route)
        times[route].append((time.perf_counter() - began) * 1e3)
        assert status == 200, (route, status)
        await asyncio.sleep(0.002)
    for stream in streams:
        stream.cancel()
    return times


def report(times, arguments):
    print(f"{arguments.streams} event streams, a full engine, {arguments.requests} requests; milliseconds")
    print(f"{'route':28} {'p50':>8} {'p90':>8} {'p99':>8} {'most':>8}")
    worst = 0.0
    for route, all_times in times.items():
        ordered = sorted(all_times)
        at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        name = "/v1/jobs/{id}" + (" (running)" if route == list(times)[2] else " (queued)") if "/jobs/" in route else route
        print(f"{name:28} {at(0.5):8.1f} {at(0.9):8.1f} {at(0.99):8.1f} {ordered[-1]:8.1f}")
        worst = max(worst, at(0.99))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--limit-ms", type=float, default=50.0)
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))
    with tempfile.TemporaryDirectory() as folder:
        server, port = start(folder)
        try:
            times = asyncio.run(measure(port, arguments))
        finally:
            server.kill()
            server.wait()
    worst = report(times, arguments)
    sys.exit(0 if worst < arguments.limit_ms else f"p99 is {worst:.1f} ms, over {arguments.limit_ms:g}")


main()
