"use strict";
// Shows the state that the server tells. Words go in as text; pictures are parsed apart from the page, where nothing of them runs,
// and were written by the server from a short list of shapes.

const at = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll("#moves button")];
const main = document.querySelector("main");
let state = null;
let busy = false;

const picture = (markup) => new DOMParser().parseFromString(markup, "text/html").querySelector("svg");
const piece = (tag, text, kind) => {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
};

const trouble = (text) => {
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
};

const belief = ({ title, figure, said, expects }) => {
  const box = piece("figure", "", "belief");
  box.append(piece("figcaption", title));
  const drawn = picture(figure);
  if (drawn) {
    const cursor = drawn.querySelector(".cursor");
    const last = Math.min(state.step, Math.round((300 - drawn.dataset.left) / drawn.dataset.step) - 1);
    cursor.setAttribute("x", Number(drawn.dataset.left) + last * Number(drawn.dataset.step));
    box.append(drawn);
  }
  for (const text of [said, expects]) if (text) box.append(piece("p", text, "sentence"));
  return box;
};

const show = () => {
  const board = picture(state.board);
  at("board").replaceChildren(...(board ? [board] : []));
  at("text").textContent = state.text;
  at("text").className = board ? "sr" : "text";
  const held = buttons.includes(document.activeElement);
  buttons.forEach((button, k) => { button.disabled = !state.legal[k]; });
  if (held && document.activeElement.disabled !== false) (state.over ? at("new") : at("moves")).focus();
  at("said").textContent = state.note ? `${state.note} ${state.said}` : state.said;
  at("kept").textContent = state.kept;
  at("beliefs").hidden = !state.beliefs.length;
  at("legend").replaceChildren(...state.legend.map(([name, kind]) => piece("span", name, `key ${kind}`)));
  at("strips").replaceChildren(...state.beliefs.map(belief));
};

const ask = async (place, body) => {
  if (busy) return;
  busy = true;
  try {
    const post = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(place, post || {});
    if (answer.ok) {
      state = await answer.json();
      trouble("");
      show();
    } else if (answer.status === 409) {
      busy = false;
      await ask("state");
    } else {
      trouble(answer.status === 400 ? await answer.text() : main.dataset.lost);
    }
  } catch {
    trouble(main.dataset.lost);
  } finally {
    busy = false;
  }
};

const meant = () => ({ game: state.game, step: state.step });
const act = (button) => {
  if (!state) return;
  if (button.disabled) trouble(main.dataset.illegal);
  else ask("act", { ...meant(), action: Number(button.dataset.action) });
};
const renew = () => { if (state) ask("new", meant()); };

for (const button of buttons) button.addEventListener("click", () => act(button));
at("new").addEventListener("click", renew);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  const button = buttons.find(({ dataset }) => event.key === dataset.key || event.key === dataset.arrow);
  if (button) {
    event.preventDefault();
    act(button);
  } else if ((event.key === "n" || event.key === "N") && state?.over) {
    renew(); // in the middle of a game only the button does: a slip would lose it
  }
});
ask("state");
