"""What a file is that was taken for an image and is none: an HTML page, a Git LFS pointer, an empty file, …

Pillow says of all of them that they are no image, and Ultralytics then looks for a plugin that could read them.
"""

import os
import re

_HEAD = 512  # bytes that are looked at

#: How such files begin, byte-order mark and blanks aside, in lower case.
_BEGINNINGS = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer (run `git lfs pull` in its repository)"),
    (b"<!doctype html", "an HTML page (the download was answered with one)"),
    (b"<html", "an HTML page (the download was answered with one)"),
    (b"<svg", "an SVG drawing"),
    (b"<", "an XML file"),
    (b"{", "a JSON file"),
    (b"pk\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"%pdf", "a PDF"),
)
#: Brands of ISO media files that hold pictures; others are videos.
_PICTURES = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_TEXT = re.compile(rb"[\t\n\r\f -~\x80-\xff]+")


def unmask(path: str) -> str | None:
    """What the file is instead of an image that can be read; None where nothing says that it is not one."""
    try:
        if not os.path.isfile(path):  # a FIFO would keep whoever opens it
            return "not a regular file" if os.path.lexists(path) else None
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    if not head:
        return "an empty file"
    if not any(head):
        return "a file of zeros (a copy that broke off)"
    return _by_beginning(head) or ("a text file" if _TEXT.fullmatch(head) else None)


def _by_beginning(head: bytes) -> str | None:
    if head[4:8] == b"ftyp" and head[8:12] not in (b"avif", b"avis"):
        return "a HEIC picture (make a JPEG of it)" if head[8:12] in _PICTURES else "a video"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((what for beginning, what in _BEGINNINGS if start.startswith(beginning)), None)
