// A person without a mouse: Tab, Enter, Space and the arrows. Where the focus is must be seen at every step of the way.

import assert from "node:assert/strict";

/** The longest way through a page, presses of Tab: a menu of some fifteen entries, a table of fifty rows, a form. */
const WAY = 200;
/** Options of a list at most. */
const OPTIONS = 40;
/** The ring around what has the focus at least, pixels: what WCAG 2.2, 2.4.13 asks for. */
const RING = 2;

/** Where the focus is, and whether one sees it. Runs in the page. */
function focus(selector) {
  const element = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  return {
    there: element.matches(selector),
    nowhere: element === document.body,
    ring: outlineStyle === "none" ? 0 : parseFloat(outlineWidth),
    inView: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    what: element.outerHTML.slice(0, 120),
  };
}

/** Goes on with Tab until such an element has the focus. */
export async function tabTo(page, selector) {
  assert.ok(await page.locator(selector).count() > 0, `there is no ${selector}`);
  for (let presses = 0; presses < WAY; presses += 1) {
    await page.keyboard.press("Tab");
    const { there, nowhere, ring, inView, what } = await page.evaluate(focus, selector);
    // From the last element the focus goes out of the page and comes in again at its top.
    if (nowhere) continue;
    assert.ok(ring >= RING && inView, `one does not see that the focus is on ${what}`);
    if (there) return;
  }
  assert.fail(`Tab does not lead to ${selector}`);
}

/** Goes to a field and writes into it. */
export async function write(page, selector, text) {
  await tabTo(page, selector);
  await page.keyboard.press("Control+A");
  await page.keyboard.type(text);
}

/** Goes to a list and chooses by the arrows. */
export async function choose(page, selector, value) {
  await tabTo(page, selector);
  for (let presses = 0; presses < OPTIONS && await page.inputValue(selector) !== value; presses += 1) await page.keyboard.press("ArrowDown");
  assert.equal(await page.inputValue(selector), value, `the arrows do not lead to it in ${selector}`);
}

/** Goes to a box and ticks it. */
export async function tick(page, selector) {
  await tabTo(page, selector);
  await page.keyboard.press("Space");
  assert.ok(await page.isChecked(selector), `Space does not tick ${selector}`);
}

/** Goes to what leads to another page, presses Enter, and waits for that. */
export async function enter(page, selector) {
  await tabTo(page, selector);
  await Promise.all([page.waitForEvent("load"), page.keyboard.press("Enter")]);
}
