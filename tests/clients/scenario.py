"""What a user of vitald's WebSocket notices, whatever the client's library. scenario.mjs is the
same for JavaScript.

A library is a class with `connect(path, subprotocol)`, which gives a peer, and `answers_ping()`.
A peer has `subprotocol`, `is_compressed`, `send(text)`, `send_binary(bytes)`, `receive(seconds)`,
which gives a text or raises Closed or TimeoutError, and `close()`, which gives the code that came
back.
"""
import json
import time

from report import ask, check, equal, say, step

PATIENCE_S = 15


class Closed(Exception):
    def __init__(self, code):
        super().__init__(f"closed with {code}")
        self.code = code


class Session:
    """A connection, with what it is told as objects."""

    def __init__(self, library, path="ws", subprotocol=None):
        self.peer = library.connect(path, subprotocol)
        self.hello = self.next()
        self.last_id = 100

    def next(self, is_wanted=lambda message: message["type"] != "alert"):
        # On a busy machine an alert may come at any time.
        deadline = time.monotonic() + PATIENCE_S
        while (left := deadline - time.monotonic()) > 0:
            message = json.loads(self.peer.receive(left))
            if is_wanted(message):
                return message
        raise TimeoutError("what is wanted does not come")

    def send(self, **message):
        self.peer.send(json.dumps(message))

    def asked(self, **message):
        """The answer to a message, which is known by the id."""
        self.last_id += 1
        self.send(**message, id=self.last_id)
        return self.next(lambda answer: answer.get("id") == self.last_id)

    def wanted(self, kind, **message):
        """The answer, of that type; the first of its parts, where it has some."""
        answer = self.asked(**message)
        check(answer["type"] == kind, answer, "is not", kind)
        return answer

    def metrics(self, sub=None):
        return self.next(lambda one: one["type"] == "metrics" and one.get("sub") == sub)

    def ended(self):
        """The code that the server closes with."""
        deadline = time.monotonic() + PATIENCE_S
        try:
            while time.monotonic() < deadline:
                self.peer.receive(deadline - time.monotonic())
        except Closed as closed:
            return closed.code
        raise TimeoutError("the server does not close")

    def close(self):
        equal(self.peer.close(), 1000)


def check_steps(give, step_seq):
    """Sequence numbers rise by so many. A machine that is busy may miss a tick: three in a row."""
    last, in_a_row, deadline = give()["seq"], 0, time.monotonic() + PATIENCE_S
    while in_a_row < 3:
        check(time.monotonic() < deadline, "seq does not rise by", step_seq)
        seq = give()["seq"]
        check(seq > last and (seq - last) % step_seq == 0, "seq goes from", last, "to", seq)
        in_a_row = in_a_row + 1 if seq == last + step_seq else 0
        last = seq


def topics_of(message):
    return {key for key in message if key not in ("type", "seq", "t", "sub", "min", "max")}


def greets(library, interval_ms):
    for subprotocol in ("vitald.v1", None):
        session = Session(library, "ws", subprotocol)
        equal(session.peer.subprotocol, subprotocol)
        hello = session.hello
        equal((hello["type"], hello["protocol"]), ("hello", 1))
        equal(hello["interval_ms"], interval_ms)
        equal(hello["snapshot"]["type"], "metrics")
        check("history" in hello, "hello has no history")
        session.close()
    session = Session(library, "ws?history=0")
    check("history" not in session.hello, "history was declined")
    say(note="compressed", value=session.peer.is_compressed)
    session.close()


def samples(library, interval_ms):
    session = Session(library)
    first = session.next()
    equal(first["type"], "metrics")
    check({"cpu", "memory", "load", "disks", "networks"} <= topics_of(first), first.keys())
    check(abs(first["t"] / 1000 - time.time()) < 5, "t is not the time:", first["t"])
    check_steps(session.metrics, 1)
    session.close()


