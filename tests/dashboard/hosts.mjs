// Several hosts on one page: the browser asks each of them itself.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check, equal } from "../clients/check.mjs";
import { fits, violations } from "./layout.mjs";
import { until } from "./server.mjs";
import { Tab } from "./tab.mjs";
import { drawn, frames, state } from "./world.mjs";

const TOKEN = "correct-horse-battery-staple-7";

// A server and others that its configuration names: each of `settings` is of one that allows the
// first one's page, and may have a token. A text is an origin as it is.
async function several(world, settings, run) {
  const folder = await mkdtemp(join(tmpdir(), "vitald-hosts-"));
  try {
    const config = join(folder, "vitald.toml");
    const quiet = await readFile(new URL("quiet.toml", import.meta.url), "utf8");
    await writeFile(config, quiet);
    await writeFile(join(folder, "token"), TOKEN + "\n", { mode: 0o600 });
    // It starts twice, for the others are to know its port, and it theirs.
    const first = await world.server({ config });
    const others = [];
    for (const { isAllowed = true, hasToken = false, ...rest } of settings) {
      const more = [
        ...(isAllowed ? ["--allow-origin", origin(first)] : []),
        ...(hasToken ? ["--token-file", join(folder, "token")] : []),
      ];
      others.push(await world.server({ more, ...rest }));
    }
    await first.kill();
    await writeFile(config, `${quiet}[dashboard]\nhosts = ${JSON.stringify(others.map(origin))}\n`);
    await first.start();
    await first.sampled(3);
    await run(first, ...others);
  } finally {
    await rm(folder, { recursive: true });
  }
}

const origin = (server) => new URL(server.url).origin;

const row = (page, server) =>
  page.locator("#hosts li").filter({ has: page.locator(`a[href="${origin(server)}/"]`) });

const says = (page, server, text) => row(page, server).filter({ hasText: text }).waitFor();

// What Chromium itself says of a server that refuses or is away.
const REFUSED = /WebSocket connection to|40[13]|ERR_CONNECTION_REFUSED|CORS policy|ERR_FAILED/;

