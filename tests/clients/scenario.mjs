// What a user of vitald's WebSocket notices from JavaScript: scenario.py has the same for Python.
//
// One function that needs nothing around it, because a page gets its text: `open(path, subprotocol)`
// gives a WebSocket as browsers have it, `tell(fields)` is what report.mjs does, and `ask(verb)` has
// the server stopped or started.

export async function scenario(open, tell, ask, setting) {
  const PATIENCE_MS = 15000;
  const interval = setting.interval_ms;

  function check(isRight, ...told) {
    if (!isRight) throw new Error(told.map((one) => JSON.stringify(one)).join(" ").slice(0, 700));
  }

  function equal(found, expected) {
    check(JSON.stringify(found) === JSON.stringify(expected), found, "is not", expected);
  }

  async function step(sentence, show) {
    try {
      await show();
      await tell({ ok: sentence });
    } catch (error) {
      const why = String(error?.stack ?? error).slice(0, 1000);
      await tell({ failed: sentence, why });
    }
  }

  // What is asked for, or a failure when it takes too long.
  function within(promise, ms, what) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(what + " takes too long")), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
  }

  // A connection, with what it is told as objects, in order.
  class Session {
    constructor(path = "ws", subprotocol = undefined) {
      this.waiting = [];
      this.wake = () => {};
      this.id = 100;
      this.socket = open(path, subprotocol);
      this.socket.onmessage = (event) => { this.waiting.push(JSON.parse(event.data)); this.wake(); };
      this.socket.onerror = () => {};
      this.closed = new Promise((resolve) => {
        this.socket.onclose = (event) => { resolve(event); this.isClosed = event.code; this.wake(); };
      });
    }

    async greeted() {
      this.hello = await this.next();
      return this;
    }

    // On a busy machine an alert may come at any time.
    async next(isWanted = (message) => message.type !== "alert") {
      const deadline = Date.now() + PATIENCE_MS;
      for (;;) {
        while (this.waiting.length) {
          const message = this.waiting.shift();
          if (isWanted(message)) return message;
        }
        check(this.isClosed === undefined, "closed with", this.isClosed);
        await within(new Promise((resolve) => { this.wake = resolve; }), deadline - Date.now(), "a message");
      }
    }

    send(message) {
      this.socket.send(JSON.stringify(message));
    }

    // The answer to a message, which is known by the id.
    asked(message) {
      const id = this.id += 1;
      this.send({ ...message, id });
      return this.next((answer) => answer.id === id);
    }

    async wanted(kind, message) {
      const answer = await this.asked(message);
      check(answer.type === kind, answer, "is not", kind);
      return answer;
    }

    metrics(sub) {
      return this.next((one) => one.type === "metrics" && one.sub === sub);
    }

    async ended() {
      return (await within(this.closed, PATIENCE_MS, "the close")).code;
    }

    async close() {
      this.socket.close(1000);
      const { code, wasClean } = await within(this.closed, PATIENCE_MS, "the close");
      equal([code, wasClean], [1000, true]);
    }
  }

  const session = (path, subprotocol) => new Session(path, subprotocol).greeted();

  // Sequence numbers rise by so many. A machine that is busy may miss a tick: three in a row.
  async function checkSteps(give, by) {
    const deadline = Date.now() + PATIENCE_MS;
    let last = (await give()).seq;
    let inARow = 0;
    while (inARow < 3) {
      check(Date.now() < deadline, "seq does not rise by", by);
      const { seq } = await give();
      check(seq > last && (seq - last) % by === 0, "seq goes from", last, "to", seq);
      inARow = seq === last + by ? inARow + 1 : 0;
      last = seq;
    }
  }

  const OTHER = ["type", "seq", "t", "sub", "min", "max"];
  const topicsOf = (message) => Object.keys(message).filter((key) => !OTHER.includes(key)).sort();

  function checkSeries(series, metrics) {
    equal(series.map((one) => one.metric), metrics);
    for (const one of series) {
      check(one.unit && one.step_ms > 0 && one.points.length, one);
      one.points.reduce((last, point) => {
        check(point[0] > last, "times do not rise", point);
        const [, least, mean, most] = point;
        check(point.includes(null) || (least <= mean && mean <= most), point);
        return point[0];
      }, 0);
    }
  }

  async function greets() {
    for (const subprotocol of ["vitald.v1", undefined]) {
      const one = await session("ws", subprotocol);
      equal(one.socket.protocol, subprotocol ?? "");
      equal([one.hello.type, one.hello.protocol], ["hello", 1]);
      equal(one.hello.interval_ms, interval);
      equal(one.hello.snapshot.type, "metrics");
      check("history" in one.hello, "hello has no history");
      await one.close();
    }
    const one = await session("ws?history=0");
    check(!("history" in one.hello), "history was declined");
    await tell({ note: "compressed", value: one.socket.extensions.includes("permessage-deflate") });
    await one.close();
  }

  async function samples() {
    const one = await session();
    const first = await one.next();
    equal(first.type, "metrics");
    check(["cpu", "memory", "load", "disks", "networks"].every((topic) => topic in first), first);
    check(Math.abs(first.t - Date.now()) < 5000, "t is not the time", first.t);
    await checkSteps(() => one.metrics(), 1);
    await one.close();
  }

  async function subscriptions() {
    const one = await session();
    const { id, ...granted } = await one.asked({
      type: "subscribe", topics: ["cpu", "memory.usage"], interval_ms: interval + 1,
    });
    equal(granted, {
      type: "subscribed", sub: "default", topics: ["cpu", "memory.usage"], interval_ms: 2 * interval, mode: "last",
    });
    const narrow = await one.next();
    equal(topicsOf(narrow), ["cpu", "memory"]);
    equal(Object.keys(narrow.memory), ["usage"]);
    await checkSteps(() => one.metrics(), 2);
    const named = await one.asked({ type: "subscribe", sub: "fast", topics: ["load.one"] });
    equal([named.type, named.sub], ["subscribed", "fast"]);
    equal(topicsOf(await one.metrics("fast")), ["load"]);
    equal(topicsOf(await one.metrics()), ["cpu", "memory"]);
    equal((await one.asked({ type: "unsubscribe", sub: "fast" })).type, "unsubscribed");
    for (let count = 0; count < 3; count += 1) {
      check(!("sub" in await one.next()), "an ended subscription goes on");
    }
    await one.close();
  }

  async function pongs() {
    const one = await session();
    const pong = await one.asked({ type: "ping" });
    equal(pong.type, "pong");
    check(Math.abs(pong.t - Date.now()) < 5000, "t is not the time", pong.t);
    one.send({ type: "ping", id: "a text" });
    equal((await one.next((message) => message.type === "pong")).id, "a text");
    await one.close();
  }

  async function errors() {
    const one = await session();
    one.socket.send("{");
    const codes = [(await one.next((message) => message.type === "error")).code];
    const wrong = [{ type: "subscribe", topics: "cpu" }, { type: "dance" }, { type: "subscribe", topics: ["cup"] }];
    for (const message of wrong) {
      const error = await one.asked(message);
      equal(error.type, "error");
      check(error.message, "an error without words");
      codes.push(error.code);
    }
    for (const sub of "abc") {
      equal((await one.asked({ type: "subscribe", sub, topics: ["load"] })).type, "subscribed");
    }
    codes.push((await one.asked({ type: "subscribe", sub: "d", topics: ["load"] })).code);
    equal(codes, ["bad_json", "bad_request", "unknown_type", "unknown_topic", "limit"]);
    equal((await one.asked({ type: "ping" })).type, "pong");
    await one.close();
  }

  async function refusals() {
    let one = await session();
    one.socket.send(new TextEncoder().encode('{"type":"ping"}'));
    equal(await one.ended(), 1003);
    one = await session();
    // Of one letter: compressed it is short.
    one.send({ type: "ping", id: "x".repeat(5000) });
    equal(await one.ended(), 1009);
    one = await session();
    // Two seconds' worth and more, so that no second's beginning can excuse them.
    for (let count = 0; count < 45; count += 1) one.send({ type: "ping" });
    equal(await one.ended(), 1008);
  }

  async function mean() {
    const one = await session();
    const granted = await one.wanted("subscribed", {
      type: "subscribe", sub: "m", mode: "mean", topics: ["cpu.usage", "memory"], interval_ms: 3 * interval,
    });
    equal([granted.mode, granted.interval_ms], ["mean", 5 * interval]);
    const message = await one.metrics("m");
    equal(topicsOf(message), ["cpu", "memory"]);
    for (const [topic, field] of [["cpu", "usage"], ["memory", "used"], ["memory", "usage"]]) {
      const [least, middle, most] = [message.min, message, message.max].map((part) => part[topic][field]);
      const slack = 0.01 + 0.01 * most;
      check(middle === null || (least - slack <= middle && middle <= most + slack), topic, field, least, middle, most);
    }
    await checkSteps(() => one.metrics("m"), 5);
    await one.close();
  }

  async function batch() {
    const one = await session();
    const granted = await one.wanted("subscribed", {
      type: "subscribe", sub: "b", mode: "batch", batch: 3, topics: ["load.one"],
    });
    equal([granted.mode, granted.batch], ["batch", 3]);
    const waiting = [];
    const sample = async () => {
      if (!waiting.length) {
        const message = await one.next((any) => any.type === "batch");
        equal([message.sub, message.samples.length], ["b", 3]);
        waiting.push(...message.samples);
      }
      return waiting.shift();
    };
    const first = await sample();
    equal([first.type, ...topicsOf(first)], ["metrics", "load"]);
    await checkSteps(sample, 1);
    await one.close();
  }

  async function history() {
    const one = await session();
    const names = ["cpu.usage", "load.one"];
    let answer = await one.wanted("history", { type: "get", what: "history", metric: names, points: 3 });
    checkSeries(answer.series, names);
    answer = await one.wanted("history", { type: "get", what: "history", metric: "memory.usage" });
    checkSeries(answer.series, ["memory.usage"]);
    await one.close();
  }

  async function processes() {
    const one = await session();
    const answer = await one.wanted("processes", { type: "get", what: "processes", sort: "memory", limit: 5 });
    const sizes = answer.rows.map((row) => row.rss);
    equal([answer.sort, sizes.length], ["memory", 5]);
    equal(sizes, [...sizes].sort((a, b) => b - a));
    await one.close();
  }

  async function server() {
    const one = await session();
    const answer = await one.wanted("server", { type: "get", what: "server" });
    check(answer.connections.active >= 1, answer.connections);
    check(["messages", "queues", "loop", "process"].every((key) => key in answer), Object.keys(answer));
    await one.close();
  }

  async function drain() {
    const one = await session();
    await ask("terminate");
    equal(await one.ended(), 1001);
    await ask("start");
    await (await session()).close();
  }

  async function silence() {
    const one = await session();
    // The server pings after 30 s and drops who has not answered after 45.
    await new Promise((resolve) => setTimeout(resolve, 1000 * setting.silence_s));
    equal((await one.asked({ type: "ping" })).type, "pong");
    await one.close();
  }

  async function parts() {
    const one = await session(setting.late_url + "ws");
    const names = ["cpu.usage", "cpu.user", "cpu.system", "load.one", "load.five", "memory.usage",
      "memory.used", "memory.available"];
    let part = await one.wanted("history", { type: "get", what: "history", metric: names, since: 0 });
    check(part.parts > 1, "it is in one part");
    const { parts: expected, id } = part;
    const series = new Map();
    for (let count = 1; count <= expected; count += 1) {
      equal([part.part, part.parts, part.id], [count, expected, id]);
      for (const piece of part.series) {
        const whole = series.get(piece.metric);
        if (whole) whole.points.push(...piece.points);
        else series.set(piece.metric, piece);
      }
      if (count < expected) part = await one.next((message) => message.type === "history");
    }
    checkSeries([...series.values()], names);
    await one.close();
  }

  if (setting.late_url) {
    await step("stays through silence", silence);
    // A page may not speak to another server.
    if (!setting.is_page) await step("gives a long history in parts", parts);
    return;
  }
  await step("greets with and without the subprotocol", greets);
  await step("sends samples, seq rises by 1", samples);
  await step("narrows, names and ends subscriptions", subscriptions);
  await step("answers a message ping", pongs);
  await step("tells each error and stays", errors);
  await step("closes with 1003, 1009 and 1008", refusals);
  await step("sends means with min and max", mean);
  await step("sends batches", batch);
  await step("gives history", history);
  await step("gives processes", processes);
  await step("gives the server's figures", server);
  await step("closes with 1001 when it stops", drain);
}
