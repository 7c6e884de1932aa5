// The WebSocket: opens it, opens it again, and notices when it has gone quiet. Knows nothing of metrics. Calls
// `receive(message)` for each JSON message and `changed()` when `state` changes:
// "connecting" (until the first message), "open", "waiting" (until `retryAt`).

// The first try again comes soon after (a restart takes a second); the last is what a host that is off costs.
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 30000;
// A connection that lasted this long was a good one: the next outage starts from the shortest wait.
const SETTLED_MS = 10000;
// Silence this long is asked about with a ping; silence as long again is a dead connection (a laptop that
// slept, a network that changed): the browser itself may take many minutes to say so.
const QUIET_MS = 10000;

export class Connection {
  constructor(url, receive, changed) {
    this.url = url;
    this.receive = receive;
    this.changed = changed;
    this.state = "connecting";
    this.failures = 0;
    this.retryAt = 0;
    this.retryTimer = 0;
    this.open();
  }

  open() {
    clearTimeout(this.retryTimer);
    this.heardAt = this.startedAt = Date.now();
    this.askedAt = 0;
    this.enter("connecting");
    const socket = this.socket = new WebSocket(this.url);
    socket.onmessage = (event) => this.message(event.data);
    socket.onclose = () => this.lost();
  }

  // At once, instead of when the wait is over.
  retry() {
    if (this.state === "waiting") this.open();
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  // To be called about once a second.
  check() {
    const now = Date.now();
    if (this.state === "waiting" || now - this.heardAt < QUIET_MS) return;
    if (this.askedAt === 0) {
      this.askedAt = now;
      this.send({ type: "ping", id: 0 });
    } else if (now - this.askedAt >= QUIET_MS) {
      this.lost();
    }
  }

  message(text) {
    this.heardAt = Date.now();
    this.askedAt = 0;
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    this.enter("open");
    this.receive(message);
  }

  // close() may wait for an answer that never comes, so this socket is let go of before the next is tried.
  lost() {
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    if (this.state === "open" && Date.now() - this.startedAt > SETTLED_MS) this.failures = 0;
    const longest = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** this.failures);
    // Half fixed, half drawn: after a restart a hundred pages do not come back in the same moment.
    const wait = longest * (0.5 + Math.random() / 2);
    this.failures += 1;
    this.retryAt = Date.now() + wait;
    this.retryTimer = setTimeout(() => this.open(), wait);
    this.enter("waiting");
  }

  enter(state) {
    if (this.state === state) return;
    this.state = state;
    this.changed();
  }
}
