"""What a request will take: its Accept and Accept-Encoding, by weight, as RFC 9110 (12.4, 12.5) reads them."""

import re
from collections.abc import Iterator, Sequence

#: One item of a list; a comma within quotes divides nothing. Quotes that are not closed go on to the end: what is read
#: once and never given back (`*+`) costs no time that grows with its square.
_ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*+(?:"|\\?\Z))++', re.DOTALL)
_WEIGHT = re.compile(r"\s*q\s*=\s*([01](?:\.\d*)?)\s*", re.IGNORECASE)


def preferred(accept: str | None, offered: Sequence[str]) -> str:
    """The media type that is wanted most, at a tie the one that is named more exactly, then the one offered first.

    What takes none of them gets the first all the same: a client that reads it may still make sense of it.
    """
    wanted = dict(_weighed(accept or "*/*"))

    def rank(media_type: str) -> tuple[float, int]:
        ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
        for place, name in enumerate(ranges):
            if name in wanted:
                return wanted[name] or -1.0, -place  # what is refused comes after what is not named
        return 0.0, 0

    return max(offered, key=rank)


def takes_gzip(accept_encoding: str | None) -> bool:
    """Whether an answer may be sent as gzip; who says nothing gets it plain."""
    wanted = dict(_weighed(accept_encoding or ""))
    return wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", 0.0))) > 0


def _weighed(header: str) -> Iterator[tuple[str, float]]:
    """Each item's name without its parameters, and its weight: 1 where it has none, 0 where that is no number."""
    for item in _ITEM.findall(header):
        name, *parameters = item.split(";")
        weight = 1.0
        for parameter in parameters:
            if parameter.partition("=")[0].strip().lower() == "q":
                found = _WEIGHT.fullmatch(parameter)
                weight = min(float(found[1]), 1.0) if found else 0.0
        yield name.strip().lower(), weight
