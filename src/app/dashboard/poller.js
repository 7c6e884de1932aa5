// Asks the server for something again and again, but only while somebody can see the answer. Imports nothing.

export class Poller {
  // `ask(message, then)` sends; `message()` is what to ask for now, `show(answer)` is given each answer that is none of
  // an error or a lost connection, which it is given as null.
  constructor(node, ask, periodMs, message, show) {
    Object.assign(this, { ask, periodMs, message, show, visible: false, timer: 0, turn: 0 });
    new IntersectionObserver((records) => {
      this.visible = records.at(-1).isIntersecting;
      this.check();
    }).observe(node);
    document.addEventListener("visibilitychange", () => this.check());
  }

  // At once, and then each period until nobody can see it; what brings it back is an event.
  check() {
    clearTimeout(this.timer);
    if (!this.visible || document.hidden) return;
    this.timer = setTimeout(() => this.check(), this.periodMs);
    // An answer to what was asked before that is of no interest any more: the sort has changed, say.
    const turn = this.turn += 1;
    this.ask(this.message(), (answer) => {
      if (turn === this.turn) this.show(answer && answer.type !== "error" ? answer : null);
    });
  }
}
