// What is written: the label or value, figures, events and facts. Text goes in as text, never as HTML.

import { colour } from "/plots.js";

export const by = (id) => document.getElementById(id);
export function put(node, text) { if (node.textContent !== text) node.textContent = text; }
export function make(kind, about = {}, ...inside) {
  const node = document.createElement(kind);
  for (const [key, value] of Object.entries(about)) node[key] = value;
  node.append(...inside);
  return node;
}

// A duration in two digits or so; what stands between number and unit does not break.
export function span(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds < 0.0995) return `${(seconds * 1000).toPrecision(2).replace(/\.0$/, "")}\u00a0ms`;
  if (seconds < 10) return `${seconds.toFixed(1).replace(/\.0$/, "")}\u00a0s`;
  if (seconds < 120) return `${Math.round(seconds)}\u00a0s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}\u00a0min`;
  return `${Math.floor(seconds / 3600)}\u00a0h`;
}
const milli = (ms) => (ms === undefined ? "–" : span(ms / 1000));
const count = (n) => n.toLocaleString("en-GB");

// -- the label, or the value -----------------------------------------------------------------

// A number in steps of half a percent of the range that it was learnt in, or finer.
export function number(about, value) {
  return value.toFixed(Math.min(Math.max(Math.ceil(-Math.log10((about.high - about.low) / 200)), 0), 12));
}

// What is said of a window; null for nothing.
export function said(info, one) {
  if (!info.value) return one.label;
  return one.value === null ? null : `${number(info.value, one.value)}\u00a0${info.value.unit}`;
}
export const none = (info) => (info.value ? "no value" : "no label");

export function titles(info) {
  const about = info.value;
  put(by("past-title"), about ? `${about.name}, ${about.unit}` : "Probabilities");
  by("past-plot").setAttribute("aria-label", `${about ? about.name : "Probabilities"} over the last minutes`);
  put(by("ages-title"), about ? "Age of values" : "Age of labels");
  by("shares").hidden = Boolean(about);
}

export function label(run, stale, link) {
  const last = run.last, hero = by("hero"), place = by("label"), nothing = none(run.info);
  hero.classList.toggle("stale", stale && last !== null);
  if (last === null) {
    place.className = "none";
    put(place, link === "live" ? "waiting" : nothing);
    put(by("why"), link === "live" ? `for the first window: ${span(run.info.window)} of signal, and what the filters need to settle` : "");
    put(by("others"), "");
    put(by("age"), "");
  } else {
    const text = said(run.info, last);
    place.className = text === null ? "none" : "";
    place.style.setProperty("--letters", String((text || nothing).length));
    put(place, text === null ? nothing : text);
    put(by("why"), text === null ? last.reason || "no reason was given" : "");
    put(by("others"), others(last));
  }
  shares(run);
}

function others(last) {  // what further tasks say of the same window
  return Object.entries(last.others || {}).map(([name, told]) => {
    const value = typeof told.value === "number" ? `${Number(told.value.toPrecision(3))}\u00a0${told.unit}` : null;
    return `${name}\u00a0${told.label || value || "—"}`;
  }).join(" · ");
}

export function age(run, stale, seconds, words) {
  if (run.last === null) return;
  const text = `${seconds < 10 ? `${seconds.toFixed(1)}\u00a0s` : span(seconds)} old`;
  put(by("age"), stale ? `▲ stale, ${text}: ${words}` : text);
}

function shares(run) {
  const list = by("shares"), labels = run.info.labels;
  if (list.children.length !== labels.length || list.dataset.run !== run.key) {
    list.dataset.run = run.key;
    list.replaceChildren(...labels.map((one, n) => {
      const bar = make("i");
      bar.style.background = colour(n);
      return make("li", {}, make("span", { className: "name", textContent: one }), make("span", { className: "bar" }, bar), make("span", { className: "share" }));
    }));
  }
  labels.forEach((one, n) => {
    const item = list.children[n], p = run.last && run.last.probabilities[one];
    const known = typeof p === "number";
    item.classList.toggle("said", run.last !== null && run.last.label === one);
    item.querySelector("i").style.width = known ? `${(p * 100).toFixed(1)}%` : "0";
    item.querySelector("i").style.background = colour(n);
    put(item.querySelector(".share"), known ? `${Math.round(p * 100)} %` : "–");
  });
}

// -- figures ---------------------------------------------------------------------------------

