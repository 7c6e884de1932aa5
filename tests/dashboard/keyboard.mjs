// Whether the page can be used without a mouse, and every control without harm.

import { check, equal } from "../clients/check.mjs";
import { crowded } from "./crowd.mjs";
import { until } from "./server.mjs";
import { chart, drawn, frames, state } from "./world.mjs";

// A chart is one too: it is read by keys.
const CONTROLS =
  "a[href], button, select, input, textarea, summary, [tabindex='0'], " +
  "canvas:not([aria-hidden=true])";

// All that is to be reached, marked so that it can be told where the focus is.
const controls = (page) =>
  page.evaluate((selector) => {
    const found = [...document.querySelectorAll(selector)].filter(
      (node) =>
        !node.disabled &&
        // Of several choices Tab reaches the one that is made.
        (node.type !== "radio" || node.checked) &&
        node.getClientRects().length &&
        getComputedStyle(node).visibility !== "hidden",
    );
    found.forEach((node, index) => {
      node.dataset.control = index;
    });
    return found.map((node) => node.getAttribute("aria-label") ?? node.textContent.trim());
  }, CONTROLS);

// Where the focus is: the control, and whether it looks other than it does without.
const focused = (page) =>
  page.evaluate(() => {
    const node = document.activeElement;
    if (!node || node === document.body) return null;
    // A choice of several is drawn by the words beside it.
    const drawn = node.type === "radio" ? node.nextElementSibling : node;
    const look = () => {
      const { outlineStyle, outlineWidth, boxShadow, borderColor, backgroundColor } =
        getComputedStyle(drawn);
      return {
        outline: outlineStyle === "none" ? "0px" : outlineWidth,
        rest: boxShadow + borderColor + backgroundColor,
      };
    };
    const within = look();
    node.blur();
    const without = look();
    node.focus({ focusVisible: true, preventScroll: true });
    return {
      control: Number(node.dataset.control ?? -1),
      name: node.getAttribute("aria-label") ?? node.textContent.trim(),
      isSeen:
        (parseFloat(within.outline) >= 2 && within.outline !== without.outline) ||
        within.rest !== without.rest,
    };
  });

// A page that is sent no more samples: what changes is then the doing of the test.
const stillPage = (world, server, setting) =>
  world.livePage(server, {
    change: (message) => (message.type === "hello" ? { ...message, interval_ms: 60000 } : null),
    ...setting,
  });

const pictures = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("#charts canvas")]
      .filter((canvas) => canvas.getClientRects().length)
      .map((canvas) => canvas.toDataURL()),
  );

// Which of the charts are drawn in another way than they were.
async function changed(page, before) {
  await frames(page, 3);
  return (await pictures(page)).map((one, index) => one !== before[index]);
}

