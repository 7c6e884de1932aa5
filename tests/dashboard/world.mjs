// What one test has for itself: servers and pages, which end with it. Each page is watched: when
// the test ends, it must have complained of nothing, have asked nothing of another host and have
// broken nothing of its policy.

import { check } from "../clients/check.mjs";
import { Server, until } from "./server.mjs";

const PATIENCE_MS = 15000;

export class World {
  constructor(browser) {
    this.browser = browser;
    this.servers = [];
    this.contexts = [];
    this.pages = [];
    this.notes = [];
  }

  // A figure that is printed behind the test's sentence.
  note(text) {
    this.notes.push(text);
  }

  async server(settings = {}) {
    const server = new Server(settings);
    this.servers.push(server);
    return server.start();
  }

  // A page of the server's. `change(message)` is what becomes of each message on its way there,
  // `asked(message)` of each on its way back; null is not passed on. `others` are servers that the
  // page may ask as well; with `clock` the test can set the page's clock forward.
  async page(
    server,
    { path = "", width = 1280, height = 900, change, asked, others = [], clock = false, ...setting } = {},
  ) {
    const context = await this.browser.newContext({
      viewport: { width, height },
      locale: "en-GB",
      timezoneId: "UTC",
      ...setting,
    });
    this.contexts.push(context);
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    this.pages.push(page);
    if (clock) await page.clock.install();
    await watch(page, [server, ...others]);
    if (change || asked) await pass(page, change ?? same, asked ?? same);
    await page.goto(new URL(path, server.url).href);
    return page;
  }

  async livePage(server, setting) {
    const page = await this.page(server, setting);
    await state(page, "Live");
    return page;
  }

  // What a page may complain of in this test: that its server is gone, for one.
  allow(page, pattern) {
    page.allowed.push(pattern);
  }

  async judge() {
    for (const page of this.pages)
      check((await faults(page)).length === 0, "the page:", await faults(page));
  }

  async close() {
    await Promise.allSettled(this.contexts.map((context) => context.close()));
    await Promise.allSettled(this.servers.map((server) => server.kill()));
  }
}

const same = (message) => message;

async function watch(page, servers) {
  page.faults = [];
  page.allowed = [];
  page.heard = [];
  const hosts = servers.map(({ url }) => new URL(url).host);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()))
      page.faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => page.faults.push(`page: ${error}`));
  page.on("websocket", (socket) => {
    const { host } = new URL(socket.url());
    if (!hosts.includes(host)) page.faults.push(`WebSocket to ${socket.url()}`);
    // Of one that is passed through here, the page is sent something else.
    if (!page.isPassed && host === hosts[0])
      socket.on("framereceived", ({ payload }) => page.heard.push(JSON.parse(payload)));
  });
  await page.context().route("**/*", (route) => {
    const url = route.request().url();
    if (hosts.includes(new URL(url).host)) return route.continue();
    page.faults.push(`request to ${url}`);
    return route.abort();
  });
  await page.addInitScript(() => {
    const watched = (window.watched = { violations: [], shifts: [] });
    document.addEventListener("securitypolicyviolation", (event) =>
      watched.violations.push(`policy: ${event.violatedDirective} by ${event.blockedURI}`),
    );
    new PerformanceObserver((list) => {
      for (const { value, hadRecentInput, startTime, sources } of list.getEntries()) {
        const moved = sources.map(({ node, previousRect, currentRect }) => {
          const [from, to] = [previousRect, currentRect].map(({ x, y, height }) => [x, y, height]);
          return `${node?.id || node?.className || node?.nodeName} ${from} to ${to}`;
        });
        if (!hadRecentInput) watched.shifts.push({ value, startTime, moved });
      }
    }).observe({ type: "layout-shift", buffered: true });
  });
}

async function faults(page) {
  const violations = page.isClosed()
    ? []
    : await page.evaluate(() => window.watched?.violations ?? []);
  return [...page.faults, ...violations].filter(
    (text) => !page.allowed.some((pattern) => pattern.test(text)),
  );
}

