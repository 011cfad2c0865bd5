"""Makes the packages of this folder, one for each way to abuse a decoder.

    python -m tests.attacks.make

Each function of attack_*.py makes one; its docstring says what is abused. All checksums are right
unless they are what is abused: only the structure stands between the package and the memory.
"""

from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
_NAMES = sorted(path.stem for path in FOLDER.glob("attack_*.py"))
_MODULES = [import_module(f"tests.attacks.{name}") for name in _NAMES]
_LISTED = {name: listed for module in _MODULES for name, listed in module.ABUSES.items()}
ABUSES = {name: abuse for name, (_, _, abuse) in _LISTED.items()}
# The class of thimble.codec.errors that `decode` must raise, and a part of its message: it must not
# raise the right error for another reason.
EXPECTED = {name: error for name, (error, _, _) in _LISTED.items()}
REASONS = {name: reason for name, (_, reason, _) in _LISTED.items()}


def main() -> None:
    """Write all packages, and remove those that nothing makes any more."""
    for path in FOLDER.glob("*.thimble"):
        if path.stem not in ABUSES:
            path.unlink()
    for name, abuse in ABUSES.items():
        (FOLDER / f"{name}.thimble").write_bytes(abuse())


if __name__ == "__main__":
    main()
