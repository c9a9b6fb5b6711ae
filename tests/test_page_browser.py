"""The page in a real Chromium: what a person sees, by day, by night and on a phone."""

from __future__ import annotations

import time
from dataclasses import replace

import chromium
import numpy as np
import pytest
from fixtures_page import TOKEN, port_of, quiet
from test_sinks import RUN

from bioxedge.quality import ChannelVerdict, Verdict
from bioxedge.runtime.events import Event
from bioxedge.runtime.prediction import Prediction, Quality
from bioxedge.signals import Chunk

pytestmark = pytest.mark.skipif(chromium.find() is None, reason=chromium.MISSING)
INFO = replace(
    RUN,
    labels=("rest", "stress"),
    bundle="demo",
    digest="0123456789abcdef" * 4,
    source="a simulated wearer",
    channels=("ppg_1", "ppg_2"),
    units=("a.u.", "a.u."),
    modality="ppg",
    rate=64.0,
    window=4.0,
    hop=1000.0,  # so that nothing is stale while a test takes its time
    started=1.7e9,
)


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with chromium.browser(tmp_path_factory.mktemp("chromium") / "profile") as one:
        yield one


@pytest.fixture
def shown(tab):
    """A page that is held, its sink that is open, and the browser looking at it."""
    page, _ = quiet()
    with page:
        sink = page.sink()
        sink.open(INFO)
        tab.problems.clear()
        tab.requests.clear()
        tab.shape((1280, 900))
        tab.go(f"http://127.0.0.1:{port_of(page)}/")
        tab.until("document.getElementById('link').textContent", lambda text: "live" in text)
        yield tab, page, sink
        sink.close()
    tab.go("about:blank")


def said(label, t=4.0, reason=None, fault=None, loss=0, p=0.8):
    """What one window says."""
    probabilities = {} if reason else {"rest": p, "stress": 1 - p}
    verdict = Verdict((ChannelVerdict("ppg_1", None, {}), ChannelVerdict("ppg_2", fault, {})))
    about = Quality(1.0, verdict)
    due = time.monotonic_ns()
    return Prediction(
        label, probabilities, t - 4, t, 1.7e9, due, 0.002, 0.01, 63.9, about, 0, loss, reason
    )


def text(name):
    return f"document.getElementById('{name}').textContent"


def ink(selector):
    """A script that counts the pixels of a canvas that were drawn upon."""
    return (
        f"(() => {{ const c = document.querySelector('{selector}');"
        "const copy = Object.assign(document.createElement('canvas'), {width: c.width,"
        " height: c.height}).getContext('2d', {willReadFrequently: true});"
        "copy.drawImage(c, 0, 0); const d = copy.getImageData(0, 0, c.width, c.height).data;"
        "let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })()"
    )


def wave(first, seconds, rate=64.0):
    t = (np.arange(round(seconds * rate)) + first) / rate
    return Chunk(np.stack([np.sin(7 * t), np.cos(7 * t)]), first, rate)


def test_the_label_stands_there_in_large_letters_with_its_age_and_probabilities(shown):
    tab, _, sink = shown
    tab.until(text("label"), lambda got: got == "waiting")
    sink.emit(said("stress", p=0.13))
    tab.until(text("label"), lambda got: got == "stress")
    size = tab.ask("parseFloat(getComputedStyle(document.getElementById('label')).fontSize)")
    assert size >= 96  # CSS pixels: an inch, to be read from two metres
    tab.until(text("age"), lambda got: got.endswith("\u00a0s old"))
    assert tab.ask("document.title") == "stress · demo"
    assert tab.ask(text("shares")) == "rest13 %stress87 %"
    assert tab.ask("document.getElementById('said').getAttribute('aria-live')") == "polite"
    tab.until(text("windows"), lambda got: got == "1")
    assert tab.ask(text("latency")) == "2\u00a0ms"
    assert tab.ask(text("rate")) == "63.90 Hz"
    assert not tab.problems
    assert all(address.startswith("http://127.0.0.1:") for address in tab.requests)


def test_why_there_is_no_label_is_said_in_words(shown):
    tab, _, sink = shown
    sink.emit(said(None, reason="ppg_2 has no contact", fault="no contact"))
    sink.emit(Event("abstention_begins", "no label: <b>ppg_2</b> has no contact", 4.0))
    tab.until(text("label"), lambda got: got == "no label")
    assert tab.ask(text("why")) == "ppg_2 has no contact"
    tab.until(text("events"), lambda got: "<b>ppg_2</b>" in got)  # text, never HTML
    heads = "[...document.querySelectorAll('.quality')].map((one) => one.textContent)"
    assert tab.ask(heads) == ["✓ good", "✕ no contact"]
    assert not tab.problems


def test_the_signal_is_drawn_as_it_comes_and_a_gap_is_hatched_and_named(shown):
    tab, _, sink = shown
    canvas = ".channel:last-child canvas"
    tab.shape((1280, 1600))  # only what is in view is drawn
    # what is written on canvases, so that a test can read it
    tab.ask(
        "window.told = new Set(); const put = CanvasRenderingContext2D.prototype.fillText;"
        "CanvasRenderingContext2D.prototype.fillText = function (what, ...where) {"
        "window.told.add(what); return put.call(this, what, ...where); }; 0"
    )
    sink.signal(wave(0, 3))
    tab.until("[...window.told].includes('now')")
    drawn = ink(canvas)
    before = tab.ask(drawn)
    sink._sent = 0.0
    sink.signal(wave(192, 2))
    tab.until(drawn, lambda n: n > before * 1.02)
    assert not tab.ask("[...window.told].some((one) => one.startsWith('gap'))")
    sink._sent = 0.0
    sink.signal(wave(64 * 6, 2))  # a second is missing
    tab.until("[...window.told].includes('gap 1.00 s')")
    sink.emit(said(None, t=8.0, reason="ppg_2 is railed", fault="railed"))
    tab.until("[...window.told].includes('railed')")
    tab.until("[...window.told].includes('ppg_2 is railed')")  # over the probabilities
    tab.until("[...window.told].includes('nothing comes')")  # once nothing does
    assert not tab.problems


