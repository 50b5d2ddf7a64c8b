"use strict";
// Only shows and hides what the page already holds, and reads numbers off curves. It makes no markup from data.

for (const viewer of document.querySelectorAll(".viewer")) {
  const matches = [...viewer.querySelectorAll(".match")].map((match) => ({ match, steps: [...match.querySelectorAll(".step")] }));
  const pick = viewer.querySelector(".pick");
  const slide = viewer.querySelector(".slide");
  const [back, next] = [viewer.querySelector(".back"), viewer.querySelector(".next")];
  const live = viewer.querySelector(".live");

  const show = (step) => {
    const { steps } = matches[pick.value];
    const at = Math.max(0, Math.min(steps.length - 1, step));
    matches.forEach(({ match }, k) => { match.hidden = k !== Number(pick.value); });
    steps.forEach((element, k) => { element.hidden = k !== at; });
    slide.max = steps.length - 1;
    slide.value = at;
    live.textContent = steps[at].querySelector(".said").textContent;
    slide.setAttribute("aria-valuetext", `${at + 1} / ${steps.length}`);
    back.disabled = at === 0;
    next.disabled = at === steps.length - 1;
  };

  const now = () => Number(slide.value);
  pick.addEventListener("change", () => show(0));
  slide.addEventListener("input", () => show(now()));
  back.addEventListener("click", () => show(now() - 1));
  next.addEventListener("click", () => show(now() + 1));
  // Arrow keys work from anywhere on the page unless something that wants them itself has the focus.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, .scroll")) return;
    const to = { ArrowLeft: now() - 1, ArrowRight: now() + 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      show(to);
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

for (const figure of document.querySelectorAll(".curves")) {
  const [toX, toY] = [scale(figure.dataset.x), scale(figure.dataset.y)];
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
    for (const [name, value] of [["x1", x], ["x2", x], ["y1", 8], ["y2", 144]]) cross.setAttribute(name, value);
    figure.append(cross);
    const values = nearest.map((p, k) => `${lines[k].dataset.label} ${number.format(toY(p.y))}`.trim());
    readout.textContent = `${number.format(Math.round(toX(x)))}: ${values.join(", ")}`;
    readout.hidden = false;
    const left = Math.min(event.pageX + 12, document.documentElement.clientWidth - readout.offsetWidth - 8);
    readout.style.left = `${left}px`; // set from script: the policy forbids style attributes in the markup only
    readout.style.top = `${event.pageY - 34}px`;
  });
}
