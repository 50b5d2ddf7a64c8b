"use strict";
// Shows and hides parts of the page, and reads values off curves. It creates no markup from data.

// Move the strips of a match below the board of the step shown, and their cursors to that step.
const place = (match, step, at) => {
  const strips = match.querySelector(".strips");
  if (!strips) return;
  step.querySelector(".slot").append(strips);
  for (const strip of strips.querySelectorAll(".strip"))
    strip.querySelector(".cursor").setAttribute("x", Number(strip.dataset.left) + at * Number(strip.dataset.step));
};

for (const viewer of document.querySelectorAll(".viewer")) {
  const matches = [...viewer.querySelectorAll(".match")].map((match) => ({ match, steps: [...match.querySelectorAll(".step")] }));
  const pick = viewer.querySelector(".pick");
  const slide = viewer.querySelector(".slide");
  const [back, next] = [viewer.querySelector(".back"), viewer.querySelector(".next")];
  const live = viewer.querySelector(".live");
  const jumps = [...viewer.querySelectorAll(".jump")];
  const alone = viewer.classList.contains("alone");

  const show = (step) => {
    const { steps } = matches[pick.value];
    const at = Math.max(0, Math.min(steps.length - 1, step));
    matches.forEach(({ match }, k) => { match.hidden = k !== Number(pick.value); });
    steps.forEach((element, k) => { element.hidden = k !== at; });
    slide.max = steps.length - 1;
    slide.value = at;
    live.textContent = steps[at].querySelector(".announcement").textContent;
    place(matches[pick.value].match, steps[at], Number(steps[at].dataset.at));
    jumps.forEach((jump) => { jump.setAttribute("aria-current", Number(jump.dataset.match) === Number(pick.value) && Number(jump.dataset.step) === at); });
    slide.setAttribute("aria-valuetext", `${Number(steps[at].dataset.at) + 1} / ${Number(steps[steps.length - 1].dataset.at) + 1}`);
    const focused = [back, next].includes(document.activeElement);
    back.disabled = at === 0;
    next.disabled = at === steps.length - 1;
    if (focused && document.activeElement.disabled !== false) slide.focus(); // keep the keys working
  };

  const now = () => Number(slide.value);
  const go = (match, step) => { pick.value = match; show(step); };
  const follow = (jump) => go(jump.dataset.match, Number(jump.dataset.step));
  // Go to the next or previous of the costliest decisions, counted from the one shown.
  const hop = (by) => {
    if (!jumps.length) return;
    const current = jumps.findIndex((jump) => jump.getAttribute("aria-current") === "true");
    follow(jumps[current < 0 ? (by > 0 ? 0 : jumps.length - 1) : (current + by + jumps.length) % jumps.length]);
  };
  pick.addEventListener("change", () => show(0));
  slide.addEventListener("input", () => show(now()));
  back.addEventListener("click", () => show(now() - 1));
  next.addEventListener("click", () => show(now() + 1));
  for (const jump of jumps) jump.addEventListener("click", () => follow(jump));
  for (const strip of viewer.querySelectorAll(".strip")) {
    strip.addEventListener("click", (event) => {
      const box = strip.getBoundingClientRect();
      const at = ((event.clientX - box.left) * 300) / box.width;
      const step = Math.floor((at - strip.dataset.left) / strip.dataset.step);
      const { steps } = matches[pick.value]; // a long match shows some of its steps alone
      const distance = ({ dataset }) => Math.abs(dataset.at - step);
      show(steps.reduce((best, one, k) => (distance(one) < distance(steps[best]) ? k : best), 0));
    });
  }
  // Keys work anywhere on the page, except in elements that use them.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("select, .scroll[tabindex]")) return;
    if (event.target.closest("input") && event.key.length > 1) return; // the slider handles these keys
    const inViewer = alone || viewer.contains(event.target); // a long page scrolls with these keys
    const last = matches[pick.value].steps.length - 1;
    const keys = { ArrowLeft: () => show(now() - 1), ArrowRight: () => show(now() + 1) };
    if (inViewer) Object.assign(keys, {
      Home: () => show(0), End: () => show(last), c: () => hop(1), C: () => hop(-1), m: () => go((Number(pick.value) + 1) % matches.length, 0),
    });
    if (Object.hasOwn(keys, event.key)) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  show(0);
}

const readout = document.getElementById("readout");
const number = new Intl.NumberFormat(document.documentElement.lang, { maximumSignificantDigits: 4 });
const scale = (text) => {
  const [low, high, start, end, log] = text.split(" ").map(Number);
  const [from, to] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
  return (pixel) => {
    const value = from + ((pixel - start) / (end - start)) * (to - from);
    return log ? 10 ** value : value;
  };
};

for (const figure of document.querySelectorAll(".figure[data-x]")) {
  const [toX, toY] = [scale(figure.dataset.x), scale(figure.dataset.y)];
  const [bottom, top] = figure.dataset.y.split(" ").slice(2);
  const lines = [...figure.querySelectorAll(".line")];
  const cross = document.createElementNS("http://www.w3.org/2000/svg", "line");
  cross.setAttribute("class", "cross");
  const hide = () => { readout.hidden = true; cross.remove(); };
  figure.addEventListener("pointerleave", hide);
  figure.addEventListener("pointermove", (event) => {
    const box = figure.getBoundingClientRect();
    const at = (event.clientX - box.left) * (figure.viewBox.baseVal.width / box.width);
    const nearest = lines.map((line) =>
      [...line.points].reduce((best, p) => (Math.abs(p.x - at) < Math.abs(best.x - at) ? p : best)));
    const x = nearest[0].x;
    for (const [name, value] of [["x1", x], ["x2", x], ["y1", top], ["y2", bottom]]) cross.setAttribute(name, value);
    figure.append(cross);
    const values = nearest.map((p, k) => `${lines[k].textContent} ${number.format(toY(p.y))}`.trim());
    readout.textContent = `${number.format(Math.round(toX(x)))}: ${values.join(", ")}`;
    readout.hidden = false;
    const left = Math.min(event.pageX + 12, document.documentElement.clientWidth - readout.offsetWidth - 8);
    readout.style.left = `${left}px`; // the policy forbids style attributes in markup only
    readout.style.top = `${event.pageY - 34}px`;
  });
}
