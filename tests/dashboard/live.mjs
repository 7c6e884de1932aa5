// Whether the page says how far it can be trusted, and comes back by itself.

import { check, equal } from "../clients/check.mjs";
import { until } from "./server.mjs";
import { Tab } from "./tab.mjs";
import { chart, drawn, frames, ink, part, samples, state } from "./world.mjs";

// What Chromium itself says when nobody answers.
const AWAY = /WebSocket connection to .* failed|ERR_CONNECTION_REFUSED/;
const HOUR_MS = 3600000;

// What stands beside the state: the clock of the newest sample, or how old it is.
const age = (page) => page.textContent("#age");

async function older(page, seconds) {
  await page.waitForFunction(
    (least) =>
      Number(
        /ago/.test(document.getElementById("age").textContent) &&
          /\d+/.exec(document.getElementById("age").textContent),
      ) >= least,
    seconds,
  );
}

// A page of a server with a past, whose chart of memory has a line without gaps.
async function lined(world, setting) {
  const server = await world.server();
  await server.sampled(20);
  const page = await world.livePage(server, { width: 2560, height: 1400, ...setting });
  await drawn(page, 10);
  equal((await ink(chart(page, "Memory"))).holes, []);
  return { server, page };
}

function shifted(message, by) {
  if (message === null || typeof message !== "object") return message;
  if (Array.isArray(message)) return message.map((one) => shifted(one, by));
  return Object.fromEntries(
    Object.entries(message).map(([key, value]) => {
      if (["t", "t0", "since", "until"].includes(key) && value > 1e12) return [key, value + by];
      if (key === "points" && Array.isArray(value))
        return [key, value.map(([t, ...rest]) => [t + by, ...rest])];
      return [key, shifted(value, by)];
    }),
  );
}

// The clock that the page shows is the server's, and the newest sample is at the right edge.
async function keepsTime(page, by) {
  await until(
    async () => {
      const [hours, minutes, seconds] = (await age(page)).split(":").map(Number);
      const shown = 3600 * hours + 60 * minutes + seconds;
      const off = (shown - (Date.now() + by) / 1000) % 86400;
      return Math.abs(off) < 3 || Math.abs(off + 86400) < 3;
    },
    `clock of the server, but ${await age(page)},`,
  );
  await state(page, "Live");
  const { last, count } = await ink(chart(page, "Memory"));
  check(last > 0.95 && count > 5, "the line ends at", last, "and has", count, "columns");
}

// The viewer's own clock is set; what only rises is not.
const setClock = (page, by) =>
  page.evaluate((change) => {
    const now = Date.now;
    Date.now = () => now() + change;
  }, by);

// Of the line in the tile of the load.
const sparkSteps = async (page) =>
  (await part(page, "tiles", "Load").locator(".line").getAttribute("d")).split("L").length;

// The message of an alert that no rule of the server's has.
const full = (state) =>
  JSON.stringify({
    type: "alert",
    rule: "full",
    metric: "memory.usage",
    state,
    value: 91.5,
    threshold: 90,
    since: Date.now(),
    severity: "critical",
  });

