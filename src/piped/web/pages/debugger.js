// A prompt in every frame, keys to go from frame to frame, and the traceback for the clipboard.
"use strict";
{
  const REMEMBERED = 200; // lines of the history
  const { url, token } = document.body.dataset;
  const frames = [...document.querySelectorAll(".frame")];
  const template = document.getElementById("prompt");
  const at = id => document.getElementById(id);
  const keep = "piped debugger history";
  let current = null;

  // What was typed on this site before, also about other failures; some browsers keep nothing.
  const history = (() => {
    try {
      return JSON.parse(sessionStorage.getItem(keep)) ?? [];
    } catch {
      return [];
    }
  })();

  function remember(expr) {
    if (history.at(-1) !== expr) history.push(expr);
    history.splice(0, history.length - REMEMBERED);
    try {
      sessionStorage.setItem(keep, JSON.stringify(history));
    } catch {
      // it lasts as long as this page, then
    }
  }

  const MEANINGS = {
    403: "Refused: this server no longer lets you debug.",
    404: "This failure was forgotten. Load the page again to have a new one.",
  };

  async function evaluate(number, expr) {
    const body = new URLSearchParams({ token, frame_no: number, expr });
    try {
      const answer = await fetch(url, { method: "POST", body, credentials: "same-origin" });
      if (answer.ok) return [await answer.json(), "told"];
      return [MEANINGS[answer.status] ?? `The server answered with ${answer.status}.`, "failed"];
    } catch {
      return ["The server does not answer.", "failed"];
    }
  }

  function show(results, text, kind) {
    const line = document.createElement("pre");
    line.className = kind;
    line.textContent = text;
    results.append(line);
    results.scrollTop = results.scrollHeight;
  }

  function fit(input) {
    input.rows = 1 + (input.value.match(/\n/g)?.length ?? 0);
  }

  function put(input, text) {
    input.value = text;
    fit(input);
    input.setSelectionRange(text.length, text.length);
  }

  function addPrompt(frame) {
    frame.append(template.content.cloneNode(true));
    const form = frame.querySelector("form");
    const [input, results] = [form.querySelector("textarea"), form.querySelector(".results")];
    let back = 0; // how far back in the history
    let draft = "";

    function recall(step) {
      const there = Math.min(Math.max(back + step, 0), history.length);
      if (there === back) return;
      if (back === 0) draft = input.value;
      back = there;
      put(input, back === 0 ? draft : history.at(-back));
    }

    async function run() {
      const expr = input.value.trimEnd();
      if (expr.trim() === "" || frame.classList.contains("is-busy")) return;
      frame.classList.add("is-busy");
      remember(expr);
      back = 0;
      put(input, "");
      show(results, `>>> ${expr.replaceAll("\n", "\n... ")}`, "asked");
      const [text, kind] = await evaluate(frame.dataset.frame, expr);
      if (text !== "") show(results, text.trimEnd(), kind);
      frame.classList.remove("is-busy");
    }

    form.addEventListener("submit", event => {
      event.preventDefault();
      run();
    });
    input.addEventListener("input", () => fit(input));
    input.addEventListener("focus", () => choose(frame));
    input.addEventListener("keydown", event => {
      if (event.isComposing) return;
      const before = input.value.slice(0, input.selectionStart), behind = input.value.slice(input.selectionEnd);
      if (event.key === "Enter" && !event.shiftKey) run();
      else if (event.key === "ArrowUp" && !before.includes("\n")) recall(1);
      else if (event.key === "ArrowDown" && !behind.includes("\n")) recall(-1);
      else if (event.key === "Escape") input.blur();
      else return;
      event.preventDefault();
    });
  }

  function choose(frame) {
    current?.classList.remove("is-current");
    current = frame;
    frame.classList.add("is-current");
  }

  function goTo(frame) {
    choose(frame);
    frame.closest(".engine")?.setAttribute("open", "");
    frame.open = true;
    frame.querySelector("summary").focus({ preventScroll: true });
    frame.scrollIntoView({ block: "nearest" });
  }

  // Frames of the engine that are folded away are passed over.
  function step(by) {
    const visible = frames.filter(frame => frame.closest(".engine")?.open ?? true);
    const there = visible[visible.indexOf(current) + by];
    if (there) goTo(there);
  }

  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea")) return;
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "e" && current) {
      current.open = true;
      current.querySelector("textarea").focus();
    } else return;
    event.preventDefault();
  });

  // Browsers give the clipboard to secure origins only: elsewhere the text is selected, and copied in the old way.
  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      at("text").open = true;
      getSelection().selectAllChildren(at("traceback"));
      return document.execCommand("copy");
    }
  }

  at("copy").addEventListener("click", async () => {
    at("copied").textContent = (await copied(at("traceback").textContent)) ? "Copied." : "It is selected: copy it now.";
  });

  frames.forEach(addPrompt);
  document.querySelector(".keys").hidden = false;
  if (frames.length) choose(frames.at(-1));
}
