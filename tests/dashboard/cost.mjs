// What the page costs: bytes, time of the processor and memory.

import { check, equal } from "../clients/check.mjs";
import { crowdedAndBusy } from "./crowd.mjs";
import { drawn, frames, samples } from "./world.mjs";

const BYTES_MAX = 30720;
const SECONDS = 20;
const SCRIPT_PERCENT_MAX = 1;
// Many more samples than the page keeps.
const FILL = 3500;
// The browser still compiles and takes notes in the first of them.
const ROUNDS = 9;
const WARM = 5;
// Of three rounds: one figure that is kept of each sample would be more.
const GROWTH_BYTES_MAX = 50000;

// All but the processes: one more of those on this machine is a row more, and a table of another size.
const STEADY =
  "?panel=tiles,cpu,memory,disk,network,alerts,cores,filesystems,disks,networks,temperatures";

async function metrics(session) {
  const { metrics: found } = await session.send("Performance.getMetrics");
  return Object.fromEntries(found.map(({ name, value }) => [name, value]));
}

// Samples as the newest one, each an interval after the one before, some to a frame.
async function flood(page, count) {
  page.newest ??= samples(page).at(-1);
  for (let sent = 0; sent < count; sent += 1) {
    const { t, seq, cpu } = page.newest;
    page.newest = { ...page.newest, t: t + 100, seq: seq + 1, cpu: { ...cpu, usage: seq % 100 } };
    page.socket.send(JSON.stringify(page.newest));
    if (sent % 50 === 0) await frames(page, 1);
  }
}

export async function heap(page, session) {
  await frames(page);
  for (let times = 0; times < 3; times += 1) await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  const { Nodes } = await metrics(session);
  return { bytes: usedSize, nodes: Nodes };
}

// What the page takes of a core while it is sent a sample a second.
async function scriptsAreCheap(world, setting) {
  const server = await world.server({ interval: "1s" });
  const page = await world.livePage(server, { height: 2400, ...setting });
  await drawn(page, 2);
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const before = await metrics(session);
  const began = Date.now();
  await drawn(page, SECONDS);
  const seconds = (Date.now() - began) / 1000;
  const after = await metrics(session);
  const share = (name) => (100 * (after[name] - before[name])) / seconds;
  const told = ["Script", "Layout", "RecalcStyle", "Task"].map(
    (name) => `${name} ${share(name + "Duration").toFixed(2)} %`,
  );
  world.note(`${told.join(", ")} of a core over ${seconds.toFixed(0)} s`);
  check(
    share("ScriptDuration") < SCRIPT_PERCENT_MAX,
    "scripts take",
    share("ScriptDuration"),
    "%",
  );
  check(share("ScriptDuration") > 0, "nothing was measured");
}

export const tests = {
  "at one sample a second scripts take less than 1 % of a core, all charts in view": async (
    world,
  ) => {
    await scriptsAreCheap(world);
  },

  // What passes the messages through is a script of the page too, and is counted.
  "no more than 1 % with 256 cores, 60 filesystems, 40 disks and 40 interfaces at work": async (
    world,
  ) => {
    await scriptsAreCheap(world, { change: crowdedAndBusy });
  },

  "a drawing asks neither for the layout of the page nor for its style": async (world) => {
    const server = await world.server();
    const page = await world.livePage(server, { path: STEADY, height: 2400 });
    await drawn(page, 5);
    await page.evaluate(() => {
      const asked = (window.asked = []);
      const tell = (owner, name) => {
        const found = Object.getOwnPropertyDescriptor(owner, name);
        const part = found.get ? "get" : "value";
        const original = found[part];
        found[part] = function (...given) {
          asked.push(name);
          return original.apply(this, given);
        };
        Object.defineProperty(owner, name, found);
      };
      tell(window, "getComputedStyle");
      tell(Element.prototype, "getBoundingClientRect");
      for (const size of ["Width", "Height"]) {
        tell(Element.prototype, "client" + size);
        tell(Element.prototype, "scroll" + size);
        tell(HTMLElement.prototype, "offset" + size);
      }
    });
    await drawn(page, 10);
    equal(await page.evaluate(() => window.asked), []);
  },

  "memory stays as it is once the charts are full": async (world) => {
    const server = await world.server();
    let isReal = true;
    const page = await world.livePage(server, {
      path: STEADY,
      change: (message) => (isReal || message.type !== "metrics" ? message : null),
    });
    await drawn(page, 5);
    isReal = false;
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable");
    const kept = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await flood(page, FILL);
      kept.push(await heap(page, session));
    }
    const kib = kept.map(({ bytes }) => (bytes / 1024).toFixed(0));
    const nodes = kept.map((one) => one.nodes);
    world.note(`${kib.join(", ")} KiB after each ${FILL} samples; ${nodes.join(", ")} nodes`);
    const grown = (of) => kept.at(-1)[of] - kept[WARM][of];
    check(grown("bytes") < GROWTH_BYTES_MAX, "the heap grows:", kib, "KiB");
    check(grown("nodes") < 10, "nodes:", nodes);
  },

  "the page is one file of at most 30,720 bytes, compressed": async (world) => {
    const server = await world.server();
    const { headers, body } = await server.get("/", { "accept-encoding": "gzip" });
    equal([headers["content-encoding"], headers["content-length"]], ["gzip", String(body.length)]);
    const plain = (await server.get("/")).body;
    world.note(`${body.length} bytes as served, ${plain.length} without compression`);
    check(body.length <= BYTES_MAX, "it has", body.length, "bytes");
    const again = await server.get("/", {
      "accept-encoding": "gzip",
      "if-none-match": headers.etag,
    });
    equal([again.status, again.body.length], [304, 0]);
  },
};