export const tests = {
  "every control is reached by Tab, in order, and its focus is seen": async (world) => {
    for (const width of [1280, 360]) {
      const server = await world.server();
      await server.sampled(5);
      const page = await world.livePage(server, { width });
      await drawn(page, 5);
      const wanted = await controls(page);
      check(wanted.length >= 4, "controls:", wanted);
      const reached = [];
      // The browser itself stops at what scrolls, too.
      for (let stops = 0; reached.length < wanted.length && stops < 2 * wanted.length; stops += 1) {
        await page.keyboard.press("Tab");
        const at = await focused(page);
        check(at !== null, "the focus has left the page after", reached, "of", wanted);
        check(at.isSeen, "the focus on", at.name, "is not seen");
        if (at.control >= 0) reached.push(at.control);
      }
      equal(
        reached,
        wanted.map((_, index) => index),
      );
    }
  },

  "a list that scrolls is reached by Tab and has a name, one that does not is no stop": async (
    world,
  ) => {
    const server = await world.server();
    await server.sampled(5);
    let isCrowded = true;
    const page = await world.livePage(server, {
      height: 2400,
      change: (message) => (isCrowded ? crowded(message) : message),
    });
    const lists = () =>
      page.evaluate(() =>
        ["Filesystems", "Disks"].map((title) => {
          const list = document.querySelector(`[aria-label=${title}] .scroller`);
          return [list.tabIndex, list.getAttribute("role"), list.getAttribute("aria-label")];
        }),
      );
    await drawn(page, 2);
    await until(async () => (await lists()).every(([tabIndex]) => tabIndex === 0), "scrolling");
    equal(await lists(), [
      [0, "group", "Filesystems, list"],
      [0, "group", "Disks, list"],
    ]);
    isCrowded = false;
    await page.socket.close({ code: 1001 });
    await until(async () => (await lists()).every(([tabIndex]) => tabIndex === -1), "no scrolling");
    equal(await lists(), [
      [-1, null, null],
      [-1, null, null],
    ]);
  },

  "arrow keys read single samples of a chart, aloud too": async (world) => {
    const server = await world.server();
    await server.sampled(30);
    const page = await world.livePage(server);
    await drawn(page, 5);
    const canvas = chart(page, "CPU");
    await canvas.focus();
    const value = () => canvas.getAttribute("aria-valuetext");
    await page.keyboard.press("ArrowLeft");
    await frames(page);
    const first = await value();
    check(/\d\d:\d\d:\d\d.*%/.test(first), "it reads", first);
    for (let step = 0; step < 20; step += 1) await page.keyboard.press("ArrowLeft");
    await frames(page);
    check((await value()) !== first, "it still reads", first);
    const kept = await value();
    await drawn(page, 3);
    equal(await value(), kept);
    await page.keyboard.press("Escape");
  },

  "a pointer on one chart reads the same moment on all": async (world) => {
    const server = await world.server();
    await server.sampled(40);
    const page = await stillPage(world, server);
    await frames(page, 3);
    const before = await pictures(page);
    equal(await changed(page, before), [false, false, false, false]);
    const box = await chart(page, "Memory").boundingBox();
    await page.mouse.move(box.x + box.width * 0.8, box.y + box.height / 2);
    equal(await changed(page, before), [true, true, true, true]);
    await page.mouse.move(box.x + box.width * 0.8, box.y - 100);
    equal(await changed(page, before), [false, false, false, false]);
  },

  "what a finger points at stays on all charts until a tap elsewhere, and it still scrolls": async (
    world,
  ) => {
    const server = await world.server();
    await server.sampled(40);
    const page = await stillPage(world, server, { width: 360, height: 1400, hasTouch: true });
    await frames(page, 3);
    const before = await pictures(page);
    const all = (isSo) => before.map(() => isSo);
    const place = async (heading, across) => {
      const { x, y, width, height } = await chart(page, heading).boundingBox();
      return [x + width * across, y + height / 2];
    };
    await page.touchscreen.tap(...(await place("CPU", 0.9)));
    equal(await changed(page, before), all(true));
    const first = await pictures(page);
    await page.touchscreen.tap(...(await place("Memory", 0.6)));
    equal(await changed(page, first), all(true));
    const second = await pictures(page);
    const session = await page.context().newCDPSession(page);
    const [x, y] = await place("CPU", 0.9);
    for (let moved = 0; moved <= 150; moved += 10) {
      const type = moved ? "touchMove" : "touchStart";
      await session.send("Input.dispatchTouchEvent", { type, touchPoints: [{ x, y: y - moved }] });
    }
    await session.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
    await page.waitForFunction(() => scrollY > 100);
    equal(await changed(page, second), all(false));
    await page.touchscreen.tap(180, 5);
    equal(await changed(page, before), all(false));
  },

  "every control can be used, and nothing breaks": async (world) => {
    const server = await world.server();
    await server.sampled(20);
    const page = await world.livePage(server);
    await drawn(page, 2);
    const count = (await controls(page)).length;
    for (let index = 0; index < count; index += 1) {
      const control = page.locator(`[data-control="${index}"]`);
      if (!(await control.isVisible())) continue;
      if ((await control.evaluate((node) => node.nodeName)) === "SELECT") {
        for (const value of await control.evaluate((node) =>
          [...node.options].map((one) => one.value),
        )) {
          await control.selectOption(value);
          await drawn(page);
        }
      } else {
        await control.click();
        await drawn(page);
      }
    }
    await drawn(page, 3);
    await state(page, "Live");
  },
};
