// Whether what the page asks of its server stays within what a server allows.

import { check, equal } from "../clients/check.mjs";
import { until } from "./server.mjs";
import { drawn } from "./world.mjs";

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
};
