// The WebSocket: opens it, opens it again, and notices when it has gone quiet. Knows nothing of metrics. Calls
// `receive(message)` for each JSON message that is no answer to `ask`, and `changed()` when `state` changes:
// "connecting" (until the first message), "open", "waiting" (for `retryInMs`).

import { elapsedMs } from "./clock.js";

// The first try again comes soon after (a restart takes a second); the last is what a host that is off costs.
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 30000;
// A connection that lasted this long was a good one: the next outage starts from the shortest wait.
const SETTLED_MS = 10000;
// Silence this long is asked about with a ping; silence as long again is a dead connection (a laptop that
// slept, a network that changed): the browser itself may take many minutes to say so.
const QUIET_MS = 10000;
// A server closes on who sends it more than 20 messages in one second. So many may go at once, and one each so often
// after them: no second then has more than 18, whoever on the page sends them.
const BURST = 6;
const SPACING_MS = 83;
// Beyond that something asks without end, and is refused.
const QUEUE_MAX = 64;

export class Connection {
  constructor(url, receive, changed) {
    this.url = url;
    this.receive = receive;
    this.changed = changed;
    this.state = "connecting";
    this.failures = 0;
    this.retryAt = 0;
    this.isHeld = false;
    // What was asked for and is not answered yet, by id.
    this.asked = new Map();
    this.lastId = 0;
    // What waits to be sent, in order, and when the next of it would go if there were no bursts.
    this.queue = [];
    this.queueTimer = 0;
    this.nextAt = 0;
    this.open();
  }

  open() {
    this.heardAt = this.startedAt = elapsedMs();
    this.askedAt = 0;
    this.enter("connecting");
    const socket = this.socket = new WebSocket(this.url);
    socket.onmessage = (event) => this.message(event.data);
    socket.onclose = () => this.lost();
  }

  get isOpen() {
    return this.state === "open";
  }

  // Until the next try; null while none is due.
  get retryInMs() {
    return this.state === "waiting" && !this.isHeld ? Math.max(0, this.retryAt - elapsedMs()) : null;
  }

  // At once, instead of when the wait is over.
  retry() {
    if (this.state === "waiting" && !this.isHeld) this.open();
  }

  // No connection, and none is tried, until `release`.
  hold() {
    this.isHeld = true;
    if (this.state !== "waiting") this.lost();
  }

  // One that is not held keeps its wait.
  release() {
    if (!this.isHeld) return;
    this.isHeld = false;
    this.retry();
  }

  send(message) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.queue.push(JSON.stringify(message));
    this.flush();
  }

  flush() {
    clearTimeout(this.queueTimer);
    const now = performance.now();
    this.nextAt = Math.max(this.nextAt, now - BURST * SPACING_MS);
    for (; this.queue.length && this.nextAt <= now - SPACING_MS; this.nextAt += SPACING_MS) {
      this.socket.send(this.queue.shift());
    }
    if (this.queue.length) this.queueTimer = setTimeout(() => this.flush(), SPACING_MS);
  }

  // Asks once (a `get`): `then` is called with the answer, put together of its parts, with the `error` that came
  // instead, or with null where the connection was lost before or too much waits already.
  ask(message, then) {
    if (this.socket.readyState !== WebSocket.OPEN || this.queue.length >= QUEUE_MAX) return then(null);
    this.lastId += 1;
    this.asked.set(this.lastId, { then, whole: null });
    this.send({ type: "get", ...message, id: this.lastId });
  }

  // To be called about twice a second.
  check() {
    if (this.retryInMs === 0) this.open();
    const now = elapsedMs();
    if (this.state === "waiting" || now - this.heardAt < QUIET_MS) return;
    if (this.askedAt === 0) {
      this.askedAt = now;
      this.send({ type: "ping", id: 0 });
    } else if (now - this.askedAt >= QUIET_MS) {
      this.lost();
    }
  }

  message(text) {
    this.heardAt = elapsedMs();
    this.askedAt = 0;
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    this.enter("open");
    if (this.asked.has(message?.id)) this.answer(message);
    else this.receive(message);
  }

  answer(message) {
    const { then, whole } = this.asked.get(message.id);
    const joined = whole === null ? message : join(whole, message);
    if (message.part < message.parts) {
      this.asked.set(message.id, { then, whole: joined });
      return;
    }
    this.asked.delete(message.id);
    then(joined);
  }

  // close() may wait for an answer that never comes, so this socket is let go of before the next is tried.
  lost() {
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    const owed = [...this.asked.values()];
    this.asked.clear();
    this.queue = [];
    owed.forEach(({ then }) => then(null));
    if (this.state === "open" && elapsedMs() - this.startedAt > SETTLED_MS) this.failures = 0;
    const longest = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** this.failures);
    // Half fixed, half drawn: after a restart a hundred pages do not come back in the same moment.
    const wait = longest * (0.5 + Math.random() / 2);
    this.failures += 1;
    this.retryAt = elapsedMs() + wait;
    this.enter("waiting");
  }

  enter(state) {
    if (this.state === state) return;
    this.state = state;
    this.changed();
  }
}

// A part goes behind those before it: rows behind rows, and points behind the points of the same series.
function join(whole, part) {
  const joined = { ...whole, ...part };
  if (whole.rows) joined.rows = [...whole.rows, ...part.rows];
  if (whole.series) {
    const last = whole.series.at(-1);
    const [first, ...others] = part.series;
    const goesOn = last && first && last.metric === first.metric;
    joined.series = goesOn
      ? [...whole.series.slice(0, -1), { ...last, points: [...last.points, ...first.points] }, ...others]
      : [...whole.series, ...part.series];
  }
  return joined;
}
