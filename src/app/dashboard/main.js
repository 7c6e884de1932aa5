// Joins the parts: what the feed's store has is drawn at most once a frame and never while the page is hidden, and the
// top right says how far all of it can be trusted. A page that stays hidden asks for no samples, only alerts come; when
// it is seen again, history fills the hole.

import { CHARTS, hostFacts, TABLES, TILES, TOPICS } from "./definitions.js";
import { Feed } from "./feed.js";
import { Hosts } from "./hosts.js";
import { Past, RANGES } from "./past.js";
import { chosen, keepRange, range, theme } from "./options.js";
import { SignIn } from "./signin.js";
import { Chart } from "./chart.js";
import { setAttribute, setText } from "./dom.js";
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
const ARRIVING_MS = 3000;

const find = (id) => document.getElementById(id);
const feed = new Feed(location.href, TOPICS, receive, () => {
  // Why a WebSocket was refused is told to no script.
  if (connection.state === "waiting" && !connection.isHeld) checkSignIn();
  schedule();
});
const { ask, connection, store } = feed;
const past = new Past(store, ask, schedule);
const tiles = TILES.map((definition) => new Tile(definition, ask));
const charts = CHARTS.map((definition) => new Chart(definition, store, setCursor));
const [filesystems, ...tables] = TABLES.map((definition) => new Table(definition));
const processes = new Processes(ask);
const own = new Server(ask);
const alerts = new Alerts(() => connection.state === "open");
const health = new Health(find("health"));
const panels = [new Cores(), filesystems, ...tables];
const hosts = new Hosts(feed);
let cursor = null;
let colors = null;
let frameAsked = false;
let version = null;
let alertsTold = 0;
let hiddenTimer = 0;

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
  // Before the rest changes the page: the browser styles what has changed before it draws words on a canvas.
  drawCharts();
  for (const tile of tiles) tile.update(sample, store);
  for (const panel of panels) panel.update(sample);
  alerts.update(store);
  own.update(store);
  hosts.update();
  drawState();
}

function drawCharts() {
  colors ??= readColors();
  const end = store.endTime;
  const source = past.isShown ? past : store;
  const start = end - (past.rangeMs || store.windowMs);
  if (past.isShown) past.join();
  // What was pointed at has left the window.
  if (cursor?.time < start - source.gapMs) cursor = null;
  for (const chart of charts) chart.draw({ source, start, end, cursor, colors });
}

// Dear while a drawing changes the page: only after what changes them.
function readColors() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(COLORS.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
}

function forgetColors() {
  colors = null;
  schedule();
}

function drawState() {
  const { ageMs, sample } = store;
  const { state } = feed;
  const text = signIn.isAsking ? "Sign in" : feed.stateText;
  setText(find("state"), text);
  // Apart from the words, which a screen reader announces when they change: a countdown would never stop.
  const { retryInMs } = connection;
  setText(find("countdown"), retryInMs === null ? "" : " in " + Math.max(1, Math.ceil(retryInMs / 1000)) + " s");
  find("link").dataset.state = state;
  find("retry").hidden = retryInMs === null;
  const trusted = state === "live";
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
  const { host, server } = store;
  setText(find("host"), host.name ?? location.host);
  setText(find("facts"), hostFacts(host));
  for (const id of ["host", "facts"]) setAttribute(find(id), "title", find(id).textContent);
  setText(find("about"), [server.name ?? "vitald", server.version, "sample every " + store.intervalMs / 1000 + " s"]
    .filter(Boolean).join(" · "));
  find("notice").hidden = true;
  if (message.protocol !== PROTOCOL || (version !== null && version !== server.version)) {
    notify("The server is now another version than this page was made for. Reload the page.");
  }
  version = server.version;
  past.refresh();
  processes.poller.check();
  own.poller.check();
  readAlerts(true);
  if (hasHosts) hosts.load(shown !== null);
}

// `isLost`: what fires may not have been told of, by an old server's greeting or because it was dropped.
async function readAlerts(isLost) {
  const before = alertsTold;
  const rules = await alerts.fetch();
  // What was told meanwhile is newer.
  if (rules && isLost && before === alertsTold) store.settle(rules);
  schedule();
}

// Of what was dropped on its way nothing is lost: it can be read.
function mend({ missed }) {
  notify(missed + (missed === 1 ? " message" : " messages") + " about alerts did not get through. The list was read anew.");
  readAlerts(true);
}

function receive(message) {
  switch (message?.type) {
    case "hello":
      welcome(message);
      break;
    case "alert":
      alertsTold += 1;
      readAlerts(false);
      break;
    case "gap":
      mend(message);
      break;
    case "error":
      if (message.id === undefined) notify("The server reports: " + (message.message ?? message.code ?? "an error"));
      break;
  }
  schedule();
}

// Where a token is asked for, nothing is tried until there is one: from this page or, with the same cookie, another.
async function checkSignIn() {
  await signIn.check();
  if (signIn.isAsking) connection.hold();
  else connection.release();
  schedule();
}

// At once, for something has changed.
function retry() {
  if (connection.isHeld) checkSignIn();
  else connection.retry();
}

function pause() {
  feed.pause();
  hosts.pause();
}

async function resume() {
  await feed.resume();
  past.refresh();
  schedule();
}

// The parts by the names that the address has for them.
const parts = new Map([
  ["tiles", [find("tiles"), ...tiles]],
  ["hosts", [find("hosts"), hosts]],
  ...charts.map((chart) => [chart.definition.id, [find("charts"), chart]]),
  ...[processes, alerts, own, ...panels].map((panel) => [panel.node.id, [find("panels"), panel]]),
]);
const shown = chosen([...parts.keys()]);
const hasHosts = shown === null || shown.has("hosts");
for (const [name, [section, ...nodes]] of parts) {
  if (shown === null || shown.has(name)) section.append(...nodes.map(({ node }) => node));
}
const page = document.documentElement;
page.classList.toggle("kiosk", shown !== null);
if (theme) page.dataset.theme = theme;

const arrive = () => page.classList.remove("arriving");

// What stands below the hosts is not seen moving down when they come.
if (hasHosts) {
  page.classList.add("arriving");
  hosts.load(shown !== null).then(arrive);
  setTimeout(arrive, ARRIVING_MS);
}

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

const signIn = new SignIn(find("sign-in"), find("sign-out"), () => {
  connection.release();
  find("host").focus();
}, () => location.reload());
past.show(RANGES[range]);

document.onvisibilitychange = () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(pause, HIDDEN_MS);
    return;
  }
  hosts.resume();
  if (feed.isPaused) resume();
  retry();
  schedule();
};
// A finger leaves the cursor where it was; a tap elsewhere takes it away.
document.addEventListener("pointerup", ({ target }) => { if (cursor && !target.closest?.(".chart")) setCursor(null); });
window.addEventListener("online", retry);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", forgetColors);
new MutationObserver(forgetColors).observe(document.documentElement, { attributeFilter: ["class", "data-theme"] });
setInterval(() => {
  connection.check();
  hosts.check();
  // While samples come, each one draws; the clock draws only what changes without them.
  if (connection.state !== "open" || store.stale) schedule();
}, 500);
draw();
