// The process table: asked for while it is seen, sorted by the server, filtered here over the rows that came.

import { Poller } from "./poller.js";
import { element, setText } from "./dom.js";
import { sum } from "./definitions.js";
import { Table } from "./table.js";
import { bytes, NONE, percent, rate, whole } from "./units.js";

const PROCESSES_MS = 3000;
// What is seen at once; all that the server gives only for who looks further, by scrolling or by a filter.
const ROWS_SEEN = 25;
const ROWS_MAX = 100;

const COLUMNS = [
  { head: "Name", cell: (one) => one.name ?? NONE, hint: (one) => one.command, text: true },
  { head: "User", cell: (one) => one.user ?? NONE, text: true, minor: true, width: "16%" },
  { head: "PID", cell: (one) => one.pid ?? NONE, width: "4.4rem" },
  {
    head: "CPU", sort: "cpu", width: "25%",
    cell: (one) => percent(one.cpu_usage), meter: (one) => one.cpu_usage, plain: true,
  },
  { head: "Memory", sort: "memory", cell: (one) => bytes(one.rss), width: "5.6rem" },
  {
    head: "Disk I/O", sort: "io", minor: true, width: "6.6rem", hint: () => "read and written",
    cell: (one) => rate(sum(one.read_bytes_per_s, one.write_bytes_per_s)),
  },
  { head: "Threads", cell: (one) => whole(one.threads), minor: true, width: "4.4rem" },
];

export class Processes {
  constructor(ask) {
    this.sort = "cpu";
    this.answer = null;
    this.table = new Table({ title: "Processes", topic: "processes", columns: COLUMNS });
    this.node = this.table.node;
    this.node.classList.add("wide", "tall");
    this.filter = element("input");
    this.filter.type = "search";
    this.filter.placeholder = "Filter";
    this.filter.setAttribute("aria-label", "Filter processes by name, user or PID");
    this.filter.oninput = () => this.asked();
    this.node.querySelector("h2").after(this.filter);
    this.table.scroller.onscroll = () => { if (this.limit() > this.answer?.rows.length) this.asked(); };
    COLUMNS.forEach((column, index) => {
      if (column.sort) this.table.heads[index].replaceChildren(this.createSort(column));
    });
    this.mark();
    this.draw("loading …");
    this.poller = new Poller(this.node, ask, PROCESSES_MS,
      () => ({ what: "processes", sort: this.sort, limit: this.limit() }), (answer) => this.show(answer));
  }

  createSort({ head, sort }) {
    const button = element("button", "sort", head);
    button.type = "button";
    button.onclick = () => {
      this.sort = sort;
      this.mark();
      this.poller.check();
    };
    return button;
  }

  mark() {
    COLUMNS.forEach(({ sort }, index) => {
      const head = this.table.heads[index];
      if (sort === this.sort) head.setAttribute("aria-sort", "descending");
      else head.removeAttribute("aria-sort");
    });
  }

  limit() {
    return this.filter.value || this.table.scroller.scrollTop > 0 ? ROWS_MAX : ROWS_SEEN;
  }

  // Draws what is there already, and asks for more of it.
  asked() {
    this.draw("loading …");
    if (this.answer && this.answer.rows.length < Math.min(this.limit(), this.answer.total)) this.poller.check();
  }

  show(answer) {
    // Without a connection the rows stay as they are: the page says above that they are old.
    if (answer) this.answer = answer;
    this.draw(NONE);
  }

  draw(empty) {
    const rows = this.answer?.rows ?? [];
    const wanted = this.filter.value.trim().toLowerCase();
    const kept = rows.filter(({ name, user, pid, command }) =>
      [name, user, pid, command].some((text) => String(text ?? "").toLowerCase().includes(wanted)));
    this.table.show(kept, (one) => one.pid + " " + one.started, rows.length ? "none of these" : empty);
    const { total, running } = this.answer ?? {};
    setText(this.table.note, !total ? NONE
      : wanted ? kept.length + " of " + (rows.length < total ? "the first " + rows.length + " of " : "") + total
      : total + (running > 0 ? ", " + running + " running" : ""));
  }
}
