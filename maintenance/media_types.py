"""What a file is, by its content and never by its name. Pure: no Django.

Only what people keep with work is known: pictures, PDF, plain text. Markup and anything that a browser or an office
program would run is none of it.
"""

from __future__ import annotations

import re

JPEG, PNG, WEBP, PDF, TEXT = "image/jpeg", "image/png", "image/webp", "application/pdf", "text/plain"
ENDINGS = {JPEG: ".jpg", PNG: ".png", WEBP: ".webp", PDF: ".pdf", TEXT: ".txt"}
PICTURES = frozenset({JPEG, PNG, WEBP})
MARKUP = re.compile(r"<\s*(!doctype|!--|\?xml|html|head|body|script|svg|iframe|img|a|table|div|p|style)\b", re.I)
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")


def of(content: bytes) -> str | None:
    """The media type of a whole file; None where it is empty, or nothing that is taken.

    By the first bytes (signatures: RFC 2083 for PNG, ITU T.81 for JPEG, the WebP container specification, ISO 32000
    for PDF); text has to be UTF-8 without control characters and without markup.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if content.startswith(b"\xff\xd8\xff"):
        return JPEG
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return WEBP
    if content.startswith(b"%PDF-"):
        return PDF
    return TEXT if _is_plain_text(content) else None


def _is_plain_text(content: bytes) -> bool:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return bool(text.strip()) and not CONTROLS.search(text) and not MARKUP.search(text)


def named(name: str, media_type: str) -> str:
    """The name a file is handed out under: its own words, and the ending of what it is.

    >>> named("..\\\\evil\\nname.html", "image/png")
    'evil name.html.png'
    """
    last = re.split(r"[\\/]", name)[-1]
    words = " ".join(re.sub(r"[^\w .()+-]+", " ", last).split())
    stem = words.strip(" .")[:120] or "file"
    ending = ENDINGS[media_type]
    same = (ending, ".jpeg") if media_type == JPEG else (ending, ".csv", ".log") if media_type == TEXT else (ending,)
    return stem if stem.lower().endswith(same) else f"{stem}{ending}"
