"""Starts vitald, an nginx before it where the way goes through one, and each client at it; prints a
line for each client and way, and a plain count. What runs together has ports of its own.

The configuration of nginx is that of the README, with ports, files and the prefix of the way filled
in. Standard library only.
"""
import argparse
import concurrent.futures
import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
INTERVAL_MS = 200
# The server pings a quiet peer after 30 s and drops it 15 s later.
SILENCE_S = 50
CLIENT_S_MAX = 120
# What the browser and curl call the server by, so that --allow-host is needed.
NAME = "vitals.example"

WAYS = {
    "direct": None,
    "nginx /": {"prefix": "/", "buffering": True},
    "nginx /vitald/": {"prefix": "/vitald/", "buffering": True},
    "nginx / unbuffered": {"prefix": "/", "buffering": False},
    "nginx /vitald/ unbuffered": {"prefix": "/vitald/", "buffering": False},
    "nginx / by Unix socket": {"prefix": "/", "buffering": True, "unix": True},
}
PYTHON = ["websockets-sync", "websockets-asyncio", "websocket-client", "aiohttp"]
# Those that offer compression, by themselves or because the test asks for it.
OFFERS_DEFLATE = {"websockets-sync", "websockets-asyncio", "aiohttp", "ws", "chromium"}

COMMANDS = {
    **{name: [sys.executable, HERE / "websocket_client.py", name] for name in PYTHON},
    "ws": ["node", HERE / "websocket_client.mjs"],
    "curl": [sys.executable, HERE / "http_client.py", "curl"],
    "aiohttp HTTP": [sys.executable, HERE / "http_client.py", "aiohttp"],
    "fetch": ["node", HERE / "fetch_client.mjs"],
    "chromium": ["node", HERE / "chromium_client.mjs"],
}


class Program:
    """A process that does not outlive the test."""

    running = set()
    lock = threading.Lock()

    def __init__(self, command, log, **options):
        # In a group of its own, which all that a browser starts is in too.
        self.process = subprocess.Popen([str(part) for part in command], stderr=log, text=True,
                                        start_new_session=True, **options)
        with Program.lock:
            Program.running.add(self)

    def stop(self, how=signal.SIGTERM):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, how)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        with Program.lock:
            Program.running.discard(self)

    @staticmethod
    def stop_all():
        for program in list(Program.running):
            program.stop()


class Vitald:
    def __init__(self, folder, log, *arguments):
        self.log, self.arguments, self.listen = log, arguments, "127.0.0.1:0"
        self.unix = folder / "vitald.sock"
        self.start()

    def start(self):
        command = [BINARY, "--listen", self.listen, "--listen", f"unix:{self.unix}",
                   "--config", "/dev/null", "--log-level", "warn", *self.arguments]
        for _ in range(20):
            self.program = Program(command, self.log, stdout=subprocess.PIPE)
            line = self.program.process.stdout.readline()
            if line:
                self.url = line.split()[-1]
                self.listen = self.url.removeprefix("http://").rstrip("/")
                self.program.process.stdout.readline()
                return self.wait_for_history()
            # Somebody may have the port for a moment.
            self.program.stop()
            time.sleep(0.1)
        raise RuntimeError("vitald does not start; see its log")

    def wait_for_history(self):
        """Until there is a rate, for which it takes two samples."""
        url, deadline = f"{self.url}api/v1/history?metric=cpu.usage", time.monotonic() + 10
        while "1h" not in self.arguments and time.monotonic() < deadline:
            with urllib.request.urlopen(url, timeout=10) as answer:
                if json.load(answer)[0]["points"]:
                    return
            time.sleep(0.05)

    def stop(self, how=signal.SIGTERM):
        self.program.stop(how)


def readme_configuration():
    section = (ROOT / "README.md").read_text().split("\n## Behind a proxy\n")[1]
    return re.search(r"```nginx\n(.*?)```", section, re.DOTALL)[1]


def filled_in(way, port, vitald, certificate):
    """The README's configuration for here. Each of its places is found once."""
    text = readme_configuration()
    upstream = f"unix:{vitald.unix}:" if way.get("unix") else vitald.listen
    passing = f"proxy_pass http://{upstream}/;"
    if not way["buffering"]:
        passing += " proxy_buffering off;"
    for place, filling in [
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{port} ssl http2;"),
        ("/etc/ssl/vitals.example.pem", str(certificate)),
        ("/etc/ssl/vitals.example.key", f"{certificate}.key"),
        ("location / {  ", f"location {way['prefix']} {{  "),
        ("proxy_pass http://127.0.0.1:8485/;", passing),
    ]:
        if text.count(place) != 1:
            sys.exit(f"{place!r} is {text.count(place)} times in the README's configuration, not once")
        text = text.replace(place, filling)
    return text


# Below those that the kernel gives to whoever asks for any: nobody else comes in between.
PORTS = itertools.count(18000 + os.getpid() % 10000)


def free_port():
    for port in PORTS:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


class Nginx:
    def __init__(self, way, folder, log, vitald, certificate):
        port = free_port()
        kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        paths = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        (folder / "nginx.conf").write_text(
            ("user root;\n" if os.geteuid() == 0 else "")
            + "daemon off; worker_processes 1;\n"
            f"pid {folder}/nginx.pid;\nerror_log stderr warn;\nevents {{}}\nhttp {{\n{paths}\n"
            f"access_log {folder}/access.log;\n{filled_in(way, port, vitald, certificate)}\n}}\n")
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        self.program = Program([nginx, "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"],
                               log, stdout=log)
        self.url = f"https://127.0.0.1:{port}{way['prefix']}"
        deadline = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if time.monotonic() > deadline:
                sys.exit(f"nginx does not start: {folder}/log\n{(folder / 'log').read_text()}")
            time.sleep(0.05)

    def stop(self):
        self.program.stop(signal.SIGQUIT)


