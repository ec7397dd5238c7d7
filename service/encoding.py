"""JSON as the service writes it: in one line, whatever is in it."""

import orjson

#: Characters (in UTF-8) at which some readers break lines, httpx's `iter_lines` among them, and their JSON escapes.
_LINE_ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def encode(value: object) -> bytes:
    """JSON in one line. NaN and infinity become null, lone surrogates U+FFFD, unknown objects their `str`."""
    try:
        data = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a lone surrogate, or an integer of more than 64 bits
        data = orjson.dumps(_plain(value), default=str)
    if b"\xe2\x80" in data or b"\xc2\x85" in data:
        for character, escape in _LINE_ENDS:
            data = data.replace(character, escape)
    return data


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value) if abs(value) < 2**1023 else None
    return value


def is_deeper(value: object, levels: int) -> bool:
    """Whether objects and arrays stand in each other more than `levels` deep; JSON encoders give up at some depth."""
    layer = [value]
    for _ in range(levels):
        layer = [
            item
            for outer in layer
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return False
    return any(isinstance(item, dict | list) for item in layer)
