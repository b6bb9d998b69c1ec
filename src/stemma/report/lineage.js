"use strict";
// The page reads without this script, card after card; with it one card is shown at a time and its line of descent lit.
const all = (q, at = document) => [...at.querySelectorAll(q)];
const boxes = new Map(all("a[data-paper]").map(a => [a.dataset.paper, a]));
const lines = all(".line");
const cards = all(".card");

function reach(name, from, to) {
  const found = new Set([name]), open = [name];
  while (open.length) {
    const at = open.pop();
    for (const l of lines) if (l.dataset[from] === at && !found.has(l.dataset[to])) { found.add(l.dataset[to]); open.push(l.dataset[to]); }
  }
  return found;
}

function light(name) {
  const up = name ? reach(name, "to", "from") : new Set(), down = name ? reach(name, "from", "to") : new Set();
  const inside = (set, l) => set.has(l.dataset.from) && set.has(l.dataset.to);
  for (const [n, a] of boxes) { a.classList.toggle("kin", up.has(n) || down.has(n)); a.classList.toggle("chosen", n === name); }
  for (const l of lines) l.classList.toggle("kin", inside(up, l) || inside(down, l));
  all(".tree").forEach(t => t.classList.toggle("dim", Boolean(name) && Boolean(t.querySelector(".chosen"))));
}

function show(scroll) {
  const wanted = decodeURIComponent(location.hash.slice(1));
  const chosen = cards.find(c => c.id === wanted);
  cards.forEach(c => { c.hidden = c !== chosen; });
  light(chosen ? chosen.dataset.name : "");
  if (chosen && scroll) { chosen.scrollIntoView({ block: "start" }); chosen.focus({ preventScroll: true }); }
}

for (const [i, c] of cards.entries()) {
  const steps = document.createElement("p");
  steps.className = "steps";
  const link = (href, said) => { const a = document.createElement("a"); if (href) { a.href = href; a.textContent = said; } steps.append(a); };
  const name = j => cards[j].querySelector("h2").textContent;
  link(cards[i - 1] && "#" + cards[i - 1].id, cards[i - 1] && "\u2190 " + name(i - 1));
  link("#tree", "\u2191 tree");
  link(cards[i + 1] && "#" + cards[i + 1].id, cards[i + 1] && name(i + 1) + " \u2192");
  c.append(steps);
}
all(".tree").forEach(t => {
  const keep = () => t.querySelectorAll("text.year").forEach(y => y.setAttribute("x", t.scrollLeft + 4));  // years stay in sight
  t.addEventListener("scroll", keep);
  t.scrollLeft = (t.scrollWidth - t.clientWidth) / 2;
  keep();
});
addEventListener("hashchange", () => show(true));
show(Boolean(location.hash));
