// What the page shows: the one place to add a tile, a chart or a table. Everything here is data and small pure
// functions of (sample, store); reading a missing figure gives undefined, which units.js writes as "–".
// The server sends what is declared here and no more: `fast` are the paths read that move each second, `slow` those
// that may be SLOW_MS old; what a chart draws is always fast. Paths stand whole and in quotes: bench/messages and
// src/app/assets.rs read them here.

import { bytes, celsius, clockMinutes, count, day, decimal, duration, KINDS, known, moment, NONE, percent, rate, ratio, share, whole } from "./units.js";

// Lists whose devices are charted: which fields are kept, and which devices the total counts. Without the
// second, a bridge and its port, or a volume and its disk, would count the same bytes twice.
export const LISTS = {
  disks: {
    fields: ["read_bytes_per_s", "write_bytes_per_s"],
    layered: (name, names) => /^(loop|ram|zram|dm-|md|sr|fd|nbd)/.test(name) ||
      names.some((disk) => name !== disk && name.startsWith(disk) && /^p?\d+$/.test(name.slice(disk.length))),
  },
  networks: {
    fields: ["rx_bytes_per_s", "tx_bytes_per_s"],
    layered: (name) => /^(lo\d*$|veth|docker|br|virbr|vnet|tun|tap|wg|tailscale|zt|bond|team|dummy|ifb|cni|flannel|cali|podman|lxc)|[.@]/
      .test(name),
  },
};

export const entries = (sample, topic) =>
  Array.isArray(sample?.[topic]) ? sample[topic].filter((entry) => entry && typeof entry === "object") : [];

// A router's writable root is often only visible as /overlay. Another that is nearly full is what is to be seen first.
export const FULL = 90;
export const root = (sample) => {
  const all = entries(sample, "filesystems");
  const main = all.find((one) => one.mount === "/") ?? all.find((one) => one.mount === "/overlay") ?? all[0];
  return all.reduce((most, one) => one.usage >= FULL && one.usage > most.usage ? one : most, main);
};

const coreCount = (sample, store) => sample.cpu?.cores?.length || store.host.cores;

// What the control group allows, where vitald runs in one with limits: the host's own size is then not what counts.
const memoryLimit = ({ cgroup }) => known(cgroup?.memory_limit)
  ? "group " + share(cgroup.memory_used, cgroup.memory_limit) : null;

const quota = ({ cgroup }) => known(cgroup?.cpu_quota_cores) ? "quota " + cores(Number(decimal(cgroup.cpu_quota_cores, 2))) : null;

const hottest = (sample) => entries(sample, "temperatures").filter((one) => known(one.celsius))
  .reduce((most, one) => !most || one.celsius > most.celsius ? one : most, null);

const cores = (number) => known(number) ? number + (number === 1 ? " core" : " cores") : null;

const joined = (...parts) => parts.filter((part) => part && part !== NONE).join("\u00a0· ") || NONE;

const load = (value) => decimal(value, value < 10 ? 2 : 1);

const started = (now, uptime) => !known(now) || !known(uptime) ? NONE
  : "since " + (uptime < 86400 ? clockMinutes : day).format(now - 1000 * uptime);

const sensor = (one) => one?.label || one?.sensor || NONE;

// The worst of the three, while at least one is known.
const pressed = ({ pressure }) => [pressure?.cpu_some, pressure?.memory_some, pressure?.io_some].filter(known)
  .reduce((most, value) => Math.max(most ?? 0, value), null);

const column = (path) => ({ path });
const flow = (label, color, path) => ({ label, color, path, read: (sample, store) => rate(store.latest(path)) });
const leastRate = (most) => Math.max(most, KINDS.rate.least);

