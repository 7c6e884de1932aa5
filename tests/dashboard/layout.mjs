// Whether the page is whole at each size, in both themes, and can be read by everybody.

import { mkdir } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { installed } from "../clients/browser.mjs";
import { check, equal } from "../clients/check.mjs";
import { crowded } from "./crowd.mjs";
import { until } from "./server.mjs";
import { chart, drawn, frames, hasColour, state } from "./world.mjs";

const PICTURES = process.env.PICTURES;
const THEMES = ["light", "dark"];
const axe = readFileSync(installed.resolve("axe-core/axe.min.js"), "utf8");

const isDark = (page) =>
  page.evaluate(() => {
    const [red, green, blue] = getComputedStyle(document.body)
      .backgroundColor.match(/\d+/g)
      .map(Number);
    return red + green + blue < 3 * 128;
  });

// What sticks out: of the page, or of a card that does not scroll or cut it.
const sticking = (page) =>
  page.evaluate(() => {
    const name = (node) =>
      [node.nodeName, node.id, node.className, node.textContent.trim().slice(0, 30)].join(" ");
    const root = document.scrollingElement;
    const wide =
      root.scrollWidth > root.clientWidth
        ? [`the page is ${root.scrollWidth} of ${root.clientWidth} px`]
        : [];
    for (const node of document.body.querySelectorAll("*")) {
      const box = node.getBoundingClientRect();
      if (box.width === 0 || box.height === 0) continue;
      const cut = node.parentElement.closest("*");
      let isCut = false;
      for (let above = cut; above && above !== document.body; above = above.parentElement) {
        if (getComputedStyle(above).overflowX !== "visible") isCut = true;
      }
      if (isCut) continue;
      if (box.right > root.clientWidth + 1 || box.left < -1) wide.push(name(node));
      const card = node.closest("#tiles > *, #charts > *, #panels > *");
      if (card && card !== node && box.right > card.getBoundingClientRect().right + 1)
        wide.push(`${name(node)} out of its card`);
    }
    return wide.slice(0, 5);
  });

// Parts that lie over one another.
const overlapping = (page) =>
  page.evaluate(() => {
    const boxes = [
      ...document.querySelectorAll("header, #alerts, #tiles > *, #charts > *, #panels > *, footer"),
    ]
      .filter((node) => node.getClientRects().length && !node.parentElement.closest("#charts > *"))
      .map((node) => ({
        name: node.getAttribute("aria-label") ?? (node.id || node.textContent.slice(0, 20)),
        box: node.getBoundingClientRect(),
      }));
    const found = [];
    boxes.forEach(({ name, box }, index) => {
      for (const other of boxes.slice(index + 1)) {
        const across = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
        const down = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
        if (across > 1 && down > 1) found.push(`${name} and ${other.name}`);
      }
    });
    return found;
  });

export async function fits(page, width) {
  await page.setViewportSize({ width, height: 900 });
  await frames(page, 3);
  equal([width, ...(await sticking(page))], [width]);
  equal([width, ...(await overlapping(page))], [width]);
}

export async function violations(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () =>
    (await window.axe.run(document)).violations.map(({ id, nodes }) => ({
      id,
      target: nodes[0].target.join(" "),
      why: nodes[0].failureSummary,
      count: nodes.length,
    })),
  );
  check(found.length === 0, where, found);
}

// At a desktop and a phone, in both themes.
async function everywhere(page, show) {
  for (const width of [1280, 360]) {
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await drawn(page);
      await show(`${width} px, ${colorScheme}`);
    }
  }
}

// All of the page is in view: what is asked for while it is seen is there too.
async function picture(page, width, name) {
  await page.setViewportSize({ width, height: 900 });
  await frames(page);
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.setViewportSize({ width, height });
  await page.waitForFunction(() =>
    /\d/.test(document.querySelector("#server dd")?.textContent ?? "0"),
  );
  await frames(page, 3);
  await page.screenshot({
    path: `${PICTURES}/${name}.png`,
    fullPage: true,
    animations: "disabled",
  });
}

