const token = location.hash.slice(1);

const state = {
  verdicts: [], // of each prompt: "pair", "tie" or "skip"; null where nothing was said
  counts: {}, // pairs, ties, skipped, left
  place: 0, // of the prompt on view; the number of all prompts where none is
  prompt: null, // the prompt on view
  picked: null, // place of the better reply, while the worse one is still to be picked
  busy: false, // while the server is asked: a key is not taken for what is not on view yet
};

// ---- the server ----

/** What the server tells; an error says what to do. */
async function fetched(path, body) {
  const asks = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, { ...asks, headers: { "X-Turnpoint-Token": token } });
  } catch {
    throw new Error("Nothing is saved: turnpoint does not answer. Start it again and open the address that it prints.");
  }
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

/** Does one thing at a time; what goes wrong is said. */
async function alone(work) {
  if (state.busy) return;
  state.busy = true;
  try {
    await work();
  } catch (error) {
    say(element("b", "error", error.message));
  }
  state.busy = false;
}

/** Keeps how far the work is. */
function learn({ verdicts, counts }) {
  Object.assign(state, { verdicts, counts });
}

// ---- choices ----

const replyName = (reply) => `reply ${reply + 1}`;

async function choose(verdict, sides = {}) {
  if (!state.prompt) return;
  learn(await fetched("/choices", { prompt: state.place, verdict, ...sides }));
  const said = verdict === "pair" ? `${replyName(sides.chosen)} over ${replyName(sides.rejected)}` : verdict;
  const note = `Saved: prompt ${state.place + 1}, ${said}. `;
  await go(nextLeft());
  say(note, question());
}

async function undo() {
  if (state.picked !== null) return pickAgain();
  const told = await fetched("/undo", {});
  learn(told);
  await go(told.prompt ?? state.place); // null where this run does not ask that prompt
  say("Taken back. ", question());
}

function pickAgain() {
  state.picked = null;
  drawMarks();
  say(question());
}

/** The first number is the better reply, the second the worse one; the same once more takes it back. */
async function pick(reply) {
  const picked = state.prompt?.replies[reply];
  if (!picked) return;
  if (state.picked === reply) pickAgain();
  else if (state.picked !== null) await choose("pair", { chosen: state.picked, rejected: reply });
  else if (picked.unknown.length) {
    const tools = picked.unknown.join(", ");
    say(element("b", "error", `Only the worse reply may call a tool that is not offered (${tools}). `), question());
  } else {
    state.picked = reply;
    drawMarks();
    say(question());
  }
}

/** Place of the next prompt of which nothing was said; where there is none, of the next one that was skipped. */
function nextLeft() {
  const all = state.verdicts.length;
  const after = state.place < all ? state.place + 1 : 0;
  const found = [
    state.verdicts.indexOf(null, after),
    state.verdicts.indexOf(null),
    state.verdicts.indexOf("skip", after),
  ].find((place) => place >= 0);
  return found ?? all;
}

// ---- drawing ----

/** Writes the line over the replies. */
function say(...parts) {
  at("ask").replaceChildren(...parts);
}

function question() {
  if (!state.prompt) return "";
  if (state.picked !== null) return `Now press the number of a reply that is worse than ${replyName(state.picked)}.`;
  const before = {
    pair: "Chosen before; numbers choose anew.",
    tie: "A tie before; numbers choose anew.",
    skip: "Skipped before; press the number of the better reply.",
  };
  return before[state.verdicts[state.place]] ?? "Press the number of the better reply.";
}

function reply(shown, i) {
  const badge = element("button", "", String(i + 1), i === 9 ? element("kbd", "", " 0") : null);
  const who = element("div", "who", element("span", "side"));
  if (shown.cut) who.append(element("span", "chip warning", "cut: it does not end"));
  for (const tool of shown.unknown) who.append(element("span", "chip error", `no such tool is offered: ${tool}`));
  const made = element("article", "reply", badge, element("div", "", who, reasoning(shown), content(shown)));
  badge.setAttribute("aria-label", `pick ${replyName(i)}`);
  made.onclick = (event) => {
    const reads = event.target.closest("details") || !getSelection().isCollapsed;
    if (!reads) alone(() => pick(i));
  };
  return made;
}

