const data = JSON.parse(at("data").textContent);
const added = new Set(data.added);
const ITEM = 48; // pixels of a row in the list
const MANY = 6; // copies of one added token from which a run of them is written as a number, as for images
const SIDES = ["chosen", "rejected"];

const state = {
  row: 0, // index in data.rows
  finding: null, // index in data.findings
  query: "",
  kind: "",
  decisions: data.pairs ? ["", ""] : [""], // first of each side; of any turn where rows have no sides
  view: "messages",
  earlier: true, // whether the messages before the last of the shared prompt are unfolded
  from: "fork",
  gamma: data.gammas.indexOf(data.gamma),
};
let left = []; // rows that the filters leave
let weighed = []; // functions that write the weights of the turns on view

// ---- turns and their weights ----

/** Index of the first turn that counts. */
const firstTurn = (row) => (state.from === "fork" ? row.sharedTurns : 0);

/** Where a turn stands among the turns that count: its number t and their number T; null where it does not count. */
function place(row, side, turn) {
  const counting = row.turns[side].filter((each, i) => each.scored && i >= firstTurn(row));
  const t = counting.indexOf(row.turns[side][turn]);
  return t < 0 ? null : { t, of: counting.length };
}

/** phi(t, T), and its share of the score: phi / psi. */
function weight({ t, of }) {
  const phi = data.phi[of][state.gamma];
  return { phi: phi[t], share: phi[t] / phi.reduce((sum, each) => sum + each, 0) };
}

function weightShown(label, { phi, share }) {
  const meter = element("span", "meter", element("i"));
  meter.style.setProperty("--of", phi);
  const shown = element("span", "weight", `${label}φ ${phi.toFixed(3)}`, meter);
  return titled(shown, `φ/ψ ${share.toFixed(3)}: the turn's part in the score of its side`);
}

/** What a turn weighs, on one side or, for a turn of the shared prompt, on both. */
function weightsShown(row, places) {
  const weights = places.map(weight);
  if (weights.length === 1) return [weightShown("", weights[0])];
  const net = weights[0].share - weights[1].share;
  const written = `net ${net < 0 ? "−" : "+"}${Math.abs(net).toFixed(3)}`;
  const sum = element("span", net < -0.0005 ? "against" : "", written);
  titled(
    sum,
    "φ/ψ on the chosen side less φ/ψ on the rejected: below 0 the turn, which both sides share, is pushed down",
  );
  return [...weights.map((each, side) => weightShown(`${SIDES[side]} `, each)), sum];
}

/** Colour and number of a turn, now and whenever gamma or turns_from change. */
function weigh(row, sides, turn, mark, write) {
  weighed.push(() => {
    const places = sides.map((side) => place(row, side, turn));
    const counts = places[0] !== null;
    mark.classList.toggle("scored", counts);
    mark.style.setProperty("--hue", counts ? `var(--t${places[0].t % 6})` : "var(--line)");
    const rated = data.pairs && counts;
    mark.style.setProperty("--phi", rated ? weight(places[0]).phi : 0.6);
    write(places[0], rated ? weightsShown(row, places) : []);
  });
}

function reweigh() {
  at("gamma-value").textContent = data.gammas[state.gamma].toFixed(2);
  for (const write of weighed) write();
}

// ---- tokens ----

/** The pieces first … last-1 of one side of a row, in their places. */
function pieces(row, side, first, last) {
  const shared = row.pieces[0];
  const after = row.pieces[side + 1];
  const made = [];
  for (let i = first; i < last; i++) made.push(i < shared.length ? shared[i] : after[i - shared.length]);
  return made;
}

const length = (row, side) => row.pieces[0].length + row.pieces[side + 1].length;

function token(piece) {
  const made = element("span", added.has(piece) ? "token added" : "token");
  made.dataset.piece = piece;
  data.texts[piece].split("\n").forEach((line, i) => {
    if (i) made.append(element("i", "newline"), "\n");
    made.append(line);
  });
  return made;
}

