// A vitald that runs, and what it says of itself by HTTP.

import { spawn } from "node:child_process";
import http from "node:http";
import { createInterface } from "node:readline";

const BINARY = process.env.VITALD;
const QUIET = new URL("quiet.toml", import.meta.url).pathname;
const PATIENCE_MS = 15000;

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export class Server {
  constructor(settings) {
    this.settings = settings;
    this.listen = "127.0.0.1:0";
  }

  // On a port that is free first, and after a stop on that port again.
  async start() {
    const { interval = "100ms", config = QUIET, more = [] } = this.settings;
    const given = [
      "--listen",
      this.listen,
      "--interval",
      interval,
      "--config",
      config,
      "--log-level",
      "warn",
    ];
    for (let tries = 0; tries < 20; tries += 1) {
      const child = spawn(BINARY, [...given, ...more], { stdio: ["ignore", "pipe", "inherit"] });
      running.add(child);
      this.child = child;
      this.ended = new Promise((resolve) => child.once("exit", resolve)).then(() =>
        running.delete(child),
      );
      for await (const line of createInterface({ input: child.stdout })) {
        this.url = line.split(" ").at(-1);
        this.listen = new URL(this.url).host;
        return this;
      }
      // Somebody may have the port for a moment.
      await this.ended;
    }
    throw new Error("vitald does not start");
  }

  signal(name) {
    this.child.kill(name);
  }

  async kill() {
    this.signal("SIGKILL");
    await this.ended;
  }

  // Status, headers and the bytes as they came.
  get(path, headers = {}) {
    return new Promise((resolve, reject) => {
      const request = http.get(
        new URL(path, this.url),
        { headers, agent: false },
        async (answer) => {
          const parts = [];
          for await (const part of answer) parts.push(part);
          resolve({
            status: answer.statusCode,
            headers: answer.headers,
            body: Buffer.concat(parts),
          });
        },
      );
      request.on("error", reject);
    });
  }

  async snapshot() {
    const { status, body } = await this.get("api/v1/snapshot");
    return status === 200 ? JSON.parse(body) : null;
  }

  // Until it has sampled so often.
  async sampled(count) {
    const patience_ms = PATIENCE_MS + 300 * count;
    await until(
      async () => (await this.snapshot())?.seq >= count,
      `${count} samples of the server`,
      patience_ms,
    );
  }
}

// Asks again until it is so. Where the page itself can tell, a test waits there instead.
export async function until(isSo, what, patience_ms = PATIENCE_MS) {
  const deadline = Date.now() + patience_ms;
  for (;;) {
    const found = await isSo();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`no ${what} in ${patience_ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
