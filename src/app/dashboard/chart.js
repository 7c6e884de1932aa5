// A line chart on a canvas: a time axis, a value axis from 0, one line a series with holes where there is no figure,
// and a cursor that all charts share. Reads the store, or what stands in for it over a longer range, which has bands
// from the least to the most beside its means; keeps no figures of its own. The cursor is { fraction } of the window
// under a pointer, { time } where a finger was, { time, keyed } under the keys, or null.

import { element, setText } from "./dom.js";
import { LISTS } from "./definitions.js";
import { axis, clockMinutes, clockSeconds, KINDS, NONE } from "./units.js";

const LEFT = 34;
const RIGHT = 6;
const TOP = 18;
const BOTTOM = 20;
// Of a label with seconds, and of one without.
const LABEL_WIDTHS = [84, 55];
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800, 604800];

export class Chart {
  constructor(definition, store, setCursor) {
    this.definition = definition;
    this.store = store;
    this.source = store;
    this.setCursor = setCursor;
    this.device = "*";
    this.names = "";
    this.frame = { start: 0, end: 1 };
    this.size = { width: 0, height: 0 };
    this.canvas = element("canvas");
    this.context = this.canvas.getContext("2d");
    this.values = definition.series.map(() => element("dd", definition.kind === "rate" ? "wide" : "", NONE));
    const legend = element("dl", "legend", ...definition.series.map((series, index) =>
      element("div", "", element("dt", "", element("i", "swatch c" + series.color), series.label), this.values[index])));
    const head = element("header", "", element("h2", "", definition.title));
    if (definition.list) head.append(this.createPicker());
    head.append(legend);
    this.node = element("section", "card chart", head, this.canvas);
    this.node.setAttribute("aria-label", definition.title);
    this.listen();
    // Asked for in a drawing, the size would cost a layout of the page each time.
    new ResizeObserver(([{ contentRect }]) => {
      this.size = contentRect;
      if (this.frame.source) this.draw(this.frame);
    }).observe(this.canvas);
  }

  createPicker() {
    this.picker = element("select");
    this.picker.setAttribute("aria-label", this.definition.title + ": device");
    this.picker.append(element("option", "", "total"));
    this.picker.firstChild.value = "*";
    this.picker.onchange = () => {
      this.device = this.picker.value;
      this.setCursor(null);
    };
    return this.picker;
  }