/** The pieces first … last-1 as text; where `faint`, those that both sides share are. */
function tokens(row, side, first, last, faint = false) {
  const made = document.createDocumentFragment();
  const run = pieces(row, side, first, last);
  for (let i = 0, end; i < run.length; i = end) {
    end = i + 1;
    while (added.has(run[i]) && run[end] === run[i]) end++;
    const copies = end - i >= MANY ? 1 : end - i;
    for (let copy = 0; copy < copies; copy++) {
      const shown = token(run[i]);
      if (faint && first + i < row.pieces[0].length) shown.classList.add("same");
      made.append(shown);
    }
    if (copies < end - i) made.append(element("span", "times", `×${end - i}`));
  }
  return made;
}

/** Every token from piece `first` to `last`, with the turns among them. */
function block(row, sides, first, last) {
  const made = element("div", "block tokens");
  const side = sides[0];
  let done = first;
  row.turns[side].forEach((turn, i) => {
    const [start, end] = [Math.max(turn.start, first), Math.min(turn.end, last)];
    if (start >= end) return;
    const label = element("span", "label");
    const run = element("span", "run", label, tokens(row, side, start, end));
    weigh(row, i < row.sharedTurns ? sides : [side], i, run, (place, weights) => {
      const phi = weights.length === 1 && sides.length === 1 ? ` φ ${weight(place).phi.toFixed(3)}` : "";
      label.textContent = place === null ? "not scored" : `t = ${place.t}${phi}`;
    });
    made.append(tokens(row, side, done, start), run);
    done = end;
  });
  made.append(tokens(row, side, done, last));
  return made;
}

// ---- messages ----

function turn(row, sides, i, said) {
  const { start, end, decision, tokens: count, leftOut } = row.turns[sides[0]][i];
  const numbered = element("span", "number");
  const told = element("span");
  const weights = element("span", "weights");
  const who = element(
    "div",
    "who",
    element("b", "", "assistant"),
    element("span", "decision", decision),
    numbered,
    element("span", "", counted(count, "token")),
    weights,
  );
  const made = element(
    "div",
    "turn",
    who,
    reasoning(said, ", ", told),
    element("div", "tokens", tokens(row, sides[0], start, end, sides.length === 1)),
  );
  weigh(row, sides, i, made, (place, shown) => {
    numbered.textContent = place === null ? "not scored" : `t = ${place.t} of T = ${place.of}`;
    weights.replaceChildren(...shown);
    told.textContent = leftOut ? "left out by the chat template" : place === null ? "not scored" : "scored";
  });
  return made;
}

/** Messages from number `first` of a dialogue on: turns by their tokens, others by what they say. */
function messages(row, sides, numbers, first) {
  return numbers.map((each, i) => {
    const found = row.refused ? -1 : row.turns[sides[0]].findIndex((turn) => turn.message === first + i);
    return found < 0 ? message(data.messages[each], ", not scored") : turn(row, sides, found, data.messages[each]);
  });
}

// ---- a row ----

const isPair = (row) => row.sides.length === 2;

function heading(row) {
  const made = element("div", "row-heading", element("h2", "", row.source || `row ${state.row + 1}`));
  if (row.kind) made.append(element("span", "chip", row.kind));
  for (const [name, value] of Object.entries(row.facts ?? {})) {
    made.append(element("span", "chip", element("span", "muted", `${name} `), String(value)));
  }
  for (const finding of data.findings.filter((each) => each.rows.includes(state.row))) {
    made.append(titled(element("span", `chip ${finding.severity}`, finding.title), finding.mend));
  }
  return made;
}

/** The messages that both sides share: all but the last can be folded away, for every row. */
function promptShown(row, sides) {
  const shown = messages(row, sides, row.prompt, 0);
  if (shown.length < 2) return shown;
  const earlier = element("details", "earlier", element("summary", "", counted(shown.length - 1, "earlier message")));
  earlier.append(...shown.slice(0, -1));
  earlier.open = state.earlier;
  earlier.ontoggle = () => (state.earlier = earlier.open);
  return [earlier, shown.at(-1)];
}

function fork(row) {
  const shared = row.refused ? "" : ` · the first ${counted(row.fork, "token")} are shared`;
  return element("div", "fork", element("span", "", `fork${shared}`));
}

function scoredOf(row, side) {
  return row.turns[side].reduce((sum, turn, i) => sum + (turn.scored && i >= row.sharedTurns ? turn.tokens : 0), 0);
}