def subscriptions(library, interval_ms):
    session = Session(library)
    granted = session.asked(type="subscribe", topics=["cpu", "memory.usage"],
                            interval_ms=interval_ms + 1)
    del granted["id"]
    equal(granted, {"type": "subscribed", "sub": "default", "topics": ["cpu", "memory.usage"],
                    "interval_ms": 2 * interval_ms, "mode": "last"})
    narrow = session.next()
    equal(topics_of(narrow), {"cpu", "memory"})
    equal(set(narrow["memory"]), {"usage"})
    check_steps(session.metrics, 2)
    granted = session.asked(type="subscribe", sub="fast", topics=["load.one"])
    equal((granted["type"], granted["sub"]), ("subscribed", "fast"))
    equal(topics_of(session.metrics("fast")), {"load"})
    equal(topics_of(session.metrics()), {"cpu", "memory"})
    equal(session.asked(type="unsubscribe", sub="fast")["type"], "unsubscribed")
    for _ in range(3):
        message = session.next()
        check("sub" not in message, "an ended subscription goes on")
    session.close()


def pongs(library, interval_ms):
    session = Session(library)
    pong = session.asked(type="ping")
    equal(pong["type"], "pong")
    check(abs(pong["t"] / 1000 - time.time()) < 5, "t is not the time:", pong["t"])
    session.send(type="ping", id="a text")
    equal(session.next(lambda one: one["type"] == "pong")["id"], "a text")
    session.close()


def library_ping(library, interval_ms):
    check(library.answers_ping(), "no pong")


def errors(library, interval_ms):
    session = Session(library)
    session.peer.send("{")
    codes = [session.next(lambda one: one["type"] == "error")["code"]]
    for wrong in ({"type": "subscribe", "topics": "cpu"}, {"type": "dance"},
                  {"type": "subscribe", "topics": ["cup"]}):
        error = session.asked(**wrong)
        equal(error["type"], "error")
        check(error["message"], "an error without words")
        codes.append(error["code"])
    for name in "abc":
        equal(session.asked(type="subscribe", sub=name, topics=["load"])["type"], "subscribed")
    codes.append(session.asked(type="subscribe", sub="d", topics=["load"])["code"])
    equal(codes, ["bad_json", "bad_request", "unknown_type", "unknown_topic", "limit"])
    equal(session.asked(type="ping")["type"], "pong")
    session.close()


def refusals(library, interval_ms):
    session = Session(library)
    session.peer.send_binary(b'{"type":"ping"}')
    equal(session.ended(), 1003)
    session = Session(library)
    # Of one letter: compressed it is short.
    session.peer.send(json.dumps({"type": "ping", "id": "x" * 5000}))
    equal(session.ended(), 1009)
    session = Session(library)
    try:
        # Two seconds' worth and more, so that no second's beginning can excuse them.
        for _ in range(45):
            session.send(type="ping")
    except Closed:
        pass
    equal(session.ended(), 1008)


def drain(library, interval_ms):
    session = Session(library)
    ask("terminate")
    equal(session.ended(), 1001)
    ask("start")
    Session(library).close()


def mean(library, interval_ms):
    session = Session(library)
    granted = session.wanted("subscribed", type="subscribe", sub="m", mode="mean",
                             topics=["cpu.usage", "memory"], interval_ms=3 * interval_ms)
    equal((granted["mode"], granted["interval_ms"]), ("mean", 5 * interval_ms))
    message = session.metrics("m")
    equal(topics_of(message), {"cpu", "memory"})
    for topic, field in (("cpu", "usage"), ("memory", "used"), ("memory", "usage")):
        least, mean, most = (one[topic][field]
                             for one in (message["min"], message, message["max"]))
        if mean is not None:
            slack = 0.01 + 0.01 * most
            check(least - slack <= mean <= most + slack, topic, field, least, mean, most)
    check_steps(lambda: session.metrics("m"), 5)
    session.close()


