// Lists of the host: the cores' bars and the tables. Built once and then changed in place; rows come and go with the
// lists they show, and one that stays is the same element.

import { entries } from "./definitions.js";
import { element, Meter, meterRow, setAttribute, setText } from "./dom.js";
import { known, NONE, percent } from "./units.js";

// Above this, a bar and a figure for each core are more than can be read at once: upright bars then, and a summary.
const MANY_CORES = 32;

export class Cores {
  constructor() {
    this.note = element("small");
    this.node = element("section", "card panel", element("h2", "", "Cores", this.note));
    this.node.id = "cores";
    this.node.setAttribute("aria-label", "Cores");
    this.bars = [];
    this.usages = [];
    this.arrange(false);
  }

  arrange(many) {
    this.many = many;
    this.bars = [];
    this.list?.remove();
    this.list = element("div", many ? "cores many" : "cores");
    this.list.setAttribute("role", many ? "img" : "list");
    if (many) this.list.onpointerover = ({ target }) => this.explain(target);
    this.node.append(this.list);
  }

  // Hundreds of hints that change each second would cost more than the bars: one is made when it is looked for.
  explain(target) {
    const index = this.bars.findIndex(({ node }) => node.contains(target));
    if (index >= 0) target.title = "core " + index + ": " + percent(this.usages[index]);
  }

  update(sample) {
    const usages = this.usages = Array.isArray(sample.cpu?.cores) ? sample.cpu.cores : [];
    if (this.many !== usages.length > MANY_CORES) this.arrange(!this.many);
    while (this.bars.length > usages.length) this.bars.pop().node.remove();
    while (this.bars.length < usages.length) this.append();
    this.list.hidden = !usages.length;
    setText(this.note, usages.length || NONE);
    if (!this.many) {
      usages.forEach((usage, index) => meterRow(this.bars[index].meter, usage, this.bars[index].text));
      return;
    }
    usages.forEach((usage, index) => this.bars[index].meter.set(usage));
    const busiest = usages.reduce((most, usage, index) => known(usage) && !(usages[most] >= usage) ? index : most, 0);
    const text = usages.length + ", busiest is " + busiest + " at " + percent(usages[busiest]);
    setText(this.note, text);
    setAttribute(this.list, "aria-label", text);
  }

  append() {
    const meter = new Meter(true);
    const text = element("span", "value");
    const parts = this.many ? [meter.node] : [element("span", "", String(this.bars.length)), meter.node, text];
    const node = element("div", "", ...parts);
    if (!this.many) node.setAttribute("role", "listitem");
    this.bars.push({ node, meter, text });
    this.list.append(node);
  }
}

export class Table {
  constructor(definition) {
    this.definition = definition;
    this.rows = new Map();
    this.body = element("tbody");
    this.heads = definition.columns.map((column) => {
      const head = element("th", columnClass(column), column.head);
      head.scope = "col";
      if (column.width) head.style.width = column.width;
      return head;
    });
    this.note = element("small");
    const table = element("table", "", element("thead", "", element("tr", "", ...this.heads)), this.body);
    table.setAttribute("aria-label", definition.title);
    this.empty = element("p", "empty");
    this.scroller = element("div", "scroller", table, this.empty);
    const sizes = new ResizeObserver(() => this.reach());
    sizes.observe(this.scroller);
    sizes.observe(table);
    this.node = element("section", "card panel", element("h2", "", definition.title, this.note), this.scroller);
    this.node.id = definition.topic;
    this.node.setAttribute("aria-label", definition.title);
  }

  update(sample) {
    const { topic, key, optional } = this.definition;
    const list = entries(sample, topic);
    this.node.hidden = optional === true && !list.length;
    setText(this.note, Array.isArray(sample[topic]) ? list.length : "");
    this.show(list, (entry) => String(entry[key]), Array.isArray(sample[topic]) ? "none" : NONE);
  }

  // Puts up these entries, in this order; `empty` says why there are none.
  show(list, nameOf, empty) {
    setText(this.empty, list.length ? "" : empty);
    const kept = new Map();
    list.forEach((entry, index) => {
      // Two entries of one name (a mount over a mount) are told apart by their place.
      let name = nameOf(entry);
      while (kept.has(name)) name += "\n" + index;
      const row = this.rows.get(name) ?? this.createRow();
      kept.set(name, row);
      row.update(entry);
    });
    for (const [name, row] of this.rows) if (!kept.has(name)) row.node.remove();
    this.rows = kept;
    [...kept.values()].forEach(({ node }, index) => {
      if (this.body.children[index] !== node) this.body.insertBefore(node, this.body.children[index] ?? null);
    });
  }

  // What scrolls must be reached by the keys; what does not is no stop on the way.
  reach() {
    const scrolls = this.scroller.scrollHeight > this.scroller.clientHeight;
    if (scrolls === (this.scroller.tabIndex === 0)) return;
    const words = { tabindex: "0", role: "group", "aria-label": this.definition.title + ", list" };
    for (const [name, value] of Object.entries(words)) {
      if (scrolls) this.scroller.setAttribute(name, value);
      else this.scroller.removeAttribute(name);
    }
  }

  createRow() {
    const cells = this.definition.columns.map((column) => {
      const text = element("span", "value");
      const node = element("td", columnClass(column));
      const cell = { column, node, text };
      if (column.meter) {
        cell.meter = new Meter(column.plain);
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
