"""Errors that a user can correct. Each message states the rule, the actual value, and a remedy.

The command line prints the message and exits with code 2. Every other exception is a bug of spikeloom and keeps its
traceback. Errors take three positional strings, so that they can be pickled and sent between processes.
"""


class SpikeloomError(Exception):
    """An error that the user can correct, with three texts: the rule, the actual value, and a remedy.

    Example:
        >>> import spikeloom as sl
        >>> try:
        ...     sl.read_recipe("ldns-tinny")
        ... except sl.SpikeloomError as error:
        ...     print(error.args[2])
        Did you mean ldns-tiny?
    """

    def __init__(self, must: str, got: str, do: str) -> None:
        # not super(): OSError would store two of the three as errno and strerror
        Exception.__init__(self, must, got, do)

    def __str__(self) -> str:
        return " ".join(part for part in self.args if part)


class ShapeError(SpikeloomError, ValueError):
    """An array has the wrong axes."""


class DataError(SpikeloomError, ValueError):
    """Data have impossible values: negative counts, NaN spike times, an empty window."""


class ConditionError(SpikeloomError, ValueError):
    """A condition does not exist in the trials or the model, or has an invalid value."""


class SettingError(SpikeloomError, ValueError):
    """A setting or recipe key is unknown, or its value is out of range."""


def missing_extra(what: str, package: str, extra: str) -> SettingError:
    """Return the error for a feature whose package is not installed.

    Args:
        what: The feature with its verb, such as "Figures need".
        package: Name of the package.
        extra: Name of the extra of spikeloom that installs it.
    """
    return SettingError(f"{what} {package}.", "It is not installed.", f"Type: pip install 'spikeloom[{extra}]'")


class FileError(SpikeloomError, OSError):
    """A file or folder is missing, unreadable, not writable, or of the wrong kind."""


class CorruptFileError(FileError):
    """The content of a file is damaged: truncated, empty, or different from the hash in its manifest."""


class TrainingError(SpikeloomError, RuntimeError):
    """A training run cannot continue, or an untrained model was used."""


class SpikeloomWarning(UserWarning):
    """A note about a correct result that may be unexpected.

    Every warning of the package derives from this class. The command line shows each one as a line `note: ...`.
    """


class DamagedCheckpointWarning(SpikeloomWarning):
    """A checkpoint is damaged, so training resumes from an earlier one."""


class StaleLockWarning(SpikeloomWarning):
    """The process that worked in a folder was killed, and the present process continues its work."""