// A tile: `figure` (one large value) with `detail` below, or `pair` (two named ones); `note` stands behind the title.
// Below, the last minutes: of `line`, or of both of the pair, up to `top` (100 without it). A line has the `path` of
// the store's column, or is `seen` in each sample, with the highest of the metrics in `past` before that. `meter` is a
// bar in percent in place of it. An alert on a metric that `alerts` knows marks the tile. Where `isShown` says no, the
// host has no such thing. One that is `inRow` is shown of each host where there are several.
export const TILES = [
  {
    inRow: true, label: "CPU", fast: ["cpu.usage", "cpu.cores"], slow: ["cpu.frequency_mhz", "cgroup.cpu_quota_cores"],
    figure: (sample) => percent(sample.cpu?.usage),
    detail: (sample, store) => joined(cores(coreCount(sample, store)),
      known(sample.cpu?.frequency_mhz) ? decimal(sample.cpu.frequency_mhz / 1000, 1) + " GHz" : null, quota(sample)),
    line: column("cpu.usage"), alerts: /^(cpu|cgroup\.cpu)/,
  },
  {
    inRow: true, label: "Memory", fast: ["memory.usage", "memory.used"],
    slow: ["memory.total", "cgroup.memory_used", "cgroup.memory_limit"],
    figure: (sample) => percent(sample.memory?.usage),
    detail: (sample) => joined(share(sample.memory?.used, sample.memory?.total), memoryLimit(sample)),
    line: { ...column("memory.usage"), color: 4 }, alerts: /^(memory\.(?!swap)|cgroup\.memory)/,
  },
  {
    label: "Swap", fast: ["memory.swap_usage", "memory.swap_used"], slow: ["memory.swap_total"],
    figure: (sample) => sample.memory?.swap_total === 0 ? "none" : percent(sample.memory?.swap_usage),
    detail: (sample) => sample.memory?.swap_total === 0 ? "no space set up"
      : share(sample.memory?.swap_used, sample.memory?.swap_total),
    line: { ...column("memory.swap_usage"), color: 2 }, alerts: /^memory\.swap/,
  },
  {
    inRow: true, label: "Load", note: () => "1 min", fast: ["load.one", "load.five", "load.fifteen"],
    figure: (sample) => load(sample.load?.one),
    detail: (sample) => "5m " + load(sample.load?.five) + " · 15m " + load(sample.load?.fifteen),
    line: { seen: (sample) => sample.load?.one, past: () => ["load.one"] }, alerts: /^load\./,
    top: (most, sample, store) => Math.max(most, coreCount(sample, store) || 1),
  },
  {
    label: "Pressure", note: () => "10 s", slow: ["pressure.cpu_some", "pressure.memory_some", "pressure.io_some"],
    figure: (sample) => percent(pressed(sample)),
    detail: (sample) => known(pressed(sample)) ? "CPU " + whole(sample.pressure.cpu_some) + " · mem "
      + whole(sample.pressure.memory_some) + " · I/O " + whole(sample.pressure.io_some) : sample.t ? "not told by this kernel" : NONE,
    line: {
      color: 3, seen: (sample) => pressed(sample),
      past: () => ["pressure.cpu_some", "pressure.memory_some", "pressure.io_some"],
    },
    alerts: /^pressure\./,
  },
  {
    inRow: true, label: "Disk I/O", note: (sample, store) => store.counted("disks").join(", "),
    pair: [
      flow("read", 1, "disks.*.read_bytes_per_s"),
      flow("write", 2, "disks.*.write_bytes_per_s"),
    ],
    top: leastRate, alerts: /^disks\./,
  },
  {
    inRow: true, label: "Network", note: (sample, store) => store.counted("networks").join(", "),
    pair: [
      flow("in", 1, "networks.*.rx_bytes_per_s"),
      flow("out", 2, "networks.*.tx_bytes_per_s"),
    ],
    top: leastRate, alerts: /^(networks|sockets)\./,
  },
  {
    inRow: true, label: "Filesystem", note: (sample) => root(sample)?.mount ?? "/",
    slow: ["filesystems.*.usage", "filesystems.*.used", "filesystems.*.total"],
    figure: (sample) => percent(root(sample)?.usage),
    detail: (sample) => share(root(sample)?.used, root(sample)?.total),
    meter: (sample) => root(sample)?.usage, alerts: /^filesystems\./,
  },
  {
    label: "Uptime", fast: ["system.uptime_s"], slow: ["system.processes"],
    figure: (sample) => duration(sample.system?.uptime_s),
    detail: (sample) => started(sample.t, sample.system?.uptime_s) + "\n"
      + count(sample.system?.processes) + " processes", alerts: /^system\./,
  },
  {
    inRow: true, label: "Temperature", note: (sample) => sensor(hottest(sample)),
    slow: ["temperatures.*.celsius", "temperatures.*.label", "temperatures.*.critical"],
    isShown: (sample) => hottest(sample) !== null,
    figure: (sample) => celsius(hottest(sample)?.celsius),
    detail: (sample) => known(hottest(sample)?.critical) ? "critical at " + celsius(hottest(sample).critical)
      : "hottest sensor",
    line: {
      color: 2, seen: (sample) => hottest(sample)?.celsius,
      past: (sample) => ["temperatures." + hottest(sample)?.sensor + ".celsius"],
    },
    alerts: /^temperatures\./,
    top: (most, sample) => Math.max(most, hottest(sample)?.critical ?? 100),
  },
];

