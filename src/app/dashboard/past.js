// A longer range than the store's: asked for from the server's history, with the store's newest samples behind it.
// Charts read it as they read the store: `times`, `columns`, `gapMs`, `nearest`; `bands` has the least and the most
// beside the means of `columns`. It is asked for again now and then, while somebody looks. Draws nothing.

import { CHARTS, LISTS } from "./definitions.js";
import { nearestIndex, total } from "./store.js";

// Milliseconds of a range; the store's own has none.
export const RANGES = { "10m": 0, "2h": 7200000, "24h": 86400000 };

// As many as a wide chart can show.
const POINTS = 360;
// What the server takes in one request, and devices of a list beyond which there are no totals.
const METRICS_MAX = 8;
const DEVICES_MAX = 6;
// A new answer is asked for when so many points are missing from it.
const POINTS_BEHIND = 6;
// And after so long where there is none at all.
const AGAIN_MS = 30000;

const scalars = CHARTS.filter(({ list }) => !list).flatMap(({ series }) => series.map(({ path }) => path));

// What charts draw, list by list: so each is refused by itself.
function wanted(store) {
  const lists = Object.entries(LISTS).map(([list, { fields }]) => {
    const counted = store.counted(list);
    const devices = [...new Set([...counted, ...store.devices(list)])].slice(0, DEVICES_MAX);
    return devices.flatMap((device) => fields.map((field) => list + "." + device + "." + field));
  });
  return [scalars, ...lists];
}

// The series of all that charts draw, or of other lists of metrics, each as the server has it; null when the connection
// was lost or the server's clock set. One after another: what a metric without history spoils is asked for again one by
// one, and what has none is asked for no more.
export async function fetchSeries(ask, store, terms, lists = wanted(store)) {
  const asked = (metric) => new Promise((then) => ask({ what: "history", metric, ...terms }, then));
  const { movedMs } = store;
  const series = [];
  const queue = lists.flatMap((paths) =>
    Array.from({ length: Math.ceil(paths.length / METRICS_MAX) }, (_, index) =>
      paths.slice(index * METRICS_MAX, (index + 1) * METRICS_MAX)));
  while (queue.length) {
    const metrics = queue.shift().filter((path) => !store.unrecorded.has(path));
    if (!metrics.length) continue;
    const answer = await asked(metrics);
    if (answer === null || movedMs !== store.movedMs) return null;
    if (answer.series) series.push(...answer.series);
    else if (metrics.length > 1) queue.unshift(...metrics.map((metric) => [metric]));
    else if (answer.code === "unknown_topic") store.unrecorded.add(metrics[0]);
  }
  return series.filter(({ points }) => points.length);
}

export class Past {
  constructor(store, ask, changed) {
    Object.assign(this, { store, ask, changed, rangeMs: 0, turn: 0, askedTo: 0 });
    this.clear();
  }

  clear() {
    this.movedMs = this.store.movedMs;
    this.stepMs = 0;
    this.known = { times: [], rows: new Map() };
    this.times = [];
    this.columns = new Map();
    this.bands = new Map();
    this.joined = null;
  }

  get gapMs() {
    return Math.max(1.75 * this.stepMs, this.store.gapMs);
  }

  nearest(time) {
    return nearestIndex(this.times, time, this.gapMs);
  }

  // Whether charts draw this and not the store.
  get isShown() {
    return this.rangeMs > 0;
  }

  show(rangeMs) {
    this.rangeMs = rangeMs;
    this.clear();
    this.refresh();
  }

  // To be called after hello and when somebody looks again.
  async refresh() {
    if (!this.isShown) return;
    this.follow();
    const turn = this.turn += 1;
    this.askedTo = this.store.endTime;
    const since = Math.max(0, Math.round(this.store.endTime - this.rangeMs));
    // What was asked for before is of no interest any more.
    const ask = (message, then) => turn === this.turn && this.isShown ? this.ask(message, then) : then(null);
    const series = await fetchSeries(ask, this.store, { since, points: POINTS });
    if (series === null || turn !== this.turn || !this.isShown) return;
    this.take(series);
    this.changed();
  }