def batch(library, interval_ms):
    session = Session(library)
    granted = session.wanted("subscribed", type="subscribe", sub="b", mode="batch", batch=3,
                             topics=["load.one"])
    equal((granted["mode"], granted["batch"]), ("batch", 3))
    waiting = []

    def sample():
        if not waiting:
            message = session.next(lambda one: one["type"] == "batch")
            equal((message["sub"], len(message["samples"])), ("b", 3))
            waiting.extend(message["samples"])
        return waiting.pop(0)

    first = sample()
    equal((first["type"], topics_of(first)), ("metrics", {"load"}))
    check_steps(sample, 1)
    session.close()


def check_series(series, metrics):
    equal([one["metric"] for one in series], metrics)
    for one in series:
        check(one["unit"] and one["step_ms"] > 0 and one["points"], one)
        times = [point[0] for point in one["points"]]
        equal(times, sorted(set(times)))
        for _, least, mean, most in one["points"]:
            check(None in (least, mean, most) or least <= mean <= most, least, mean, most)


def history(library, interval_ms):
    session = Session(library)
    answer = session.wanted("history", type="get", what="history",
                            metric=["cpu.usage", "load.one"], points=3)
    check_series(answer["series"], ["cpu.usage", "load.one"])
    answer = session.wanted("history", type="get", what="history", metric="memory.usage")
    check_series(answer["series"], ["memory.usage"])
    session.close()


def processes(library, interval_ms):
    session = Session(library)
    answer = session.wanted("processes", type="get", what="processes", sort="memory", limit=5)
    sizes = [row["rss"] for row in answer["rows"]]
    equal((answer["sort"], len(sizes)), ("memory", 5))
    equal(sizes, sorted(sizes, reverse=True))
    session.close()


def server(library, interval_ms):
    session = Session(library)
    answer = session.wanted("server", type="get", what="server")
    check(answer["connections"]["active"] >= 1, answer["connections"])
    check({"messages", "queues", "loop", "process"} <= set(answer), answer.keys())
    session.close()


STEPS = [
    ("greets with and without the subprotocol", greets),
    ("sends samples, seq rises by 1", samples),
    ("narrows, names and ends subscriptions", subscriptions),
    ("answers a message ping", pongs),
    ("answers the library's own ping", library_ping),
    ("tells each error and stays", errors),
    ("closes with 1003, 1009 and 1008", refusals),
    ("sends means with min and max", mean),
    ("sends batches", batch),
    ("gives history", history),
    ("gives processes", processes),
    ("gives the server's figures", server),
    ("closes with 1001 when it stops", drain),
]


def run(library, interval_ms):
    for sentence, show in STEPS:
        step(sentence, lambda: show(library, interval_ms))


def late(library, other, wait_s):
    """What takes time: `library` is at a server without samples, `other` at one with many."""
    quiet = Session(library)
    began = time.monotonic()

    def silence():
        # The server pings after 30 s and drops who has not answered after 45.
        try:
            while (left := wait_s - (time.monotonic() - began)) > 0:
                quiet.peer.receive(left)
        except TimeoutError:
            pass
        equal(quiet.asked(type="ping")["type"], "pong")
        quiet.close()

    def parts():
        session = Session(other)
        names = ["cpu.usage", "cpu.user", "cpu.system", "load.one", "load.five", "memory.usage",
                 "memory.used", "memory.available"]
        part = session.wanted("history", type="get", what="history", metric=names, since=0)
        check(part.get("parts", 1) > 1, "it is in one part")
        series, expected = {}, part["parts"]
        for count in range(1, expected + 1):
            equal((part["part"], part["parts"], part["id"]), (count, expected, session.last_id))
            for one in part["series"]:
                series.setdefault(one["metric"], {**one, "points": []})["points"] += one["points"]
            if count < expected:
                part = session.next(lambda one: one["type"] == "history")
        check_series(list(series.values()), names)
        session.close()

    step("stays through silence", silence)
    step("gives a long history in parts", parts)