function sideSize(row, side) {
  const after = row.lengths[side] - row.fork;
  return `${counted(row.lengths[side], "token")}, ${number(after)} after the fork, ${number(scoredOf(row, side))} scored`;
}

function column(row, side, byTokens) {
  const first = row.prompt.length;
  const shown = byTokens
    ? [block(row, [side], row.pieces[0].length, length(row, side))]
    : messages(row, [side], row.sides[side], first);
  if (!isPair(row)) return element("section", "side", ...shown);
  const size = row.refused ? "" : sideSize(row, side);
  const title = element("h3", "", side ? "✕ rejected" : "✓ chosen", element("small", "", size));
  return element("section", `side ${SIDES[side]}`, title, ...shown);
}

function drawRow() {
  weighed = [];
  const shown = at("row");
  if (!left.length) {
    shown.replaceChildren(element("p", "empty", data.rows.length ? "No row passes the filters." : "No rows."));
    return;
  }
  const row = data.rows[state.row];
  const byTokens = state.view === "tokens" && !row.refused;
  const both = isPair(row) ? [0, 1] : [0];
  const prompt = byTokens
    ? row.pieces[0].length
      ? [block(row, both, 0, row.pieces[0].length)]
      : []
    : promptShown(row, both);
  shown.replaceChildren(
    heading(row),
    ...(row.refused ? [element("p", "error-line", `refused: ${row.refused}`)] : []),
    ...(byTokens ? [] : [toolList(row.tools.map((i) => data.tools[i]))].filter(Boolean)),
    ...prompt,
    ...(isPair(row) ? [fork(row)] : []),
    element("div", isPair(row) ? "sides" : "sides one", ...both.map((side) => column(row, side, byTokens))),
  );
  reweigh();
  highlight();
}

/** Marks what is searched for in the row on view; a match may run over several tokens. */
function highlight() {
  if (!CSS.highlights) return;
  CSS.highlights.delete("found");
  if (!state.query) return;
  const walker = document.createTreeWalker(at("row"), NodeFilter.SHOW_TEXT);
  const nodes = [];
  let text = "";
  while (walker.nextNode()) {
    nodes.push({ node: walker.currentNode, start: text.length });
    text += walker.currentNode.data;
  }
  const inside = (offset) => nodes.findLast((each) => each.start <= offset);
  const found = new Highlight();
  const lower = text.toLowerCase();
  for (let i = lower.indexOf(state.query); i >= 0; i = lower.indexOf(state.query, i + state.query.length)) {
    const [first, last] = [inside(i), inside(i + state.query.length - 1)];
    const range = new Range();
    range.setStart(first.node, i - first.start);
    range.setEnd(last.node, i + state.query.length - last.start);
    found.add(range);
  }
  CSS.highlights.set("found", found);
}

// ---- the list of rows ----

/** Decisions of the first turn of each side; of a dialogue, those of all its turns. */
function decisionsOf(row) {
  if (row.refused) return [];
  if (!isPair(row)) return row.turns[0].map((turn) => turn.decision);
  return row.turns.map((turns) => turns[row.sharedTurns]?.decision ?? "");
}

function item(i) {
  const row = data.rows[i];
  const made = element("button", "item");
  const place = titled(
    element("span", "place", element("bdi", "", row.source.split("/").pop() || `row ${i + 1}`)),
    row.source,
  );
  const size = element("span", "size", row.refused ? "refused" : counted(Math.max(...row.lengths), "token"));
  const decisions = decisionsOf(row);
  const way =
    isPair(row) && !row.refused
      ? element(
          "span",
          "way",
          element("span", "chosen-text", decisions[0]),
          " | ",
          element("span", "rejected-text", decisions[1]),
        )
      : element("span", "way muted", decisions.join(" → "));
  made.append(
    element("span", "line", place, size),
    element("span", "line", way, element("span", "muted", row.kind ?? "")),
  );
  made.setAttribute("aria-current", i === state.row);
  made.onclick = () => go(i);
  return made;
}