  // Takes over an answer, and from before it what has been shown: a server that began anew may have lost it.
  take(series) {
    this.join();
    const first = Math.min(...series.map(({ points }) => points[0][0]));
    const from = this.store.endTime - this.rangeMs;
    const shown = [...this.bands].map(([metric, { lows, highs }]) => {
      const means = this.columns.get(metric);
      const points = this.times.map((time, at) => [time, lows[at], means[at], highs[at]]).filter(([time, , mean]) =>
        mean !== null && time + this.stepMs > from && time + this.stepMs <= first);
      return { metric, step_ms: this.stepMs, points };
    });
    const all = [...shown.filter(({ points }) => points.length), ...series];
    const stepMs = this.stepMs = Math.max(this.store.intervalMs, ...all.map((one) => one.step_ms));
    // The first point of a series begins where it does, and not with its step.
    const place = (time) => Math.floor(time / stepMs) * stepMs;
    const times = [...new Set(all.flatMap(({ points }) => points.map(([time]) => place(time))))].sort((a, b) => a - b);
    const index = new Map(times.map((time, at) => [time, at]));
    const rows = new Map();
    for (const { metric, points } of all) {
      if (!rows.has(metric)) {
        const [low, mean, high, count] = Array.from({ length: 4 }, () => new Array(times.length).fill(null));
        rows.set(metric, { low, mean, high, count });
      }
      const { low, mean, high, count } = rows.get(metric);
      for (const [time, least, middle, most] of points) {
        const at = index.get(place(time));
        low[at] = Math.min(low[at] ?? least, least);
        high[at] = Math.max(high[at] ?? most, most);
        // Points of shorter steps than the others' share one.
        count[at] += 1;
        mean[at] += (middle - mean[at]) / count[at];
      }
    }
    this.known = { times, rows };
    this.joined = null;
  }

  // Where the server's clock is set back, its history moves with it. Whether the clock was set.
  follow() {
    const by = this.store.movedMs - this.movedMs;
    if (!by) return false;
    this.movedMs += by;
    const steps = Math.round(Math.min(0, by) / this.stepMs) * this.stepMs;
    this.known.times = this.known.times.map((time) => time + steps);
    this.joined = null;
    return true;
  }

  // Puts what the store has seen since behind what was asked for; each sample changes the last step.
  join() {
    const { store, known, stepMs } = this;
    const isSet = this.follow();
    const last = known.times.at(-1) ?? -Infinity;
    // An answer that is late or refused is not asked for any sooner.
    const behindMs = (store.times.at(-1) ?? 0) - Math.max(last, this.askedTo);
    if (isSet || behindMs > (POINTS_BEHIND * stepMs || AGAIN_MS)) this.refresh();
    if (!stepMs || this.joined === store.pushes) return;
    this.joined = store.pushes;
    // The last step that was asked for was not over then.
    const steps = new Map();
    store.times.forEach((time, index) => {
      const step = Math.floor(time / stepMs) * stepMs;
      if (step < last) return;
      if (!steps.has(step)) steps.set(step, []);
      steps.get(step).push(index);
    });
    const isSeenWhole = steps.has(last) && store.times[0] <= last;
    const whole = known.times.slice(0, isSeenWhole ? -1 : undefined);
    const added = [...steps].filter(([step]) => !(whole.at(-1) >= step));
    this.times = [...whole, ...added.map(([step]) => step)];
    this.columns = new Map();
    this.bands = new Map();
    const unknown = new Array(known.times.length).fill(null);
    for (const path of new Set([...known.rows.keys(), ...store.columns.keys()])) {
      const row = known.rows.get(path);
      const column = store.columns.get(path) ?? [];
      const seen = added.map(([, indexes]) => tally(indexes.map((index) => column[index])));
      const joined = (name) => [...(row?.[name] ?? unknown).slice(0, whole.length), ...seen.map((step) => step[name])];
      this.columns.set(path, joined("mean"));
      if (row || path.includes("*")) this.bands.set(path, { lows: joined("low"), highs: joined("high") });
    }
    this.addTotals(whole.length);
  }

  // Of the means. What is known of the most of a sum: while one is at its most, the others are at least at their least.
  addTotals(length) {
    for (const [list, { fields }] of Object.entries(LISTS)) {
      for (const field of fields) {
        const parts = this.store.counted(list).map((name) => this.known.rows.get(list + "." + name + "." + field));
        const path = list + ".*." + field;
        const means = this.columns.get(path);
        if (!means || !parts.length || parts.includes(undefined)) continue;
        const { lows, highs } = this.bands.get(path);
        for (let at = 0; at < length; at += 1) {
          const [mean, low, high] = ["mean", "low", "high"].map((name) => total(parts.map((part) => part[name][at])));
          means[at] = mean;
          if (mean === null) continue;
          const most = Math.max(...parts.map((part) => part.high[at] - part.low[at]));
          lows[at] = Math.min(mean, high - most);
          highs[at] = Math.max(mean, low + most);
        }
      }
    }
  }
}

function tally(values) {
  const known = values.filter((value) => typeof value === "number");
  if (!known.length) return { low: null, mean: null, high: null };
  return { low: Math.min(...known), mean: known.reduce((sum, value) => sum + value, 0) / known.length, high: Math.max(...known) };
}