class Run:
    """One client on one way."""

    def __init__(self, client, way_name, late_url=None):
        self.client, self.way_name, self.late_url = client, way_name, late_url
        self.passed, self.failed = [], []
        self.is_compressed = None

    def title(self):
        return f"{self.client}, {self.way_name}" + (", silence" if self.late_url else "")

    def run(self, folder, certificate):
        began = time.monotonic()
        place = pathlib.Path(tempfile.mkdtemp(dir=folder))
        log = (place / "log").open("wb")
        interval = "1h" if self.late_url else f"{INTERVAL_MS}ms"
        vitald = Vitald(place, log, "--interval", interval, "--allow-host", NAME)
        way = WAYS[self.way_name]
        nginx = Nginx(way, place, log, vitald, certificate) if way else None
        setting = {"url": nginx.url if nginx else vitald.url, "interval_ms": INTERVAL_MS,
                   "certificate": str(certificate) if nginx else None, "name": NAME,
                   "prefix": way["prefix"] if way else "/", "late_url": self.late_url,
                   "is_unix": bool(way and way.get("unix")), "silence_s": SILENCE_S,
                   "folder": str(place)}
        command = [*COMMANDS[self.client], json.dumps(setting)]
        # fetch takes no certificate as an option.
        trusted = {"NODE_EXTRA_CA_CERTS": str(certificate)} if nginx else {}
        program = Program(command, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env={**os.environ, **trusted})
        timer = threading.Timer(CLIENT_S_MAX, program.stop, [signal.SIGKILL])
        timer.start()
        for line in program.process.stdout:
            self.hear(json.loads(line), vitald, program)
        timer.cancel()
        status = program.process.wait()
        program.stop()
        if status or not (self.passed or self.failed):
            log.flush()
            end = (place / "log").read_text(errors="replace")[-1500:]
            self.failed.append({"failed": "runs to its end", "why": f"status {status}\n{end}"})
        if nginx:
            nginx.stop()
        vitald.stop()
        self.took_s = time.monotonic() - began
        self.judge()
        return self

    def hear(self, told, vitald, program):
        if "do" in told:
            how = {"terminate": signal.SIGTERM, "kill": signal.SIGKILL}.get(told["do"])
            vitald.stop(how) if how else vitald.start()
            with contextlib.suppress(BrokenPipeError):
                program.process.stdin.write("done\n")
                program.process.stdin.flush()
        elif "note" in told:
            self.is_compressed = told["value"]
        else:
            (self.failed if "failed" in told else self.passed).append(told)

    def judge(self):
        is_wanted = self.client in OFFERS_DEFLATE and not self.late_url
        if is_wanted and not self.is_compressed:
            self.failed.append({"failed": "negotiates compression", "why": "it does not"})

    def tell(self):
        words = [f"{len(self.passed)} shown"]
        if self.failed:
            words.append(f"{len(self.failed)} FAILED")
        if self.is_compressed is not None:
            words.append("compressed" if self.is_compressed else "not compressed")
        print(f"{self.title()}: {', '.join(words)} ({self.took_s:.0f} s)", flush=True)
        for one in self.failed:
            print(f"  FAILED {one['failed']}: {one['why']}", flush=True)
        if os.environ.get("VERBOSE") == "1":
            for one in self.passed:
                print(f"  {one['ok']}", flush=True)


def all_runs(late_url):
    late = [*PYTHON, "ws", "curl", "chromium"]
    runs = [Run(client, way, late_url) for way in ("direct", "nginx /") for client in late]
    # What takes longest goes first.
    others = [Run(client, way) for client in reversed(COMMANDS) for way in WAYS]
    return runs, others


def make_certificate(folder):
    certificate = folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={NAME}", "-keyout", f"{certificate}.key",
         "-addext", f"subjectAltName=DNS:{NAME},DNS:localhost,IP:127.0.0.1",
         "-out", certificate], check=True, stderr=subprocess.DEVNULL)
    return certificate


def main():
    global BINARY
    arguments = argparse.ArgumentParser(usage="tests/clients/run [PATTERN]")
    arguments.add_argument("pattern", nargs="?", default="")
    arguments.add_argument("--binary", type=pathlib.Path, required=True)
    arguments = arguments.parse_args()
    BINARY = arguments.binary.resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vitald-clients-"))
    done = []
    is_clean = False
    try:
        certificate = make_certificate(folder)
        recording = Vitald(folder, (folder / "log").open("wb"), "--interval", "100ms")
        runs, others = all_runs(recording.url)
        matching = [[one for one in some if re.search(arguments.pattern, one.title())]
                    for some in (runs, others)]
        # Those that wait cost nothing.
        with concurrent.futures.ThreadPoolExecutor(len(runs)) as waiting, \
                concurrent.futures.ThreadPoolExecutor(6) as working:
            futures = [pool.submit(one.run, folder, certificate)
                       for pool, some in zip((waiting, working), matching) for one in some]
            try:
                for future in concurrent.futures.as_completed(futures):
                    done.append(future.result())
                    done[-1].tell()
            except BaseException:
                for future in futures:
                    future.cancel()
                Program.stop_all()
                raise
        is_clean = not any(run.failed for run in done)
    finally:
        Program.stop_all()
        if is_clean:
            shutil.rmtree(folder)
        else:
            print(f"logs are in {folder}", flush=True)
    failed = sum(len(run.failed) for run in done)
    print(f"{sum(len(run.passed) for run in done)} passed, {failed} failed")
    sys.exit(1 if failed or not done else 0)


if __name__ == "__main__":
    main()
