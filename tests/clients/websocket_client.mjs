// Node's `ws` at a vitald.

import { installed } from "./browser.mjs";
import { ask, certificate, check, setting, step, tell } from "./report.mjs";
import { scenario } from "./scenario.mjs";

const WebSocket = installed("ws");
const options = { ca: certificate };
// A path, or a whole address.
const address = (path) => new URL(path, setting.url).href.replace("http", "ws");
const open = (path, subprotocol) =>
  subprotocol ? new WebSocket(address(path), subprotocol, options) : new WebSocket(address(path), options);

async function answersPing() {
  const socket = open("ws");
  await new Promise((resolve) => socket.on("open", resolve));
  const pong = new Promise((resolve, reject) => {
    socket.on("pong", (data) => resolve(String(data)));
    setTimeout(() => reject(new Error("no pong")), 10000).unref();
  });
  socket.ping("vital?");
  check(await pong === "vital?", "another pong");
  socket.close();
}

if (!setting.late_url) await step("answers the library's own ping", answersPing);
await scenario(open, tell, ask, setting);
process.exit(0);
