// What the page knows: host facts, the newest word on each figure (`sample`, with the time of the fast ones), and one
// column of figures a path over the last minutes.
// All columns are as long as `times`; an unknown figure is null. Times are the server's and rise. Draws nothing.

import { elapsedMs } from "./clock.js";
import { CHARTS, entries, LISTS, TABLES } from "./definitions.js";
import { known } from "./units.js";

const SAMPLES_MAX = 600;
const WINDOW_MS = 600000;
// A clock that seems to be ahead by less may be a first sample that was long under way.
const AHEAD_MS_MIN = 60000;
// Less than that is how a busy machine or a network is, and no news.
const STALE_MS_MIN = 2000;

const SCALARS = CHARTS.filter((chart) => !chart.list).flatMap((chart) => chart.series.map((series) => series.path));

const KEYS = Object.fromEntries(TABLES.map(({ topic, key }) => [topic, key]));

export class Store {
  constructor() {
    this.host = {};
    this.server = {};
    this.sample = {};
    this.intervalMs = 1000;
    this.receivedAt = null;
    // The most that the server's clock was ahead of elapsedMs, and how far it has been set since the page began.
    this.aheadMs = 0;
    this.movedMs = 0;
    this.times = [];
    this.columns = new Map();
    this.pushes = 0;
    // Devices that have given a figure: only for these is a null a hole in the total.
    this.measured = new Set();
    // Metrics of which this server has said that it keeps no history: it has room for so many.
    this.unrecorded = new Set();
    // Alerts that fire, by rule and metric: a rule may watch several devices.
    this.alerts = new Map();
  }

  // Ten minutes or 600 samples, whichever is less, but never fewer than a minute's worth of slow samples.
  get windowMs() {
    return Math.min(SAMPLES_MAX * this.intervalMs, Math.max(WINDOW_MS, 60 * this.intervalMs));
  }

  // Two samples further apart than this have a hole between them. Less than a second is how a busy machine is.
  get gapMs() {
    return Math.max(1.75 * this.intervalMs, 1000);
  }

  get ageMs() {
    return this.receivedAt === null ? null : elapsedMs() - this.receivedAt;
  }

  // The server's present time.
  get now() {
    return this.receivedAt === null ? Date.now() : this.sample.t + this.ageMs;
  }

  get stale() {
    return this.receivedAt !== null && this.ageMs > Math.max(3 * this.intervalMs, STALE_MS_MIN);
  }

  // Right edge of the charts: the newest sample while they come, the server's present time when they do not.
  get endTime() {
    const newest = this.times.at(-1) ?? this.now;
    return this.stale ? Math.max(newest, this.now) : newest;
  }

  // The time from one sample to the next that was granted.
  pace(intervalMs) {
    if (known(intervalMs) && intervalMs > 0) this.intervalMs = intervalMs;
  }

  hello(message) {
    this.host = message.host ?? {};
    this.server = message.server ?? {};
    this.pace(message.interval_ms);
    this.unrecorded.clear();
    this.alerts.clear();
    if (Array.isArray(message.alerts)) message.alerts.forEach((one) => this.alert(one));
    const snapshot = message.snapshot;
    if (known(snapshot?.t)) this.follow(snapshot.t);
    const history = message.history ?? {};
    // The newest of it is the snapshot's. Steps of a busy machine are longer than they say, and would add up.
    if (known(snapshot?.t)) {
      for (const one of Object.values(history)) {
        if (one?.values) one.t0 = snapshot.t - (one.values.length - 1) * one.step_ms;
      }
    }
    this.load(history, snapshot);
    if (!snapshot) return;
    this.sample = {};
    this.add(snapshot);
  }

