// vitald's own signs: what the server measures of itself, asked for while it is seen.

import { Poller } from "./poller.js";
import { alertTitle, worst } from "./definitions.js";
import { element, setAttribute, setText } from "./dom.js";
import { bytes, count, decimal, known, NONE, percent, whole } from "./units.js";

const SERVER_MS = 5000;

const milliseconds = (value) => known(value) ? decimal(value, value < 10 ? 2 : 0) + "\u00a0ms" : NONE;
const state = (name) => ({ connections }) => whole(connections?.by_state?.[name]);

const GROUPS = [
  ["Connections", [
    ["connecting", state("CONNECTING")],
    ["connected", state("CONNECTED")],
    ["disconnecting", state("DISCONNECTING")],
    ["active", ({ connections }) => whole(connections?.active)],
    ["peak", ({ connections }) => whole(connections?.peak)],
    ["opened", ({ connections }) => whole(connections?.opened)],
    ["closed", ({ connections }) => whole(connections?.closed)],
    ["ended in error", ({ connections }) => percent(connections?.error_rate)],
    ["failed at start", ({ connections }) => percent(connections?.failure_rate)],
  ]],
  ["Messages", [
    ["sent", ({ messages }) => whole(messages?.sent)],
    ["bytes sent", ({ messages }) => bytes(messages?.bytes)],
    ["conflated", ({ messages }) => whole(messages?.conflated)],
    ["dropped", ({ messages }) => whole(messages?.dropped)],
    ["latency p50", ({ messages }) => milliseconds(messages?.latency_ms?.p50)],
    ["latency p99", ({ messages }) => milliseconds(messages?.latency_ms?.p99)],
    ["queued", ({ queues }) => bytes(queues?.bytes)],
  ]],
  ["Loop", [
    ["late p99", ({ loop }) => milliseconds(loop?.lateness_ms?.p99)],
    ["late most", ({ loop }) => milliseconds(loop?.lateness_ms?.max)],
    ["busy p99", ({ loop }) => milliseconds(loop?.busy_ms?.p99)],
    ["wakeups/s", ({ loop }) => count(loop?.wakeups_per_s)],
    ["tasks", ({ tasks }) => whole(tasks?.running)],
    ["cache hits", ({ cache }) => percent(cache?.hit_rate)],
  ]],
  ["Process", [
    ["CPU", ({ process }) => known(process?.cpu_usage) ? decimal(process.cpu_usage) + "\u00a0%" : NONE],
    ["memory", ({ process }) => bytes(process?.rss)],
    ["heap", ({ process }) => bytes(process?.heap)],
    ["files open", ({ process }) => whole(process?.fds)],
  ]],
];

export class Server {
  constructor(ask) {
    this.reads = [];
    this.note = element("small");
    const groups = GROUPS.map(([title, rows]) => element("div", "", element("h3", "", title),
      element("dl", "", ...rows.map(([label, read]) => {
        const value = element("dd", "", NONE);
        this.reads.push({ read, value });
        return element("div", "", element("dt", "", label), value);
      }))));
    this.node = element("section", "card panel server",
      element("h2", "", "vitald itself", this.note), element("div", "groups", ...groups));
    this.node.id = "server";
    this.node.setAttribute("aria-label", "vitald itself");
    this.poller = new Poller(this.node, ask, SERVER_MS, () => ({ what: "server" }), (answer) => this.show(answer));
  }

  update(store) {
    const alerts = [...store.alerts.values()].filter(({ metric }) => metric.startsWith("server."));
    setAttribute(this.node, "data-severity", worst(alerts) ?? "none");
    setText(this.note, alerts.map(alertTitle).join(", "));
  }

  show(answer) {
    if (answer) for (const { read, value } of this.reads) setText(value, read(answer));
  }
}
