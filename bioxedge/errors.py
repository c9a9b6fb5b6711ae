"""Every error that bioxedge raises on purpose.

::

    BioxedgeError
    ├── SignalError        samples, channels, rates or clocks that do not fit
    │   └── RecordingError a recording on disk that cannot be used
    ├── BundleError        a bundle that must not be trusted
    │   └── ManifestError  what its manifest says cannot be right
    ├── SourceError        a sensor (or its stand-in) that cannot be read
    ├── SinkError          an output that cannot be opened, or that failed
    ├── ModelError         a foundation model, checkpoint or cut that does not fit
    ├── DatasetError       recordings that are not there, or not what they should be
    ├── RecipeError        a recipe that cannot be followed
    ├── StorageError       a disk that does not take, or give back, what a build keeps
    ├── ExportError        an export that was not proven; nothing was written
    └── MissingExtraError  an optional part of bioxedge that is not installed

Each message states the value, the bound and what to do, on one line; the command line
prints it as it is and exits with 2.
"""

from __future__ import annotations


class BioxedgeError(Exception):
    """The root of all errors that bioxedge raises on purpose."""


class SignalError(BioxedgeError, ValueError):
    """Samples, channels, rates or clocks that do not fit together."""


class RecordingError(SignalError):
    """A recording on disk that cannot be used."""


class BundleError(BioxedgeError):
    """A bundle that must not be trusted: damaged, incomplete or not what it says."""


class ManifestError(BundleError):
    """A manifest that breaks one of its clauses."""


class SourceError(BioxedgeError):
    """A sensor, or what stands in for it, that cannot be read."""


class SinkError(BioxedgeError):
    """Where predictions go cannot be opened, or failed while the others went on."""


class ModelError(BioxedgeError, ValueError):
    """A foundation model, a checkpoint or a cut that does not fit."""


class DatasetError(BioxedgeError):
    """Recordings that are not there, or not what they should be."""


class RecipeError(BioxedgeError):
    """A recipe that cannot be followed as it is written."""


class StorageError(BioxedgeError):
    """A folder that another build works in, or a disk that does not take what a build keeps."""


class ExportError(BioxedgeError):
    """An export that was not proven equal to what was trained; nothing was written."""


class MissingExtraError(BioxedgeError, ImportError):
    """An optional part that is not installed.

    Parameters
    ----------
    package : str
        The import name that was not found.
    extra : str
        The extra of bioxedge that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed: it comes with pip install 'bioxedge[{extra}]'"
        )
        self.package = package
        self.extra = extra
