// What is drawn: the signal by columns, and the probabilities or values of the last minutes.

import { none, number, said } from "/panels.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [4, 4], [1, 4]];
let theme = {};

export function readTheme() {
  const colours = [0, 1, 2, 3, 4, 5].map((n) => css(`--c${n}`));
  theme = { ink: css("--ink"), soft: css("--soft"), rule: css("--rule"), wave: css("--wave"), card: css("--card"), warn: css("--warn"), ground: css("--warn-ground"), hatch: css("--hatch"), colours };
  return theme;
}

export const colour = (n) => theme.colours[n % theme.colours.length];

// Fit a canvas to its box and the screen's pixels; give a context in CSS pixels.
function ready(canvas) {
  const box = canvas.getBoundingClientRect();
  const scale = Math.min(window.devicePixelRatio || 1, 3);
  const [w, h] = [Math.round(box.width * scale), Math.round(box.height * scale)];
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const g = canvas.getContext("2d");
  g.setTransform(scale, 0, 0, scale, 0, 0);
  g.clearRect(0, 0, box.width, box.height);
  g.font = `${box.width < 480 ? 11 : 12.5}px system-ui, sans-serif`;
  return [g, box.width, box.height];
}

function hatch(g, x, y, w, h, stroke) {
  g.save();
  g.beginPath(); g.rect(x, y, w, h); g.clip();
  g.strokeStyle = stroke; g.lineWidth = 1; g.globalAlpha = 0.75;
  g.beginPath();
  for (let at = x - h - ((x - h) % 7); at < x + w; at += 7) { g.moveTo(at, y + h); g.lineTo(at + h, y); }
  g.stroke();
  g.restore();
}

// Text on a patch of the card's colour, so that it is read over anything.
function note(g, text, x, y, fill, width) {
  const wide = g.measureText(text).width;
  if (width !== undefined && wide + 10 > width) return false;
  g.globalAlpha = 0.88; g.fillStyle = theme.card; g.fillRect(x - 4, y - 8, wide + 8, 17);
  g.globalAlpha = 1; g.fillStyle = fill; g.fillText(text, x, y);
  return true;
}

// -- the signal ------------------------------------------------------------------------------

// Columns of every channel: a ring by the column's index; NaN where nothing came.
export class Ring {
  constructor(channels, seconds, rate, width) {
    this.rate = rate; this.width = width; this.seconds = seconds; this.channels = channels;
    this.size = Math.ceil((seconds * rate) / width) + 8;
    const fresh = () => new Float32Array(channels * this.size).fill(NaN);
    this.low = fresh(); this.high = fresh();
    this.missing = new Uint8Array(channels * this.size);
    this.first = this.end = -1;
    this.heard = 0;
  }

  take(batch) {
    const floats = (text) => new Float32Array(bytes(text).buffer);
    const low = floats(batch.low), high = batch.high ? floats(batch.high) : low;
    const missing = batch.missing ? bytes(batch.missing) : null;
    if (this.end < 0 || batch.first > this.end + this.size) this.end = this.first = batch.first;
    for (; this.end < batch.first; this.end++) this.put(this.end, () => [NaN, NaN, 1]);
    for (let n = 0; n < batch.n; n++) {
      this.put(batch.first + n, (row) => {
        const at = row * batch.n + n;
        return [low[at], high[at], missing ? missing[at] : 0];
      });
    }
    this.end = Math.max(this.end, batch.first + batch.n);
    this.first = Math.max(Math.min(this.first, batch.first), this.end - this.size);
    this.heard = performance.now();
  }

  put(index, values) {
    const at = index % this.size;
    for (let row = 0; row < this.channels; row++) {
      const place = row * this.size + at;
      [this.low[place], this.high[place], this.missing[place]] = values(row);
    }
  }

  // Seconds of stream time at the right edge: it goes on where nothing comes.
  now() {
    const idle = (performance.now() - this.heard) / 1000;
    return (this.end * this.width) / this.rate + (idle > 0.6 ? idle - 0.6 : 0);
  }
}

function bytes(text) {
  const raw = atob(text), out = new Uint8Array(raw.length);
  for (let n = 0; n < raw.length; n++) out[n] = raw.charCodeAt(n);
  return out;
}

