// Joins the parts: messages go from the connection into the store, the store is drawn at most once a frame and never
// while the page is hidden, and the top right says how far all of it can be trusted. A page that stays hidden asks for
// no samples, only alerts come; when it is seen again, history fills the hole.

import { Connection } from "./connection.js";
import { CHARTS, hostFacts, PATHS, SLOW_MS, TABLES, TILES } from "./definitions.js";
import { Store } from "./store.js";
import { Past, RANGES, fetchSeries } from "./past.js";
import { chosen, keepRange, range, theme } from "./options.js";
import { SignIn } from "./signin.js";
import { Chart } from "./chart.js";
import { setText } from "./dom.js";
import { clockSeconds, duration } from "./units.js";
import { Alerts } from "./alerts.js";
import { Processes } from "./processes.js";
import { Server } from "./server.js";
import { Cores, Table } from "./table.js";
import { Health, Tile } from "./tiles.js";

const PROTOCOL = 1;
const COLORS = ["text", "muted", "grid", "card", "s1", "s2", "s3", "s4"];
// A page that is hidden for less goes on: who looks something up in another tab comes back to it as it is.
const HIDDEN_MS = 10000;

const find = (id) => document.getElementById(id);
const store = new Store();
const ask = (message, then) => connection.ask(message, then);
const past = new Past(store, ask, schedule);
const tiles = TILES.map((definition) => new Tile(definition, ask));
const charts = CHARTS.map((definition) => new Chart(definition, store, setCursor));
const [filesystems, ...tables] = TABLES.map((definition) => new Table(definition));
const processes = new Processes(ask);
const own = new Server(ask);
const alerts = new Alerts(() => connection.state === "open");
const health = new Health(find("health"));
const panels = [new Cores(), filesystems, ...tables];
let cursor = null;
let frameAsked = false;
let version = null;
let slowGranted = false;
let hiddenTimer = 0;
let isPaused = false;

function schedule() {
  if (frameAsked || document.hidden) return;
  frameAsked = true;
  requestAnimationFrame(() => {
    frameAsked = false;
    if (!document.hidden) draw();
  });
}

function draw() {
  const { sample, stale } = store;
  document.documentElement.classList.toggle("stale", stale);
  for (const tile of tiles) tile.update(sample, store);
  for (const panel of panels) panel.update(sample);
  alerts.update(store);
  own.update(store);
  drawState();
  drawCharts();
}

