// One server's samples as they come: its connection, the store they go into, and what of them is asked for. `topics`
// are the subscriptions by name, each { topics, interval_ms }: "default" has what moves, "slow" what may be older.
// `heard(message)` is called for each message after the store has what is in it, `changed()` when the connection's
// state changes. Draws nothing.

import { elapsedMs } from "./clock.js";
import { Store } from "./store.js";
import { fetchSeries } from "./past.js";
import { Connection } from "./connection.js";

// What was missed is asked for no sooner again: a busy machine misses samples, and its history has none of them either.
const FILL_MS = 30000;

export class Feed {
  constructor(origin, topics, heard, changed, token) {
    Object.assign(this, { origin, topics, heard, store: new Store(), isPaused: false, slowGranted: false });
    this.filledAt = -FILL_MS;
    this.missedFrom = null;
    this.ask = (message, then) => this.connection.ask(message, then);
    this.connection = new Connection(socketAddress(origin, token), (message) => this.receive(message), changed);
  }

  // From now on with this token.
  show(token) {
    this.connection.url = socketAddress(this.origin, token);
    this.connection.hold();
    this.connection.release();
  }

  // "live" and "stale" once there are samples, and before that the connection's own state.
  get state() {
    const { connection, store } = this;
    if (!connection.isOpen || store.ageMs === null) return connection.state;
    return store.stale ? "stale" : "live";
  }

  get stateText() {
    const texts = { live: "Live", stale: "Stale", waiting: "Reconnecting" };
    return texts[this.state] ?? (this.store.ageMs === null ? "Connecting" : "Reconnecting");
  }

  receive(message) {
    const { store } = this;
    switch (message?.type) {
      case "hello":
        store.hello(message);
        this.slowGranted = false;
        if (this.isPaused) this.pause();
        else this.subscribe("slow");
        break;
      case "metrics":
        this.take(message);
        break;
      case "batch":
        if (Array.isArray(message.samples)) message.samples.forEach((sample) => store.add(sample));
        break;
      case "subscribed":
        if (message.id === "slow") this.slowGranted = true;
        else if (message.id === "default") store.pace(message.interval_ms);
        return;
      case "alert":
        store.alert(message);
        break;
    }
    this.heard(message);
  }

  take(message) {
    if (message.sub !== undefined) return this.store.merge(message);
    const { store } = this;
    store.add(message);
    // Swallowed by a sleep or a slow network: the connection has outlived it, and history has what was meanwhile.
    const [last, newest] = store.times.slice(-2);
    if (newest - last > store.gapMs) this.missedFrom ??= last;
    if (this.missedFrom && elapsedMs() - this.filledAt > FILL_MS) this.fill(this.missedFrom);
    if (this.slowGranted) this.subscribe("default");
    this.slowGranted = false;
  }

  // First the slow paths beside all that the server sends by itself, then in place of that the fast ones. So one that
  // refuses either is no loss: the newest of everything still comes. One sample of everything is waited for in between:
  // the first one of a server, which greets, has no rates, and the slow ones would be blank for long.
  subscribe(sub) {
    this.connection.send({ type: "subscribe", sub, ...this.topics[sub], id: sub });
  }

  // No samples for now. Alerts come without a subscription.
  pause() {
    this.isPaused = true;
    for (const sub of Object.keys(this.topics)) this.connection.send({ type: "unsubscribe", sub });
  }

  // Samples again, and history for what was missed.
  async resume() {
    this.isPaused = false;
    if (!this.connection.isOpen) return this.connection.retry();
    this.subscribe("slow");
    this.subscribe("default");
    await this.fill();
  }

  async fill(last = this.store.times.at(-1) ?? 0) {
    const { store } = this;
    this.filledAt = elapsedMs();
    this.missedFrom = null;
    const since = Math.round(Math.max(last, store.now - store.windowMs));
    const series = await fetchSeries(this.ask, store, { since });
    if (series) store.fill(series);
  }
}

function socketAddress(origin, token) {
  const url = new URL("ws", origin);
  url.protocol = url.protocol.replace("http", "ws");
  // A WebSocket of a page cannot show it in a header.
  if (token) url.searchParams.set("token", token);
  return url;
}