function drawList() {
  const list = at("list");
  const items = at("items");
  const first = Math.max(0, Math.floor(list.scrollTop / ITEM) - 4);
  const shown = left.slice(first, first + Math.ceil(list.clientHeight / ITEM) + 8);
  items.replaceChildren(
    ...shown.map((row, i) => {
      const made = item(row);
      made.style.top = `${(first + i) * ITEM}px`;
      return made;
    }),
  );
}

function drawPlace() {
  const position = left.indexOf(state.row);
  at("left").textContent =
    left.length === data.rows.length ? number(left.length) : `${number(left.length)} of ${number(data.rows.length)}`;
  at("of").textContent = `of ${number(data.rows.length)}`;
  at("jump").value = left.length ? state.row + 1 : "";
  at("previous").disabled = position <= 0;
  at("next").disabled = position < 0 || position === left.length - 1;
}

function leave(rows) {
  left = rows;
  at("items").style.height = `${left.length * ITEM}px`;
}

/** Shows a row; one that the filters leave out takes them away. */
function go(row) {
  state.row = row;
  if (!left.includes(row)) clearFilters();
  history.replaceState(null, "", `#${row + 1}`);
  const list = at("list");
  const top = left.indexOf(row) * ITEM;
  if (top < list.scrollTop) list.scrollTop = top;
  if (top + ITEM > list.scrollTop + list.clientHeight) list.scrollTop = top + ITEM - list.clientHeight;
  drawPlace();
  drawList();
  drawRow();
  document.querySelector("main").scrollTop = 0;
}

function step(by) {
  const position = left.indexOf(state.row) + by;
  if (position >= 0 && position < left.length) go(left[position]);
}

// ---- filters ----

const haystacks = [];
function haystack(i) {
  if (haystacks[i] === undefined) {
    const row = data.rows[i];
    const said = [...row.prompt, ...row.sides.flat()].flatMap((each) => {
      return [data.messages[each].text, data.messages[each].reasoning ?? ""];
    });
    const offered = row.tools.map((each) => Object.values(data.tools[each]).join("\n"));
    haystacks[i] = [row.source, row.kind, row.refused, ...Object.values(row.facts ?? {}), ...said, ...offered]
      .join("\n")
      .toLowerCase();
  }
  return haystacks[i];
}

function passes(i) {
  const row = data.rows[i];
  const named = state.finding === null ? [] : data.findings[state.finding].rows;
  if (named.length && !named.includes(i)) return false; // one about the data as a whole names none
  if (state.kind && row.kind !== state.kind) return false;
  const decisions = decisionsOf(row);
  const decided = (wanted, side) => !wanted || (isPair(row) ? decisions[side] === wanted : decisions.includes(wanted));
  return state.decisions.every(decided) && (!state.query || haystack(i).includes(state.query));
}

function filter() {
  leave(data.rows.map((_, i) => i).filter(passes));
  drawFilters();
  if (left.length && !left.includes(state.row)) go(left[0]);
  else {
    drawPlace();
    drawList();
    drawRow();
  }
}

function clearFilters() {
  Object.assign(state, { finding: null, query: "", kind: "", decisions: state.decisions.map(() => "") });
  at("query").value = "";
  leave(data.rows.map((_, i) => i));
  drawFilters();
}

function drawFilters() {
  document.querySelectorAll(".finding").forEach((button, i) => {
    button.setAttribute("aria-pressed", i === state.finding);
  });
  const values = [...(at("kind") ? [state.kind] : []), ...state.decisions];
  document.querySelectorAll("#filters select").forEach((select, i) => (select.value = values[i]));
}

function finding(shown, i) {
  const first = element("span", "first");
  first.append(...shown.first.flatMap((each, k) => (k ? [element("br"), each] : [each])));
  const made = element(
    "button",
    `finding ${shown.severity}${shown.rows.length ? "" : " whole"}`,
    element("span", "", shown.title),
    element("span", "count", number(shown.count)),
    shown.mend ? element("span", "mend", shown.mend) : null,
    first,
  );
  made.onclick = () => {
    state.finding = state.finding === i ? null : i;
    filter();
    made.scrollIntoView({ block: "nearest" });
  };
  return titled(made, shown.severity);
}

