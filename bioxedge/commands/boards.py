"""``bioxedge boards``: which sensors can be used, and what each needs."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import click

from bioxedge.errors import SourceError

if TYPE_CHECKING:
    from bioxedge.runtime.sources.catalogue import Board, Catalogue

WIDTH = 100


@click.command()
@click.argument("name", required=False)
@click.option(
    "--signal", type=click.Choice(["ppg", "ecg", "emg", "eeg", "eda"]), help="Only with this one."
)
@click.option("--scan", is_flag=True, help="Look for ports and Bluetooth devices (some seconds).")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def boards(name: str | None, signal: str | None, scan: bool, as_json: bool) -> None:
    """List the boards that BrainFlow knows, by preset.

    With NAME, all that is known of one: channels, start-up string, how its losses show, what
    to beware of, and a command that uses it.
    """
    from bioxedge.runtime.sources.catalogue import catalogue

    known = catalogue()
    chosen = list(known.boards.values()) if name is None else [known.find(name)]
    chosen = [board for board in chosen if board.having(signal)]
    if name is not None and not chosen:
        raise SourceError(f"{name} has no {signal}: leave --signal out to see what it has")
    found = _scan(chosen) if scan else {}
    if as_json:
        about = {"brainflow": known.version, "described_by": known.origin, "why": known.why}
        told = {"boards": [_to_dict(board, signal) for board in chosen]}
        click.echo(json.dumps({**about, **told, **found}))
        return
    if scan:
        lines = _seen(found)
    elif name is None:
        lines = [*_table(chosen, signal), "", "All of one: bioxedge boards NAME."]
    else:
        lines = _page(chosen[0], signal)
    click.echo("\n".join([*lines, *_wrapped(_origin(known))]))


def _scan(chosen: list[Board]) -> dict[str, Any]:
    """Look for the chosen boards."""
    import msgspec

    from bioxedge.measuring.doctor import Host
    from bioxedge.measuring.doctor.scan import scan

    wired = [board.name for board in chosen if "serial_port" in board.needs]
    seen, said = scan(Host(), wired, {board.name: board.seen_as for board in chosen})
    return {"seen": msgspec.to_builtins(seen), "scanned": said}


def _seen(found: dict[str, Any]) -> list[str]:
    lines = []
    for one in found["seen"]:
        may = ", ".join(one["boards"]) or "no board announces itself so"
        lines += _wrapped(" ".join(filter(None, (one["how"], one["address"], one["name"]))))
        lines += _wrapped(f"may be {may}", "    ")
    return [*lines, *(line for said in found["scanned"] for line in _wrapped(said))]


def _table(chosen: list[Board], signal: str | None) -> list[str]:
    """One line for each preset."""
    from rich.console import Console
    from rich.table import Table

    from bioxedge.runtime.sources.catalogue import SIGNALS, brief

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("board", "preset", "Hz", "channels", "by", "losses"):
        table.add_column(title, no_wrap=True, justify="right" if title == "Hz" else "left")
    for board in sorted(chosen, key=lambda one: one.name):
        for preset, one in board.having(signal).items():
            channels = ", ".join(f"{k} {one.signals[k]}" for k in SIGNALS if k in one.signals)
            how = brief(board.name, preset)
            table.add_row(board.name, preset, f"{one.rate:g}", channels, board.link, how)
    console = Console(width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def _page(board: Board, signal: str | None) -> list[str]:
    """All of one board."""
    from bioxedge.runtime.sources.catalogue import losses

    how = {"none": "nothing", "dongle": "Bluetooth, through a BLED112 dongle"}
    parts = {
        "reached by": [how.get(board.link, board.link)],
        "works on": [board.where],
        "needs": [f"--param {key}={value}" for key, value in board.needs.items()],
        "may have": [f"--param {key}=…: {what}" for key, what in board.may.items()],
        "commands": [f"--command {command}: {what}" for command, what in board.config.items()],
        "unit": [board.unit],
    }
    for preset, one in board.having(signal).items():
        sends = board.startup(preset)
        parts[f"preset {preset}, {one.rate:g} Hz"] = [
            ", ".join(_numbered(kind, count) for kind, count in one.signals.items()),
            f"eeg also as {', '.join(one.electrodes)}" if one.electrodes else "",
            f"start-up string {sends} (other_info), which run sends by itself" if sends else "",
            *losses(board, preset),
        ]
    parts |= {"losses, besides": [*board.losses], "beware": [*board.notes]}
    lines = [f"{board.name}: {board.title or 'nothing but its descriptor is known'}"]
    for title, said in parts.items():
        if any(said):
            lines += [title, *(line for one in said if one for line in _wrapped(one, "    "))]
    # Not wrapped: it is there to be copied.
    return [*lines, "for example", f"    {_example(board, signal)}", ""]


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent and indent + "  ",
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def _numbered(kind: str, count: int) -> str:
    return f"{kind}_1" + (f"–{count}" if count > 1 else "")


def _example(board: Board, signal: str | None) -> str:
    """A command that uses the board."""
    preset = next(iter(board.having(signal)))
    words = ["bioxedge run BUNDLE --source", f"brainflow:{board.name}"]
    words += [f"--preset {preset}"] if preset != "default" else []
    needs = dict(board.needs)
    words += [f"--param {key}={value}" for key, value in needs.items()]
    return " ".join(words)


def _to_dict(board: Board, signal: str | None) -> dict[str, Any]:
    import msgspec

    from bioxedge.runtime.sources.catalogue import brief, losses

    told: dict[str, Any] = msgspec.to_builtins(board)
    told["example"] = _example(board, signal)
    told["presets"] = {
        preset: {
            **msgspec.to_builtins(one),
            "startup": board.startup(preset),
            "loss": brief(board.name, preset),
            "losses": losses(board, preset),
        }
        for preset, one in board.having(signal).items()
    }
    return told


def _origin(known: Catalogue) -> str:
    if known.origin == "library":
        return f"Presets, channels and rates as BrainFlow {known.version} on this machine says."
    return f"Presets, channels and rates of BrainFlow {known.version}, as shipped: {known.why}"
