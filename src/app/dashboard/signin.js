// Where the server asks for a token: a form that trades it for a cookie. The token itself is kept nowhere; that there is
// a session, whose cookie no script can see, is remembered.

import { element, setText } from "./dom.js";

export const TOO_MANY = "Too many wrong tokens from here: wait a minute.";
const WORDS = {
  204: "",
  401: "This token is not the server's.",
  429: TOO_MANY,
};

const KEY = "vitald.signed-in";

// What the browser keeps: `storage` is "localStorage" or "sessionStorage". A page in another's frame may have none: then
// it is kept as long as the page itself is.
export function recall(storage, key) {
  try {
    return window[storage].getItem(key) ?? "";
  } catch {
    return "";
  }
}

export function keep(storage, key, text) {
  try {
    if (text) window[storage].setItem(key, text);
    else window[storage].removeItem(key);
  } catch {
    // As above.
  }
}

const isRemembered = () => recall("localStorage", KEY) !== "";
const remember = (isSignedIn) => keep("localStorage", KEY, isSignedIn ? "yes" : "");

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