export const tests = {
  "the page says when its server is gone, comes back with it, and keeps its chart with a gap":
    async (world) => {
      const { server, page } = await lined(world);
      world.allow(page, AWAY);
      const before = (await ink(chart(page, "Memory"))).count;
      await server.kill();
      await state(page, "Reconnecting");
      check(/reconnecting/i.test(await page.title()), "the title is", await page.title());
      await older(page, 3);
      await server.start();
      await state(page, "Live");
      await drawn(page, 12);
      check(!/reconnecting/i.test(await page.title()), "the title is", await page.title());
      const { count, holes } = await ink(chart(page, "Memory"));
      check(count > before, before, "columns with a line before and", count, "after");
      equal(holes.length, 1);
    },

  "a press on Retry calls at once": async (world) => {
    const server = await world.server();
    const page = await world.livePage(server);
    world.allow(page, AWAY);
    await server.kill();
    await page.waitForFunction(
      () => Number(/\d+/.exec(document.getElementById("countdown").textContent)) >= 3,
    );
    await server.start();
    const pressed = Date.now();
    await page.getByRole("button", { name: "Retry" }).click();
    await state(page, "Live");
    check(Date.now() - pressed < 1800, "it took", Date.now() - pressed, "ms");
    check(await page.getByRole("button", { name: "Retry" }).isHidden(), "the button stays");
  },

  "figures of a server that hangs are called stale, until it goes on": async (world) => {
    const server = await world.server();
    const page = await world.livePage(server);
    server.signal("SIGSTOP");
    await state(page, "Stale");
    await older(page, 1);
    check(/stale/i.test(await page.title()), "the title is", await page.title());
    await frames(page);
    equal((await ink(chart(page, "Memory"))).count, 0);
    server.signal("SIGCONT");
    await state(page, "Live");
    await drawn(page);
    check((await ink(chart(page, "Memory"))).count > 0, "the chart is still grey");
  },

  "less than a second without a figure is no gap in a line, two seconds are one": async (world) => {
    const server = await world.server();
    let newest;
    const page = await world.livePage(server, {
      width: 2560,
      height: 1400,
      change: (message) => {
        if (message.type !== "hello") return null;
        newest = { ...message.snapshot, type: "metrics" };
        // Half a second of each is not known.
        const values = Array.from({ length: 100 }, (_, index) => (index % 10 < 5 ? 40 : null));
        const step = { t0: newest.t - 10000, step_ms: 100 };
        return { ...message, history: { "memory.usage": { ...step, values } } };
      },
    });
    const { t, memory } = newest;
    for (let at = 0; at < 200; at += 1) {
      if (at % 10 < 5 || (at > 100 && at < 120)) continue;
      const sample = { ...newest, t: t + 100 * at, memory: { ...memory, usage: 40 } };
      page.socket.send(JSON.stringify(sample));
    }
    await frames(page, 3);
    const { count, gaps } = await ink(chart(page, "Memory"));
    check(count > 300, count, "columns have a line");
    equal(gaps.length, 1);
  },

  "a viewer's clock that is set back makes nothing young, and no wait long": async (world) => {
    const server = await world.server();
    const page = await world.livePage(server);
    world.allow(page, AWAY);
    // What was asked of the server while it hung.
    world.allow(page, /ERR_CONNECTION_RESET/);
    server.signal("SIGSTOP");
    await state(page, "Stale");
    await setClock(page, -HOUR_MS);
    await older(page, 4);
    await state(page, "Stale");
    await server.kill();
    await state(page, "Reconnecting");
    await setClock(page, -HOUR_MS);
    const countdown = await page.textContent("#countdown");
    check(Number(/\d+/.exec(countdown)) <= 30, "it waits", countdown);
    await server.start();
    await state(page, "Live");
  },

  "after a sleep figures are old until the next sample comes": async (world) => {
    const server = await world.server();
    let isCut = false;
    const page = await world.livePage(server, {
      change: (message) => (isCut && message.type === "metrics" ? null : message),
    });
    // While the computer sleeps a clock that only rises may stand still.
    isCut = true;
    await setClock(page, HOUR_MS);
    await state(page, "Stale");
    check(/1\s*h/.test(await age(page)), "the age is", await age(page));
    isCut = false;
    await state(page, "Live");
    equal(page.heard.filter(({ type }) => type === "hello").length, 1);
  },

  "what was swallowed on its way is filled from history": async (world) => {
    let isCut = false;
    const { server, page } = await lined(world, {
      change: (message) => (isCut && message.type === "metrics" ? null : message),
    });
    isCut = true;
    await server.sampled((await server.snapshot()).seq + 50);
    // Of a busy machine it may have asked before, which is long ago then.
    await setClock(page, 60000);
    isCut = false;
    await drawn(page);
    await until(async () => (await ink(chart(page, "Memory"))).holes.length === 0, "line without gaps");
    equal(page.heard.filter(({ type }) => type === "hello").length, 1);
  },

  "figures that are stale are grey in light and dark, however dark was chosen": async (world) => {
    const server = await world.server();
    const looks = (page) =>
      page.evaluate(() => {
        const style = getComputedStyle(document.documentElement);
        return ["--s1", "--text", "--muted"].map((name) => style.getPropertyValue(name));
      });
    const pages = [];
    for (const [colorScheme, path] of [
      ["light", ""],
      ["dark", ""],
      ["light", "?theme=dark"],
      ["dark", "?theme=light"],
    ])
      pages.push(await world.livePage(server, { colorScheme, path }));
    server.signal("SIGSTOP");
    for (const page of pages) {
      await state(page, "Stale");
      const [line, text, muted] = await looks(page);
      equal([line, text], [muted, muted]);
    }
  },

  "a tab behind another draws nothing, and is whole when it is back in front": async (world) => {
    const server = await world.server();
    await server.sampled(20);
    const tab = await Tab.open(world.browser, server.url);
    try {
      await tab.state("Live");
      await until(async () => (await ink(tab.canvas("Memory"))).count > 5, "line in the chart");
      await tab.hide();
      const picture = () =>
        tab.evaluate(() => document.querySelector("#charts canvas").toDataURL());
      const before = await picture();
      const { seq } = await server.snapshot();
      await server.sampled(seq + 40);
      check((await picture()) === before, "a hidden chart was drawn");
      await tab.show();
      await tab.state("Live");
      await until(async () => (await picture()) !== before, "drawing");
      await until(
        async () => (await ink(tab.canvas("Memory"))).holes.length === 0,
        "line without gaps",
      );
      equal(tab.faults, []);
    } finally {
      await tab.close();
    }
  },

  "a tab that the browser froze is whole when it is back": async (world) => {
    const server = await world.server();
    await server.sampled(20);
    const tab = await Tab.open(world.browser, server.url);
    try {
      await tab.state("Live");
      await tab.hide();
      await tab.send("Page.setWebLifecycleState", { state: "frozen" });
      const { seq } = await server.snapshot();
      await server.sampled(seq + 30);
      await tab.send("Page.setWebLifecycleState", { state: "active" });
      await tab.show();
      // What it shows first may be from before.
      await server.sampled(seq + 40);
      await tab.state("Live");
      await until(async () => {
        const { count, holes } = await ink(tab.canvas("Memory"));
        return count > 5 && holes.length === 0;
      }, "line without gaps");
      // Chromium closes the WebSocket of a page that it freezes, and says so.
      equal(
        tab.faults.filter((text) => !/^WebSocket connection to/.test(text)),
        [],
      );
    } finally {
      await tab.close();
    }
  },

  "a server whose clock is an hour off is live, on its own time": async (world) => {
    for (const by of [HOUR_MS, -HOUR_MS]) {
      const server = await world.server();
      await server.sampled(20);
      const page = await world.livePage(server, {
        change: (message) => shifted(message, by),
        asked: (message) => shifted(message, -by),
      });
      await drawn(page, 10);
      await keepsTime(page, by);
    }
  },

  "a server whose clock is set an hour on and back stays live, and its lines whole": async (
    world,
  ) => {
    let by = 0;
    const { page } = await lined(world, {
      change: (message) => shifted(message, by),
      asked: (message) => shifted(message, -by),
    });
    for (by of [HOUR_MS, 0]) {
      const before = (await ink(chart(page, "Memory"))).count;
      const spark = (await sparkSteps(page)) - 1;
      await drawn(page, 15);
      await keepsTime(page, by);
      const { count, holes } = await ink(chart(page, "Memory"));
      check(count > before, before, "columns with a line before and", count, "after");
      equal(holes, []);
      check((await sparkSteps(page)) >= spark, "the tile has", await sparkSteps(page), "of", spark);
    }
  },

  "a longer range goes on when the server's clock is set back": async (world) => {
    let by = HOUR_MS;
    const { page } = await lined(world, {
      path: "?range=2h",
      change: (message) => shifted(message, by),
      asked: (message) => shifted(message, -by),
    });
    const answers = () => page.heard.filter(({ type }) => type === "history").length;
    const before = answers();
    by = 0;
    await drawn(page, 3);
    check(answers() > before, "nothing was asked for");
    await state(page, "Live");
    const { last } = await ink(chart(page, "Memory"));
    check(last > 0.95, "the line ends at", last);
  },

  "a page that never hears from its server shows dashes and says that it tries": async (world) => {
    const server = await world.server();
    const page = await world.page(server, { change: () => null });
    equal(await page.textContent("#state"), "Connecting");
    // It tries again soon, so this is watched for from before.
    const shown = state(page, "Reconnecting");
    await page.socket.close({ code: 1011 });
    await shown;
    equal(await age(page), "no sample yet");
    check(
      !/\d+(\.\d+)?\s*(%|B)/.test(await page.textContent("#tiles")),
      "a tile shows",
      await page.textContent("#tiles"),
    );
  },

  "a server of another version, come in place of the first, is told of": async (world) => {
    const server = await world.server();
    let greetings = 0;
    const page = await world.livePage(server, {
      change: (message) => {
        if (message.type === "hello" && (greetings += 1) > 1) message.server.version = "99.0.0";
        return message;
      },
    });
    check(await page.getByRole("alert").isHidden(), "told at once");
    await page.socket.close({ code: 1001 });
    await page
      .getByRole("alert")
      .filter({ hasText: /reload/i })
      .waitFor();
    await page.getByRole("button", { name: "Dismiss" }).click();
    check(await page.getByRole("alert").isHidden(), "it stays");
  },

  "what the page does not know does no harm": async (world) => {
    const { page } = await lined(world, { change: (message) => message });
    for (const text of [
      "",
      "no JSON",
      "null",
      "1",
      "[]",
      "{}",
      '{"type":"later","cpu":1}',
      '{"type":"gap","missed":3}',
      '{"type":"metrics"}',
      '{"type":"batch","samples":[null,{}]}',
      '{"type":"batch"}',
      '{"type":"alert"}',
      '{"type":"history","id":99}',
      '{"type":"pong","id":0,"t":0}',
    ])
      page.socket.send(text);
    await drawn(page, 5);
    await state(page, "Live");
    equal((await ink(chart(page, "Memory"))).holes, []);
    check(
      (await part(page, "tiles", "CPU").textContent()).includes("%"),
      "the tile of CPU has no figure",
    );
  },

  "an error that the server reports is shown": async (world) => {
    const server = await world.server();
    const page = await world.livePage(server, { change: (message) => message });
    page.socket.send(JSON.stringify({ type: "error", code: "limit", message: "too much of it" }));
    await page.getByRole("alert").filter({ hasText: "too much of it" }).waitFor();
    await drawn(page, 2);
    await state(page, "Live");
  },

  "where messages about alerts were dropped the page says so and reads them anew": async (
    world,
  ) => {
    const server = await world.server();
    const page = await world.livePage(server, { change: (message) => message });
    page.socket.send(full("firing"));
    const health = page.locator("#health");
    await health.filter({ hasText: /memory usage above 90/i }).waitFor();
    page.socket.send(JSON.stringify({ type: "gap", missed: 3 }));
    await page
      .getByRole("alert")
      .filter({ hasText: /3 messages about alerts/ })
      .waitFor();
    await health.filter({ hasText: /all well/i }).waitFor();
  },

  "what fires is known of a server too that does not say so in its greeting": async (world) => {
    const server = await world.server();
    const page = await world.page(server);
    await page.context().route("**/api/v1/alerts", async (route) => {
      const answer = await route.fetch();
      const rules = [
        {
          name: "full",
          metric: "memory.usage",
          above: 1,
          value: 50,
          severity: "critical",
          state: "firing",
          since: Date.now(),
        },
      ];
      await route.fulfill({ response: answer, json: { rules, transitions: [] } });
    });
    await page.reload();
    await page.locator("#health").filter({ hasText: /memory usage above 1/i }).waitFor();
  },

  "an alert comes and goes with what the server says": async (world) => {
    const server = await world.server();
    const page = await world.livePage(server, { change: (message) => message });
    page.socket.send(full("firing"));
    await page
      .getByText(/memory.*90/i)
      .first()
      .waitFor();
    page.socket.send(full("resolved"));
    await page.waitForFunction(
      () => !document.getElementById("alerts").textContent.includes("91.5"),
    );
    check(samples(page).length > 0, "no samples");
  },
};
