// Follows one stream of events, keeps each run's state, and shows one run at a time.

import { by, make, put } from "/panels.js";
import * as panels from "/panels.js";
import { Ring, drawChannel, drawPast, readTheme } from "/plots.js";

const FEW = 4, SHOWN = 16, PAST = 300;
const runs = new Map();
let chosen = null, link = "connecting", heads = [], canvases = [], all = false, dirty = false;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

class Run {
  constructor(state) {
    const info = state.run;
    this.key = `${state.name}/${info.digest}/${info.started}`;
    this.info = info; this.name = state.name; this.running = state.running;
    this.history = state.history; this.events = state.events; this.figures = state;
    this.staleAfter = state.stale_after;
    this.silentSince = performance.now() - state.silent * 1000;
    this.ring = new Ring(info.channels.length, state.shown, info.rate, state.column);
    this.scales = info.channels.map(() => ({}));
    this.last = null;
    if (state.last) this.say(state.last, state.age);
  }

  say(prediction, age) {
    const channels = prediction.quality.channels;
    const faults = channels && Object.fromEntries(Object.entries(channels).map(([name, one]) => [name, one.fault]));
    this.last = { ...prediction, faults };
    this.given = performance.now();
    this.age0 = age;  // seconds since the sensor took its last sample
    this.fresh0 = age - prediction.age;
  }

  predict(prediction) {
    const before = this.history[this.history.length - 1];
    if (before && prediction.t_end <= before.t) return;  // the state had it
    this.say(prediction, prediction.age);
    const { label, value, reason, probabilities } = prediction;
    const p = this.info.value ? [value].filter((one) => one !== null) : this.info.labels.filter((one) => one in probabilities).map((one) => probabilities[one]);
    this.history.push({ t: prediction.t_end, start: prediction.t_start, label, value, reason, p, faults: this.last.faults });
    while (this.history[0].t < prediction.t_end - PAST || this.history.length > 600) this.history.shift();
  }

  since() { return (performance.now() - this.given) / 1000; }
  age() { return this.age0 + this.since(); }
  silent() { return (performance.now() - this.silentSince) / 1000; }
  stale() {
    if (!this.running || link !== "live") return true;
    if (this.silent() > Math.max(2, this.info.hop)) return true;
    return this.last !== null && this.fresh0 + this.since() > this.staleAfter;
  }
  words() {
    if (!this.running || link === "ended") return "the run has ended";
    if (link !== "live") return "no connection to the run";
    if (this.silent() > 2) return `no sample for ${panels.span(this.silent())}`;
    return "no new window";
  }
}

// -- what comes ------------------------------------------------------------------------------

let source = null;

function follow() {
  if (source) source.close();
  source = new EventSource("/events?signal=1");
  source.onopen = () => connect("live");
  source.onerror = () => { if (link !== "ended") connect("lost"); };
  for (const [kind, take] of Object.entries(takes)) source.addEventListener(kind, (event) => take(JSON.parse(event.data)));
}

// Take what is said of a run that is known.
const of = (take) => (one) => { const run = runs.get(one.run); if (run) take(run, one, one.run === chosen); };
const takes = {
  state: (state) => {
    runs.clear();
    for (const one of state.runs) runs.set(one.name, new Run(one));
    if (!runs.has(chosen)) chosen = runs.size ? runs.keys().next().value : null;
    connect("live");
    build();
  },
  run: () => follow(),  // one began, or began again: ask for everything
  prediction: of((run, one) => { run.predict(one); show(); }),
  event: of((run, one, here) => {
    const last = run.events[run.events.length - 1];
    if (last && last.at === one.at && last.message === one.message) return;
    run.events.push(one);
    while (run.events.length > 50) run.events.shift();
    if (here) panels.events(run);
  }),
  figures: of((run, one, here) => { run.figures = one; if (here) panels.figures(run); }),
  signal: of((run, one, here) => {
    run.ring.take(one);
    run.silentSince = performance.now();
    if (here) later();
  }),
  ended: of((run) => { run.running = false; show(); }),
  end: () => connect("ended"),
};