export const tests = {
  "pictures of the page are kept at 360, 1280 and 2560 px, light and dark": async (world) => {
    await mkdir(PICTURES, { recursive: true });
    const server = await world.server({ config: "/dev/null" });
    await server.sampled(200);
    const page = await world.livePage(server);
    const large = await world.livePage(server, { change: crowded });
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme });
      await large.emulateMedia({ colorScheme });
      for (const width of [360, 1280, 2560]) {
        await drawn(page, 2);
        await picture(page, width, `${width}-${colorScheme}`);
      }
      await drawn(large);
      await picture(large, 1280, `crowd-1280-${colorScheme}`);
    }
    world.note(`in ${PICTURES}`);
  },

  "from a phone of 320 px to a wide screen nothing sticks out or overlaps": async (world) => {
    const server = await world.server();
    await server.sampled(5);
    const page = await world.livePage(server);
    await drawn(page, 2);
    for (const width of [320, 360, 560, 860, 1180, 1280, 2000, 2560]) await fits(page, width);
  },

  "256 cores, 60 filesystems and names without end do not break it": async (world) => {
    const server = await world.server();
    await server.sampled(5);
    const page = await world.livePage(server, { change: crowded });
    await drawn(page, 2);
    for (const width of [360, 860, 1280, 2560]) await fits(page, width);
  },

  "axe finds no violation at desktop and phone, light and dark": async (world) => {
    const server = await world.server();
    await server.sampled(5);
    const page = await world.livePage(server);
    await everywhere(page, (where) => violations(page, where));
  },

  "axe finds none with alerts, many cores and a notice either": async (world) => {
    const server = await world.server();
    await server.sampled(5);
    const page = await world.livePage(server, { change: crowded });
    page.socket.send(JSON.stringify({ type: "error", code: "limit", message: "something" }));
    await everywhere(page, (where) => violations(page, where));
  },

  "axe finds none while figures are stale or the server is gone": async (world) => {
    const server = await world.server();
    const page = await world.livePage(server);
    world.allow(page, /WebSocket connection to .* failed|ERR_CONNECTION_RE(FUSED|SET)/);
    server.signal("SIGSTOP");
    await state(page, "Stale");
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme });
      await frames(page);
      await violations(page, `stale, ${colorScheme}`);
    }
    await server.kill();
    await state(page, "Reconnecting");
    await violations(page, "reconnecting");
  },

  "the page is light or dark as the system is, charts too, and changes with it": async (world) => {
    const server = await world.server();
    const page = await world.livePage(server, { colorScheme: "light" });
    await drawn(page);
    check(!(await isDark(page)), "it is dark");
    check(await hasColour(chart(page, "CPU"), "--s1"), "no line has the colour for light");
    await page.emulateMedia({ colorScheme: "dark" });
    await frames(page, 3);
    check(await isDark(page), "it is light");
    check(await hasColour(chart(page, "CPU"), "--s1"), "no line has the colour for dark");
  },

  "a chart is drawn in the size that it has, and in the colours of a theme that is chosen late": async (
    world,
  ) => {
    const server = await world.server();
    const page = await world.livePage(server, { colorScheme: "light", deviceScaleFactor: 2 });
    const canvas = chart(page, "CPU");
    for (const width of [1280, 360, 2560]) {
      await page.setViewportSize({ width, height: 900 });
      await frames(page, 3);
      const [size, wanted] = await canvas.evaluate((node) => {
        const { width: across, height: down } = node.getBoundingClientRect();
        return [
          [node.width, node.height],
          [Math.round(2 * across), Math.round(2 * down)],
        ];
      });
      equal([width, ...size], [width, ...wanted]);
    }
    await page.evaluate(() => {
      document.documentElement.dataset.theme = "dark";
    });
    await frames(page, 3);
    check(await hasColour(canvas, "--s1"), "no line has the colour for dark");
  },

  "nothing moves after the first drawing": async (world) => {
    for (const width of [1280, 860, 360]) {
      const server = await world.server();
      await server.sampled(5);
      // The greeting comes late, so that the page without a sample is surely seen too.
      let hello;
      const page = await world.page(server, {
        width,
        change: (message) => {
          // Names as a cloud gives them.
          if (message.type === "hello") {
            hello = message;
            message.host.name = "ip-172-31-255-255.eu-central-1.compute.internal";
            message.host.cpu_model = "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz";
          }
          return hello === message ? null : message;
        },
      });
      await until(() => hello, "greeting");
      await frames(page, 5);
      page.socket.send(JSON.stringify(hello));
      await state(page, "Live");
      await drawn(page, 25);
      const shifts = await page.evaluate(() => window.watched.shifts);
      const sum = shifts.reduce((all, { value }) => all + value, 0);
      world.note(`layout shift at ${width} px: ${sum.toFixed(4)}`);
      check(sum < 0.02, width, "px:", sum, shifts.slice(0, 4));
    }
  },

  "a part that is shown alone fills the window, and its state lies over nothing": async (world) => {
    const server = await world.server();
    const page = await world.livePage(server, { path: "?panel=cpu,memory" });
    world.allow(page, /WebSocket connection to .* failed|ERR_CONNECTION_(REFUSED|RESET)/);
    const boxes = () =>
      page.evaluate(() =>
        ["#link", "#charts"].map((name) => {
          const { top, bottom } = document.querySelector(name).getBoundingClientRect();
          return { top, bottom };
        }),
      );
    const ends = async (word) => {
      for (const width of [360, 1280]) {
        await page.setViewportSize({ width, height: 900 });
        await frames(page, 3);
        const [link, charts] = await boxes();
        check(link.bottom <= charts.top + 1, word, width, link, charts);
        check(Math.abs(charts.bottom - 890) < 12, word, width, "the charts end at", charts.bottom);
      }
    };
    await ends("live");
    await server.kill();
    await state(page, "Reconnecting");
    await ends("away");
  },

  "who asks for less motion gets none": async (world) => {
    const server = await world.server();
    const page = await world.livePage(server, { reducedMotion: "reduce" });
    await drawn(page, 5);
    const moving = await page.evaluate(() =>
      [...document.querySelectorAll("*")]
        .filter((node) => {
          const { transitionDuration, animationName } = getComputedStyle(node);
          return (
            animationName !== "none" ||
            transitionDuration.split(",").some((one) => parseFloat(one) > 0.01)
          );
        })
        .map((node) => node.className || node.nodeName),
    );
    equal([...new Set(moving)], []);
    equal(await page.evaluate(() => document.getAnimations().length), 0);
  },
};
