"""What a user of /events notices, with a client that reads lines.

The client gives `stream(path, **headers)`: a context with `status`, `headers` and `line(seconds)`,
which is None at the end.
"""
import json
import time

from report import ask, check, equal, step
from scenario import PATIENCE_S, check_steps, topics_of


class Events:
    def __init__(self, stream):
        self.stream = stream
        equal(stream.status, 200)

    def fields(self):
        """Those of the next event, as they are named in its lines, and whether it is a comment."""
        fields, deadline = {}, time.monotonic() + PATIENCE_S
        while (left := deadline - time.monotonic()) > 0:
            line = self.stream.line(left)
            if line is None:
                raise EOFError("the stream has ended")
            if not line and fields:
                return fields
            name, _, value = line.partition(":")
            if line:
                fields[name] = value.removeprefix(" ")
        raise TimeoutError("no event comes")

    def message(self):
        """The next one; on a busy machine an alert may come at any time."""
        fields = self.fields()
        message = json.loads(fields.pop("data"))
        if message["type"] == "alert":
            equal(fields, {})
            return self.message()
        has_id = message["type"] in ("metrics", "batch")
        equal(set(fields), {"id"} if has_id else set())
        if message["type"] == "metrics":
            equal(fields["id"], str(message["seq"]))
        return message

    def hello(self):
        fields = self.fields()
        equal(set(fields), {"retry", "data"})
        equal(fields["retry"], "3000")
        hello = json.loads(fields["data"])
        equal(hello["type"], "hello")
        return hello


def begins(client, setting):
    with client.stream("events") as stream:
        events = Events(stream)
        equal(stream.headers["content-type"].split(";")[0], "text/event-stream")
        equal(stream.headers["cache-control"], "no-store")
        check("content-length" not in stream.headers, "a length")
        if not setting["certificate"]:
            # nginx keeps these to itself.
            equal(stream.headers["x-accel-buffering"], "no")
            equal(stream.headers["connection"], "close")
        check("history" in events.hello(), "hello has no history")
        check_steps(events.message, 1)
    with client.stream("events?history=0") as stream:
        check("history" not in Events(stream).hello(), "history was declined")


def at_once(client, setting):
    # So short that a buffer would hold back a hundred.
    with client.stream("events?topics=load.one&history=0") as stream:
        events = Events(stream)
        events.hello()
        for _ in range(4):
            age_s = time.time() - events.message()["t"] / 1000
            check(-1 < age_s < 2, "an event is", age_s, "s old")


def narrow(client, setting):
    query = f"topics=cpu,memory.usage&topics=load.one&interval_ms={setting['interval_ms'] + 1}"
    with client.stream(f"events?{query}") as stream:
        events = Events(stream)
        events.hello()
        message = events.message()
        equal(topics_of(message), {"cpu", "memory", "load"})
        equal(set(message["memory"]), {"usage"})
        check_steps(events.message, 2)


def modes(client, setting):
    interval_ms = 2 * setting["interval_ms"]
    with client.stream(f"events?mode=mean&topics=cpu&interval_ms={interval_ms}") as stream:
        events = Events(stream)
        events.hello()
        check({"min", "max"} <= set(events.message()), "a mean without min and max")
        check_steps(events.message, 2)
    with client.stream("events?mode=batch&batch=3&topics=load") as stream:
        events = Events(stream)
        events.hello()
        batch = events.message()
        equal((batch["type"], len(batch["samples"])), ("batch", 3))
        equal(topics_of(batch["samples"][0]), {"load"})


def refusals(client, setting):
    for query in ("topics=cup", "mode=loud", "interval_ms=soon", "mode=batch&batch=1"):
        status, _, body = client.request(f"events?{query}")
        equal(status, 400)
        check(len(body) > 10, "a refusal without words:", body)
    status, headers, body = client.request("events", method="HEAD")
    equal((status, body), (200, b""))
    equal(headers["content-type"].split(";")[0], "text/event-stream")
    equal(client.request("events", headers={"Origin": "http://evil.example"})[0], 403)
    if not setting["is_unix"]:
        equal(client.request("events", headers={"Host": "evil.example"})[0], 421)


def drain(client, setting):
    with client.stream("events?history=0") as stream:
        events = Events(stream)
        events.hello()
        ask("terminate")
        try:
            while True:
                events.fields()
        except EOFError:
            pass
    ask("start")


STEPS = [
    ("/events begins with hello, seq rises by 1", begins),
    ("/events sends each sample at once", at_once),
    ("/events gives what its query asks for", narrow),
    ("/events knows the modes", modes),
    ("/events refuses in words", refusals),
    ("/events ends when the server stops", drain),
]


def run(client, setting):
    for sentence, show in STEPS:
        step(sentence, lambda: show(client, setting))


def late(client, silence_s):
    """At a server without samples."""
    def comments():
        with client.stream("events?history=0") as stream:
            events = Events(stream)
            events.hello()
            began, times_s = time.monotonic(), []
            while (left := silence_s - (time.monotonic() - began)) > 0:
                try:
                    line = stream.line(left)
                except TimeoutError:
                    break
                check(line is not None, "the stream has ended")
                if line:
                    equal(line, ":")
                    times_s.append(round(time.monotonic() - began))
            check(len(times_s) == 3 and 13 <= times_s[0] <= 18, "comments at", times_s)

    step("/events stays through silence, a comment every 15 s", comments)
