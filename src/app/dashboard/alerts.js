// Alerts now and before: what fires, the last that did, and the rules that watch. What fires now is the store's word,
// which comes by itself; the rest is fetched when something has changed, and while it is seen.

import { alertTitle, ruleText, SEVERITIES, written } from "./definitions.js";
import { element, setText } from "./dom.js";
import { Poller } from "./poller.js";
import { duration, moment, NONE } from "./units.js";

// Nothing tells that a rule is about to fire; that may be so old.
const RULES_MS = 10000;

export class Alerts {
  constructor(isConnected) {
    this.note = element("small");
    this.list = element("ul", "events");
    this.rules = element("ul", "rules");
    this.summary = element("summary", "", "Rules");
    const details = element("details", "", this.summary, this.rules);
    details.open = true;
    this.scroller = element("div", "scroller", this.list, details);
    this.scroller.tabIndex = 0;
    this.scroller.setAttribute("role", "group");
    this.scroller.setAttribute("aria-label", "List of alerts");
    this.node = element("section", "card panel tall", element("h2", "", "Alerts", this.note), this.scroller);
    this.node.id = "alerts";
    this.node.setAttribute("aria-label", "Alerts");
    this.past = [];
    this.known = false;
    this.drawn = null;
    this.poller = new Poller(this.node, () => isConnected() && this.fetch(), RULES_MS, () => null, () => {});
  }

  // After hello and after each alert. Gives the rules.
  async fetch() {
    try {
      const response = await fetch("api/v1/alerts");
      if (!response.ok) return;
      const { rules, transitions } = await response.json();
      this.past = episodes(transitions);
      this.known = true;
      setText(this.summary, rules.length + (rules.length === 1 ? " rule" : " rules"));
      this.rules.replaceChildren(...rules.map((rule) => element("li", "", element("span", "", ruleText(rule)),
        element("span", "value", written(rule.metric, rule.value)),
        element("span", "state-" + rule.state, rule.state))));
      this.drawn = null;
      return rules;
    } catch {
      // The connection's own state tells of it; what was known stays.
    }
  }

  update(store) {
    const order = Object.keys(SEVERITIES);
    const now = [...store.alerts.values()]
      .sort((one, other) => order.indexOf(other.severity) - order.indexOf(one.severity) || other.since - one.since);
    const text = JSON.stringify(now) + this.known;
    if (this.drawn === text) return;
    this.drawn = text;
    setText(this.note, now.length ? now.length + " firing" : "");
    const items = [...now.map((one) => event(one)), ...this.past.map((one) => event(one, one.until))];
    this.list.replaceChildren(...items);
    const none = this.known ? "Nothing has fired." : NONE;
    if (!items.length) this.list.append(element("li", "none", none));
  }
}

// Newest first, as they come, put together to what began and ended. One that has not ended is the store's to show; of
// one whose beginning has been forgotten only the end is known.
function episodes(transitions) {
  const ends = new Map();
  const past = [];
  for (const one of transitions) {
    const name = one.rule + "\n" + one.metric;
    if (one.state === "resolved") {
      ends.set(name, one);
    } else if (ends.has(name)) {
      past.push({ ...one, until: ends.get(name).since });
      ends.delete(name);
    }
  }
  return past.sort((one, other) => other.until - one.until);
}

function event(one, until) {
  const item = element("li", "", element("i", "sign"), element("b", "", SEVERITIES[one.severity] ?? one.severity),
    element("span", "", alertTitle(one)), element("small", "", until === undefined
      ? "since " + moment(one.since) + ", " + written(one.metric, one.value) + " then"
      : moment(one.since) + " for " + duration((until - one.since) / 1000).replace(/ 0\s\S+$/, "")));
  item.dataset.severity = until === undefined ? one.severity : "past";
  return item;
}