async function pass(page, change, asked) {
  page.isPassed = true;
  // A fault of the test itself is not to end the run.
  const changed = (by, text) => {
    try {
      return by(JSON.parse(text));
    } catch (error) {
      page.faults.push(`a message was not changed: ${error.stack}`);
      return null;
    }
  };
  await page.routeWebSocket(/\/ws(\?|$)/, (socket) => {
    const server = socket.connectToServer();
    page.socket = socket;
    server.onMessage((text) => {
      const message = changed(change, text);
      if (message === null) return;
      page.heard.push(message);
      socket.send(JSON.stringify(message));
    });
    socket.onMessage((text) => {
      const message = changed(asked, text);
      if (message !== null) server.send(JSON.stringify(message));
    });
  });
}

// Samples of every topic: what is sent of others comes beside them.
export const samples = (page) =>
  page.heard.filter(
    ({ type, sub }) => type === "metrics" && (sub === undefined || sub === "default"),
  );

// Until the page was sent so many more samples, and has drawn them.
export async function drawn(page, count = 1) {
  const enough = samples(page).length + count;
  await until(
    () => samples(page).length >= enough,
    `${count} samples to the page`,
    PATIENCE_MS + count * 1100,
  );
  await frames(page);
}

export async function frames(page, count = 2) {
  await page.evaluate(async (left) => {
    for (; left > 0; left -= 1) await new Promise((resolve) => requestAnimationFrame(resolve));
  }, count);
}

export async function state(page, text) {
  try {
    await page.waitForFunction(
      (wanted) => document.getElementById("state").textContent === wanted,
      text,
    );
  } catch {
    throw new Error(
      `the state is ${JSON.stringify(await page.textContent("#state"))}, not ${text}`,
    );
  }
}

// The part of the page whose heading begins so: a tile, a chart or a table.
export function part(page, place, heading) {
  return page
    .locator(`#${place} > *`)
    .filter({ has: page.locator("h2", { hasText: new RegExp("^\\s*" + heading) }) })
    .first();
}

export const chart = (page, heading) => part(page, "charts", heading).locator("canvas");

// For each column of a canvas, whether a line of a chart goes through it: grid and labels are grey,
// what is below a line is faint. `count` is of the columns with a line, `holes` are the widths of
// the gaps between them that are wider than late samples of a busy machine leave them (`gaps` of all),
// `first` and `last` where they begin and end, from 0 to 1.
export async function ink(canvas) {
  return canvas.evaluate((source) => {
    const copy = document.createElement("canvas");
    const { width, height } = source;
    Object.assign(copy, { width, height });
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(source, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    const columns = [];
    for (let at = 0; at < data.length; at += 4) {
      const [red, green, blue, alpha] = data.subarray(at, at + 4);
      const isColoured = Math.max(red, green, blue) - Math.min(red, green, blue) > 60;
      if (isColoured && alpha > 150) columns[(at / 4) % width] = true;
    }
    const lined = Object.keys(columns).map(Number);
    const gaps = lined
      .slice(1)
      .map((x, index) => x - lined[index] - 1)
      .filter((gap) => gap > 0);
    const holes = gaps.filter((gap) => gap > width / 40);
    return { count: lined.length, holes, gaps, first: lined[0] / width, last: lined.at(-1) / width };
  });
}

// Whether there is a line in a colour of the style sheet as it now is.
export const hasColour = (canvas, name) =>
  canvas.evaluate((source, property) => {
    const copy = document.createElement("canvas");
    const { width, height } = source;
    Object.assign(copy, { width, height });
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(property);
    context.fillRect(0, 0, 1, 1);
    const wanted = context.getImageData(0, 0, 1, 1).data;
    context.clearRect(0, 0, 1, 1);
    context.drawImage(source, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    for (let at = 0; at < data.length; at += 4) {
      const isNear = [0, 1, 2].every((part) => Math.abs(data[at + part] - wanted[part]) < 12);
      if (isNear && data[at + 3] > 150) return true;
    }
    return false;
  }, name);
