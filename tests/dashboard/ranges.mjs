// What of the past is shown, what the address asks for, and what a page that nobody sees asks for.

import { check, equal } from "../clients/check.mjs";
import { until } from "./server.mjs";
import { Tab } from "./tab.mjs";
import { chart, drawn, frames, ink, state } from "./world.mjs";

const SCARCE = new URL("scarce.toml", import.meta.url).pathname;

const headings = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("main section[id] h2")]
      .filter((node) => node.getClientRects().length)
      .map((node) => node.firstChild.textContent),
  );

// Messages of an answer about the past that the page was sent.
const answers = (page) => page.heard.filter(({ type }) => type === "history");

const hasLine = (page, heading) =>
  until(async () => (await ink(chart(page, heading))).count > 0, `line in ${heading}`);

// Second of the day of the first point in the chart of memory.
async function first(page) {
  const canvas = chart(page, "Memory");
  await canvas.press("Home");
  await frames(page);
  const text = await canvas.getAttribute("aria-valuetext");
  const [hours, minutes, seconds] = text.match(/\d+/g).map(Number);
  return 3600 * hours + 60 * minutes + seconds;
}

export const tests = {
  "two hours and a day come from history, and the address keeps which": async (world) => {
    const server = await world.server();
    await server.sampled(150);
    const page = await world.livePage(server, { path: "?range=2h" });
    check(await page.getByLabel("2 h", { exact: true }).isChecked(), "2 h is not chosen");
    await until(() => answers(page).length > 0, "history");
    await hasLine(page, "Memory");
    await hasLine(page, "Disk I/O");
    const before = answers(page).length;
    await page.getByText("24 h", { exact: true }).click();
    await until(() => answers(page).length > before, "history of a day");
    await hasLine(page, "Memory");
    equal(new URL(page.url()).search, "?range=24h");
    await page.getByText("10 min", { exact: true }).click();
    await frames(page);
    await hasLine(page, "Memory");
    equal(new URL(page.url()).search, "");
  },

  "the total of one device over a longer range is drawn as the device is, with its extremes":
    async (world) => {
      const server = await world.server({ interval: "1s" });
      await server.sampled(15);
      // Other points than zeros, which every host has.
      let seed = 1;
      const change = (message) => {
        if (message.snapshot) one(message.snapshot);
        one(message);
        for (const { points } of message.series ?? []) {
          points.forEach((point) => {
            seed = (seed * 48271) % 2147483647;
            point.splice(1, 3, 1000, 30000 + (seed % 10000), 90000);
          });
        }
        return message;
      };
      const one = (message) => {
        if (!message.disks) return;
        const rates = { read_bytes_per_s: 50000, write_bytes_per_s: 20000 };
        message.disks = [{ ...message.disks[0], name: "vda", ...rates }];
      };
      const page = await world.livePage(server, { path: "?range=2h&panel=disk", change });
      await until(() => answers(page).length > 0, "history");
      await drawn(page, 3);
      // Between two samples, so that the time axis is the same.
      const [total, device] = await until(async () => {
        const before = page.heard.length;
        const pictures = await page.evaluate(async () => {
          const [canvas, picker] = ["canvas", "select"].map((name) => document.querySelector(name));
          const found = [];
          for (const value of ["*", "vda"]) {
            picker.value = value;
            picker.dispatchEvent(new Event("change"));
            for (let left = 3; left > 0; left -= 1) await new Promise(requestAnimationFrame);
            found.push(canvas.toDataURL());
          }
          return found;
        });
        return page.heard.length === before ? pictures : null;
      }, "moment without a sample");
      check(total === device, "the total is drawn otherwise than its one device");
      check(answers(page).at(-1).series.length > 0, "no history");
    },

  "a longer range goes on with the newest samples": async (world) => {
    const server = await world.server();
    await server.sampled(20);
    const page = await world.livePage(server, { path: "?range=24h" });
    await until(() => answers(page).length > 0, "history");
    const legend = () =>
      page.locator("#charts > * dd").evaluateAll((nodes) => nodes.map((node) => node.textContent));
    const first = (await legend()).join();
    await until(async () => (await legend()).join() !== first, "newer figures in the legends");
  },

  "an address names the parts of the page and how they look": async (world) => {
    const server = await world.server();
    await server.sampled(3);
    const path = "?panel=memory,cores,nonsense&theme=dark";
    const page = await world.livePage(server, { path, colorScheme: "light" });
    equal(await headings(page), ["Memory", "Cores"]);
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const [red] = ground.match(/\d+/g).map(Number);
    check(red < 60, "the page's ground is", ground);
    check(await page.locator("#host").isHidden(), "the host's name stays");
    const other = await world.livePage(server, { path: "?panel=nonsense&theme=pink" });
    check((await headings(other)).length > 8, "parts:", await headings(other));
  },

  "a page that stays hidden asks for no samples, and history fills the hole": async (world) => {
    const server = await world.server();
    await server.sampled(20);
    const active = async () =>
      JSON.parse((await server.get("api/v1/server")).body).subscriptions.active;
    const tab = await Tab.open(world.browser, server.url);
    try {
      await tab.state("Live");
      await until(async () => (await active()) === 2, "two subscriptions");
      await tab.hide();
      await until(async () => (await active()) === 0, "end of the subscriptions", 30000);
      const { seq } = await server.snapshot();
      await server.sampled(seq + 50);
      await tab.show();
      await tab.state("Live");
      await until(async () => (await active()) === 2, "two subscriptions again");
      await until(async () => {
        const { count, holes } = await ink(tab.canvas("Memory"));
        return count > 5 && holes.length === 0;
      }, "line without gaps");
      equal(tab.faults, []);
    } finally {
      await tab.close();
    }
  },

  "what the page has seen stays, also where the server keeps no history of it": async (world) => {
    const server = await world.server({ config: SCARCE });
    const page = await world.livePage(server, { width: 2560, change: (message) => message });
    await drawn(page, 25);
    const counts = async () => {
      const canvases = await page.locator("#charts canvas").all();
      return Promise.all(canvases.map(async (canvas) => (await ink(canvas)).count));
    };
    const before = await counts();
    await page.socket.close({ code: 1011 });
    await state(page, "Reconnecting");
    await state(page, "Live");
    await drawn(page, 3);
    const after = await counts();
    check(after.every((count, index) => count >= before[index]), before, "columns, then", after);
  },

  "a longer range keeps what it showed of a server that began anew without history": async (
    world,
  ) => {
    const server = await world.server();
    await server.sampled(60);
    const page = await world.livePage(server, { path: "?range=2h" });
    world.allow(page, /WebSocket connection to .* failed|ERR_CONNECTION_REFUSED/);
    await until(() => answers(page).length > 0, "history");
    await drawn(page, 20);
    const before = await first(page);
    await server.kill();
    await state(page, "Reconnecting");
    const known = answers(page).length;
    await server.start();
    await state(page, "Live");
    await until(() => answers(page).length > known + 1, "history of the new process");
    await drawn(page, 10);
    const after = await first(page);
    check(Math.abs(after - before) < 3, "begins", after - before, "s later");
  },

  "a history that seems to end after the newest sample moves nothing": async (world) => {
    const server = await world.server();
    await server.sampled(20);
    let byMs = 0;
    const page = await world.livePage(server, {
      change: (message) => {
        if (message.type === "hello") for (const one of Object.values(message.history)) one.t0 += byMs;
        return message;
      },
    });
    await drawn(page, 5);
    const before = await first(page);
    // So it is where each step took a little longer than a step.
    byMs = 5000;
    await page.socket.close({ code: 1011 });
    await state(page, "Reconnecting");
    await state(page, "Live");
    await drawn(page, 5);
    const after = await first(page);
    check(Math.abs(after - before) < 3, "begins", after - before, "s later");
  },
};
