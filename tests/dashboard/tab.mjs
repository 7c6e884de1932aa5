// A page as a tab among others, in a window. Playwright has its pages believe that they are always
// in front, so this one is opened and asked past it, by the browser's own protocol.

import { until } from "./server.mjs";

export class Tab {
  static async open(browser, url) {
    const tab = new Tab();
    tab.root = await browser.newBrowserCDPSession();
    tab.waiting = new Map();
    tab.faults = [];
    const { browserContextId } = await tab.root.send("Target.createBrowserContext");
    tab.browserContextId = browserContextId;
    tab.root.on("Target.receivedMessageFromTarget", ({ message }) => tab.hear(JSON.parse(message)));
    tab.targetId = await tab.create({ width: 1280, height: 900 });
    const { sessionId } = await tab.root.send("Target.attachToTarget", {
      targetId: tab.targetId,
      flatten: false,
    });
    tab.sessionId = sessionId;
    await tab.send("Runtime.enable");
    await tab.send("Log.enable");
    await tab.send("Page.enable");
    await tab.send("Page.navigate", { url });
    tab.other = await tab.create();
    await tab.front();
    return tab;
  }

  async create(size = {}) {
    const { browserContextId } = this;
    return (
      await this.root.send("Target.createTarget", { url: "about:blank", browserContextId, ...size })
    ).targetId;
  }

  hear({ id, method, params, result, error }) {
    if (method === "Runtime.exceptionThrown") this.faults.push(params.exceptionDetails.text);
    if (method === "Log.entryAdded") this.faults.push(params.entry.text);
    this.waiting.get(id)?.(error ? { error } : result);
  }

  async send(method, params = {}) {
    const id = this.waiting.size + 1;
    const answer = new Promise((resolve) => this.waiting.set(id, resolve));
    const message = JSON.stringify({ id, method, params });
    await this.root.send("Target.sendMessageToTarget", { sessionId: this.sessionId, message });
    const found = await answer;
    if (found.error) throw new Error(`${method}: ${found.error.message}`);
    return found;
  }

  // As Playwright's pages have it, so that what reads a canvas there reads one here.
  async evaluate(show, ...given) {
    const expression = `(${show})(${given.map((one) => JSON.stringify(one)).join()})`;
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    if (exceptionDetails)
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  front() {
    return this.root.send("Target.activateTarget", { targetId: this.targetId });
  }

  // Another tab is brought to the front: this one is then hidden.
  async hide() {
    await this.root.send("Target.activateTarget", { targetId: this.other });
    await until(() => this.evaluate(() => document.hidden), "hidden tab");
  }

  async show() {
    await this.front();
    await until(() => this.evaluate(() => !document.hidden), "tab in front");
  }

  state(text) {
    return until(
      () =>
        this.evaluate((wanted) => document.getElementById("state")?.textContent === wanted, text),
      text,
    );
  }

  // What `ink` of world.mjs takes.
  canvas(label) {
    const selector = `#charts [aria-label=${label}] canvas`;
    return {
      evaluate: (show) =>
        this.evaluate(`(selector) => (${show})(document.querySelector(selector))`, selector),
    };
  }

  async close() {
    const { browserContextId } = this;
    await this.root.send("Target.disposeBrowserContext", { browserContextId }).catch(() => {});
    await this.root.detach().catch(() => {});
  }
}