def test_a_loss_that_nothing_can_show_is_unknown(shown):
    tab, _, sink = shown
    sink.signal(replace(wave(0, 3), loss_known=False))
    sink.emit(said("rest"))
    tab.until(text("loss"), lambda got: got == "unknown")
    assert "nothing here can show it" in tab.ask(text("loss-more"))


def test_what_is_old_is_seen_to_be_old(tab):
    page, _ = quiet()
    with page:
        sink = page.sink()
        sink.open(replace(INFO, hop=0.01))
        sink.emit(said("rest"))
        tab.problems.clear()
        tab.go(f"http://127.0.0.1:{port_of(page)}/")
        tab.until(text("age"), lambda got: got.startswith("▲ stale"))
        assert tab.ask("document.getElementById('hero').classList.contains('stale')")
        sink.close()
        tab.until(text("age"), lambda got: "the run has ended" in got)
    tab.until(text("link"), lambda got: got in ("■ ended", "✕ no connection"))
    tab.go("about:blank")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [(360, 740), (1280, 900)])
def test_it_fits_a_phone_and_a_desk_and_is_read_by_day_and_by_night(shown, size, dark, tmp_path):
    tab, _, sink = shown
    sink.signal(wave(0, 10))
    sink.emit(said(None, reason="ppg_2 is unlike what was trained on", fault="unlike"))
    tab.shape(size, dark=dark)
    tab.until(text("label"), lambda got: got == "no label")
    assert tab.ask("document.documentElement.scrollWidth") <= size[0]
    assert tab.ask("matchMedia('(prefers-color-scheme: dark)').matches") is dark
    poor = tab.ask(CONTRAST)
    assert not poor, poor
    tab.picture(tmp_path / "shown.png")
    assert (tmp_path / "shown.png").read_bytes().startswith(b"\x89PNG")
    assert not tab.problems


# Every text whose contrast with what is behind it is below WCAG's AA (4.5, or 3 where it is large).
CONTRAST = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (node) => { for (; node; node = node.parentElement) { const c = parse(getComputedStyle(node).backgroundColor); if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    if (![...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim()) || !node.getClientRects().length || node.closest("noscript")) continue;
    const style = getComputedStyle(node), a = light(parse(style.color).slice(0, 3)), b = light(behind(node));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(style.fontSize);
    if (ratio < (size >= 24 || (size >= 18.7 && Number(style.fontWeight) >= 700) ? 3 : 4.5)) poor.push(`${node.textContent} ${ratio.toFixed(2)}`);
  }
  return poor;
})()"""  # noqa: E501


def test_a_site_has_a_button_for_each_run_and_each_goes_on_by_itself(tab):
    page, _ = quiet()
    with page:
        sinks = {name: page.sink() for name in ("bed", "chair")}
        for name, sink in sinks.items():
            sink.open(replace(INFO, name=name))
        tab.problems.clear()
        tab.go(f"http://127.0.0.1:{port_of(page)}/")
        sinks["bed"].emit(said("rest"))
        sinks["chair"].emit(said("stress", p=0.2))
        buttons = "[...document.querySelectorAll('#runs button')].map((one) => one.textContent)"
        tab.until(buttons, lambda got: got == ["bedrest", "chairstress"])
        tab.ask("document.querySelectorAll('#runs button')[1].click()")
        tab.until(text("label"), lambda got: got == "stress")
        sinks["bed"].close()
        tab.until(buttons, lambda got: got == ["bed▲ rest (stale)", "chairstress"])
        third = page.sink()  # one that begins while somebody looks
        third.open(replace(INFO, name="door"))
        tab.until(buttons, lambda got: got[2:] == ["doorwaiting"])
        assert tab.ask(text("label")) == "stress"
        third.close()
        sinks["chair"].close()
        assert not tab.problems
    tab.go("about:blank")


def test_the_token_opens_it_once_and_leaves_the_address(tab):
    page, _ = quiet(TOKEN)
    with page:
        sink = page.sink()
        sink.open(INFO)
        tab.go(f"http://127.0.0.1:{port_of(page)}/")
        assert "needs its token" in tab.ask("document.body.textContent")
        tab.problems.clear()
        tab.go(f"http://127.0.0.1:{port_of(page)}/?token={TOKEN}")
        tab.until(text("link"), lambda got: "live" in got)
        assert tab.ask("location.search") == "" and tab.ask("document.cookie") == ""
        assert not [one for one in tab.problems if "favicon.ico" not in one]  # of the page before
        sink.close()
    tab.go("about:blank")


def test_many_channels_are_shown_on_request(tab):
    page, _ = quiet()
    names = tuple(f"c{n}" for n in range(32))
    with page:
        sink = page.sink()
        sink.open(replace(INFO, channels=names, units=("uV",) * 32, rate=500.0))
        tab.problems.clear()
        tab.go(f"http://127.0.0.1:{port_of(page)}/")
        tab.until("document.querySelectorAll('.channel').length", lambda n: n == 16)
        tab.ask("document.getElementById('more').click()")
        assert tab.ask("document.querySelectorAll('.channel').length") == 32
        assert not tab.problems
        sink.close()
    tab.go("about:blank")