  listen() {
    const { canvas } = this;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "slider");
    canvas.setAttribute("aria-label", this.definition.title + " over time; arrow keys read single samples");
    canvas.setAttribute("aria-valuetext", "newest sample");
    for (const end of ["min", "now", "max"]) canvas.setAttribute("aria-value" + end, "0");
    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      const fraction = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
      const inside = Math.min(1, Math.max(0, fraction));
      const { start, end } = this.frame;
      this.setCursor(isTouch(event) ? { time: start + inside * (end - start) } : { fraction: inside });
    };
    let before = null;
    canvas.onpointermove = point;
    canvas.onpointerdown = (event) => {
      before = this.frame.cursor;
      point(event);
    };
    // What a finger pointed at stays to be read. One that scrolls the page meant nothing by it.
    canvas.onpointerleave = (event) => { if (!isTouch(event)) this.setCursor(null); };
    canvas.onpointercancel = () => this.setCursor(before);
    canvas.onblur = () => { if (this.frame.cursor?.keyed) this.setCursor(null); };
    canvas.onkeydown = (event) => this.key(event);
  }

  key(event) {
    const last = this.source.times.length - 1;
    const step = event.shiftKey ? 10 : 1;
    const at = this.index ?? last;
    const target = { ArrowLeft: at - step, ArrowRight: at + step, PageUp: at - 60, PageDown: at + 60, Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.setCursor(null);
    else if (target !== undefined && last >= 0) this.setCursor({ time: this.source.times[Math.min(last, Math.max(0, target))], keyed: true });
    else return;
    event.preventDefault();
  }

  path(series) {
    return series.path.replace("*", () => this.device);
  }

  // `frame`: { source, start, end, cursor, colors }, the same for all charts of one drawing.
  draw(frame) {
    if (this.picker) this.updatePicker();
    this.source = frame.source;
    const { columns: all, bands } = frame.source;
    const columns = this.definition.series.map((series) => all.get(this.path(series)) ?? []);
    const band = this.definition.series.map((series) => bands?.get(this.path(series)));
    this.frame = frame;
    this.read(frame.cursor, columns);
    const ratio = Math.min(3, devicePixelRatio || 1);
    const { width, height } = this.size;
    if (width <= LEFT + RIGHT || height <= TOP + BOTTOM) return;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const { context } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const scale = axis(this.definition.kind, highest(columns.map((column, index) => band[index]?.highs ?? column), frame.source.times, frame.start));
    const plot = {
      right: width - RIGHT, bottom: height - BOTTOM,
      x: (time) => LEFT + (time - frame.start) / (frame.end - frame.start) * (width - LEFT - RIGHT),
      y: (value) => height - BOTTOM - Math.min(1, Math.max(0, value / scale.top)) * (height - TOP - BOTTOM),
    };
    this.drawAxes(plot, scale, frame);
    context.save();
    context.beginPath();
    context.rect(LEFT, 0, plot.right - LEFT + 2, plot.bottom + 1);
    context.clip();
    // The first series is the chart's subject: drawn last, it lies on top. No shade lies on a line.
    const layers = this.definition.series.map((series, index) => ({
      series, column: columns[index], band: band[index], color: frame.colors["s" + series.color],
      runs: this.runs(columns[index], frame.start),
    })).reverse();
    for (const layer of layers) this.drawShade(plot, layer);
    for (const layer of layers) this.drawLine(plot, layer);
    context.restore();
    if (this.index !== null) this.drawCursor(plot, columns, frame);
  }

  updatePicker() {
    const { list } = this.definition;
    const devices = this.store.devices(list);
    const counted = this.store.counted(list);
    const names = JSON.stringify([devices, counted]);
    if (names === this.names) return;
    this.names = names;
    const total = counted.length > 3 ? "total of " + counted.length : "total: " + counted.join(", ");
    const options = [["*", counted.length ? total : "total"], ...devices.map((name) => [name, name])].map(([value, text]) => {
      const option = element("option", "", text);
      option.value = value;
      return option;
    });
    this.picker.replaceChildren(...options);
    if (!devices.includes(this.device)) this.device = "*";
    this.picker.value = this.device;
  }

  // Sets `index` to the sample under the cursor, null without one, -1 in a hole; writes the legend.
  read(cursor, columns) {
    const { start, end } = this.frame;
    const time = cursor?.time ?? (cursor ? start + cursor.fraction * (end - start) : null);
    this.index = time === null ? null : this.source.nearest(time);
    this.cursorTime = this.index === -1 || time === null ? time : this.source.times[this.index];
    const format = KINDS[this.definition.kind].format;
    const texts = columns.map((column) => format(this.index === null ? column.at(-1) : column[this.index]));
    texts.forEach((text, index) => setText(this.values[index], text));
    const last = this.source.times.length - 1;
    // A screen reader would read every change aloud: tell it only what the keys ask for.
    if (document.activeElement !== this.canvas || this.index === null) return;
    this.canvas.setAttribute("aria-valuemax", String(Math.max(0, last)));
    this.canvas.setAttribute("aria-valuenow", String(Math.max(0, this.index)));
    this.canvas.setAttribute("aria-valuetext", clockSeconds.format(this.cursorTime) + ": " +
      this.definition.series.map((series, index) => series.label + " " + texts[index]).join(", "));
  }

  drawAxes(plot, scale, { start, end, colors }) {
    const { context } = this;
    const taken = this.index === null ? -Infinity : plot.x(this.cursorTime);
    context.font = (this.size.width > 900 ? 12 : 11) + "px system-ui, sans-serif";
    context.lineWidth = 1;
    context.strokeStyle = colors.grid;
    context.fillStyle = colors.muted;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (let value = 0; value <= scale.top * 1.001; value += scale.step) {
      const y = Math.round(plot.y(value)) + 0.5;
      context.beginPath();
      context.moveTo(LEFT, y);
      context.lineTo(plot.right, y);
      context.stroke();
      context.fillText(String(Number((value / scale.divisor).toFixed(2))), LEFT - 6, y);
    }
    context.textAlign = "left";
    context.fillText(scale.unit, LEFT, 7);
    const room = (seconds) => (plot.right - LEFT) / LABEL_WIDTHS[seconds < 60 ? 0 : 1];
    const step = 1000 * (STEPS_S.find((seconds) => (end - start) / 1000 / seconds <= room(seconds)) ?? STEPS_S.at(-1));
    const clock = step < 60000 ? clockSeconds : clockMinutes;
    // Ticks stand on the viewer's own full minutes and hours, also where the zone is half an hour off.
    const zone = new Date(end).getTimezoneOffset() * 60000;
    context.textAlign = "center";
    for (let time = Math.ceil((start - zone) / step) * step + zone; time <= end; time += step) {
      const text = clock.format(time);
      const half = context.measureText(text).width / 2;
      const x = plot.x(time);
      if (Math.abs(x - taken) < 2 * half + 24) continue;
      if (x - half >= LEFT - 8 && x + half <= plot.right + RIGHT) context.fillText(text, x, plot.bottom + 12);
    }
  }

  // The samples of a column between which there is no hole, as lists of their places.
  runs(column, start) {
    const { times, gapMs } = this.source;
    const runs = [];
    let last = -Infinity;
    column.forEach((value, index) => {
      if (value === null || times[index] < start - gapMs) return;
      if (times[index] - last >= gapMs) runs.push([]);
      runs.at(-1).push(index);
      last = times[index];
    });
    return runs;
  }

  drawLine(plot, { runs, column, color }) {
    const { context } = this;
    const { times } = this.source;
    context.beginPath();
    for (const run of runs) {
      run.forEach((index, at) => context[at ? "lineTo" : "moveTo"](plot.x(times[index]), plot.y(column[index])));
      // A sample with a hole on both sides is a dot: a line of no length would not show.
      if (run.length === 1) context.arc(plot.x(times[run[0]]), plot.y(column[run[0]]), 0.6, 0, 7);
    }
    context.strokeStyle = color;
    context.lineWidth = 1.6;
    context.lineJoin = "round";
    context.stroke();
  }

  // From the least to the most of each step, or below the line. Colours are #rrggbb: two more digits are the opacity.
  drawShade(plot, { runs, column, band, series, color }) {
    if (!band && !series.fill) return;
    const { context } = this;
    const { times } = this.source;
    const shade = context.createLinearGradient(0, TOP, 0, plot.bottom);
    shade.addColorStop(0, color + (band ? "40" : "48"));
    shade.addColorStop(1, color + (band ? "40" : "0c"));
    context.fillStyle = shade;
    context.beginPath();
    for (const run of runs) {
      if (run.length === 1) continue;
      const edge = (index, values) => [plot.x(times[index]), values ? plot.y(values[index]) : plot.bottom];
      run.forEach((index, at) => context[at ? "lineTo" : "moveTo"](...edge(index, band?.highs ?? column)));
      (band ? [...run].reverse() : [run.at(-1), run[0]]).forEach((index) => context.lineTo(...edge(index, band?.lows)));
    }
    context.fill();
  }

  drawCursor(plot, columns, { colors }) {
    const { context } = this;
    const x = plot.x(this.cursorTime);
    if (x < LEFT - 1 || x > plot.right + 1) return;
    context.strokeStyle = colors.muted;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(Math.round(x) + 0.5, TOP - 4);
    context.lineTo(Math.round(x) + 0.5, plot.bottom);
    context.stroke();
    columns.forEach((column, index) => {
      const value = column[this.index];
      if (typeof value !== "number") return;
      context.fillStyle = colors["s" + this.definition.series[index].color];
      context.strokeStyle = colors.card;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(x, plot.y(value), 3.8, 0, 7);
      context.fill();
      context.stroke();
    });
    const text = clockSeconds.format(this.cursorTime);
    const half = context.measureText(text).width / 2 + 6;
    const middle = Math.min(plot.right + RIGHT - half, Math.max(half, x));
    context.fillStyle = colors.text;
    context.beginPath();
    context.roundRect(middle - half, plot.bottom + 3, 2 * half, 17, 4);
    context.fill();
    context.fillStyle = colors.card;
    context.textAlign = "center";
    context.fillText(text, middle, plot.bottom + 12);
  }
}

const isTouch = (event) => event.pointerType === "touch";

function highest(columns, times, start) {
  let max = 0;
  for (const column of columns) {
    for (let index = 0; index < column.length; index += 1) {
      if (times[index] >= start && column[index] > max) max = column[index];
    }
  }
  return max;
}
