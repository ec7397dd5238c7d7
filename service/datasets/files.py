"""The images and labels of a dataset on the disk: which exist, where their links lead, whether they can be read.

Ultralytics opens every file that has an image's name, and the label that belongs to it. A pipe would block a training
for ever. A link could show another user's file to the training and its log. A file of gigabytes would fill the memory.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from service.errors import UnfitDataset

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".dng", ".heic", ".heif", ".jp2", ".jpeg", ".jpeg2000", ".jpg", ".mpo", ".png", ".tif", ".tiff"}
    | {".webp"}
)  # ultralytics.data.utils.IMG_FORMATS of 8.4
#: How the names of files that a training opens may end. torchvision takes more kinds of pictures than Ultralytics.
_READ = (*IMAGE_SUFFIXES, ".ppm", ".pgm", ".npy", ".txt")
#: Task → the folders beside `images` in which the labels, masks or depths of an image lie. None: an unknown task.
_BESIDE: dict[str | None, tuple[str, ...]] = {
    "semantic": ("labels", "masks"),
    "depth": ("labels", "depth"),
    None: ("labels", "masks", "depth"),
}
#: Most bytes of one image file, and of one label file: far more than a camera or an annotator makes.
MAX_IMAGE_BYTES = 500_000_000
MAX_LABEL_BYTES = 50_000_000
#: Seconds that a look at a dataset may take. 500,000 images with labels take about ten on two busy cores.
SECONDS = 20.0


class UnsoundFiles(UnfitDataset):
    """Raised when a training may not open a file of a dataset. The message says which file, and why."""


class Survey:
    """One look at a dataset's files. All of them must lie in `roots` after their links are resolved.

    Without roots, only the file system's permissions decide. When the look takes longer than SECONDS, the rest is taken
    unchecked without roots, and the dataset is refused with roots. `task` says what lies beside the images; None is for
    any task. `inside` is what an error calls the roots.
    Every method may raise UnsoundFiles.
    """

    def __init__(
        self, roots: Sequence[Path] = (), task: str | None = None, inside: str = "the folders that --data-root names"
    ) -> None:
        self._inside = inside
        self._beside = list(_BESIDE.get(task, ("labels",)))
        self._roots = [os.path.realpath(root) for root in roots]
        self._real: dict[str, str] = {}  # folder → where it really is
        self._is_folder: dict[str, bool] = {}
        self._deadline = time.monotonic() + SECONDS

    def check(self, path: str) -> os.stat_result | None:
        """The status of what a path leads to; None when nothing is there. With links resolved, it must lie in a root.

        The path is absolute and has no `..`: behind a link, `..` would lead to the folder above the link's target.
        """
        folder, _, name = path.rpartition(os.sep)
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder or os.sep)
        real = os.path.join(self._real[folder], name)
        try:
            status = os.lstat(real)
            if stat.S_ISLNK(status.st_mode):
                real = os.path.realpath(real)
                status = os.stat(real)
        except OSError:  # missing or unreadable: Ultralytics will say so
            status = None
        if self._roots and not any(_is_inside(real, root) for root in self._roots):
            raise UnsoundFiles(f"{path} is outside of {self._inside}")
        return status

    def look_beside(self, folder: str) -> None:
        """Look also into `folder` beside `images` for what belongs to an image."""
        self._beside.append(folder)

    def images(self, folder: str, count: int) -> list[str]:
        """The first `count` images in a folder and the folders below it. All images and their labels are checked."""
        image = os.path.join(folder, "x.jpg")
        places = [folder, *(os.path.dirname(label_of(image, beside)) for beside in self._beside)]
        seen: set[tuple[int, int]] = set()
        files = chain.from_iterable(self._files(place, seen) for place in places)
        found = list(islice(filter(is_image, files), count))
        for _ in files:  # going through them checks them
            pass
        return found

    def listed(self, paths: Sequence[str], count: int) -> list[str]:
        """The first `count` images of a list that exist. All images of the list and their labels are checked."""
        found: list[str] = []
        for path in paths:
            if self.is_late():
                break
            if not is_image(path):  # Ultralytics leaves such lines out
                continue
            is_there = self._look(path)
            self._look(label_of(path))
            for beside in self._beside[1:]:
                self._look_at_mask(os.path.splitext(label_of(path, beside))[0])
            if is_there and len(found) < count:
                found.append(path)
        return found

    def _look(self, path: str) -> bool:
        """Whether there is a file. Raises UnsoundFiles."""
        status = self.check(path)
        if status is not None:
            _check_file(path, status)
        return status is not None

    def _look_at_mask(self, stem: str) -> None:
        """Check the files that Ultralytics may take for a mask or a depth image; it takes the first that exists."""
        folder = os.path.dirname(stem)
        if folder not in self._is_folder:
            self._is_folder[folder] = os.path.isdir(folder)
        if not self._is_folder[folder]:
            return
        for suffix in (".png", ".npy", *sorted(IMAGE_SUFFIXES)):
            if self._look(stem + suffix) and suffix == ".png":
                return

    def _files(self, folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
        """The files in a folder and below it. Each folder (device, inode) is read once: links may make circles."""
        waiting = [folder]
        while waiting:
            current = waiting.pop()
            status = self.check(current)
            if status is None or (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            try:
                with os.scandir(current) as entries:
                    yield from self._checked(entries, waiting)
            except OSError as error:
                if current == folder and not isinstance(error, FileNotFoundError | NotADirectoryError):
                    raise UnsoundFiles(f"{current} cannot be read: {error.strerror}") from None

    def _checked(self, entries: Iterable["os.DirEntry[str]"], folders: list[str]) -> Iterator[str]:
        for entry in entries:
            if self.is_late():
                folders.clear()
                return
            status = self.check(entry.path) if entry.is_symlink() else _status(entry)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode):
                folders.append(entry.path)
            elif entry.name.lower().endswith(_READ):
                _check_file(entry.path, status)
                yield entry.path

    def is_late(self) -> bool:
        """Whether the time is over. With roots, raises UnsoundFiles then."""
        late = time.monotonic() > self._deadline
        if late and self._roots:
            raise UnsoundFiles(
                f"its files cannot all be checked within {SECONDS:g} seconds:"
                " use fewer files, or start the service without --data-root"
            )
        return late


def is_image(name: str) -> bool:
    """Whether Ultralytics takes a file for an image, by what follows the last dot of its name."""
    return f".{name.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES


def label_of(image: str, beside: str = "labels") -> str:
    """Where Ultralytics looks for an image's label (`img2label_paths`): the last `/images/` becomes `/labels/`."""
    before, images, after = image.rpartition(f"{os.sep}images{os.sep}")
    path = f"{before}{os.sep}{beside}{os.sep}{after}" if images else image
    return path.rpartition(".")[0] + ".txt"


def _check_file(path: str, status: os.stat_result) -> None:
    limit = MAX_LABEL_BYTES if path.endswith(".txt") else MAX_IMAGE_BYTES
    if not stat.S_ISREG(status.st_mode):
        raise UnsoundFiles(f"{path} is not a regular file: remove it from the dataset")
    if status.st_size > limit:
        raise UnsoundFiles(
            f"{path} has {status.st_size} bytes, more than the limit of {limit}: remove it or make it smaller"
        )


def _status(entry: "os.DirEntry[str]") -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:  # it has gone
        return None


def _is_inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