export function drawChannel(canvas, ring, row, run, scale, axis) {
  const [g, w, h] = ready(canvas);
  const bottom = h - (axis ? 20 : 4), right = w - 1;
  const now = ring.now(), from = now - ring.seconds;
  const x = (t) => ((t - from) / ring.seconds) * right;
  const name = run.info.channels[row];

  g.strokeStyle = theme.rule; g.lineWidth = 1;
  g.beginPath();
  for (let s = 0; s <= ring.seconds; s += 1) { const at = Math.round(x(now - s)) + 0.5; g.moveTo(at, 0); g.lineTo(at, bottom); }
  g.stroke();
  if (axis) {
    g.fillStyle = theme.soft; g.textBaseline = "alphabetic";
    for (let s = 0; s <= ring.seconds; s += w < 480 ? 5 : 2) {
      g.textAlign = s === 0 ? "right" : s === ring.seconds ? "left" : "center";
      g.fillText(s === 0 ? "now" : `−${s} s`, x(now - s), h - 4);
    }
  }
  g.textAlign = "left"; g.textBaseline = "middle";

  // what the judge found bad: the new part of each window, with the fault's name
  const notes = [];
  for (const band of spans(run.history, name, run.info.hop)) {
    const a = Math.max(x(band.from), 0), b = Math.min(x(band.to), right);
    if (b <= a) continue;
    g.fillStyle = theme.ground; g.fillRect(a, 0, b - a, bottom);
    g.fillStyle = theme.warn; g.fillRect(a, bottom - 3, b - a, 3);
    notes.push([band.fault, a + 8, 11, theme.warn, b - a]);
  }

  const step = ring.width / ring.rate, start = Math.max(ring.first, Math.floor(from / step));
  let least = Infinity, most = -Infinity;
  for (let c = start; c < ring.end; c++) {
    const at = row * ring.size + (c % ring.size);
    if (ring.low[at] < least) least = ring.low[at];
    if (ring.high[at] > most) most = ring.high[at];
  }
  // the range follows at once where the signal leaves it, and slowly where it shrinks
  if (least <= most) {
    scale.low = Math.min(least, scale.low === undefined ? least : scale.low + (least - scale.low) * 0.06);
    scale.high = Math.max(most, scale.high === undefined ? most : scale.high + (most - scale.high) * 0.06);
  }
  const room = Math.max(scale.high - scale.low, 1e-12 + Math.abs(scale.high) * 1e-7);
  const y = (v) => 6 + (1 - (v - scale.low) / room) * (bottom - 14);

  // columns that never had a value are gaps: hatched, with their length
  const place = (c) => row * ring.size + (c % ring.size);
  for (let c = start; c < ring.end; c++) {
    if (!Number.isNaN(ring.low[place(c)])) continue;
    const begun = c;
    while (c < ring.end && Number.isNaN(ring.low[place(c)])) c++;
    const a = Math.max(x(begun * step), 0), b = Math.min(x(c * step), right);
    if (b <= a) continue;
    hatch(g, a, 0, Math.max(b - a, 4), bottom, theme.hatch);
    const long = `gap ${((c - begun) * step).toFixed(2)} s`;
    notes.push([long, Math.max(Math.min(a + 6, right - g.measureText(long).width - 6), 4), bottom - 16, theme.ink, h < 70 ? b - a : undefined]);
  }
  g.strokeStyle = theme.wave; g.lineWidth = h < 70 ? 1.2 : 1.8; g.lineJoin = "round";
  g.beginPath();
  let down = false;
  for (let c = start; c < ring.end; c++) {
    const at = place(c), low = ring.low[at], high = ring.high[at];
    if (Number.isNaN(low)) { down = false; continue; }
    const px = x((c + 0.5) * step);
    if (!down) g.moveTo(px, y(high)); else g.lineTo(px, y(high));
    if (low !== high) g.lineTo(px, y(low));
    down = true;
    if (ring.missing[at]) { g.fillStyle = theme.warn; g.fillRect(px - 1, bottom - 6, 3, 6); }
  }
  g.stroke();
  if (now - ring.end * step > 0.3) {
    const a = Math.max(x(ring.end * step), 0);
    hatch(g, a, 0, right - a, bottom, theme.hatch);
    notes.push(["nothing comes", Math.max(Math.min(a + 8, right - 110), 4), bottom / 2, theme.warn, undefined]);
  }
  for (const one of notes) note(g, ...one);
}

// Stretches of one fault in one channel, in stream time; neighbours of the same fault are one.
function spans(history, name, hop) {
  const found = [];
  for (const one of history) {
    const fault = one.faults && one.faults[name];
    if (!fault) continue;
    const last = found[found.length - 1], from = Math.max(one.t - hop, one.start);
    if (last && last.fault === fault && from - last.to < 0.01 + hop * 0.01) last.to = one.t;
    else found.push({ fault, from, to: one.t });
  }
  return found;
}

// -- the probabilities, or the values --------------------------------------------------------

// Least and greatest of what is drawn, and where lines go across: a value's are those of training.
function scale(about, history) {
  if (!about) return { low: 0, high: 1, ticks: [0, 0.5, 1], text: (p) => `${p * 100}%` };
  const all = [about.low, about.high, ...history.flatMap((one) => one.p)];
  const ticks = [about.low, (about.low + about.high) / 2, about.high];
  return { low: Math.min(...all), high: Math.max(...all), ticks, text: (p) => number(about, p) };
}