function connect(next) {
  link = next;
  const words = { live: "● live", lost: "✕ no connection", ended: "■ ended", connecting: "connecting" };
  put(by("link"), words[link]);
  by("link").classList.toggle("off", link !== "live");
  show();
}

// -- what is shown ---------------------------------------------------------------------------

// Build what depends on which run is shown.
function build() {
  const run = runs.get(chosen);
  if (!run) return;
  const info = run.info, few = all ? info.channels.length : Math.min(info.channels.length, SHOWN);
  put(by("where"), [info.name, info.bundle, info.source].filter(Boolean).join(" · "));
  heads = []; canvases = [];
  by("channels").classList.toggle("many", few > FEW);
  by("channels").replaceChildren(...info.channels.slice(0, few).map((name, row) => {
    const head = make("span", { className: "quality" });
    const canvas = make("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `The last ${run.ring.seconds} seconds of ${name}`);
    heads.push(head); canvases.push(canvas);
    return make("div", { className: "channel" }, make("p", {}, make("span", { className: "name", textContent: name }), make("span", { className: "unit", textContent: info.units[row] || "" }), head), canvas);
  }));
  by("more").hidden = info.channels.length <= SHOWN;
  put(by("more"), all ? "Show fewer" : `Show all ${info.channels.length} channels`);
  panels.titles(info);
  panels.facts(run);
  panels.events(run);
  panels.figures(run);
  show();
}

function show() {
  const run = runs.get(chosen);
  tabs();
  if (!run) return;
  panels.label(run, run.stale(), link);
  panels.quality(run, heads);
  if (run.last) document.title = `${panels.said(run.info, run.last) ?? panels.none(run.info)} · ${run.info.bundle}`;
  tick();
  later();
}

function tabs() {
  const nav = by("runs");
  nav.hidden = runs.size < 2;
  if (nav.hidden) return;
  if (nav.children.length !== runs.size) {
    nav.replaceChildren(...[...runs.values()].map((run) => {
      const button = make("button", { type: "button" }, make("span"), make("strong"));
      button.addEventListener("click", () => { chosen = run.name; build(); });
      return button;
    }));
  }
  [...runs.values()].forEach((run, n) => {
    const button = nav.children[n], stale = run.stale();
    button.setAttribute("aria-pressed", String(run.name === chosen));
    put(button.children[0], run.name || run.info.bundle);
    const word = run.last === null ? "waiting" : panels.said(run.info, run.last) ?? panels.none(run.info);
    put(button.children[1], stale ? `▲ ${word} (stale)` : word);
  });
}

// Ages go on between windows.
function tick() {
  const run = runs.get(chosen);
  if (!run) return;
  const stale = run.stale();
  by("hero").classList.toggle("stale", stale && run.last !== null);
  panels.age(run, stale, run.last ? run.age() : 0, run.words());
}

function later() {
  if (dirty || document.hidden) return;
  dirty = true;
  requestAnimationFrame(draw);
}

function draw() {
  dirty = false;
  const run = runs.get(chosen);
  if (!run) return;
  drawPast(by("past-plot"), run, run.last ? Math.min(run.since(), 600) : 0);
  if (run.ring.end < 0) return;
  canvases.forEach((canvas, row) => {
    if (seen(canvas)) drawChannel(canvas, run.ring, row, run, run.scales[row], row === canvases.length - 1);
  });
}

function seen(node) {
  const box = node.getBoundingClientRect();
  return box.bottom > 0 && box.top < innerHeight;
}

readTheme();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTheme(); show(); });
by("more").addEventListener("click", () => { all = !all; build(); });
addEventListener("resize", later);
addEventListener("scroll", later, { passive: true });
document.addEventListener("visibilitychange", later);
setInterval(() => { tick(); tabs(); later(); }, calm.matches ? 1000 : 250);
follow();