export const tests = {
  "several hosts have a row each, with their own figures and a link to their page": async (
    world,
  ) => {
    await several(world, [{}, {}], async (first, ...others) => {
      const page = await world.livePage(first, { others });
      equal(await page.locator("#hosts li").count(), 3);
      for (const other of others) {
        await says(page, other, "Live");
        await until(
          async () => /CPU\s*\d+(\.\d)?\s*%/.test(await row(page, other).textContent()),
          "figure of the other's processor",
        );
      }
      await page.locator("#hosts h2", { hasText: "3 well" }).waitFor();
      await row(page, others[0]).getByRole("link").click();
      await state(page, "Live");
      equal(new URL(page.url()).origin, origin(others[0]));
      equal(await page.locator("#hosts li").count(), 0);
    });
  },

  "a host that stops is told of in its row, comes back, and nothing else changes": async (world) => {
    await several(world, [{}], async (first, other) => {
      const page = await world.livePage(first, { others: [other] });
      world.allow(page, REFUSED);
      await says(page, other, "Live");
      await other.kill();
      await says(page, other, "Reconnecting");
      await says(page, other, "No answer from");
      // Ever less often: at once after each failure it would be hundreds.
      const sockets = [];
      page.on("websocket", (socket) => sockets.push(socket.url()));
      await drawn(page, 20);
      check(sockets.length < 8, sockets.length, "tries in two seconds");
      await page.locator("#hosts h2", { hasText: "1 well, 1 not known" }).waitFor();
      equal(await page.textContent("#state"), "Live");
      await other.start();
      await says(page, other, "Live");
      check(!/No answer/.test(await row(page, other).textContent()), "the row still complains");
    });
  },

  "a host with a token asks for it in its row, and the tab keeps it": async (world) => {
    await several(world, [{ hasToken: true }], async (first, other) => {
      const page = await world.livePage(first, { others: [other] });
      world.allow(page, REFUSED);
      await says(page, other, "Sign in");
      const field = row(page, other).getByLabel("Token");
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        await violations(page, `a row that asks, ${colorScheme}`);
      }
      await field.fill("not-the-token-of-it");
      await field.press("Enter");
      await says(page, other, "This token is not its token.");
      await field.fill(TOKEN);
      await field.press("Enter");
      await says(page, other, "Live");
      check(await field.isHidden(), "the field stays");
      check(!page.url().includes(TOKEN), "the token is in the address", page.url());
      await page.reload();
      await says(page, other, "Live");
      const { body } = await first.get("api/v1/server");
      check(!body.includes(TOKEN), "the first server has seen the token");
      await row(page, other).getByRole("button", { name: "Sign out" }).click();
      await says(page, other, "Sign in");
      equal(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage })), "{}");
    });
  },

  "a host that does not allow the page is told of, with what to do": async (world) => {
    await several(world, [{ isAllowed: false }], async (first, other) => {
      const page = await world.livePage(first, { others: [other], clock: true });
      world.allow(page, REFUSED);
      await says(page, other, `--allow-origin ${origin(first)}`);
      equal(await page.textContent("#state"), "Live");
      // Whoever is refused again and again would count as failures there.
      const sockets = [];
      page.on("websocket", (socket) => sockets.push(socket.url()));
      await page.clock.fastForward(50000);
      await page.clock.runFor(2000);
      equal(sockets, []);
    });
  },

  "an address that names the hosts shows this one where there is no other": async (world) => {
    const server = await world.server();
    const page = await world.livePage(server, { path: "?panel=hosts" });
    await page.locator("#hosts li").filter({ hasText: "Live" }).waitFor();
    equal(await page.locator("#hosts li").count(), 1);
  },

  "a page that came by https says of a host without it that it cannot open ws://": async (
    world,
  ) => {
    const server = await world.server();
    const page = await world.page(server);
    await page.context().unrouteAll();
    await page.routeWebSocket(/./, () => {});
    // As a proxy with TLS would have it.
    await page.context().route("https://vitald.example/**", async (route) => {
      const { pathname } = new URL(route.request().url());
      const body = '{"hosts":["http://pi.example:8485","http://127.0.0.1:9"]}';
      if (pathname === "/dashboard.json")
        return route.fulfill({ contentType: "application/json", body });
      const { status, headers, body: answer } = await server.get(pathname);
      return route.fulfill({ status, headers, body: answer });
    });
    world.allow(page, /policy/i);
    await page.goto("https://vitald.example/");
    const rows = page.locator("#hosts li");
    await rows.filter({ hasText: "cannot open ws://" }).waitFor();
    equal(await rows.filter({ hasText: "cannot open ws://" }).count(), 1);
    const link = rows.getByRole("link", { name: "pi.example:8485" });
    equal(await link.getAttribute("href"), "http://pi.example:8485/");
    equal(await rows.count(), 3);
  },

  "a page that stays hidden leaves the other hosts alone": async (world) => {
    await several(world, [{}], async (first, other) => {
      const active = async () =>
        JSON.parse((await other.get("api/v1/server")).body).connections.active;
      const tab = await Tab.open(world.browser, first.url);
      try {
        await until(async () => (await active()) === 2, "connection to the other host");
        await tab.hide();
        await until(async () => (await active()) === 1, "end of the connection", 30000);
        await tab.show();
        await until(async () => (await active()) === 2, "connection again");
        equal(tab.faults, []);
      } finally {
        await tab.close();
      }
    });
  },

  "hosts stand in order at each width, and a page without others shows none": async (world) => {
    await several(world, [{}, {}], async (first, ...others) => {
      const page = await world.livePage(first, { others });
      for (const other of others) await says(page, other, "Live");
      await drawn(page, 20);
      const shifts = await page.evaluate(() => window.watched.shifts);
      const sum = shifts.reduce((all, { value }) => all + value, 0);
      check(sum < 0.02, "layout shift:", sum, shifts.slice(0, 4));
      for (const width of [360, 860, 1280, 2560]) await fits(page, width);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        for (const width of [360, 1280]) {
          await page.setViewportSize({ width, height: 900 });
          await frames(page, 3);
          await violations(page, `${width} px, ${colorScheme}`);
          await page.screenshot({ path: `${process.env.PICTURES}/hosts-${width}-${colorScheme}.png` });
        }
      }
      const alone = await world.livePage(others[0]);
      await frames(alone, 3);
      check(await alone.locator("#hosts").isHidden(), "an empty list is shown");
    });
  },
};
