// Whether the page keeps to itself, and takes nothing that it is sent for markup or script.

import http from "node:http";
import { check, equal } from "../clients/check.mjs";
import { hostile, MARKUP } from "./crowd.mjs";
import { drawn, samples, state } from "./world.mjs";

export const tests = {
  "the page asks for itself and its WebSocket, and nothing else": async (world) => {
    const server = await world.server();
    const page = await world.livePage(server);
    const asked = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    const sockets = [];
    page.on("websocket", (socket) => sockets.push(socket.url()));
    await page.reload();
    await state(page, "Live");
    await drawn(page, 10);
    equal(
      asked.filter((path) => path !== "/" && !path.startsWith("/api/v1/")),
      ["/dashboard.json"],
    );
    equal(sockets, [server.url.replace("http", "ws") + "ws"]);
  },

  "the policy of the page holds no script, style or connection but its own": async (world) => {
    const server = await world.server();
    const policy = (await server.get("/")).headers["content-security-policy"];
    check(/default-src 'none'/.test(policy) && !/unsafe/.test(policy), "the policy is", policy);
    const page = await world.livePage(server);
    world.allow(page, /policy: script-src|Content Security Policy/);
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.hostile = 'inline'";
      document.head.append(script);
      document.body.setAttribute("onclick", "window.hostile = 'handler'");
      document.body.click();
      document.body.removeAttribute("onclick");
    });
    const refused = await page.evaluate(() => window.watched.violations.length);
    check(refused >= 2, refused, "refused of a script and a handler");
    equal(await page.evaluate(() => window.hostile ?? null), null);
  },

  "the page refuses to be framed": async (world) => {
    const server = await world.server();
    const framing = http.createServer((_, answer) =>
      answer.setHeader("content-type", "text/html").end(`<iframe src="${server.url}"></iframe>`),
    );
    await new Promise((resolve) => framing.listen(0, "127.0.0.1", resolve));
    try {
      const page = await world.page(server);
      world.allow(page, /request to|frame-ancestors/);
      await page.context().unrouteAll();
      const refusal = page.waitForEvent("console", (message) =>
        /frame-ancestors/.test(message.text()),
      );
      await page.goto(`http://127.0.0.1:${framing.address().port}/`);
      await refusal;
      const inner = page.frames().find((frame) => frame !== page.mainFrame());
      equal(await inner.locator("#tiles").count(), 0);
    } finally {
      framing.close();
    }
  },

  "names that hold markup come as text": async (world) => {
    const server = await world.server();
    await server.sampled(3);
    const page = await world.livePage(server, { change: hostile });
    const before = await page.evaluate(() => document.getElementsByTagName("script").length);
    page.socket.send(
      JSON.stringify({
        type: "alert",
        rule: MARKUP,
        metric: MARKUP,
        state: "firing",
        value: 2,
        threshold: 1,
        since: 0,
        severity: MARKUP,
      }),
    );
    page.socket.send(JSON.stringify({ type: "error", code: "limit", message: MARKUP }));
    await drawn(page, 5);
    check(
      samples(page).at(-1).disks === undefined ||
        samples(page)
          .at(-1)
          .disks.every(({ name }) => name.includes(MARKUP)),
      "no markup was sent",
    );
    const found = await page.evaluate(() => ({
      images: document.images.length,
      ran: window.hostile ?? null,
      scripts: document.getElementsByTagName("script").length,
    }));
    equal(found, { images: 0, ran: null, scripts: before });
    for (const place of ["#host", "#facts", "#alerts", "#tiles", "#charts", "#panels", "#notice"]) {
      check((await page.textContent(place)).includes(MARKUP), place, "does not show the text");
    }
  },
};
