"""The words of a PDF of ours, by its content streams: each text that is drawn, in the order in which it is."""

from __future__ import annotations

import base64
import re
import zlib

STREAM = re.compile(rb"<<(?P<said>[^>]*(?:>[^>]+)*?)>>\s*stream\r?\n(?P<data>.*?)endstream", re.S)
DRAWN = re.compile(rb"\(((?:\\.|[^\\()])*)\)\s*Tj", re.S)
ESCAPED = re.compile(rb"\\([0-7]{3}|.)", re.S)


def words(content: bytes) -> str:
    """Apart by one space. What is not ASCII is drawn by numbers of its own, and not to be read here."""
    found = []
    for stream in STREAM.finditer(content):
        data = stream["data"].strip()
        if b"/ASCII85Decode" in stream["said"]:
            data = base64.a85decode(data, adobe=False) if not data.endswith(b"~>") else base64.a85decode(data[:-2])
        if b"/FlateDecode" in stream["said"]:
            data = zlib.decompress(data)
        found += [ESCAPED.sub(_plain, text).decode("latin-1") for text in DRAWN.findall(data)]
    return " ".join(" ".join(found).split())


def _plain(found: re.Match[bytes]) -> bytes:
    said = found[1]
    return bytes([int(said, 8)]) if len(said) == 3 else said
