"""curl or aiohttp at the HTTP API and at /events of a vitald: `http_client.py NAME SETTING`."""
import asyncio
import contextlib
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
import urllib.parse

import event_stream
from libraries import Aiohttp
from report import ask, check, equal, step
from scenario import check_series


def fields_of(lines):
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, value in pairs}


class Curl:
    def __init__(self, setting, *options):
        self.url, self.folder = setting["url"], pathlib.Path(setting["folder"])
        self.options = ["curl", "--silent", "--show-error", "--max-time", "15", *options]
        if setting["certificate"]:
            self.options += ["--cacert", setting["certificate"]]

    def command(self, path, headers, options):
        fields = [part for pair in headers.items() for part in ("--header", "%s: %s" % pair)]
        url = urllib.parse.urljoin(self.url, path)
        return [*self.options, *options, *fields, url]

    def request(self, path, method="GET", headers={}, data=None, options=()):
        head, body = self.folder / "head", self.folder / "body"
        body.write_bytes(b"")
        options = ["--dump-header", head, "--output", body, "--compressed", *options]
        options += ["--head"] if method == "HEAD" else ["--request", method]
        options += ["--data", data] if data else []
        subprocess.run(self.command(path, headers, options), check=True)
        first, *lines = head.read_text().splitlines()
        content = b"" if method == "HEAD" else body.read_bytes()
        return int(first.split()[1]), fields_of(lines), content

    @contextlib.contextmanager
    def stream(self, path):
        stream = CurlStream(self.command(path, {}, ["--no-buffer", "--include", "--max-time", "90"]))
        try:
            yield stream
        finally:
            stream.program.kill()
            stream.program.wait()


class CurlStream:
    def __init__(self, command):
        self.program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        first, lines = self.line(15), []
        while line := self.line(15):
            lines.append(line)
        self.status, self.headers = int(first.split()[1]), fields_of(lines)

    def read(self):
        for line in self.program.stdout:
            self.lines.put(line.rstrip("\r\n"))
        self.lines.put(None)

    def line(self, seconds):
        try:
            return self.lines.get(timeout=max(0.01, seconds))
        except queue.Empty:
            raise TimeoutError("no line") from None


class AiohttpHttp(Aiohttp):
    def __init__(self, setting):
        super().__init__(setting["url"], setting["certificate"])
        self.base = setting["url"]

    def ask(self, path, method="GET", headers={}, data=None):
        import aiohttp
        return self.session.request(method, urllib.parse.urljoin(self.base, path), headers=headers,
                                    data=data, ssl=self.context or True,
                                    timeout=aiohttp.ClientTimeout(total=None))

    def request(self, path, **options):
        async def asked():
            async with self.ask(path, **options) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return answer.status, headers, await answer.read()
        return self.run(asked())

    @contextlib.contextmanager
    def stream(self, path):
        stream = AiohttpStream(self, self.run(self.ask(path).__aenter__()))
        try:
            yield stream
        finally:
            self.loop.call_soon_threadsafe(stream.answer.close)


class AiohttpStream:
    def __init__(self, client, answer):
        self.client, self.answer, self.status = client, answer, answer.status
        self.headers = {name.lower(): value for name, value in answer.headers.items()}

    def line(self, seconds):
        reading = asyncio.wait_for(self.answer.content.readline(), seconds)
        line = self.client.run(reading, seconds + 5)
        return line.decode().rstrip("\n") if line else None


