"""One command, ``bioxedge``, which gathers the verbs of :mod:`bioxedge.commands`."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

import click

from bioxedge import __version__
from bioxedge.commands.bench import bench
from bioxedge.commands.boards import boards
from bioxedge.commands.build import build
from bioxedge.commands.convert import convert
from bioxedge.commands.doctor import doctor
from bioxedge.commands.ending import Terminated
from bioxedge.commands.export import export
from bioxedge.commands.import_ import import_
from bioxedge.commands.models import models
from bioxedge.commands.new import new
from bioxedge.commands.positions import positions
from bioxedge.commands.profile import profile
from bioxedge.commands.record import record
from bioxedge.commands.run import run
from bioxedge.commands.soak import soak
from bioxedge.commands.study import study
from bioxedge.commands.verify import verify
from bioxedge.commands.wearers import wearers
from bioxedge.errors import BioxedgeError


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(__version__, prog_name="bioxedge")
@click.pass_context
def cli(context: click.Context) -> None:
    """Take what a biosignal model knows on one sensor to another, live on the edge."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


_DESKTOP = (import_, new, build, study, export, positions, profile, models)
_DEVICE = (verify, run, record, convert, soak, bench, doctor, boards, wearers)
for verb in (*_DESKTOP, *_DEVICE):
    cli.add_command(verb)


def main() -> None:
    """Run the command; what can be expected to fail is one line on standard error.

    Exit codes: 0 done, 2 an error that the line explains; 130, 143 or 129 ended by Ctrl-C,
    ``kill`` or a terminal that closed.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without block characters
    code = _run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        _empty(stream)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    try:
        # Not cli.main(): it would print usage banners and turn a closed pipe into exit 1.
        with cli.make_context("bioxedge", arguments) as context:
            cli.invoke(context)
        sys.stdout.flush()
        return 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except Terminated as end:
        return end.code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "bioxedge"
        return _fail(f"{error.format_message().rstrip('.')}; see {where} --help")
    except BioxedgeError as error:
        return _fail(str(error))
    except BrokenPipeError:
        return 0  # whoever read what we print has seen enough
    except OSError as error:
        # What has no name was printed.
        where = error.filename if error.filename is not None else "standard output"
        return _fail(
            f"{where}: {error.strerror or error}; check the path, its permissions and space"
        )


def _empty(stream: TextIO) -> None:
    """Let go of what cannot be printed, so that Python does not try once more at exit."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _fail(message: str) -> int:
    """Print one line that names the cure."""
    with suppress(OSError):  # standard error may be closed as well; the code tells
        print("error:", " ".join(message.split()), file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
