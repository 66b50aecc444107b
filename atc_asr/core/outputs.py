"""Outputs: complete or not at all, and only in place of what this program wrote.

The rules of every output file and folder:

- It gets its name when it is complete. Until then it has a hidden name of its own, so that several writers of one path
  do not disturb each other: the last one that completes wins.
- A file is replaced if it is empty or begins like the new one, a folder if all names in it are names of the new one.
  Anything else is refused.
- A symbolic link stays, and what it points to is replaced. A link into DVC's cache is replaced itself, and so is a hard
  link into it: the cache never changes.
- A file keeps its mode. A read-only file is refused, unless it is DVC's, which has other links in the cache.
- Devices and pipes get the content when it is complete.
"""

import contextlib
import fcntl
import fnmatch
import functools
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

from atc_asr.core.errors import InputError

# Patterns of files that may be replaced: empty ones, and all (in a folder of this program, or when the file was read).
EMPTY, ANY = r"\Z", ""
HEAD = 4096  # bytes of an existing file that are compared with a pattern
_PARTIAL = re.compile(r"\..*\.atc-[0-9a-f]{8}\.partial", re.DOTALL)
_PREFIX = 40  # characters of the output's name in the hidden one, which must not get too long
_DVC_CACHE = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}$")  # end of a path in DVC's cache
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")  # links to open files


@dataclass(frozen=True)
class _Output:
    path: Path  # as the user named it
    rule: str | Sequence[str]  # pattern of a file's beginning, or names in a folder
    target: Path  # the path that is replaced, links followed
    partial: Path  # its hidden name until it is complete
    lock: int  # descriptor whose lock shows other processes that the hidden name is in use

    def discard(self) -> None:
        remove(self.partial)
        os.close(self.lock)

    @contextlib.contextmanager
    def naming_errors(self) -> Iterator[None]:
        """Lets errors of the operating system name the path instead of the hidden one or none."""
        try:
            yield
        except OSError as error:
            name = "" if error.filename is None else os.fsdecode(error.filename)
            if not name or name.startswith(str(self.partial)):
                error.filename, error.filename2 = f"{self.path}{name[len(str(self.partial)) :]}", None
            raise


# Outputs that are complete and wait for the others of a `together`; None outside of one.
_waiting: ContextVar[list[_Output] | None] = ContextVar("_waiting", default=None)


@contextlib.contextmanager
def new_file(path: Path, like: str = EMPTY) -> Iterator[Path]:
    """A path to write to; it replaces `path` at the end of the block, and is removed if the block raises.

    Args:
        path: the output.
        like: pattern (`re.match`) of the beginning of files that it may replace besides empty ones.

    Raises:
        InputError: another file, a folder or a read-only file is there.
    """
    check_file(path, like)
    yield from _write(path, like)


@contextlib.contextmanager
def new_folder(path: Path, names: Sequence[str]) -> Iterator[Path]:
    """An empty folder to fill; it replaces `path` at the end of the block, and is removed if the block raises.

    Args:
        path: the output.
        names: patterns (`fnmatch`) of the names in folders that it may replace, which all have the first one.

    Raises:
        InputError: a folder with other content or a file is there.
    """
    check_folder(path, names)
    yield from _write(path, names)


def _write(path: Path, rule: str | Sequence[str]) -> Iterator[Path]:
    folder = not isinstance(rule, str)
    output = _open_partial(path, rule)
    token = _waiting.set(None) if folder else None  # what is written into the folder appears in it at once
    try:
        with output.naming_errors():
            yield output.partial
            if not folder:
                with open(output.partial, "rb+") as file:
                    os.fsync(file.fileno())
    except BaseException:
        output.discard()
        raise
    finally:
        if token is not None:
            _waiting.reset(token)
    waiting = _waiting.get()
    if waiting is None:
        _publish([output])
    else:
        waiting.append(output)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Makes the outputs of the block appear at its end, all or none.

    The old ones are removed first, so that a kill leaves some of them missing, which the next stage reports, and never
    a new one beside an old one.
    """
    outputs: list[_Output] = []
    token = _waiting.set(outputs)
    try:
        yield
    except BaseException:
        for output in outputs:
            output.discard()
        raise
    finally:
        _waiting.reset(token)
    _publish(outputs)


def _publish(outputs: Sequence[_Output]) -> None:
    """Gives complete outputs their names, in the order in which they were opened."""
    try:
        for output in outputs:
            if is_stream(output.path):
                with output.naming_errors(), open(output.partial, "rb") as content, open(output.path, "ab") as stream:
                    shutil.copyfileobj(content, stream)
        files = [output for output in outputs if not is_stream(output.path)]
        with locked_folders({output.target.parent for output in files}):
            for output in files:  # something else may have been written there meanwhile
                if isinstance(output.rule, str):
                    check_file(output.path, output.rule)
                    output.partial.chmod(_mode(output))
                else:
                    check_folder(output.path, output.rule)
            if len(files) > 1:
                for output in files:
                    remove(output.target)
            for output in files:
                with output.naming_errors():
                    rename(output.partial, output.target)
    finally:
        for output in outputs:
            output.discard()


def rename(new: Path, path: Path) -> None:
    """Renames a file or folder; an older one of the new name is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    old = hidden(path)
    if new.is_dir() and path.is_dir():
        os.rename(path, old)
    try:
        os.replace(new, path)
    except OSError:
        if os.path.lexists(old):
            os.rename(old, path)
        raise
    remove(old)


