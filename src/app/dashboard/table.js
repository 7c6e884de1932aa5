// Lists of the host: the cores' bars and the tables. Built once and then changed in place; rows come and go with the
// lists they show, and one that stays is the same element.

import { entries } from "./definitions.js";
import { element, Meter, meterRow, setAttribute, setText, shape } from "./dom.js";
import { known, NONE, percent } from "./units.js";

// Above this, a bar and a figure for each core are more than can be read at once: upright bars then, and a summary.
const MANY_CORES = 32;
const BARS_A_ROW = 64;

export class Cores {
  constructor() {
    this.note = element("small");
    this.node = element("section", "card panel", element("h2", "", "Cores", this.note));
    this.node.id = "cores";
    this.node.setAttribute("aria-label", "Cores");
    this.arrange(0);
  }

  arrange(count) {
    this.many = count > MANY_CORES;
    this.bars = [];
    this.count = count;
    this.list?.remove();
    this.list = element("div", this.many ? "cores many" : "cores");
    this.list.setAttribute("role", this.many ? "img" : "list");
    if (this.many) this.arrangeBars();
    else for (let core = 0; core < count; core += 1) this.append(core);
    this.list.hidden = !count;
    this.node.append(this.list);
  }

  // Hundreds of elements that change each second would cost more than all the rest: all bars are one line of a drawing,
  // which the sheet makes so wide that bars come of it.
  arrangeBars() {
    const rows = Math.ceil(this.count / BARS_A_ROW);
    this.columns = Math.ceil(this.count / rows);
    this.line = shape("path", {});
    const viewBox = [-0.5, 0, this.columns, rows].join(" ");
    this.list.append(shape("svg", { viewBox, preserveAspectRatio: "none" }));
    this.list.firstChild.append(shape("path", { class: "track", d: this.outline(new Array(this.count).fill(100)) }), this.line);
    this.list.style.setProperty("--rows", rows);
    this.list.onpointermove = (event) => this.explain(event, rows);
  }

  outline(usages) {
    return usages.map((usage, core) => {
      const height = known(usage) ? Math.min(1, Math.max(0, usage / 100)) : 0;
      return "M" + core % this.columns + " " + (Math.floor(core / this.columns) + 1) + "v-" + (0.86 * height).toFixed(3);
    }).join("");
  }

  // A hint is made when it is looked for.
  explain({ clientX, clientY }, rows) {
    const { left, top, width, height } = this.list.getBoundingClientRect();
    const row = Math.floor((clientY - top) / height * rows);
    const core = row * this.columns + Math.floor((clientX - left) / width * this.columns);
    setAttribute(this.list, "title", core < this.count ? "core " + core + ": " + percent(this.usages[core]) : "");
  }

  update(sample) {
    const usages = this.usages = Array.isArray(sample.cpu?.cores) ? sample.cpu.cores : [];
    if (usages.length !== this.count) this.arrange(usages.length);
    if (!this.many) {
      setText(this.note, usages.length || NONE);
      usages.forEach((usage, index) => meterRow(this.bars[index].meter, usage, this.bars[index].text));
      return;
    }
    setAttribute(this.line, "d", this.outline(usages));
    const busiest = usages.reduce((most, usage, index) => known(usage) && !(usages[most] >= usage) ? index : most, 0);
    const text = usages.length + ", busiest is " + busiest + " at " + percent(usages[busiest]);
    setText(this.note, text);
    setAttribute(this.list, "aria-label", text);
  }

  append(core) {
    const meter = new Meter(true);
    const text = element("span", "value");
    const node = element("div", "", element("span", "", String(core)), meter.node, text);
    node.setAttribute("role", "listitem");
    this.bars.push({ meter, text });
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
    const cells = this.definition.columns.map((column, index) => {
      const text = element("span", "value");
      const node = element("td", columnClass(column));
      if (index === 0) node.setAttribute("role", "rowheader");
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
