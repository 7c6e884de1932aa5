// Several hosts on one page, a row of tiles each: this server's own, and those that its configuration names. The
// browser itself connects to each of them, for the little that a row shows; a token that is typed here stays in this
// tab. While nobody sees the page the others are left alone.

import { elapsedMs } from "./clock.js";
import { alertTitle, ROW_TOPICS, TILES, worst } from "./definitions.js";
import { element, setAttribute, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { keep, recall, TOO_MANY } from "./signin.js";
import { Tile } from "./tiles.js";
import { clockSeconds, duration } from "./units.js";

const TOKEN_KEY = "vitald.token.";
// What refuses this page is asked so rarely whether it still does.
const REFUSED_MS = 60000;
const TOLD = {
  wrong: "This token is not its token.",
  429: TOO_MANY,
  503: "It is full, or about to stop.",
};

// Of what came by https a browser lets nothing go to a host by plain http, but for this machine itself.
function isForbidden(origin) {
  const { protocol, hostname } = new URL(origin);
  return location.protocol === "https:" && protocol === "http:" && !/^(127\.|\[::1\]$|(.*\.)?localhost$)/.test(hostname);
}

// One row. `feed` is what it shows, `address` where its whole page is.
class Row {
  constructor(feed, name, address) {
    Object.assign(this, { feed, name });
    this.tiles = TILES.filter(({ inRow }) => inRow).map((definition) => new Tile(definition, feed.ask));
    this.title = element("a", "", name);
    this.title.href = address;
    this.place = element("small");
    this.state = element("span");
    this.age = element("small");
    this.words = element("p", "words");
    this.head = element("header", "", element("h3", "", this.title, " ", this.place),
      element("p", "state", element("i", "dot"), this.state, this.age), this.words);
    this.node = element("li", "card host", this.head, element("div", "figures", ...this.tiles.map(({ node }) => node)));
  }

  get severity() {
    return this.feed.state === "live" ? worst([...this.feed.store.alerts.values()]) ?? "well" : "unknown";
  }

  // What is to be said beside the figures.
  get trouble() {
    const alerts = [...this.feed.store.alerts.values()];
    return this.severity === "unknown" ? "" : alerts.map(alertTitle).join(", ");
  }

  get stateText() {
    return this.feed.stateText;
  }

  update() {
    const { store, state } = this.feed;
    setText(this.title, store.host.name ?? this.name);
    setText(this.place, store.host.name ? this.name : "");
    setAttribute(this.title, "title", this.title.textContent + ", " + this.name);
    setText(this.state, this.stateText);
    setText(this.age, store.ageMs === null ? "" : state === "live" ? clockSeconds.format(store.sample.t)
      : duration(store.ageMs / 1000) + " ago");
    setText(this.words, this.trouble);
    setAttribute(this.node, "data-state", state);
    setAttribute(this.node, "data-severity", this.severity);
    this.node.classList.toggle("stale", state !== "live");
    for (const tile of this.tiles) tile.update(store.sample, store);
  }
}

// Another host. Why it cannot be seen is found out after each failure, for a WebSocket tells no script.
class Other extends Row {
  constructor(origin, changed) {
    const key = TOKEN_KEY + origin;
    const token = recall("sessionStorage", key);
    const turned = () => {
      const { state, isHeld } = this.feed.connection;
      if (state === "waiting" && !isHeld) this.find();
      this.schedule();
    };
    super(new Feed(origin, ROW_TOPICS, () => this.schedule(), turned, token), new URL(origin).host, origin + "/");
    Object.assign(this, { origin, key, token, changed, why: "", isAsked: false });
    this.createForm();
  }

  createForm() {
    this.input = element("input");
    Object.assign(this.input, { type: "password", required: true, autocomplete: "off" });
    this.form = element("form", "", element("label", "", "Token ", this.input), " ", element("button", "", "Sign in"));
    this.form.hidden = true;
    this.form.onsubmit = (event) => {
      event.preventDefault();
      this.enter(this.input.value.trim());
    };
    this.leave = element("button", "", "Sign out");
    this.leave.type = "button";
    this.leave.hidden = !this.token;
    this.leave.onclick = () => this.use("");
    this.head.append(this.form, this.leave);
    this.words.setAttribute("role", "status");
  }

  get trouble() {
    return this.why || super.trouble;
  }

  get stateText() {
    return this.isAsked ? "Sign in" : super.stateText;
  }

  // Its answer to whoever shows `token`: a status, or 0 where no page may read it or there is none.
  async probe(token) {
    const headers = token ? { Authorization: "Bearer " + token } : {};
    const options = { method: "HEAD", cache: "no-store", headers };
    return (await fetch(this.origin + "/api/v1/snapshot", options).catch(() => ({ status: 0 }))).status;
  }

  async find() {
    let status = await this.probe(this.token);
    const isThere = status > 0 || await fetch(this.origin + "/healthz", { mode: "no-cors" }).then(() => true, () => false);
    // It may just have come back.
    if (status === 0 && isThere) status = await this.probe(this.token);
    if (this.feed.state === "waiting" && !document.hidden) this.explain(status, isThere);
    this.schedule();
  }

  explain(status, isThere) {
    this.why = !isThere ? "No answer from " + this.origin
      : status === 0 ? "It lets no page from here look: start it with --allow-origin " + location.origin
        : status === 401 && this.token ? TOLD.wrong : TOLD[status] ?? "";
    this.isAsked = status === 401 || (status === 429 && this.isAsked);
    this.form.hidden = !this.isAsked;
    // One that refuses this page is not to count the failures of others.
    this.isRefused = status === 0 && isThere;
    if (this.isAsked || this.isRefused) this.feed.connection.hold();
    else this.feed.connection.release();
    this.askedAt = elapsedMs();
  }

  async enter(token) {
    const status = await this.probe(token);
    if (status !== 200) {
      this.why = TOLD[status === 401 ? "wrong" : status] ?? "It did not take the token (" + status + ").";
      this.input.select();
      return this.schedule();
    }
    this.input.value = "";
    this.use(token);
  }

  // Kept for this tab only. Without one: forgotten.
  use(token) {
    this.token = token;
    keep("sessionStorage", this.key, token);
    this.leave.hidden = !token;
    this.form.hidden = true;
    this.title.focus();
    this.isAsked = false;
    this.why = "";
    this.feed.show(token);
    this.schedule();
  }

  check() {
    this.feed.connection.check();
    if (this.isRefused && elapsedMs() - this.askedAt > REFUSED_MS) this.find();
    if (this.feed.state !== "live") this.schedule();
  }

  // Drawn at most once a frame, and never while nobody sees it.
  schedule() {
    if (this.frame || document.hidden) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (this.feed.state === "live") this.why = "";
      this.update();
      this.changed();
    });
  }
}

