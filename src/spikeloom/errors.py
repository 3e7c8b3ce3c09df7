"""Faults a user can repair. Each message says what must hold, what came, and what to do.

The command line prints the message and exits with code 2; every other exception is a fault of ours
and keeps its traceback. Three positional strings, so that an error survives being sent between processes.
"""


class SpikeloomError(Exception):
    """A fault the user can repair: what must hold, what came, what to do.

    Example:
        >>> import spikeloom as sl
        >>> try:
        ...     sl.read_recipe("ldns-tinny")
        ... except sl.SpikeloomError as error:
        ...     print(error.args[2])
        Did you mean ldns-tiny?
    """

    def __init__(self, must: str, got: str, do: str) -> None:
        # not super(): OSError would keep two of the three as errno and strerror
        Exception.__init__(self, must, got, do)

    def __str__(self) -> str:
        return " ".join(part for part in self.args if part)


class ShapeError(SpikeloomError, ValueError):
    """An array whose axes are not the promised ones."""


class DataError(SpikeloomError, ValueError):
    """Values that cannot be what they claim to be: negative counts, NaN spike times, an empty window."""


class ConditionError(SpikeloomError, ValueError):
    """A condition that the trials or the model do not know, or a value that it cannot take."""


class SettingError(SpikeloomError, ValueError):
    """A setting or recipe key that is unknown, or whose value is out of range."""


class FileError(SpikeloomError, OSError):
    """A file or folder that is missing, unreadable, not writable, or of another kind."""


class CorruptFileError(FileError):
    """A file whose content is damaged: truncated, empty, or with another hash than its manifest says."""


class TrainingError(SpikeloomError, RuntimeError):
    """A training run that cannot continue, or a model that was asked for samples before it was trained."""


class SpikeloomWarning(UserWarning):
    """A note about a result that is right but may not be what the user expects.

    Every warning of the package derives from this class. The command line shows each one as a line `note: ...`.
    """


class DamagedCheckpointWarning(SpikeloomWarning):
    """A checkpoint is damaged, so training resumes from an earlier one."""


class StaleLockWarning(SpikeloomWarning):
    """The process that worked in a folder was killed, and this one takes over."""
