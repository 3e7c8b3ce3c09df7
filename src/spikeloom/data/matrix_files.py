"""Read the variables of NumPy and MATLAB files by name.

A variable of numbers or text becomes an array, and a cell array becomes an object array. If a variable cannot be read,
it becomes a text with the reason. A field of a struct becomes a variable with a dotted name, such as "session.spikes".
SciPy reads MATLAB files up to version 7.2, and h5py reads files of version 7.3. Arrays of MATLAB keep the order of
their axes. Nothing is unpickled.
"""

import zipfile
from pathlib import Path

import h5py
import numpy as np

from spikeloom.errors import CorruptFileError
from spikeloom.objects import Foreign

OPAQUE = "an object of MATLAB; save its contents as arrays or cells"
"""Description of a variable that cannot be read, such as a table or a function."""


def read_numpy(file: Path) -> dict[str, object]:
    """Read the arrays of a NumPy file by name; one array alone has the name of the file.

    Raises:
        CorruptFileError: if the file is damaged or holds only Python objects.
    """
    try:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return {file.stem: content}
        with content:
            return {name: _entry(content, name) for name in content.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if "allow_pickle" in str(error):
            raise CorruptFileError(
                "The file must hold plain NumPy arrays, because spikeloom unpickles nothing.",
                f"{file} holds Python objects.",
                "Save spike times of several neurons as np.savez(path, spike_times=np.concatenate(times), "
                "spike_times_index=np.cumsum([len(t) for t in times])).",
            ) from error
        raise CorruptFileError(
            "The file must hold plain NumPy arrays.", f"{file} does not: {error}.", "Save it again with np.savez."
        ) from error


def _entry(content: Foreign, name: str) -> Foreign:
    """Return an array of a .npz file, or a text if it holds Python objects."""
    try:
        return content[name]
    except ValueError:
        return "Python objects, which spikeloom does not unpickle"


def read_matlab(path: Path) -> dict[str, object]:
    """Read the variables of a MATLAB file by name, and the fields of structs as "struct.field".

    Raises:
        CorruptFileError: if the file is damaged.
    """
    with open(path, "rb") as raw:
        head = raw.read(520)
    # MATLAB 7.3 writes 512 bytes of its own before the HDF5 content
    if head.startswith(b"\x89HDF") or head[512:516] == b"\x89HDF":
        return _of_matlab_hdf5(path)
    from scipy.io import loadmat  # scipy.io is slow to import

    try:
        content = loadmat(path)
    except Exception as error:  # scipy raises many different errors for a damaged file
        raise CorruptFileError(
            f"{path} is not a readable MATLAB file: {' '.join(str(error).split())[:150] or type(error).__name__}.",
            "",
            "Copy it again, or save it again in MATLAB: save('data.mat', 'x').",
        ) from error
    values: dict[str, object] = {}
    for name, value in content.items():
        if not name.startswith("__"):  # such as __header__, which SciPy adds
            values |= _scipy_values(name, value)
    return values


def _scipy_values(name: str, value: object) -> dict[str, object]:
    """Convert a variable that SciPy has read to values by name.

    A struct has one value per field, named "struct.field". In an array of structs, each field is one object array with
    the values of all structs. Any other variable is one value, which is `OPAQUE` if it is not an array.
    """
    if hasattr(value, "toarray"):  # a sparse matrix
        return {name: value.toarray()}
    if not isinstance(value, np.ndarray):
        return {name: OPAQUE}
    values: dict[str, object] = {}
    for field in value.dtype.names or ():  # the fields of a struct; other arrays have none
        cells = value[field]
        values |= _scipy_values(f"{name}.{field}", cells.ravel()[0] if cells.size == 1 else cells)
    return values if value.dtype.names else {name: value}


def _of_matlab_hdf5(path: Path) -> dict[str, object]:
    """Read the variables of a MATLAB file of version 7.3, which is HDF5."""
    try:
        with h5py.File(path, "r") as file:
            values: dict[str, object] = {}
            for name, item in file.items():
                if not name.startswith("#"):  # such as #refs#, the contents of cells
                    values |= _hdf5_values(file, name, item)
            return values
    except (OSError, RuntimeError, KeyError) as error:
        raise CorruptFileError(
            f"{path} is not a readable MATLAB file: {' '.join(str(error).split())[:150]}.",
            "",
            "Copy it again, or save it again in MATLAB: save('data.mat', 'x', '-v7').",
        ) from error


def _hdf5_values(file: h5py.File, name: str, item: object) -> dict[str, object]:
    """Read a variable, or the fields of a struct as "struct.field"; a field of a struct array becomes cells."""
    if not isinstance(item, h5py.Group):
        return {name: _hdf5_value(file, item)}
    values: dict[str, object] = {}
    for field, inner in item.items():
        values |= _hdf5_values(file, f"{name}.{field}", inner)
    return values


def _hdf5_value(file: h5py.File, item: object) -> object:
    """Read a variable in the axis order that MATLAB shows. Cells become an object array."""
    if not isinstance(item, h5py.Dataset):
        return OPAQUE
    kind = item.attrs.get("MATLAB_class", b"")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if "MATLAB_empty" in item.attrs:
        return np.zeros(tuple(int(size) for size in item[()]), object if kind == "cell" else np.float64)
    value = item[()]
    if kind == "char":  # codes of characters, with the axes in reverse order
        return np.array("".join(map(chr, np.asarray(value).T.ravel())))
    if h5py.check_ref_dtype(item.dtype) is not None:
        cells = np.empty(np.shape(value)[::-1], object)
        for index in np.ndindex(cells.shape):
            cells[index] = _hdf5_value(file, file[value[index[::-1]]])  # HDF5 stores the axes in reverse order
        return cells
    array = np.asarray(value)
    return array.T if array.dtype.kind in "iufb" else f"entries of type {array.dtype}"
