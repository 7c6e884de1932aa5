// Building and changing elements. Text goes in as text, never as markup: names of mounts, disks and interfaces are
// whatever the host says. Nothing is written that has not changed, so a quiet host costs the browser little.

import { known, percent } from "./units.js";

export function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

// Of a drawing.
export function shape(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// Of an element that has nothing but this text, which stays the same node: cheaper than another one each second.
export function setText(node, text) {
  const string = String(text);
  const old = node.firstChild;
  if ((old?.data ?? "") === string) return;
  if (old && string) old.data = string;
  else node.textContent = string;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// "12 d 4 h": what starts with a digit (or stands for one) is large, the rest is a unit.
export function setFigure(node, text) {
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  node.replaceChildren(...text.split(/\s+/).map((part) => element("span", /^[-\d–]/.test(part) ? "" : "unit", part)));
}

// A bar of 0 to 100 percent; the figure itself always stands beside it, so it is hidden from screen readers.
export class Meter {
  // A `plain` one does not say that much is bad: a busy core does its work.
  constructor(plain = false) {
    this.plain = plain;
    this.bar = element("i");
    this.node = element("span", "meter", this.bar);
    this.node.setAttribute("aria-hidden", "true");
  }

  set(value) {
    const level = known(value) ? Math.min(1, Math.max(0, value / 100)) : 0;
    const text = level.toFixed(3);
    if (text === this.level) return;
    this.level = text;
    this.bar.style.setProperty("--level", text);
    this.node.className = "meter" + (this.plain || level < 0.75 ? "" : level < 0.9 ? " warn" : " bad");
  }
}

export function meterRow(meter, value, text) {
  meter.set(value);
  setText(text, percent(value));
}
