// @ts-check

// A click is one only where press and release meet the same element: while something is held down, nothing is drawn.
let isHeld = false;
/** @type {Set<() => void>} */
const waiting = new Set();

// The click comes after the release, and is to find what was pressed: a finger's takes some milliseconds.
const CLICK_MS = 50;
let clicking = 0;

/**
 * Now, or once what is held down is let go; what is asked for again meanwhile is drawn once.
 * @param {() => void} draw the same function each time
 */
export function steadily(draw) {
  if (isHeld || clicking) waiting.add(draw);
  else draw();
}

/** @param {number} ms until what waits is drawn, unless something is held down again by then */
function drawIn(ms) {
  clearTimeout(clicking);
  clicking = setTimeout(() => {
    clicking = 0;
    if (isHeld) return;
    const drawing = [...waiting];
    waiting.clear();
    drawing.forEach((draw) => draw());
  }, ms);
}

function letGo() {
  isHeld = false;
  drawIn(CLICK_MS);
}

addEventListener("pointerdown", (event) => (isHeld = event.button === 0), true);
addEventListener("keydown", (event) => (isHeld ||= event.key === " "), true);
for (const end of ["pointerup", "pointercancel", "keyup"]) addEventListener(end, letGo, true);
addEventListener("click", () => clicking && drawIn(0), true);
addEventListener("blur", letGo); // the window's: what is let go elsewhere is not told here
