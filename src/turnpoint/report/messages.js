"use strict";
// Everything that the data say reaches the page as text, never as markup: see `element`.

const LONG = 900; // characters from which a message of the prompt is folded

const at = (id) => document.getElementById(id);

function element(name, className = "", ...children) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...children.filter((child) => child !== null)); // strings become text nodes
  return made;
}

function titled(made, title) {
  made.title = title;
  return made;
}

const number = (value) => value.toLocaleString("en");
const counted = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

/** A text in which U+FFFC stands for an image. */
function withImages(text, images) {
  if (!images) return [text];
  return text.split("\ufffc").flatMap((part, i) => {
    return i ? [element("span", "image", `▧ ${images[i - 1] ?? "image"}`), part] : [part];
  });
}

/** A text that somebody said, each of its paragraphs in its own direction. */
function said(...parts) {
  const made = element("div", "said", ...parts);
  made.dir = "auto";
  return made;
}

/** What the assistant thought before it spoke, folded, with what `told` says of it; null where it did not. */
function reasoning(shown, ...told) {
  if (!shown.reasoning) return null;
  return element("details", "reasoning", element("summary", "", "reasoning", ...told), said(shown.reasoning));
}

/** What a message says: its text and calls, its images by name. */
const content = (shown) => said(...withImages(shown.text, shown.images));

/** A message of a prompt; `told` is said of its reasoning. */
function message(shown, told = "") {
  const who = element("div", "who", element("b", "", shown.role), shown.name ?? "");
  const made = element("div", `message ${shown.role}`, who, reasoning(shown, told), content(shown));
  if (shown.text.length > LONG) {
    const more = element("button", "more", "show all");
    made.classList.add("clamped");
    more.onclick = () => {
      more.textContent = made.classList.toggle("clamped") ? "show all" : "show less";
    };
    made.append(more);
  }
  return made;
}

/** The tools on offer, folded; null where there are none. */
function toolList(offered) {
  if (!offered.length) return null;
  const summary = element("summary", "", `${counted(offered.length, "tool")}: `);
  offered.forEach((tool, i) => summary.append(i ? ", " : "", element("b", "", tool.name)));
  const listed = offered.map((tool) =>
    element("div", "", element("b", "", tool.name), ` ${tool.description}`, element("pre", "", tool.parameters)),
  );
  return element("details", "tools", summary, ...listed);
}