// The list of rows. `own` is this server's, which the page itself keeps up to date.
export class Hosts {
  constructor(feed) {
    Object.assign(this, { feed, own: null, others: [], asked: null });
    this.note = element("small");
    this.list = element("ul");
    this.node = element("div", "", element("h2", "", "Hosts ", this.note), this.list);
  }

  // Asks this server which others there are, until it has said so; the page's policy is as old as the page.
  load(isWanted) {
    this.asked ??= fetch("dashboard.json").then((response) => response.json())
      .then(({ hosts }) => { if (hosts.length || isWanted) this.show(hosts); }).catch(() => { this.asked = null; });
    return this.asked;
  }

  show(hosts) {
    this.own = new Row(this.feed, location.host, location.pathname);
    const others = hosts.filter((origin) => origin !== location.origin);
    this.others = others.filter((origin) => !isForbidden(origin)).map((origin) => new Other(origin, () => this.count()));
    this.list.append(...[this.own, ...this.others].map(({ node }) => node), ...others.filter(isForbidden).map(forbidden));
    this.others.forEach((other) => other.update());
    this.update();
    this.node.parentElement.hidden = false;
  }

  update() {
    if (!this.own) return;
    this.own.update();
    this.count();
  }

  count() {
    const rows = [this.own, ...this.others];
    const counted = (wanted) => rows.filter(({ severity }) => wanted.includes(severity)).length;
    const told = [[["well"], "well"], [["info", "warning", "critical"], "with alerts"], [["unknown"], "not known"]]
      .map(([severities, text]) => [counted(severities), text]).filter(([count]) => count > 0);
    setText(this.note, told.map((parts) => parts.join(" ")).join(", "));
  }

  // To be called about once a second: what changes without a message is the age of the last one.
  check() {
    if (document.hidden) return;
    for (const other of this.others) other.check();
  }

  pause() {
    for (const { feed } of this.others) feed.connection.hold();
  }

  resume() {
    for (const { isAsked, isRefused, feed: { connection } } of this.others) {
      if (!isAsked && !isRefused) connection.release();
      connection.retry();
    }
  }
}

function forbidden(origin) {
  const link = element("a", "", new URL(origin).host);
  link.href = origin + "/";
  return element("li", "card host", element("header", "", element("h3", "", link)), element("p", "words",
    "A page that came by https cannot open ws://, which is all that " + origin + " has. Open it by itself, or put TLS before it."));
}
