// Everything that is not a chart: tiles, the cores' bars and the tables, built once from definitions.js and then
// changed in place. Rows come and go with the lists they show.

import { entries } from "./definitions.js";
import { element, Meter, meterRow, setAttribute, setFigure, setText } from "./dom.js";
import { NONE } from "./units.js";

const MANY_CORES = 32;

export class Tile {
  constructor(definition) {
    this.definition = definition;
    this.title = element("h2");
    this.node = element("section", "card tile", this.title);
    if (definition.pair) {
      this.figures = definition.pair.map(() => element("dd"));
      this.node.append(element("dl", "", ...definition.pair.map(([label], index) =>
        element("div", "pair", element("dt", "", label), this.figures[index]))));
    } else {
      this.figure = element("p", "figure");
      this.node.append(this.figure);
    }
    this.detail = element("p", "detail");
    this.node.append(this.detail);
    if (definition.meter) {
      this.meter = new Meter();
      this.node.append(this.meter.node);
    }
  }

  update(sample, store) {
    const { label, figure, pair, detail, meter, isShown } = this.definition;
    this.node.hidden = isShown !== undefined && !isShown(sample);
    setText(this.title, typeof label === "function" ? label(sample) : label);
    if (pair) pair.forEach(([, read], index) => setFigure(this.figures[index], read(sample, store)));
    else setFigure(this.figure, figure(sample, store));
    const text = detail(sample, store);
    setText(this.detail, text);
    setAttribute(this.detail, "title", text);
    if (meter) this.meter.set(meter(sample, store));
  }
}

export class Cores {
  constructor() {
    this.list = element("ul", "cores");
    this.note = element("small");
    this.node = element("section", "card panel", element("h2", "", "Cores", this.note), this.list);
    this.node.setAttribute("aria-label", "Cores");
    this.bars = [];
  }

  update(sample) {
    const usages = Array.isArray(sample.cpu?.cores) ? sample.cpu.cores : [];
    setText(this.note, usages.length || NONE);
    while (this.bars.length > usages.length) this.bars.pop().node.remove();
    while (this.bars.length < usages.length) this.append();
    this.list.classList.toggle("many", usages.length > MANY_CORES);
    usages.forEach((usage, index) => meterRow(this.bars[index].meter, usage, this.bars[index].text));
  }

  append() {
    const meter = new Meter();
    const text = element("span", "value");
    const node = element("li", "", element("span", "", String(this.bars.length)), meter.node, text);
    this.bars.push({ node, meter, text });
    this.list.append(node);
  }
}

export class Table {
  constructor(definition) {
    this.definition = definition;
    this.rows = new Map();
    this.body = element("tbody");
    const heads = definition.columns.map((column) => {
      const head = element("th", columnClass(column), column.head);
      head.scope = "col";
      if (column.width) head.style.width = column.width;
      return head;
    });
    this.note = element("small");
    const table = element("table", "", element("thead", "", element("tr", "", ...heads)), this.body);
    table.setAttribute("aria-label", definition.title);
    this.node = element("section", "card panel", element("h2", "", definition.title, this.note), table);
    this.empty = element("tr", "empty", element("td", "", NONE));
    this.empty.firstChild.colSpan = definition.columns.length;
  }

  update(sample) {
    const { topic, key } = this.definition;
    const list = entries(sample, topic);
    this.node.hidden = this.definition.optional === true && !list.length;
    setText(this.note, Array.isArray(sample[topic]) ? list.length : "");
    setText(this.empty.firstChild, Array.isArray(sample[topic]) ? "none" : NONE);
    const kept = new Map();
    list.forEach((entry, index) => {
      // Two entries of one name (a mount over a mount) are told apart by their place.
      let name = String(entry[key]);
      while (kept.has(name)) name += "\n" + index;
      const row = this.rows.get(name) ?? this.createRow();
      kept.set(name, row);
      row.update(entry);
    });
    for (const [name, row] of this.rows) if (!kept.has(name)) row.node.remove();
    this.rows = kept;
    const nodes = kept.size ? [...kept.values()].map((row) => row.node) : [this.empty];
    if (kept.size) this.empty.remove();
    nodes.forEach((node, index) => {
      if (this.body.children[index] !== node) this.body.insertBefore(node, this.body.children[index] ?? null);
    });
  }

  createRow() {
    const cells = this.definition.columns.map((column) => {
      const text = element("span", "value");
      const node = element("td", columnClass(column));
      const cell = { column, node, text };
      if (column.meter) {
        cell.meter = new Meter();
        node.append(element("span", "gauge", cell.meter.node, text));
      } else {
        node.append(text);
      }
      if (column.note) node.append(cell.note = element("small"));
      return cell;
    });
    const update = (entry) => {
      for (const { column, node, text, meter, note } of cells) {
        const value = column.cell(entry);
        setText(text, value);
        if (meter) meter.set(column.meter(entry));
        if (note) setText(note, column.note(entry));
        const hint = column.hint?.(entry);
        if (column.text || hint) setAttribute(node, "title", hint ? value + " (" + hint + ")" : value);
      }
    };
    return { node: element("tr", "", ...cells.map((cell) => cell.node)), update };
  }
}

const columnClass = (column) => (column.text ? "text" : "") + (column.minor ? " minor" : "");
