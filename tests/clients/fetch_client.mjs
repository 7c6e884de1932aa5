// Node's own fetch at the HTTP API and at /events of a vitald.

import { ask, check, equal, setting, step } from "./report.mjs";

const get = (path, options) => fetch(new URL(path, setting.url), options);

async function json(path) {
  const answer = await get(path);
  equal([answer.status, answer.headers.get("content-type")], [200, "application/json"]);
  return answer.json();
}

// The blocks of an event stream, each as its lines.
async function* blocks(path) {
  const leaving = new AbortController();
  const answer = await get(path, { signal: leaving.signal });
  equal([answer.status, answer.headers.get("content-type").split(";")[0]], [200, "text/event-stream"]);
  let text = "";
  try {
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      text += piece;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        yield text.slice(0, end).split("\n");
        text = text.slice(end + 2);
      }
    }
  } finally {
    leaving.abort();
  }
}

const dataOf = (lines) => JSON.parse(lines.find((line) => line.startsWith("data: ")).slice(6));

await step("/api and /healthz answer", async () => {
  equal(await (await get("healthz")).text(), "ok");
  equal((await json("api/v1/snapshot")).type, "metrics");
  const [series] = await json("api/v1/history?metric=cpu.usage&points=3");
  check(series.metric === "cpu.usage" && series.points.length >= 1, series);
  equal((await json("api/v1/processes?limit=3")).rows.length, 3);
  check((await json("api/v1/server")).connections.active >= 1, "nobody is there");
});

await step("the page comes compressed, with its ETag", async () => {
  const page = await get("");
  equal([page.status, page.headers.get("content-encoding")], [200, "gzip"]);
  check((await page.text()).includes("<title>vitald</title>"), "another page");
  const again = await get("", { headers: { "If-None-Match": page.headers.get("etag") } });
  equal(again.status, 304);
});

await step("what cannot be had is refused in words", async () => {
  const cases = [["nothing", {}, 404], ["api/v1/server", { method: "DELETE" }, 405],
    ["api/v1/server", { method: "POST", body: "a body" }, 413], ["api/v1/processes?limit=0", {}, 400]];
  for (const [path, options, expected] of cases) {
    const answer = await get(path, options);
    equal([path, answer.status], [path, expected]);
    check(await answer.text(), "a refusal without words");
  }
});

await step("/events sends hello and each sample at once", async () => {
  let count = 0;
  for await (const lines of blocks("events?topics=load.one&history=0")) {
    const message = dataOf(lines);
    if (message.type === "alert") continue;
    equal([message.type, lines[0]], count === 0 ? ["hello", "retry: 3000"] : ["metrics", "id: " + message.seq]);
    if (count > 0) check(Math.abs(Date.now() - message.t) < 2000, "a sample of", message.t);
    if ((count += 1) === 5) break;
  }
  equal(count, 5);
});

await step("/events ends when the server stops", async () => {
  let isAsked = false;
  for await (const _ of blocks("events")) {
    if (!isAsked) await ask("terminate");
    isAsked = true;
  }
  await ask("start");
});
process.exit(0);