function drawCharts() {
  const style = getComputedStyle(document.documentElement);
  const colors = Object.fromEntries(COLORS.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
  const end = store.endTime;
  const source = past.isShown ? past : store;
  const start = end - (past.rangeMs || store.windowMs);
  if (past.isShown) past.join();
  for (const chart of charts) chart.draw({ source, start, end, cursor, colors });
}

function drawState() {
  const waiting = connection.state === "waiting";
  const { stale, ageMs, sample } = store;
  let state = connection.state;
  let text = store.receivedAt === null ? "Connecting" : "Reconnecting";
  if (state === "open" && ageMs !== null) [state, text] = stale ? ["stale", "Stale"] : ["live", "Live"];
  if (waiting) text = signIn.isAsking ? "Sign in" : "Reconnecting";
  setText(find("state"), text);
  // Apart from the words, which a screen reader announces when they change: a countdown would never stop.
  setText(find("countdown"), waiting ? " in " + Math.max(1, Math.ceil((connection.retryAt - Date.now()) / 1000)) + " s" : "");
  find("link").dataset.state = state;
  find("retry").hidden = !waiting;
  const trusted = state === "live" && !stale;
  health.update(store, trusted);
  setText(find("age"), ageMs === null ? "no sample yet"
    : trusted ? clockSeconds.format(sample.t) : "last sample " + duration(ageMs / 1000) + " ago");
  document.title = (store.host.name ? store.host.name + " – vitald" : "vitald") + (trusted ? "" : " (" + text.toLowerCase() + ")");
}

function setCursor(next) {
  cursor = next;
  schedule();
}

function notify(text) {
  setText(find("notice-text"), text);
  find("notice").hidden = false;
}

function welcome(message) {
  store.hello(message);
  const { host, server } = store;
  setText(find("host"), host.name ?? location.host);
  setText(find("facts"), hostFacts(host));
  setText(find("about"), [server.name ?? "vitald", server.version, "sample every " + store.intervalMs / 1000 + " s"]
    .filter(Boolean).join(" · "));
  find("notice").hidden = true;
  if (message.protocol !== PROTOCOL || (version !== null && version !== server.version)) {
    notify("The server is now another version than this page was made for. Reload the page.");
  }
  version = server.version;
  slowGranted = false;
  if (isPaused) pause();
  else subscribe("slow", SLOW_MS);
  past.refresh();
  processes.poller.check();
  own.poller.check();
  readAlerts();
}

function readAlerts() {
  alerts.fetch().then(schedule);
}

// First the slow paths beside all that the server sends by itself, then in place of that the fast ones. So one that
// refuses either is no loss: the newest of everything still comes. One sample of everything is waited for in between:
// the first one of a server, which greets, has no rates, and the slow ones would be blank for SLOW_MS.
function subscribe(sub, interval_ms) {
  connection.send({ type: "subscribe", sub, topics: PATHS[sub], interval_ms, id: sub });
}

// Alerts come without a subscription.
function pause() {
  isPaused = true;
  for (const sub of Object.keys(PATHS)) connection.send({ type: "unsubscribe", sub });
}

async function resume() {
  isPaused = false;
  if (!connection.isOpen) return connection.retry();
  subscribe("slow", SLOW_MS);
  subscribe("default");
  const last = store.times.at(-1) ?? 0;
  const since = Math.round(Math.max(last, store.now - store.windowMs));
  const series = await fetchSeries(ask, store, { since });
  if (series) store.fill(series);
  past.refresh();
  schedule();
}

function receive(message) {
  switch (message?.type) {
    case "hello":
      welcome(message);
      break;
    case "metrics":
      if (message.sub !== undefined) {
        store.merge(message);
        break;
      }
      store.add(message);
      if (slowGranted) subscribe("default");
      slowGranted = false;
      break;
    case "subscribed":
      if (message.id === "slow") slowGranted = true;
      return;
    case "alert":
      store.alert(message);
      readAlerts();
      break;
    case "gap":
      // What was not sent can be read.
      readAlerts();
      break;
    case "batch":
      if (Array.isArray(message.samples)) message.samples.forEach((sample) => store.add(sample));
      break;
    case "error":
      if (message.id === undefined) notify("The server reports: " + (message.message ?? message.code ?? "an error"));
      break;
    default:
      return;
  }
  schedule();
}

// The parts by the names that the address has for them.
const parts = new Map([
  ["tiles", [find("tiles"), ...tiles]],
  ...charts.map((chart) => [chart.definition.id, [find("charts"), chart]]),
  ...[processes, alerts, own, ...panels].map((panel) => [panel.node.id, [find("panels"), panel]]),
]);
const shown = chosen([...parts.keys()]);
for (const [name, [section, ...nodes]] of parts) {
  if (shown === null || shown.has(name)) section.append(...nodes.map(({ node }) => node));
}
document.documentElement.classList.toggle("kiosk", shown !== null);
if (theme) document.documentElement.dataset.theme = theme;

for (const choice of find("range").elements) {
  choice.checked = choice.value === range;
  choice.onchange = () => {
    keepRange(choice.value);
    setCursor(null);
    past.show(RANGES[choice.value]);
  };
}
find("retry").onclick = () => connection.retry();
find("notice-close").onclick = () => { find("notice").hidden = true; };

const url = new URL("ws", location.href);
url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
url.hash = "";
const connection = new Connection(url, receive, () => {
  // Why a WebSocket was refused is told to no script.
  if (connection.state === "waiting") signIn.check().then(schedule);
  schedule();
});
const signIn = new SignIn(find("sign-in"), find("sign-out"), () => connection.retry(), () => location.reload());
past.show(RANGES[range]);

document.onvisibilitychange = () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(pause, HIDDEN_MS);
    return;
  }
  if (isPaused) resume();
  connection.retry();
  schedule();
};
window.addEventListener("online", () => connection.retry());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", schedule);
new ResizeObserver(schedule).observe(find("charts"));
setInterval(() => {
  connection.check();
  // While samples come, each one draws; the clock draws only what changes without them.
  if (connection.state !== "open" || store.stale) schedule();
}, 500);
draw();
