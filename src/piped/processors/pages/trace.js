// Follows a trace step by step: the list, the drawing and the details always show the same step.
"use strict";
{
  const LISTED = 200; // steps in the list at a time: thousands of buttons would make the page slow
  const MOST_CHANGES = 200;
  const LONGEST_VALUE = 300;

  const at = id => document.getElementById(id);
  const read = id => JSON.parse(at(id).textContent);
  const steps = read("steps-json"), processors = read("processors-json");
  let current = -1;
  let first = -1; // of the steps that are listed
  let scale = "readable"; // of the drawing: a number, "whole", or as large as the pane but never too small to be read
  let remembering; // the step in the address, for a reload or a colleague
  let edges = new Map(), nodes = new Map();

  // An element with attributes and children; text is only ever put in as text.
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  // Signs that cannot be seen, and those that turn the text around them: shown as JSON writes them.
  const HIDDEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
  const visible = text => text.replace(HIDDEN, sign => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const labelOf = name => visible(processors[name]?.label ?? name);
  const targetOf = step => (step.kind === "result" ? "result" : labelOf(step.destination));
  const spent = ms => (ms < 1 ? `${Math.round(1000 * ms)} µs` : `${ms.toFixed(2)} ms`);
  const time = step => (step.time_spent === null ? "" : spent(1000 * step.time_spent));
  const isFailure = step => step.failure !== null;
  const typeOf = step => step.failure.type.replace(/^builtins\./, "");

  const MEANINGS = {
    consumer: step => (step.time_spent === null ? "enters the pipeline" : "handed on"),
    error_consumer: () => "a failure, handed to an error consumer",
    failure: () => "a failure that climbs",
    result: () => "a result of the pipeline",
  };
  const meaningOf = step => MEANINGS[step.kind](step);

  // What differs between two values of JSON: [path, word, before, after] for each.
  function differences(before, after, path = [], found = []) {
    const isNested = value => value !== null && typeof value === "object";
    if (found.length > MOST_CHANGES || before === after) return found;
    if (!isNested(before) || !isNested(after) || Array.isArray(before) !== Array.isArray(after)) {
      found.push([path.join("."), "changed", before, after]);
      return found;
    }
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const way = [...path, key.replaceAll(".", "\\.")];
      if (!Object.hasOwn(before, key)) found.push([way.join("."), "added", undefined, after[key]]);
      else if (!Object.hasOwn(after, key)) found.push([way.join("."), "removed", before[key], undefined]);
      else differences(before[key], after[key], way, found);
    }
    return found;
  }

  // The step that gave the source of a step its baton: what the source changed is the difference to that.
  function before(index) {
    for (let earlier = index - 1; earlier >= 0; earlier--)
      if (steps[earlier].destination === steps[index].source && steps[earlier].kind !== "failure") return earlier;
    return -1;
  }

  const written = value => (value === undefined ? "" : visible(JSON.stringify(value)));

  // A long value is shown from where it differs from the other one.
  function brief(text, from) {
    const begin = text.length > LONGEST_VALUE ? from : 0, rest = text.slice(begin);
    return (begin ? "… " : "") + (rest.length > LONGEST_VALUE ? `${rest.slice(0, LONGEST_VALUE)} …` : rest);
  }

  function changeOf([path, word, ...values]) {
    const row = make("li", { class: word }, make("b", {}, word), " ", make("code", { class: "path" }, visible(path) || "the whole baton"));
    const [old, now] = values.map(written);
    let same = 0;
    while (same < old.length && old[same] === now[same]) same += 1;
    const from = Math.max(same - 20, 0);
    if (old) row.append(" ", make("del", {}, brief(old, from)));
    if (old && now) row.append(" → ");
    if (now) row.append(" ", make("ins", {}, brief(now, from)));
    return row;
  }

  function showChanges(index) {
    const step = steps[index], earlier = before(index), rows = [];
    if (earlier < 0) at("changes-title").textContent = "Changes";
    else at("changes-title").textContent = `Changed by ${labelOf(step.source)}, since step ${earlier + 1}`;
    if (earlier < 0) rows.push(make("li", {}, "This is where the baton comes from."));
    else if (step.is_cut || steps[earlier].is_cut) rows.push(make("li", {}, "The batons were left out."));
    else {
      const found = differences(steps[earlier].baton, step.baton);
      rows.push(...found.slice(0, MOST_CHANGES).map(changeOf));
      if (found.length > MOST_CHANGES) rows.push(make("li", {}, "… and more."));
      if (found.length === 0) rows.push(make("li", {}, "Nothing."));
    }
    at("changes").replaceChildren(...rows);
  }

  const about = told => [told.name, told.pipeline && `in ${told.pipeline}`, told.where].filter(Boolean).join(" · ");

  function fact(term, name) {
    const more = about(processors[name] ?? {});
    return [make("dt", {}, term), make("dd", {}, make("strong", {}, labelOf(name)), " ", make("small", {}, more))];
  }

  function showFacts(step) {
    const facts = fact("from", step.source);
    if (step.kind === "result") facts.push(make("dt", {}, "to"), make("dd", {}, "whoever asked: a result"));
    else facts.push(...fact("to", step.destination));
    if (time(step)) facts.push(make("dt", {}, "time"), make("dd", {}, `${time(step)} in ${labelOf(step.source)}`));
    at("facts").replaceChildren(...facts);
  }

  function showFailure(step) {
    const parts = [];
    if (isFailure(step)) {
      const { args, traceback } = step.failure;
      const message = args.map(arg => (typeof arg === "string" ? arg : JSON.stringify(arg))).join(", ");
      parts.push(make("p", { class: "failure" }, make("strong", {}, `${typeOf(step)}: `), visible(message)));
      if (traceback) parts.push(make("pre", { class: "traceback", tabindex: 0, "aria-label": "Traceback" }, traceback));
    }
    at("failed").replaceChildren(...parts);
  }

  function itemOf(step, index) {
    const failure = step.is_origin ? "failed" : "climbs";
    const badge = { error_consumer: "handled", failure, result: "result" }[step.kind];
    const told = processors[step.kind === "result" ? step.source : step.destination]?.pipeline;
    const button = make(
      "button",
      { class: step.kind, "data-step": index },
      make("span", { class: "number" }, String(index + 1)),
      make("span", { class: "ends" }, `${labelOf(step.source)} → ${targetOf(step)}`),
      make("small", {}, [told, time(step)].filter(Boolean).join(" · ")),
    );
    if (badge) button.append(make("em", {}, badge));
    return make("li", {}, button);
  }

  function showInList(index) {
    const start = index - (index % LISTED), isInList = at("list").contains(document.activeElement);
    if (start !== first) {
      first = start;
      at("list").replaceChildren(...steps.slice(start, start + LISTED).map((step, offset) => itemOf(step, start + offset)));
      if (steps.length > LISTED)
        at("range").textContent = `${start + 1} to ${Math.min(start + LISTED, steps.length)} of ${steps.length.toLocaleString("en")}`;
    }
    at("list").querySelector("[aria-current]")?.removeAttribute("aria-current");
    const item = at("list").querySelector(`[data-step="${index}"]`);
    item.setAttribute("aria-current", "step");
    if (isInList) item.focus({ preventScroll: true });
    reveal(item, at("list"));
  }

  // Scrolls a pane, never the page, until an element can be seen in it.
  function reveal(element, pane) {
    const inner = element.getBoundingClientRect(), outer = pane.getBoundingClientRect();
    if (inner.top < outer.top || inner.bottom > outer.bottom)
      pane.scrollTop += inner.top + inner.height / 2 - outer.top - outer.height / 2;
    if (inner.left < outer.left || inner.right > outer.right)
      pane.scrollLeft += inner.left + inner.width / 2 - outer.left - outer.width / 2;
  }

  function showInDrawing(index) {
    const mark = (element, name) => element?.classList.add(name);
    for (const name of ["is-current", "is-source", "is-destination"])
      at("drawing").querySelectorAll(`.${name}`).forEach(element => element.classList.remove(name));
    mark(nodes.get(steps[index].source), "is-source");
    mark(nodes.get(steps[index].destination), "is-destination");
    const edge = edges.get(index);
    mark(edge, "is-current");
    if (edge) edge.parentNode.append(edge); // on top of the others
    const seen = edge?.querySelector(".badge") ?? nodes.get(steps[index].destination);
    if (seen) reveal(seen, at("drawing"));
  }

  function show(index) {
    if (index < 0 || index >= steps.length) return;
    current = index;
    const step = steps[index];
    at("step-title").textContent = `Step ${index + 1} of ${steps.length.toLocaleString("en")}`;
    at("current").textContent = `${labelOf(step.source)} → ${targetOf(step)}: ${meaningOf(step)}`;
    at("current").className = step.kind;
    showFacts(step);
    showFailure(step);
    showChanges(index);
    at("baton").textContent = step.is_cut ? "left out, as the page would be too large" : visible(JSON.stringify(step.baton, null, 2));
    // Not `disabled`, which would take the focus away from who presses the button.
    at("previous").ariaDisabled = index === 0;
    at("next").ariaDisabled = index === steps.length - 1;
    at("next-failure").ariaDisabled = failures.length === 0;
    showInList(index);
    showInDrawing(index);
    clearTimeout(remembering); // browsers refuse too many of these when a key is held down
    remembering = setTimeout(() => history.replaceState(null, "", `#step-${index + 1}`), 200);
  }

  const failures = [...steps.keys()].filter(index => isFailure(steps[index]));
  const nextFailure = () => failures.find(index => index > current) ?? failures[0] ?? -1;

  // Makes the numbers of a drawing buttons for the mouse, and remembers where each step is drawn.
  function prepare(svg) {
    edges = new Map();
    nodes = new Map();
    for (const title of svg.querySelectorAll("title")) {
      const group = title.parentNode, told = processors[title.textContent];
      if (group.matches(".node")) nodes.set(title.textContent, group);
      if (told) title.textContent = about(told);
      else if (!group.matches('[id^="baton_"]')) title.remove(); // Graphviz's own names, which browsers show
    }
    for (const edge of svg.querySelectorAll('g.edge[id^="baton_"]')) {
      const index = Number(edge.id.slice("baton_".length)), step = steps[index];
      edges.set(index, edge);
      edge.querySelector("title").textContent = `${index + 1}: ${labelOf(step.source)} → ${targetOf(step)} ${time(step)}`;
      edge.querySelectorAll("a").forEach(link => link.removeAttribute("xlink:title"));
      const text = edge.querySelector("text");
      if (text) badge(edge, text);
    }
    svg.addEventListener("click", event => {
      const edge = event.target.closest('g.edge[id^="baton_"]');
      if (edge) show(Number(edge.id.slice("baton_".length)));
    });
    resize();
  }

  function badge(edge, text) {
    text.textContent = text.textContent.trim(); // the room around it is the badge's
    const box = text.getBBox();
    const back = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const place = { x: box.x - 4, y: box.y, width: box.width + 8, height: box.height, rx: box.height / 2 };
    const look = { class: "badge", stroke: edge.querySelector("path").getAttribute("stroke") };
    for (const [name, value] of Object.entries({ ...place, ...look })) back.setAttribute(name, value);
    text.before(back);
  }

  function resize() {
    const svg = at("drawing").querySelector("svg");
    if (!svg) return;
    const { width, height } = svg.viewBox.baseVal, pane = at("drawing");
    // What would be too small to be read is scrolled instead; larger than a point of print it need not be.
    const fitting = Math.min(pane.clientWidth / width, pane.clientHeight / height, 4 / 3);
    const factor = { whole: fitting, readable: Math.max(fitting, 1) }[scale] ?? scale;
    svg.setAttribute("width", width * factor);
    svg.setAttribute("height", height * factor);
    pane.dataset.factor = factor;
  }

  const zoom = by => {
    scale = by === null ? "whole" : Number(at("drawing").dataset.factor) * by;
    resize();
    if (edges.has(current)) reveal(edges.get(current), at("drawing"));
  };

  async function draw() {
    const source = read("dot-json");
    if (source) {
      at("drawing").textContent = "Drawing …";
      try {
        at("drawing").replaceChildren((await Viz.instance()).renderSVGElement(source));
      } catch (error) {
        at("drawing").textContent = `This cannot be drawn: ${error.message}`;
      }
    }
    const svg = at("drawing").querySelector("svg");
    if (!svg) return;
    svg.setAttribute("aria-hidden", "true"); // every part of it would be read out; the list tells the same
    prepare(svg);
    showInDrawing(current);
  }

  const ACTIONS = {
    n: () => show(current + 1),
    p: () => show(current - 1),
    f: () => show(nextFailure()),
  };

  // How the walk ended; a trace that ends on the way to a step was too long to be kept.
  function outcome() {
    const last = steps.at(-1);
    if (last.kind === "failure" && last.destination === steps[0].source) {
      const same = JSON.stringify(last.failure);
      const index = steps.findIndex(step => step.is_origin && JSON.stringify(step.failure) === same);
      const link = make("a", { href: `#step-${index + 1}` }, `in ${labelOf(steps[index].source)}`);
      return make("strong", { class: "bad" }, `✗ failed: ${typeOf(last)} `, link);
    }
    if (last.kind === "consumer" || last.kind === "error_consumer")
      return make("strong", { class: "open" }, "… the rest was too long to be kept");
    return make("strong", { class: "good" }, "✓ ended well");
  }

  function start() {
    at("empty").hidden = true;
    document.querySelector("main").hidden = false;
    const handled = steps.some(step => step.kind === "error_consumer") ? ", failures were handled" : "";
    at("summary").append(`${steps.length.toLocaleString("en")} steps${handled}`, outcome());
    document.querySelector("details").open = innerWidth >= 700;
    at("next").addEventListener("click", ACTIONS.n);
    at("previous").addEventListener("click", ACTIONS.p);
    at("next-failure").addEventListener("click", ACTIONS.f);
    at("larger").addEventListener("click", () => zoom(1.25));
    at("smaller").addEventListener("click", () => zoom(0.8));
    at("fit").addEventListener("click", () => zoom(null));
    at("list").addEventListener("click", event => {
      const button = event.target.closest("button");
      if (button) show(Number(button.dataset.step));
    });
    addEventListener("resize", resize);
    addEventListener("keydown", event => {
      const isWriting = event.target.closest?.("input, textarea");
      const key = event.key.toLowerCase();
      if (!isWriting && !event.ctrlKey && !event.altKey && !event.metaKey && Object.hasOwn(ACTIONS, key)) ACTIONS[key]();
    });
    const asked = url => Number(/#step-(\d+)$/.exec(url)?.[1] ?? 0) - 1;
    // Not of `location`: what is remembered of the step before may have come there in between.
    addEventListener("hashchange", event => show(asked(event.newURL)));
    show(steps[asked(location.href)] ? asked(location.href) : 0);
    draw();
  }

  // Names to choose from: nothing runs before the form is sent.
  function offer() {
    const input = document.querySelector("[name=pipeline]"), baton = document.querySelector("[name=baton]");
    const choose = name => {
      input.value = name;
      baton.focus();
      baton.select();
    };
    for (const { value } of document.querySelectorAll("#pipelines option")) {
      const button = make("button", {}, value);
      button.addEventListener("click", () => choose(value));
      at("names").append(make("li", {}, button));
    }
    if (!input.value) input.focus();
  }

  document.querySelector("form").addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
  });
  if (steps.length) start();
  else offer();
}
