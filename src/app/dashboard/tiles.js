// The headline tiles: a figure with its last minutes behind it, marked where an alert fires on it. And the line above
// them, which says in words whether this host is well.

import { elapsedMs } from "./clock.js";
import { alertText, alertTitle, FULL, root, SEVERITIES, worst } from "./definitions.js";
import { element, Meter, setAttribute, setFigure, setText, shape } from "./dom.js";
import { fetchSeries } from "./past.js";
import { nearestIndex } from "./store.js";
import { known, moment, percent } from "./units.js";

const SPAN_MS = 300000;
// The past is asked for no sooner again: a machine that draws seldom misses something with each drawing.
const RECALL_MS = 30000;
// So many steps across: a step is the highest of its samples, so that what was short is seen too.
const STEPS = 100;
// History has steps of its own: where they were longer than these, every few of these would stay empty.
const RECALLED = 3 * STEPS;
const HEIGHT = 100;

// Two paths a line: the line itself and, of the first, the shade below it. Colours and size are the sheet's matter.
class Spark {
  constructor(lines) {
    const viewBox = "0 0 " + STEPS + " " + HEIGHT;
    this.node = shape("svg", { class: "spark", viewBox, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.paths = lines.map(({ color }, index) => {
      const line = shape("path", { class: "line c" + color });
      const area = shape("path", { class: "area c" + color });
      this.node.append(...(index ? [line] : [area, line]));
      return { line, area };
    });
  }

  // `series`: for each line { times, values }.
  draw(series, end, intervalMs, top) {
    const step = Math.max(SPAN_MS / STEPS, intervalMs);
    const last = Math.floor(end / step);
    const all = series.map(({ times, values }) => {
      const steps = new Array(STEPS + 1).fill(null);
      for (let index = times.length - 1; index >= 0; index -= 1) {
        const place = STEPS + Math.floor(times[index] / step) - last;
        if (place < 0) break;
        if (known(values[index]) && place <= STEPS) steps[place] = Math.max(steps[place] ?? 0, values[index]);
      }
      return steps;
    });
    const height = top(Math.max(0, ...all.flat()));
    all.forEach((steps, index) => {
      const { line, area } = outline(steps, height);
      setAttribute(this.paths[index].line, "d", line);
      setAttribute(this.paths[index].area, "d", area);
    });
  }
}

function outline(steps, top) {
  let line = "";
  let area = "";
  steps.forEach((value, place) => {
    if (value === null) return;
    // Two units stay free above and below: half of a line is no less a line.
    const point = place + " " + (HEIGHT - 2 - Math.min(1, value / top) * (HEIGHT - 4)).toFixed(1);
    const begins = (steps[place - 1] ?? null) === null;
    const ends = (steps[place + 1] ?? null) === null;
    line += (begins ? "M" : "L") + point + (begins && ends ? "h.5" : "");
    area += (begins ? "M" + place + " " + HEIGHT + "L" : "L") + point + (ends ? "V" + HEIGHT + "Z" : "");
  });
  return { line, area };
}

export class Tile {
  constructor(definition, ask) {
    this.definition = definition;
    this.ask = ask;
    this.title = element("span");
    this.note = element("small");
    this.badge = element("span", "badge");
    this.node = element("section", "card tile", element("h2", "", this.title, this.note, this.badge));
    if (definition.pair) {
      this.figures = definition.pair.map(() => element("dd"));
      this.node.append(element("dl", "", ...definition.pair.map(({ label, color }, index) =>
        element("div", "pair", element("dt", "", element("i", "swatch c" + color), label), this.figures[index]))));
    } else {
      this.figure = element("p", "figure");
      this.detail = element("p", "detail");
      this.node.append(this.figure, this.detail);
    }
    if (definition.meter) {
      this.meter = new Meter();
      this.node.append(this.meter.node);
    }
    this.lines = definition.pair ?? (definition.line ? [{ color: 1, ...definition.line }] : []);
    // What the store keeps no column of is kept here, as it was seen.
    this.seen = { times: [], values: [] };
    this.movedMs = 0;
    this.isMissing = true;
    this.recalledAt = -Infinity;
    if (!this.lines.length) return;
    this.spark = new Spark(this.lines);
    this.node.append(this.spark.node);
  }

  update(sample, store) {
    const { label, note, figure, pair, detail, meter, isShown } = this.definition;
    this.node.hidden = isShown !== undefined && !isShown(sample);
    setText(this.title, typeof label === "function" ? label(sample) : label);
    const aside = note?.(sample, store) ?? "";
    setText(this.note, aside);
    setAttribute(this.note, "title", aside);
    if (pair) {
      pair.forEach(({ read }, index) => setFigure(this.figures[index], read(sample, store)));
    } else {
      setFigure(this.figure, figure(sample, store));
      const text = detail(sample, store);
      setText(this.detail, text);
      setAttribute(this.detail, "title", text);
    }
    if (meter) this.meter.set(meter(sample, store));
    this.mark([...store.alerts.values()].filter(({ metric }) => this.definition.alerts?.test(metric)));
    if (this.spark && !this.node.hidden && sample.t !== this.drawn) this.trace(sample, store);
  }

  mark(alerts) {
    const severity = worst(alerts);
    setAttribute(this.node, "data-severity", severity ?? "none");
    setText(this.badge, severity ? SEVERITIES[severity] : "");
    setAttribute(this.badge, "title", alerts.map(alertText).join("\n"));
  }

  trace(sample, store) {
    this.drawn = sample.t;
    const series = this.lines.map(({ path, seen }) =>
      seen ? this.see(sample, store) : { times: store.times, values: store.columns.get(path) ?? [] });
    const top = (most) => this.definition.top?.(most, sample, store) ?? 100;
    this.spark.draw(series, sample.t ?? 0, store.intervalMs, top);
  }

  see(sample, store) {
    const by = store.movedMs - this.movedMs;
    if (by) this.seen.times = this.seen.times.map((one) => one + by);
    this.movedMs = store.movedMs;
    const { times, values } = this.seen;
    const time = sample.t;
    // After a time in which nobody looked.
    if (time - times.at(-1) > 5 * store.intervalMs) this.isMissing = true;
    // A clock set back a little: times must rise, as the store's do.
    while (times.at(-1) >= time) [times, values].forEach((list) => list.pop());
    while (times[0] < time - 2 * SPAN_MS) [times, values].forEach((list) => list.shift());
    times.push(time);
    values.push(this.definition.line.seen(sample));
    if (this.isMissing && elapsedMs() - this.recalledAt > RECALL_MS) this.recall(sample, store);
    return this.seen;
  }

  // Puts the past where nothing was seen.
  async recall(sample, store) {
    this.isMissing = false;
    this.recalledAt = elapsedMs();
    const since = Math.max(0, sample.t - SPAN_MS);
    const series = await fetchSeries(this.ask, store, { since, points: RECALLED }, [this.definition.line.past(sample)]);
    this.isMissing ||= series === null;
    const { times, values } = this.seen;
    const all = new Map();
    for (const { points } of series ?? []) {
      for (const [time, , , most] of points) {
        if (nearestIndex(times, time, store.intervalMs) < 0) all.set(time, Math.max(all.get(time) ?? 0, most));
      }
    }
    times.forEach((time, index) => all.set(time, values[index]));
    this.seen.times = [...all.keys()].sort((one, other) => one - other);
    this.seen.values = this.seen.times.map((time) => all.get(time));
    this.drawn = null;
  }
}

// "All well", or what is wrong, or that it is not known: one line, always there.
export class Health {
  constructor(node) {
    this.node = node;
    this.text = element("strong");
    this.detail = element("span");
    this.words = element("a", "", this.text, this.detail);
    this.words.href = "#alerts";
    node.replaceChildren(element("i", "sign"), this.words);
  }

  update(store, trusted) {
    const alerts = [...store.alerts.values()];
    const severity = worst(alerts);
    const first = alerts.find((one) => one.severity === severity);
    let state = "well";
    let text = "All well";
    let detail = "no alert is firing";
    const fullest = root(store.sample);
    if (fullest?.usage >= FULL) {
      state = "warning";
      text = "Nearly full";
      detail = fullest.mount + " is " + percent(fullest.usage) + " full";
    }
    if (severity) {
      state = severity;
      text = alerts.length > 1 ? alerts.length + " alerts" : SEVERITIES[severity];
      detail = alertTitle(first) + " since " + moment(first.since);
      if (alerts.length > 1) detail += " and " + (alerts.length - 1) + " more";
    }
    if (!trusted) {
      state = "unknown";
      // No age: a screen reader would read each change of it aloud, and it stands at the top right.
      detail = store.ageMs === null ? "no sample yet" : severity ? "at last " + detail : "no new sample comes";
      text = "Not known";
    }
    setAttribute(this.node, "data-severity", state);
    setText(this.text, text);
    setText(this.detail, detail);
    setAttribute(this.words, "title", detail);
  }
}
