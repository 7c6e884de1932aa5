// Chromium at a vitald: the dashboard, and what a page of the same origin can do with WebSocket and
// EventSource.

import { launch } from "./browser.mjs";
import { ask, check, equal, setting, step, tell } from "./report.mjs";
import { scenario } from "./scenario.mjs";

const PATIENCE_MS = 20000;
const isDirect = !setting.certificate;
const address = new URL(setting.url);
// By a name behind the proxy, as people do.
if (!isDirect) address.hostname = setting.name;

const browser = await launch(`--host-resolver-rules=MAP ${setting.name} 127.0.0.1`);
const context = await browser.newContext({ ignoreHTTPSErrors: true });
const page = await context.newPage();
const complaints = [];
page.on("console", (message) => { if (message.type() === "error") complaints.push(message.text()); });
page.on("pageerror", (error) => complaints.push(String(error)));

async function live() {
  await page.waitForFunction(() => document.getElementById("state").textContent === "Live",
    null, { timeout: PATIENCE_MS });
}

async function dashboard() {
  await page.goto(address.href);
  await live();
  check(await page.textContent("#host") !== "vitald", "the host has no name");
  await page.waitForFunction(() => document.querySelector("#tiles").textContent.includes("%"));
  const [protocol] = await page.evaluate(() =>
    performance.getEntriesByType("navigation").map((entry) => entry.nextHopProtocol));
  equal(protocol, isDirect ? "http/1.1" : "h2");
  equal(complaints, []);
}

async function foreignPage() {
  const other = await context.newPage();
  await other.goto("data:text/html,<title>foreign</title>");
  const code = await other.evaluate((url) => new Promise((resolve) => {
    const socket = new WebSocket(url);
    socket.onclose = (event) => resolve(event.code);
    socket.onopen = () => resolve("open");
  }), new URL("ws", address).href.replace("http", "ws"));
  equal(code, 1006);
  await other.close();
}

// Keeps what an EventSource says in `window.told`.
async function openEvents(query) {
  const status = await page.evaluate(async () => (await fetch("events", { method: "HEAD" })).status);
  equal(status, 200);
  await page.evaluate((path) => {
    window.told = [];
    window.source = new EventSource(new URL(path, location));
    window.source.onmessage = (event) => {
      const { type, seq } = JSON.parse(event.data);
      if (type !== "alert") window.told.push({ type, seq, id: event.lastEventId });
    };
  }, "events" + query);
}

// All that was said, once it is so much.
async function told(count) {
  const all = await page.waitForFunction((wanted) => window.told.length >= wanted && window.told,
    count, { timeout: PATIENCE_MS });
  return all.jsonValue();
}

async function events() {
  await openEvents("?topics=load.one");
  const [hello, ...samples] = await told(12);
  equal([hello.type, hello.id], ["hello", ""]);
  samples.forEach((one) => equal([one.type, one.id], ["metrics", String(one.seq)]));
  const rises = samples.slice(1).map((one, index) => one.seq - samples[index].seq);
  check(Math.min(...rises) > 0 && rises.filter((rise) => rise === 1).length >= 5, "seq rises by", rises);
  equal(complaints, []);
}

// The EventSource is left to itself: it comes back after `retry`, 3 s, and a little.
async function eventsReconnect() {
  await openEvents("?topics=load.one");
  await told(2);
  await ask("kill");
  // Longer than `retry`, so that it finds nobody once.
  await new Promise((resolve) => setTimeout(resolve, 4000));
  await page.evaluate(() => { window.told = []; });
  const began = Date.now();
  await ask("start");
  const [first] = await told(2);
  check(Date.now() - began < 9000, "it took", Date.now() - began, "ms");
  equal(first.type, "hello");
  await page.evaluate(() => window.source.close());
}

async function dashboardReturns() {
  await ask("kill");
  await page.waitForFunction(() => document.getElementById("state").textContent === "Reconnecting",
    null, { timeout: PATIENCE_MS });
  await ask("start");
  await live();
}

// As a server greets in the first interval of its life, and those sent every 10 s are yet to come.
async function dashboardFills() {
  const other = await context.newPage();
  await other.routeWebSocket(/\/ws$/, (socket) => {
    socket.connectToServer().onMessage((text) => {
      const message = JSON.parse(text);
      for (const one of message.snapshot?.networks ?? []) one.rx_packets_per_s = one.tx_packets_per_s = null;
      if (message.sub !== "slow" || message.type !== "metrics") socket.send(JSON.stringify(message));
    });
  });
  await other.goto(address.href);
  await other.waitForFunction(() => {
    const table = [...document.querySelectorAll("#panels section")]
      .find((one) => one.textContent.startsWith("Interfaces"));
    const cells = [...table.querySelectorAll("td")].map((cell) => cell.textContent);
    return cells.length > 1 && !cells.includes("\u2013");
  }, null, { timeout: PATIENCE_MS });
  await other.close();
}

async function scenarioInPage() {
  await page.exposeFunction("tellTest", tell);
  await page.exposeFunction("askTest", ask);
  const own = JSON.stringify({ ...setting, is_page: true });
  // By the debugger's evaluation, which the page's policy against foreign scripts does not bind.
  await page.evaluate(`(${scenario})(
    (path, subprotocol) => {
      const url = new URL(path, location.href);
      url.protocol = url.protocol.replace("http", "ws");
      return subprotocol ? new WebSocket(url, subprotocol) : new WebSocket(url);
    }, tellTest, askTest, ${own})`);
}

async function eventsStayQuiet() {
  await openEvents("");
  await page.evaluate(() => { window.source.onerror = () => { window.isBroken = true; }; });
  await new Promise((resolve) => setTimeout(resolve, 1000 * setting.silence_s));
  equal(await page.evaluate(() => [window.source.readyState, window.isBroken ?? false]), [1, false]);
}

if (setting.late_url) {
  await page.goto(address.href);
  const quiet = step("an EventSource stays through silence", eventsStayQuiet);
  await scenarioInPage();
  await quiet;
} else {
  await step("the dashboard is live", dashboard);
  await step("a foreign page is refused", foreignPage);
  await step("an EventSource gets hello and samples, ids rise", events);
  await step("an EventSource comes back by itself", eventsReconnect);
  await step("rates that a greeting lacks are there with the next sample", dashboardFills);
  await step("the dashboard comes back by itself", dashboardReturns);
  await scenarioInPage();
}
await browser.close();
process.exit(0);
