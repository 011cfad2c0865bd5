"""What may leave a hospital: pixels, technical attributes, and keyed hashes in place of names.

Follows the Basic Application Level Confidentiality Profile of DICOM PS3.15 Annex E by the stricter
rule of naming what passes (`thimble.datasets.source.ATTRIBUTES`) rather than what is removed.
Patients, studies, files and institutions become HMAC-SHA256 under a key that only the operator has.
"""

import functools
import hashlib
import hmac
import os
from pathlib import Path

from thimble.stage import BadInput

__all__ = ["KEY", "KEY_FILE", "Pseudonyms", "open_pseudonyms"]

KEY, KEY_FILE = "THIMBLE_PATIENT_KEY", "THIMBLE_PATIENT_KEY_FILE"
SHORTEST_KEY = 16
DIGITS = 20


class Pseudonyms:
    """Names under a key: equal names give equal pseudonyms, and nobody without the key gets back.

    Source: DICOM PS3.15 Annex E.1.1 (replacement by dummy values consistent in a set of files);
    RFC 2104 (HMAC).
    """

    def __init__(self, key: bytes) -> None:
        """Bind the key, at least 16 bytes."""
        self._key = key

    def name(self, kind: str, text: str) -> str:
        """Return `<kind>-<20 hexadecimal digits>` for a text.

        Args:
            kind: What is named, such as `patient`; other kinds of the same text differ.
            text: What must not leave; blanks at its ends do not count.
        """
        data = f"{kind}\0{text.strip()}".encode("utf-8", "surrogatepass")
        return f"{kind}-{hmac.new(self._key, data, hashlib.sha256).hexdigest()[:DIGITS]}"

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to travel: a worker takes the key from its own environment."""
        raise TypeError("the patients' key does not leave the process")


def open_pseudonyms() -> Pseudonyms:
    """Return the pseudonyms under the key of the environment.

    Raises:
        BadInput: If there is no key, or it is too short; the message says how to make one.
    """
    path = os.environ.get(KEY_FILE, "")
    return _open(os.environ.get(KEY, ""), path)


@functools.lru_cache(maxsize=4)
def _open(text: str, path: str) -> Pseudonyms:
    """Return the pseudonyms under a key, or the key in a file."""
    if not text and path:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise BadInput(
                f"{KEY_FILE} names a file that cannot be read as text. Expected a file that this "
                "process may read, with the key in it."
            ) from None
    key = text.strip().encode()
    if len(key) < SHORTEST_KEY:
        found = f"{len(key)} bytes" if key else "none"
        raise BadInput(
            f"kind=dicom replaces patients by a keyed hash and needs a key in {KEY}, or in the "
            f"file that {KEY_FILE} names. Received: {found}. Expected: at least {SHORTEST_KEY} "
            "bytes. Make one once with `openssl rand -hex 32`, keep it secret and keep it: "
            "another key gives the same patient another name."
        )
    return Pseudonyms(key)
