"""Peak memory of decoding a package, beyond what it decodes to: `python -m ...memory FILE WARM`.

The kernel's high-water mark is reset right before the call. `resource.ru_maxrss` cannot be: after
exec it still holds the peak of the process that started this one.
"""

import json
import re
import sys
from pathlib import Path

from benchmarks.codec.coders import decode
from thimble.weights import Weights


def status(field: str) -> int:
    """Return a field of /proc/self/status in bytes."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    if not found:
        raise OSError(f"/proc/self/status has no {field}. Expected Linux.")
    return 1024 * int(found.group(1))


def main(path: str, warm: str) -> None:
    """Decode a small package to load all code, then the one that counts, and print JSON."""
    decode(Path(warm).read_bytes())
    package = Path(path).read_bytes()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = status("VmRSS")
    weights = decode(package)
    peak = status("VmHWM") - before
    if not isinstance(weights, Weights):
        raise TypeError(f"{path} holds a TFLite file. Expected a model.")
    arrays = [*weights.tensors.values(), *weights.constraints.values()]
    print(json.dumps({"peak": peak, "output": sum(array.nbytes for array in arrays)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