export function drawPast(canvas, run, elapsed) {
  const [g, w, h] = ready(canvas);
  const history = run.history, about = run.info.value, labels = about ? [about.name] : run.info.labels;
  const { low, high, ticks, text } = scale(about, history);
  const side = Math.min(Math.max(...labels.map((one) => g.measureText(one).width), 20) + 14, w * 0.3);
  const left = Math.max(42, ...ticks.map((p) => g.measureText(text(p)).width + 12)), right = w - side, top = 4, bottom = h - 20;
  const y = (p) => top + (1 - (p - low) / (high - low)) * (bottom - top);
  g.fillStyle = theme.soft; g.strokeStyle = theme.rule; g.lineWidth = 1; g.textBaseline = "middle";
  for (const p of ticks) {
    g.textAlign = "right"; g.fillText(text(p), left - 6, Math.min(Math.max(y(p), 8), bottom - 4));
    g.beginPath(); g.moveTo(left, Math.round(y(p)) + 0.5); g.lineTo(right, Math.round(y(p)) + 0.5); g.stroke();
  }
  if (!history.length) return;
  const last = history[history.length - 1], now = last.t + elapsed, hop = run.info.hop || 1;
  const span = [60, 120, 180, 240, 300].find((one) => now - history[0].t + hop <= one) || 300;
  const x = (t) => left + (1 - (now - t) / span) * (right - left);
  g.textBaseline = "alphabetic";
  const step = w < 480 ? span / 2 : { 60: 10, 120: 30, 180: 30, 240: 60, 300: 60 }[span];
  for (let s = 0; s <= span; s += step) {
    g.textAlign = s === 0 ? "right" : s === span ? "left" : "center";
    g.fillText(s === 0 ? "now" : s >= 60 && s % 30 === 0 ? `−${s / 60} min` : `−${s} s`, x(now - s), h - 4);
  }
  g.save();
  g.beginPath(); g.rect(left, 0, right - left, h); g.clip();
  // windows without a label: hatched, and why, once for each stretch
  let begun = null;
  const stretches = [];
  for (const one of history) {
    if (said(run.info, one) !== null) { begun = null; continue; }
    if (begun && one.t - begun.to < 2 * hop) begun.to = one.t;
    else stretches.push((begun = { from: one.t - hop, to: one.t, why: one.reason || none(run.info) }));
  }
  for (const one of stretches) {
    const a = x(one.from), b = x(one.to);
    hatch(g, a, top, b - a, bottom - top, theme.hatch);
  }
  labels.forEach((label, n) => {
    g.strokeStyle = colour(n); g.lineWidth = 2.5; g.lineJoin = "round"; g.setLineDash(DASHES[n % DASHES.length]);
    for (const points of unbroken(history, hop)) {
      g.beginPath();
      for (const one of points) g.lineTo(x(one.t), y(one.p[n]));
      g.stroke();
      g.lineTo(x(points[points.length - 1].t), bottom); g.lineTo(x(points[0].t), bottom);
      g.globalAlpha = 0.07; g.fillStyle = colour(n); g.fill(); g.globalAlpha = 1;
    }
  });
  g.setLineDash([]);
  g.textBaseline = "middle"; g.textAlign = "left";
  for (const one of stretches) {
    const a = Math.max(x(one.from), left);
    note(g, one.why, a + 8, bottom - 14, theme.ink, Math.min(x(one.to), right) - a - 4)
      || note(g, none(run.info), a + 8, bottom - 14, theme.ink, Math.min(x(one.to), right) - a - 4);
  }
  g.restore();
  // the labels stand where their lines end, and never on one another
  const seen = [...history].reverse().find((one) => one.p.length);
  if (!seen) return;
  const places = labels.map((label, n) => ({ label, n, at: y(seen.p[n]) })).sort((a, b) => a.at - b.at);
  places.forEach((one, n) => { one.at = Math.max(one.at, n ? places[n - 1].at + 16 : top + 8); });
  for (let n = places.length - 1, limit = bottom - 2; n >= 0; n--) { places[n].at = Math.min(places[n].at, limit); limit = places[n].at - 16; }
  g.textBaseline = "middle"; g.textAlign = "left";
  for (const one of places) { g.fillStyle = colour(one.n); g.fillText(one.label, right + 8, one.at, side - 10); }
}

// Stretches of windows that the model answered; one alone is a hop wide.
function unbroken(history, hop) {
  const found = [];
  let before = null;
  for (const one of history) {
    if (one.p.length) {
      if (before === null || one.t - before.t > 1.5 * hop) found.push([{ ...one, t: one.t - hop }]);
      found[found.length - 1].push(one);
    }
    before = one.p.length ? one : null;
  }
  return found;
}