def api(client, setting):
    def fetched(path):
        status, headers, body = client.request(path)
        equal(status, 200)
        kind = headers["content-type"]
        return json.loads(body) if kind == "application/json" else (kind, body.decode())

    def figures():
        equal(fetched("healthz")[1], "ok")
        equal(fetched("api/v1/snapshot")["type"], "metrics")
        names = ["cpu.usage", "filesystems./.usage"]
        query = "&".join(f"metric={urllib.parse.quote(name, safe='')}" for name in names)
        check_series(fetched(f"api/v1/history?{query}&points=3"), names)
        kind, text = fetched("api/v1/history?metric=load.one&format=csv")
        equal((kind.split(";")[0], text.split(",")[0]), ("text/csv", "metric"))
        rows = fetched("api/v1/processes?sort=memory&limit=5")["rows"]
        equal(len(rows), 5)
        equal([row["rss"] for row in rows], sorted((row["rss"] for row in rows), reverse=True))
        check("cpu" in [rule["name"] for rule in fetched("api/v1/alerts")["rules"]], "no rule cpu")
        check(fetched("api/v1/connections"), "no connection, and yet an answer")
        check(fetched("api/v1/server")["connections"]["active"] >= 1, "nobody is there")
        check("\nnode_load1 " in fetched("metrics")[1], "no node_load1")

    def page():
        status, headers, body = client.request("")
        equal((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        check(b"<title>vitald</title>" in body, body[:100])
        again = client.request("", headers={"If-None-Match": headers["etag"]})
        equal((again[0], again[2]), (304, b""))
        status, head, body = client.request("", method="HEAD")
        equal((status, head["etag"], body), (200, headers["etag"], b""))

    def refusals():
        for path, options, expected in [
            ("nothing", {}, 404),
            ("api/v1/server", {"method": "DELETE"}, 405),
            ("api/v1/server", {"method": "POST", "data": "a body"}, 413),
            ("api/v1/processes?limit=0", {}, 400),
            # To a Unix socket only the proxy can speak, and names are the proxy's business.
            ("healthz", {"headers": {"Host": "evil.example"}}, 200 if setting["is_unix"] else 421),
            ("healthz", {"headers": {"Host": setting["name"]}}, 200),
        ]:
            status, headers, body = client.request(path, **options)
            equal((path, status), (path, expected))
            check(body, "a refusal without words")
            if expected == 405:
                check("GET" in headers["allow"], headers)

    step("/api, /metrics and /healthz answer", figures)
    step("the page comes with its ETag, HEAD without a body", page)
    step("what cannot be had is refused in words", refusals)


def curl_only(client, setting):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}

    def status(origin, host):
        headers = {**upgrade, "Origin": origin, "Host": host}
        # What is granted has no end but this.
        options = ["--max-time", "1", "--output", os.devnull, "--write-out", "%{http_code}"]
        told = subprocess.run(client.command("ws", headers, options), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return int(told.stdout)

    def origins():
        parts = urllib.parse.urlsplit(setting["url"])
        named = f"{setting['name']}:{parts.port}"
        equal(status(f"{parts.scheme}://{named}", named), 101)
        equal(status(f"{parts.scheme}://{parts.netloc}", parts.netloc), 101)
        equal(status("https://evil.example", parts.netloc), 403)
        equal(status(f"{parts.scheme}://{parts.hostname}:1", parts.netloc), 403)

    def redirect():
        found, headers, _ = client.request(setting["prefix"].rstrip("/"))
        equal((found, headers["location"]), (301, setting["url"]))

    def away():
        ask("terminate")
        equal(client.request("healthz")[0], 502)
        ask("start")
        equal(client.request("healthz")[0], 200)

    step("a WebSocket's Origin must be the page's own", origins)
    if setting["certificate"]:
        step("the proxy says that vitald is away", away)
    if setting["prefix"] != "/":
        step("the prefix without its slash leads to the page", redirect)


def main():
    name, setting = sys.argv[1], json.loads(sys.argv[2])
    is_direct = not setting["certificate"]
    if name == "aiohttp":
        clients = [AiohttpHttp(setting)]
    else:
        # Both versions to the proxy, which speaks 1.1 to vitald.
        clients = [Curl(setting, "--http1.1")] + ([] if is_direct else [Curl(setting, "--http2")])
    if setting["late_url"]:
        event_stream.late(clients[-1], setting["silence_s"])
    else:
        for client in clients:
            api(client, setting)
            event_stream.run(client, setting)
        if name == "curl":
            curl_only(clients[0], setting)
    sys.stdout.flush()
    os._exit(0)


main()