/** A choice among values, with how many rows have each. */
function choice(label, valuesOf, choose) {
  const counts = new Map();
  for (const row of data.rows)
    for (const value of new Set(valuesOf(row))) counts.set(value, (counts.get(value) ?? 0) + 1);
  const made = element("select", "", element("option", "", `${label}: any`));
  made.firstChild.value = "";
  made.setAttribute("aria-label", label);
  for (const [value, count] of [...counts].sort((a, b) => b[1] - a[1])) {
    if (!value) continue;
    const option = element("option", "", `${value} (${number(count)})`);
    option.value = value;
    made.append(option);
  }
  made.onchange = () => {
    choose(made.value);
    filter();
  };
  return made;
}

function choices() {
  const kind = choice(
    "kind",
    (row) => [row.kind],
    (value) => (state.kind = value),
  );
  kind.id = "kind";
  const decisions = state.decisions.map((_, side) =>
    choice(
      data.pairs ? SIDES[side] : "decision",
      (row) => (data.pairs ? [decisionsOf(row)[side]] : decisionsOf(row)),
      (value) => (state.decisions[side] = value),
    ),
  );
  return [...(data.rows.some((row) => row.kind) ? [kind] : []), ...decisions];
}

// ---- the pointer, the keys ----

function showTip(event) {
  const shown = event.target.closest?.(".token");
  const tip = at("tip");
  tip.hidden = !shown;
  if (!shown) return;
  const ids = data.ids[shown.dataset.piece];
  tip.textContent = `${ids.join(" + ")}  ${JSON.stringify(data.texts[shown.dataset.piece])}`;
  const { left: x, bottom: y } = shown.getClientRects()[0];
  tip.style.left = `${Math.max(4, Math.min(x, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${y + 4 + tip.offsetHeight > innerHeight ? y - 28 - tip.offsetHeight : y + 4}px`;
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && event.target.id === "query") event.target.blur();
  if (event.target.matches("input:not([type=radio], [type=range]), select")) return;
  if (event.key === "j") step(1);
  if (event.key === "k") step(-1);
  if (event.key === "/") {
    event.preventDefault();
    at("query").focus();
  }
}

function fromAddress() {
  const row = Number(location.hash.slice(1)) - 1;
  return data.rows[row] ? row : 0;
}

function start() {
  const refused = data.rows.filter((row) => row.refused).length;
  const counts = [
    counted(data.rows.length, data.pairs ? "pair" : "dialogue"),
    `${number(data.tokens)} tokens`,
    `${number(data.scored)} scored`,
  ];
  document.title = `${data.dataset.split("/").pop()} · turnpoint inspect`;
  at("dataset").textContent = data.dataset;
  at("counts").textContent = [...counts, ...(refused ? [`${number(refused)} refused`] : [])].join(" · ");
  at("findings").append(...data.findings.map(finding));
  at("filters").append(...choices());
  at("jump").max = data.rows.length;
  at("gamma").max = data.gammas.length - 1;
  at("gamma").value = state.gamma;
  for (const each of document.querySelectorAll(".of-pairs")) each.hidden = !data.pairs;
  at("finding-box").open = at("filter-box").open = innerWidth > 900;

  let waiting;
  at("query").oninput = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      state.query = at("query").value.toLowerCase();
      filter();
    }, 120);
  };
  at("previous").onclick = () => step(-1);
  at("next").onclick = () => step(1);
  at("jump").onchange = () => {
    const row = Number(at("jump").value) - 1;
    if (data.rows[row]) go(row);
    else drawPlace();
  };
  at("view").onchange = (event) => {
    state.view = event.target.value;
    drawRow();
  };
  at("from").onchange = (event) => {
    state.from = event.target.value;
    reweigh();
  };
  at("gamma").oninput = (event) => {
    state.gamma = Number(event.target.value);
    reweigh();
  };
  at("list").onscroll = () => requestAnimationFrame(drawList);
  at("filter-box").ontoggle = drawList;
  addEventListener("resize", drawList);
  addEventListener("hashchange", () => go(fromAddress()));
  addEventListener("keydown", pressed);
  document.addEventListener("pointerover", showTip);

  state.row = fromAddress();
  clearFilters();
  if (data.rows.length) go(state.row);
  else filter();
}

start();
