"""What was learned as bytes, and back: a skops archive of plain values, arrays and scikit-learn estimators. Pure.

Nothing in the bytes is executed: skops makes only objects of the types that scikit-learn, numpy and scipy have and of
those listed here, whatever an archive asks for, and the code that answers is ours, found by the model's kind.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import asdict
from typing import Any

import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from mlops.drift import reference as references
from mlops.drift.reference import Reference
from mlops.learning.contract import Feature, Learned, Signature
from mlops.learning.kinds import KINDS

FORMAT = 1
MOST_BYTES = 256 * 2**20
"""Of an archive, unpacked."""
TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
"""What estimators of scikit-learn are made of and skops does not trust by itself: written down, never asked for."""


class Refused(Exception):
    """The bytes are not what was registered, or ask for what is not allowed; nothing of them was used."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pack(learned: Learned, signature: Signature, reference: Reference | None) -> bytes:
    """``reference``: what later readings are held against, where there is one. Raises ``Refused`` where it could not be
    opened again."""
    held = {
        "format": FORMAT, "kind": learned.kind, "signature": asdict(signature), "parts": learned.parts(),
        "reference": None if reference is None else reference.pack(),
    }  # fmt: skip
    data: bytes = skops.io.dumps(held, compression=zipfile.ZIP_DEFLATED)
    open_(data, sha256=digest(data))
    return data


def open_(data: bytes, *, sha256: str) -> tuple[Learned, Signature, Reference | None]:
    """The model, what it takes, and what was usual where it learned. ``sha256``: as the ledger has it. Raises
    ``Refused``."""
    if digest(data) != sha256:
        raise Refused("The sha256 of the artifact is not the one that was registered.")
    _look(data)
    try:
        held = skops.io.loads(data, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise Refused(f"The artifact asks for types that are not allowed: {error}.") from error
    except Exception as error:
        raise Refused(f"The artifact cannot be read: {error}.") from error
    if not isinstance(held, dict) or held.get("format") != FORMAT or held.get("kind") not in KINDS:
        raise Refused("The artifact is of a format or a kind that this version does not know.")
    try:
        frozen = held.get("reference")  # artifacts of before have none
        known = None if frozen is None else references.unpack(frozen)
        return KINDS[held["kind"]](held["parts"]), _signature(held["signature"]), known
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(f"The artifact lacks what its kind is made of: {error!r}.") from error


def _look(data: bytes) -> None:
    """At the archive's table before anything of it is unpacked. Raises ``Refused``."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
    except zipfile.BadZipFile as error:
        raise Refused(f"The artifact is no archive of skops: {error}.") from error
    if any("/" in one.filename or "\\" in one.filename or one.filename.startswith(".") for one in listed):
        raise Refused("The artifact names a file outside of itself.")
    if sum(one.file_size for one in listed) > MOST_BYTES:
        raise Refused(f"The artifact unpacks to more than {MOST_BYTES} bytes.")


def _signature(held: dict[str, Any]) -> Signature:
    sides = {side: tuple(Feature(**one) for one in held[side]) for side in ("features", "outputs")}
    return Signature(**{**held, **sides})
