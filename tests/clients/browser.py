"""A page in a real browser, on another origin: it makes a picture, follows its events and shows it by a signed URL.

Usage: browser.py URL KEY LISTED_PORT FOREIGN_PORT; a page is served on http://localhost at each port.
"""

import http.server
import shutil
import sys
import threading

from playwright.sync_api import sync_playwright

URL, KEY, LISTED, FOREIGN = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

PAGE = b"""<!doctype html><meta charset="utf-8"><title>A gallery</title>
<img id="picture" alt="the picture">
<script>
async function make(base, key) {
  const authorization = `Bearer ${key}`;
  const asked = await fetch(`${base}/v1/generations`, {
    method: "POST",
    headers: {authorization, "content-type": "application/json", "idempotency-key": "page-1"},
    body: JSON.stringify({prompt: "a red heart, twemoji style", seed: 7, steps: 4, preview_every: 1}),
  });
  const job = await asked.json();
  const followed = await fetch(`${base}/v1/jobs/${job.id}/events`, {headers: {authorization}});
  const text = await new Response(followed.body).text();
  const names = [...text.matchAll(/^event: (\\w+)$/gm)].map((match) => match[1]);
  const last = JSON.parse(text.match(/^data: (.*)$/gm).at(-1).slice("data: ".length));
  const picture = document.getElementById("picture");
  const shown = new Promise((resolve, reject) => { picture.onload = resolve; picture.onerror = reject; });
  picture.src = base + last.images[0].url;
  await shown;
  return {status: asked.status, id: asked.headers.get("x-request-id"), names, width: picture.naturalWidth};
}
</script>"""


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


def serve(port):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def chromium(playwright):
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])


for port in (LISTED, FOREIGN):
    serve(port)
with sync_playwright() as playwright:
    browser = chromium(playwright)
    page = browser.new_page()
    page.goto(f"http://localhost:{LISTED}/")
    made = page.evaluate("([base, key]) => make(base, key)", [URL, KEY])
    assert made["status"] == 202 and made["id"], made
    assert made["width"] == 64, made
    assert made["names"][0] == "queued" and made["names"][-1] == "succeeded", made
    assert "image" in made["names"] and "preview" in made["names"], made

    stranger = browser.new_page()
    stranger.goto(f"http://localhost:{FOREIGN}/")
    refused = stranger.evaluate("([base, key]) => make(base, key).then(() => null, (error) => error.name)", [URL, KEY])
    assert refused == "TypeError", refused

    # Without a key the page can read what it is told.
    told = page.evaluate("(base) => fetch(`${base}/v1/jobs`).then(async (a) => [a.status, (await a.json()).code])", URL)
    assert told == [401, "unauthorized"], told
    browser.close()