def remove(path: Path) -> None:
    """Removes a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        # Renamed first, so that a kill does not leave a part of the folder under its name.
        path = path if _PARTIAL.fullmatch(path.name) else path.rename(hidden(path))
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_file(path: Path, like: str = EMPTY) -> None:
    """Checks that a file can be written, as `new_file` does; before long work.

    Raises:
        InputError: see `new_file`.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, wanted a file")
    if is_stream(path):
        return
    target = find_target(path)
    _check_parent(path, target)
    if not target.is_file():
        return
    try:
        with open(target, "rb") as file:
            head, info = file.read(HEAD), os.fstat(file.fileno())
    except FileNotFoundError:  # another writer is replacing it
        return
    if head and not re.match(like, head.decode("utf-8-sig", "replace"), re.DOTALL):
        raise InputError(f"{path}: holds something else than this output, wanted a new file or an earlier output")
    if not info.st_mode & stat.S_IWUSR and info.st_nlink == 1 and target == Path(os.path.realpath(path)):
        raise InputError(f"{path}: is read-only, wanted a file that may be replaced")


def check_folder(path: Path, names: Sequence[str]) -> None:
    """Checks that a folder can be written, as `new_folder` does; before long work.

    Raises:
        InputError: see `new_folder`.
    """
    target = find_target(path)
    _check_parent(path, target)
    try:  # one call, because another writer may be replacing the folder
        found = sorted(os.listdir(target))
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise InputError(f"{path}: is a file, wanted a folder") from error
    foreign = [name for name in found if not any(fnmatch.fnmatchcase(name, pattern) for pattern in names)]
    if foreign or (found and not fnmatch.filter(found, names[0])):
        raise InputError(
            f"{path}: holds {(foreign or found)[0]}, which is not of this output; "
            "wanted a new or empty folder, or an earlier output"
        )
    if Path.cwd().is_relative_to(target):
        raise InputError(f"{path}: is the current folder or above it, wanted another one")


def _check_parent(path: Path, target: Path) -> None:
    parent = next(parent for parent in target.parents if os.path.lexists(parent))
    if not parent.is_dir():
        raise InputError(f"{path}: {parent} is a file, wanted a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"{path}: cannot be written, {parent} is read-only")


def find_target(path: Path) -> Path:
    """The path that is replaced when a path is written: links are followed, but not into DVC's cache."""
    if is_stream(path):
        return path
    target = os.path.realpath(path)
    if _DVC_CACHE.search(target):
        return Path(os.path.realpath(path.parent), path.name)
    return Path(target)


def is_stream(path: Path) -> bool:
    """Whether a path is a device, a pipe or an open file of this process, which is written in place."""
    if str(path.absolute()).startswith(_STREAMS):
        return True
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _mode(output: _Output) -> int:
    """The mode of the file that is replaced; that of a new one where DVC made it read-only."""
    mode = output.target.stat().st_mode if output.target.exists() else 0
    return stat.S_IMODE(mode if mode & stat.S_IWUSR else output.partial.stat().st_mode)


def hidden(path: Path) -> Path:
    """A new hidden name beside a path."""
    return path.with_name(f".{path.name[:_PREFIX]}.atc-{secrets.token_hex(4)}.partial")


def _open_partial(path: Path, rule: str | Sequence[str]) -> _Output:
    """Makes the hidden file or folder of an output and locks it."""
    stream = isinstance(rule, str) and is_stream(path)
    target = Path(tempfile.gettempdir(), path.name) if stream else find_target(path)
    while True:
        output = _Output(path, rule, target, hidden(target), -1)
        with output.naming_errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_stale(target.parent)
            if isinstance(rule, str):
                lock = os.open(output.partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            else:
                output.partial.mkdir()
                try:
                    lock = os.open(output.partial, os.O_RDONLY)
                except FileNotFoundError:  # another process took it for a killed writer's
                    continue
        try:
            locked = _lock(lock, output.partial)
        except OSError:  # a file system without locks
            locked = True
        if locked:
            return replace(output, lock=lock)
        os.close(lock)  # another process took it for a killed writer's


@functools.cache
def remove_stale(folder: Path) -> None:
    """Removes what killed writers left in a folder, once per process."""
    for entry in os.scandir(folder):
        if not _PARTIAL.fullmatch(entry.name):
            continue
        with contextlib.suppress(OSError):  # another process removes it, or has just given it its name
            lock = os.open(entry.path, os.O_RDONLY)
            try:
                if _lock(lock, Path(entry.path)):
                    remove(Path(entry.path))
            finally:
                os.close(lock)


def _lock(descriptor: int, path: Path) -> bool:
    """Locks an open file or folder; False if another process holds it, or if `path` is another one by now.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False


def lock_file(path: Path) -> int | None:
    """Creates and locks a file; the operating system releases the lock when the process ends, even if it is killed.

    Returns:
        Its descriptor; None if another process holds the lock.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            if path.parent.is_dir():  # nothing can be created there, as in /proc
                raise
            continue  # another process has just removed the folder
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _lock(descriptor, path):  # not of a file that another process has just removed
            return descriptor
        os.close(descriptor)


@contextlib.contextmanager
def locked_folders(folders: set[Path]) -> Iterator[None]:
    """Waits for other processes that give outputs in these folders their names."""
    with contextlib.ExitStack() as stack:
        # In the same order in all processes. A hidden folder is locked already, and only this process writes there.
        for folder in sorted(folder for folder in folders if not _PARTIAL.fullmatch(folder.name)):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            with contextlib.suppress(OSError):  # a file system without such locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
