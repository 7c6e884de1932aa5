// Whether what the page asks of its server stays within what a server allows.

import { check, equal } from "../clients/check.mjs";
import { until } from "./server.mjs";
import { drawn, part } from "./world.mjs";

const SCARCE = new URL("scarce.toml", import.meta.url).pathname;
// Of a connection, in a second.
const MESSAGES_MAX = 20;

const greetings = (page) => page.heard.filter(({ type }) => type === "hello").length;

// The most that was sent within any second, by the times it was sent at.
const mostInASecond = (times) =>
  Math.max(...times.map((from) => times.filter((time) => from <= time && time < from + 1000).length));

export const tests = {
  "a server with little history is asked no faster than it allows, and for each metric once":
    async (world) => {
      const server = await world.server({ config: SCARCE });
      await server.sampled(20);
      const sent = [];
      const asked = new Map();
      const page = await world.livePage(server, {
        path: "?range=2h",
        change: (message) => message,
        asked: (message) => {
          sent.push(performance.now());
          if (message.what === "history") asked.set(message.id, message.metric);
          return message;
        },
      });
      const refused = () =>
        page.heard
          .filter(({ type, id }) => type === "error" && asked.get(id)?.length === 1)
          .flatMap(({ id }) => asked.get(id));
      // What the page asks for is asked for again and again: here by each press.
      for (const range of ["24 h", "2 h", "24 h"]) {
        const known = asked.size;
        await page.getByText(range, { exact: true }).click();
        await until(() => asked.size > known, "question");
        await drawn(page, 20);
      }
      equal(greetings(page), 1);
      check(mostInASecond(sent) < MESSAGES_MAX, mostInASecond(sent), "messages in a second");
      check(refused().length > 5, "only these have no history:", refused());
      equal(refused().length, new Set(refused()).size);
    },

  "tiles of a page that seldom gets a sample ask for the past no more often for it": async (world) => {
    const server = await world.server();
    const asked = [];
    let count = 0;
    const page = await world.livePage(server, {
      // Each is further from the one before than samples are from each other.
      change: (message) => (message.type === "metrics" && (count += 1) % 8 ? null : message),
      asked: (message) => {
        if (message.what === "history") asked.push(message.metric.join());
        return message;
      },
    });
    await drawn(page, 8);
    equal(asked.filter((metric) => metric === "load.one").length, 1);
  },

  "a tile draws what was before the page, and what was while nothing came": async (world) => {
    const server = await world.server();
    await server.sampled(70);
    let isCut = false;
    const page = await world.livePage(server, {
      change: (message) => (isCut && message.type === "metrics" ? null : message),
    });
    const line = part(page, "tiles", "Load").locator(".line");
    const isWhole = async (steps) => {
      const path = (await line.getAttribute("d")) ?? "";
      return path.lastIndexOf("M") === 0 && path.split("L").length >= steps;
    };
    await until(() => isWhole(3), "line in the tile");
    // As if it had asked long ago.
    await page.evaluate(() => {
      const now = performance.now.bind(performance);
      performance.now = () => now() + 60000;
    });
    isCut = true;
    await server.sampled((await server.snapshot()).seq + 70);
    isCut = false;
    await until(() => isWhole(5), "line in the tile without a gap");
  },
};