// A chart: `kind` of axis (units.js), `series` of scalar paths; with `list`, paths are those of each device.
// `color` is one of the four series colours, `fill` shades below the line.
export const CHARTS = [
  {
    id: "cpu", title: "CPU", kind: "percent",
    series: [
      { path: "cpu.usage", label: "total", color: 1, fill: true },
      { path: "cpu.system", label: "system", color: 2 },
      { path: "cpu.iowait", label: "I/O wait", color: 3 },
    ],
  },
  {
    id: "memory", title: "Memory", kind: "percent",
    series: [
      { path: "memory.usage", label: "in use", color: 4, fill: true },
      { path: "memory.swap_usage", label: "swap", color: 2 },
    ],
  },
  {
    id: "disk", title: "Disk I/O", kind: "rate", list: "disks",
    series: [
      { path: "disks.*.read_bytes_per_s", label: "read", color: 1, fill: true },
      { path: "disks.*.write_bytes_per_s", label: "write", color: 2, fill: true },
    ],
  },
  {
    id: "network", title: "Network", kind: "rate", list: "networks",
    series: [
      { path: "networks.*.rx_bytes_per_s", label: "in", color: 1, fill: true },
      { path: "networks.*.tx_bytes_per_s", label: "out", color: 2, fill: true },
    ],
  },
];

export const sum = (...values) => values.some(known)
  ? values.reduce((total, value) => total + (known(value) ? value : 0), 0) : null;

// A table: one row an entry of `topic`, told apart by `key`. A column has `cell` (text), and may have `note` (small
// text behind it), `meter` (percent, drawn before the text; `plain` where much is not bad), `text` (left), `minor`
// (left out where there is little room), `width`. One that is `optional` is not shown while it is empty.
export const TABLES = [
  {
    title: "Filesystems", topic: "filesystems", key: "mount",
    slow: ["filesystems.*.device", "filesystems.*.kind", "filesystems.*.usage", "filesystems.*.available", "filesystems.*.total"],
    columns: [
      { head: "Mount", cell: (one) => one.mount ?? NONE, hint: (one) => one.device, text: true },
      { head: "Type", cell: (one) => one.kind ?? NONE, text: true, minor: true, width: "4.6rem" },
      { head: "Used", cell: (one) => percent(one.usage), meter: (one) => one.usage, width: "34%" },
      { head: "Free", cell: (one) => bytes(one.available), width: "5.9rem" },
      { head: "Size", cell: (one) => bytes(one.total), minor: true, width: "5.9rem" },
    ],
  },
  {
    title: "Disks", topic: "disks", key: "name", fast: ["disks"],
    columns: [
      { head: "Name", cell: (one) => one.name ?? NONE, text: true },
      { head: "Read", cell: (one) => rate(one.read_bytes_per_s), width: "6rem" },
      { head: "Write", cell: (one) => rate(one.write_bytes_per_s), width: "6rem" },
      { head: "Ops/s", cell: (one) => count(sum(one.reads_per_s, one.writes_per_s)), minor: true, width: "4rem" },
      { head: "Wait ms", cell: (one) => count(one.await_ms), minor: true, width: "4.6rem" },
      { head: "Busy", cell: (one) => percent(one.utilisation), width: "4.4rem" },
    ],
  },
  {
    title: "Interfaces", topic: "networks", key: "name",
    // What is lost may be lost in one second of many; a count of packets can wait.
    fast: ["networks.*.rx_errors_per_s", "networks.*.tx_errors_per_s", "networks.*.rx_dropped_per_s", "networks.*.tx_dropped_per_s"],
    slow: ["networks.*.up", "networks.*.rx_packets_per_s", "networks.*.tx_packets_per_s"],
    columns: [
      { head: "Name", cell: (one) => one.name ?? NONE, note: (one) => one.up === false ? "down" : "", text: true },
      { head: "In", cell: (one) => rate(one.rx_bytes_per_s), width: "6rem" },
      { head: "Out", cell: (one) => rate(one.tx_bytes_per_s), width: "6rem" },
      { head: "Packets/s", cell: (one) => count(sum(one.rx_packets_per_s, one.tx_packets_per_s)), minor: true, width: "5.2rem" },
      {
        head: "Lost/s", minor: true, width: "4rem", hint: () => "errors and drops, both ways",
        cell: (one) => count(sum(one.rx_errors_per_s, one.tx_errors_per_s, one.rx_dropped_per_s, one.tx_dropped_per_s)),
      },
    ],
  },
  {
    title: "Sensors", topic: "temperatures", key: "sensor", optional: true, slow: ["temperatures"],
    columns: [
      { head: "Sensor", cell: sensor, hint: (one) => one.sensor, text: true },
      {
        head: "Now", cell: (one) => celsius(one.celsius), width: "34%",
        meter: (one) => ratio(one.celsius, one.critical ?? one.high ?? 100),
      },
      { head: "High", cell: (one) => celsius(one.high), minor: true, width: "5rem" },
      { head: "Critical", cell: (one) => celsius(one.critical), minor: true, width: "5rem" },
    ],
  },
];