  add(sample) {
    if (!known(sample?.t)) return;
    this.merge(sample);
    this.follow(sample.t);
    this.sample.t = sample.t;
    this.receivedAt = elapsedMs();
    // The same sample again, or a clock set back a little: times must rise, so the newer word stands.
    while (this.times.length && this.times.at(-1) > sample.t - this.intervalMs / 4) this.pop();
    this.push(sample.t, this.figures(sample));
    while (this.times.length > SAMPLES_MAX + 1 || this.times[0] < sample.t - this.windowMs - this.intervalMs) this.shift();
    this.pushes += 1;
    if (this.pushes % 64 === 0) this.forget();
  }

  // When the server's clock is set, what is older moves with it, so that ages stay right and lines whole; the server's
  // own history does the same with a clock set back. One that is far ahead of itself was set too: a sample that was
  // long under way, or missed, is not ahead, nor is one after a sleep, which elapsedMs counts.
  follow(time) {
    const aheadMs = time - elapsedMs();
    const newest = this.sample.t;
    const isSet = newest - time > this.intervalMs || aheadMs - this.aheadMs > AHEAD_MS_MIN;
    this.aheadMs = isSet || newest === undefined ? aheadMs : Math.max(aheadMs, this.aheadMs);
    if (!isSet || newest === undefined) return;
    const by = time - newest - Math.max(this.ageMs, this.intervalMs);
    this.times = this.times.map((one) => one + by);
    this.movedMs += by;
  }

  // Takes over what a message has and keeps the rest. Of a list it has all rows, if only some of their fields.
  merge({ type, sub, seq, t, ...topics }) {
    for (const [topic, word] of Object.entries(topics)) {
      if (Array.isArray(word)) {
        const key = KEYS[topic];
        const rows = new Map(entries(this.sample, topic).map((row) => [row[key], row]));
        this.sample[topic] = entries(topics, topic).map((row) => ({ ...rows.get(row[key]), ...row }));
      } else {
        this.sample[topic] = { ...this.sample[topic], ...word };
      }
    }
  }

  alert(one) {
    const name = one?.rule + "\n" + one?.metric;
    if (one?.state === "firing") this.alerts.set(name, one);
    else this.alerts.delete(name);
  }

  // What fires by the word of all rules, where some of what was told of them was lost.
  settle(rules) {
    const fires = new Map(rules.filter(({ state }) => state === "firing").map((one) => [one.name + "\n" + one.metric, one]));
    for (const name of this.alerts.keys()) if (!fires.has(name)) this.alerts.delete(name);
    for (const [name, { name: rule, above, below, ...one }] of fires) {
      if (!this.alerts.has(name)) this.alerts.set(name, { ...one, rule, threshold: above ?? below });
    }
  }

  latest(path) {
    return this.columns.get(path)?.at(-1) ?? null;
  }

  // Devices of a list that its total counts; if all of them look layered, all count.
  counted(list, names = entries(this.sample, list).map((entry) => entry.name)) {
    const plain = names.filter((name) => typeof name === "string" && !LISTS[list].layered(name, names));
    return plain.length ? plain : names.filter((name) => !/^lo\d*$/.test(name));
  }

  // Devices of a list that have a column, whether or not they are in the newest sample.
  devices(list) {
    const end = "." + LISTS[list].fields[0];
    return [...this.columns.keys()].filter((path) => path.startsWith(list + ".") && path.endsWith(end))
      .map((path) => path.slice(list.length + 1, -end.length)).filter((name) => name !== "*").sort();
  }

  nearest(time) {
    return nearestIndex(this.times, time, this.gapMs);
  }

  figures(sample) {
    const row = new Map(SCALARS.map((path) => {
      const [topic, field] = path.split(".");
      return [path, sample[topic]?.[field]];
    }));
    for (const [list, { fields }] of Object.entries(LISTS)) {
      const devices = entries(sample, list);
      const counted = new Set(this.counted(list));
      for (const field of fields) {
        const values = [];
        for (const device of devices) {
          const path = list + "." + device.name + "." + field;
          row.set(path, device[field]);
          if (known(device[field])) this.measured.add(path);
          if (counted.has(device.name) && this.measured.has(path)) values.push(device[field]);
        }
        row.set(list + ".*." + field, total(values));
      }
    }
    return row;
  }