export function figures(run) {
  const now = run.figures;
  if (!now) return;
  const latency = now.latency.ms, ages = now.age_of_labels.ms;
  put(by("latency"), latency ? milli(latency.median) : "–");
  put(by("latency-more"), latency ? `median; 95\u00a0% within ${milli(latency.p95)}, longest ${milli(latency.max)}` : "no window yet");
  put(by("ages"), ages ? milli(ages.median) : "–");
  put(by("ages-more"), ages ? `when said; 95\u00a0% within ${milli(ages.p95)}` : "");
  const rate = now.rate;
  put(by("rate"), typeof rate === "number" ? `${rate.toFixed(rate < 100 ? 2 : 1)} Hz` : "unknown");
  put(by("rate-more"), `nominal ${run.info.rate} Hz`);
  put(by("loss"), now.loss === null ? "unknown" : now.loss === 0 ? "none" : share(now.loss, now.samples));
  const seen = `${count(now.missing)} of ${count(now.samples)} samples`;
  put(by("loss-more"), now.loss === null ? `nothing here can show it; seen: ${seen}` : seen);
  put(by("windows"), count(now.windows));
  const without = Object.values(now.reasons).reduce((sum, n) => sum + n, 0);
  const word = run.info.value ? "value" : "label";
  put(by("windows-more"), without ? `${count(without)} without a ${word}` : `all with a ${word}`);
  histogram(now.latency);
}

function share(part, whole) {
  const percent = (100 * part) / Math.max(whole, 1);
  return `${percent < 0.1 ? percent.toFixed(2) : percent.toFixed(1)} %`;
}

function histogram(took) {
  const box = by("histogram"), names = [...took.bounds.map(span), "more"];
  if (box.children.length !== names.length) box.replaceChildren(...names.map(() => make("div", {}, make("i"), make("span"))));
  const most = Math.max(...took.counts, 1);
  names.forEach((name, n) => {
    const [bar, under] = box.children[n].children;
    bar.style.height = took.counts[n] ? `${Math.max(4, (took.counts[n] / most) * 100)}%` : "2px";
    bar.className = took.counts[n] ? "" : "nil";
    put(under, n % 3 === 0 && n < names.length - 1 ? name.replace("\u00a0", "\u202f") : "");
  });
  box.setAttribute("aria-label", `Windows by latency: ${names.map((name, n) => [name, took.counts[n]]).filter(([, n]) => n).map(([name, n]) => `up to ${name}: ${n}`).join(", ") || "none yet"}`);
}

// -- events and facts ------------------------------------------------------------------------

const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");

export function events(run) {
  const list = by("events"), shown = [...run.events].reverse().slice(0, 50);
  if (!shown.length) {
    list.replaceChildren(make("li", { className: "nothing", textContent: "Nothing beside the windows: no gap, no stall, no restart." }));
    return;
  }
  list.replaceChildren(...shown.map((one) => make("li", {}, make("time", { textContent: clock(one.at), dateTime: new Date(one.at * 1000).toISOString() }), make("span", { textContent: one.message }))));
}

export function facts(run) {
  const info = run.info, engine = info.engine || {};
  const rows = [
    ["Bundle", info.bundle], ["Digest", (info.digest || "").slice(0, 16)], ["Source", info.source],
    ["Sensor", info.sensor || "not known"],
    ["Input", `${info.modality || "signal"}, ${info.channels.length} channel${info.channels.length === 1 ? "" : "s"} at ${info.rate} Hz`],
    ["Windows", `${span(info.window)} every ${span(info.hop)}`],
    ["Model", engine.variant ? `${engine.variant} on ${engine.provider}, ${engine.threads} thread${engine.threads === 1 ? "" : "s"}` : "–"],
    ["Since", new Date(info.started * 1000).toLocaleString("en-GB")],
    ...Object.entries(info.checks || {}).map(([key, why]) => [`No check of ${key}`, why]),
  ];
  by("facts").replaceChildren(...rows.flatMap(([key, value]) => [make("dt", { textContent: key }), make("dd", { textContent: value })]));
}

export function quality(run, heads) {
  heads.forEach((head, row) => {
    const found = run.last && run.last.faults, fault = found ? found[run.info.channels[row]] : null;
    head.className = `quality ${!found ? "unjudged" : fault ? "bad" : "good"}`;
    put(head, !found ? "not judged" : fault ? `✕ ${fault}` : "✓ good");
  });
}