const SLOW_MS = 10000;
const ROW_MS = 2000;
const ROW_TILES = TILES.filter(({ inRow }) => inRow);

// What the page asks for, by the names of subscriptions, and what a row of another host does.
export const TOPICS = topics([...TILES, ...TABLES], CHARTS.flatMap(({ series }) => series), {});
export const ROW_TOPICS = topics(ROW_TILES, ROW_TILES.flatMap(({ line, pair }) => pair ?? line ?? []), { interval_ms: ROW_MS });

function topics(parts, lines, pace) {
  const declared = (name) => parts.flatMap((one) => one[name] ?? []);
  const paths = [...declared("fast"), ...lines.map(({ path }) => path).filter(Boolean)];
  return { default: { topics: paths, ...pace }, slow: { topics: declared("slow"), interval_ms: SLOW_MS } };
}

// How the figures of a metric are written, by the end of its name.
const WRITTEN = [
  [/usage$|utilisation$|_rate$|throttled$|^cpu\.(?!freq|cores)|^pressure\./, percent],
  [/bytes_per_s$/, rate],
  [/^memory\.|^cgroup\.memory|\.(total|used|available|rss|heap|bytes)$/, bytes],
  [/celsius$/, celsius],
  [/_ms\b/, (value) => count(value) + (known(value) ? "\u00a0ms" : "")],
];
export const written = (metric, value) => (WRITTEN.find(([name]) => name.test(metric))?.[1] ?? count)(value);

// From the mildest on, with their words.
export const SEVERITIES = { info: "Notice", warning: "Warning", critical: "Critical" };

export const worst = (alerts) =>
  Object.keys(SEVERITIES).findLast((name) => alerts.some(({ severity }) => severity === name));

const TOPIC_WORDS = {
  cpu: "CPU", server: "vitald", disks: "Disk", filesystems: "Filesystem", networks: "Interface", temperatures: "Sensor",
};

// "CPU usage", "Disk vda read", "vitald messages latency p99": a row's own name stays as it is, and the unit is
// written with the figure.
function metricText(metric) {
  const [topic, ...middle] = metric.split(".");
  const field = middle.pop() ?? "";
  const plain = (text) => text.replace(/_bytes_per_s|_ms\b|^celsius$/, "").replace("_per_s", "/s").replace(/[._]/g, " ");
  const row = middle.join(".");
  const first = TOPIC_WORDS[topic] ?? topic[0]?.toUpperCase() + topic.slice(1);
  return [first, topic === "server" ? plain(row) : row, plain(field)].filter(Boolean).join(" ");
}

// A rule, and a firing alert of it, in words. The value is the one that made it fire.
export const ruleText = ({ metric, above, below }) => metricText(metric) + (known(below) ? " below " : " above ")
  + written(metric, above ?? below).replace(/\.0(?=\D)/, "");
export const alertTitle = ({ metric, value, threshold }) =>
  ruleText({ metric, [value < threshold ? "below" : "above"]: threshold });
export const alertText = (alert) => alertTitle(alert) + " since " + moment(alert.since)
  + ", " + written(alert.metric, alert.value) + " then (" + alert.rule + ")";

export function hostFacts(host) {
  return joined(host.os, host.kernel, host.architecture, joined(host.cpu_model, cores(host.cores)),
    known(host.memory_total) ? bytes(host.memory_total) : null);
}