/** Marks the reply that is picked, or those that were chosen before. */
function drawMarks() {
  const { chosen, rejected } = state.picked === null ? state.prompt : { chosen: state.picked, rejected: null };
  at("replies").childNodes.forEach((made, i) => {
    made.classList.toggle("chosen", i === chosen);
    made.classList.toggle("rejected", i === rejected);
    made.querySelector(".side").textContent = i === chosen ? "✓ chosen" : i === rejected ? "✕ rejected" : "";
  });
}

function drawProgress() {
  const { pairs, ties, skipped, left } = state.counts;
  const done = pairs + ties;
  const all = state.verdicts.length;
  at("counts").textContent = [
    `${number(done)} done (${counted(pairs, "pair")}, ${counted(ties, "tie")})`,
    `${number(skipped)} skipped`,
    `${number(left)} left`,
  ].join(" · ");
  at("bar").replaceChildren(
    ...Object.entries({ pairs, ties, skipped, left }).map(([name, count]) => {
      const part = element("i", name);
      part.style.flexGrow = count;
      return part;
    }),
  );
  at("jump").value = state.prompt ? state.place + 1 : "";
  at("jump").max = all;
  at("of").textContent = `of ${number(all)}`;
  at("previous").disabled = state.place <= 0;
  at("next").disabled = state.place >= all;
  at("skip").disabled = at("tie").disabled = !state.prompt;
}

function drawEnd() {
  const { skipped } = state.counts;
  const again = `${counted(skipped, "prompt")} skipped: press n to go through ${skipped === 1 ? "it" : "them"}.`;
  at("prompt").replaceChildren();
  at("replies").replaceChildren(
    element("p", "empty", "Nothing is left. ", skipped ? again : "", " Ctrl-C in the terminal ends."),
  );
}

function drawPrompt() {
  const { source, tools, prompt, replies } = state.prompt;
  const messages = prompt.map((each) => message(each));
  at("prompt").replaceChildren(...[element("p", "source", source), toolList(tools), ...messages].filter(Boolean));
  at("replies").replaceChildren(...replies.map(reply));
  drawMarks();
  at("prompt").scrollTop = at("prompt").scrollHeight; // what was said last
}

/** Shows the prompt at a place. */
async function go(place) {
  const prompt = place < state.verdicts.length ? await fetched(`/prompts/${place}`) : null;
  Object.assign(state, { place, prompt, picked: null });
  drawProgress();
  if (prompt) drawPrompt();
  else drawEnd();
  say(question());
  const main = document.querySelector("main");
  main.scrollTop = 0;
  if (!document.activeElement.closest("header")) main.focus({ preventScroll: true }); // arrows scroll the replies
}

async function step(by) {
  const place = state.place + by;
  if (place >= 0 && place <= state.verdicts.length) await go(place);
}

// ---- keys ----

const ACTIONS = {
  s: () => choose("skip"),
  t: () => choose("tie"),
  u: undo,
  n: () => go(nextLeft()),
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  "?": () => at("keys").showModal(),
};

/** The key that was meant: on other layouts the one at its place, as ㄴ for s, or & for 1. */
function meant(event) {
  const [, kind, sign] = /^(Key|Digit)(.)$/.exec(event.code) ?? [];
  if (kind === "Digit" && !event.shiftKey) return sign;
  return kind === "Key" && !/^[ -~]$/.test(event.key) ? sign.toLowerCase() : event.key;
}

function pressed(event) {
  const key = meant(event);
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  if (event.repeat && !key.startsWith("Arrow")) return;
  if (at("keys").open) {
    if (key === "?") at("keys").close();
  } else if (/^[0-9]$/.test(key)) alone(() => pick((Number(key) + 9) % 10));
  else if (key in ACTIONS) alone(ACTIONS[key]);
  else return;
  event.preventDefault();
}

async function start() {
  const told = await fetched("/state");
  learn(told);
  document.title = `${told.output} · turnpoint pairs annotate`;
  at("output").textContent = told.output;
  state.place = -1;
  await go(nextLeft());
}

const BUTTONS = { previous: "ArrowLeft", next: "ArrowRight", skip: "s", tie: "t", undo: "u", help: "?" };
for (const [id, key] of Object.entries(BUTTONS)) at(id).onclick = () => alone(ACTIONS[key]);
at("jump").onchange = () => {
  const place = Number(at("jump").value) - 1;
  if (place in state.verdicts) alone(() => go(place));
  else drawProgress();
};
addEventListener("keydown", pressed);
addEventListener("hashchange", () => location.reload()); // the address of a server that was started anew
alone(start);
