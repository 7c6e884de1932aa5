// Where the server asks for a token: a form that trades it for a cookie. The token itself is kept nowhere; that there is
// a session, whose cookie no script can see, is remembered.

import { element, setText } from "./dom.js";

const WORDS = {
  204: "",
  401: "This token is not the server's.",
  429: "Too many wrong tokens from here: wait a minute.",
};

const KEY = "vitald.signed-in";

// A page in another's frame may have no storage.
function isRemembered() {
  try {
    return localStorage.getItem(KEY) !== null;
  } catch {
    return false;
  }
}

function remember(isSignedIn) {
  try {
    if (isSignedIn) localStorage.setItem(KEY, "yes");
    else localStorage.removeItem(KEY);
  } catch {
    // Then the button is there until the page is loaded again.
  }
}

// Whether the server asks for a token; null where it does not answer.
async function askedFor() {
  const response = await fetch("api/v1/snapshot", { method: "HEAD", cache: "no-store" }).catch(() => null);
  return response && response.status === 401;
}

export class SignIn {
  // `entered` is called when the server has taken a token, `left` when it has been told to forget.
  constructor(form, button, entered, left) {
    Object.assign(this, { form, button, entered });
    this.input = form.elements.token;
    this.words = form.querySelector("output");
    button.hidden = !isRemembered();
    // Another tab has signed out.
    window.addEventListener("storage", ({ key, newValue }) => { if (key === KEY && newValue === null) left(); });
    form.onsubmit = (event) => {
      event.preventDefault();
      this.enter();
    };
    button.onclick = async () => {
      await fetch("api/v1/session", { method: "DELETE" }).catch(() => {});
      remember(false);
      left();
    };
  }

  get isAsking() {
    return !this.form.hidden;
  }

  // Asks why there is no connection, and shows the form where it is for want of a token.
  async check() {
    const isAsked = await askedFor();
    if (isAsked === null || isAsked === this.isAsking) return;
    this.form.hidden = !isAsked;
    this.button.hidden = this.isAsking || !isRemembered();
    if (this.isAsking) this.input.focus();
  }

  async enter() {
    setText(this.words, "Signing in");
    let status = 0;
    try {
      const headers = { Authorization: "Bearer " + this.input.value.trim() };
      status = (await fetch("api/v1/session", { method: "POST", headers })).status;
    } catch {
      // A token that cannot be in a header, or a server that is away.
    }
    setText(this.words, WORDS[status] ?? "The server did not take it (" + status + ").");
    if (status !== 204) return this.input.select();
    // A browser may keep no cookie for a page in another site's frame.
    if (await askedFor()) return setText(this.words, "This browser keeps no session here. Open this page by itself.");
    this.input.value = "";
    this.form.hidden = true;
    this.button.hidden = false;
    remember(true);
    this.entered();
  }
}