  // What was missed, as series of points.
  fill(series) {
    const history = Object.fromEntries(series.map(({ metric, step_ms, points }) => {
      const values = [];
      points.forEach(([time, , mean]) => { values[Math.round((time - points[0][0]) / step_ms)] = mean; });
      return [metric, { t0: points[0][0], step_ms, values: Array.from(values) }];
    }));
    this.load(history, this.sample);
  }

  // What this page has seen stays; history comes where it has seen nothing.
  load(history, snapshot) {
    const series = Object.entries(history ?? {}).filter(([, one]) =>
      Array.isArray(one?.values) && one.values.length && known(one.t0) && one.step_ms > 0);
    if (!series.length) return;
    const step = Math.min(...series.map(([, one]) => one.step_ms));
    const start = Math.min(...series.map(([, one]) => one.t0));
    const place = (one, index) => Math.round((one.t0 + index * one.step_ms - start) / step);
    const length = Math.min(4 * SAMPLES_MAX, 1 + Math.max(...series.map(([, one]) => place(one, one.values.length - 1))));
    const columns = new Map(series.map(([path, one]) => {
      const column = new Array(length).fill(null);
      one.values.forEach((value, index) => { if (known(value)) column[place(one, index)] = value; });
      return [path, column];
    }));
    for (const list of Object.keys(LISTS)) this.totalHistory(list, columns, snapshot, length);
    const { times, columns: seen } = this;
    this.times = [];
    this.columns = new Map();
    const row = (from, index) => new Map([...from].map(([path, column]) => [path, column[index]]));
    let at = 0;
    const pushSeen = (end) => { for (; times[at] < end; at += 1) this.push(times[at], row(seen, at)); };
    for (let index = 0; index < length; index += 1) {
      const time = start + index * step;
      pushSeen(time - step / 2);
      if (!(times[at] < time + step / 2)) this.push(time, row(columns, index));
    }
    pushSeen(Infinity);
  }

  // A total over fewer devices than the live one would make a false step: then the past stays empty.
  totalHistory(list, columns, snapshot, length) {
    const names = entries(snapshot, list).map((entry) => entry.name);
    for (const field of LISTS[list].fields) {
      const parts = this.counted(list, names).map((name) => columns.get(list + "." + name + "." + field));
      if (!parts.length || parts.includes(undefined)) continue;
      const firsts = parts.map((part) => part.findIndex(known));
      const column = Array.from({ length }, (_, index) =>
        total(parts.filter((_, part) => firsts[part] >= 0 && firsts[part] <= index).map((part) => part[index])));
      columns.set(list + ".*." + field, column);
    }
  }

  push(time, row) {
    for (const path of row.keys()) {
      if (!this.columns.has(path)) this.columns.set(path, new Array(this.times.length).fill(null));
    }
    this.times.push(time);
    for (const [path, column] of this.columns) {
      const value = row.get(path);
      column.push(known(value) ? value : null);
    }
  }

  pop() {
    this.times.pop();
    for (const column of this.columns.values()) column.pop();
  }

  shift() {
    this.times.shift();
    for (const column of this.columns.values()) column.shift();
  }

  // Devices that have gone (containers' interfaces come and go all day) leave once their last figure does.
  forget() {
    for (const [path, column] of this.columns) {
      if (column.some((value) => value !== null)) continue;
      this.columns.delete(path);
      this.measured.delete(path);
    }
  }
}

// Index of the time nearest to one, or -1 where the nearest is further than a hole is wide.
export function nearestIndex(times, time, gapMs) {
  let low = 0;
  let high = times.length - 1;
  if (high < 0) return -1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && time - times[low - 1] < times[low] - time) low -= 1;
  return Math.abs(times[low] - time) < gapMs ? low : -1;
}

// One unknown part makes the sum unknown: a dip that did not happen is worse than a hole.
export function total(values) {
  if (!values.length || !values.every(known)) return null;
  return values.reduce((all, value) => all + value, 0);
}
