"""Makes every image's lock again from pyproject.toml: `make lock`, `make lock UPGRADE=1`.

A lock pins what its image needs on every platform and Python that the project supports, each file
by its hash. No lock names the address of a package index: the machine's own configuration does.
"""

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
INSTALLER = Path("images/development/uv.txt")
DEVELOPMENT = Path("images/development/requirements.txt")
# What builds an image without being in it: the codec's compiler driver, the bill of materials.
TOOLS = Path("images/tools.txt")
OLDEST_PYTHON = "3.11"
# What the tests ran is what an image holds. One whose packages exclude those of development is
# tested in an environment of its own, made from its lock.
SAME_VERSIONS = ["--upgrade", "--constraint", str(DEVELOPMENT)]


def compile_lock(sources: list[str], output: Path, *options: str, requirement: str = "") -> None:
    """Resolves `sources` (files, or "-" for `requirement`) into the lock at `output`."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"]
    command += ["--generate-hashes", "--python-version", OLDEST_PYTHON]
    command += ["--custom-compile-command", "make lock", "--output-file", str(output)]
    # check=False: uv's own message says what could not be resolved.
    done = subprocess.run(
        [*command, *options, *sources], cwd=ROOT, input=requirement, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{output}: not made again, uv ended with {done.returncode} (see above)")


def pinned(lock: Path, package: str) -> str:
    """Returns the `name==version` line of a package in a lock."""
    for line in (ROOT / lock).read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{package}=="):
            return line.split()[0]
    raise SystemExit(f"{lock} does not pin {package}: add it to pyproject.toml")


def append_runtime(lock: Path) -> None:
    """Adds kfp without its dependencies, which is all that a task needs to start in an image."""
    path = ROOT / lock
    extra = path.with_suffix(".kfp")
    compile_lock(
        ["-"], extra, "--no-deps", "--no-header", requirement=pinned(DEVELOPMENT, "kfp") + "\n"
    )
    path.write_text(path.read_text(encoding="utf-8") + extra.read_text(encoding="utf-8"), "utf-8")
    extra.unlink()


def main() -> None:
    """Makes the locks of the installer, of development and of the tools, then one per stage."""
    upgrade = ["--upgrade"] if "--upgrade" in sys.argv[1:] else []
    images = yaml.safe_load((ROOT / "images/images.yaml").read_text(encoding="utf-8"))["images"]
    compile_lock(["-"], INSTALLER, *upgrade, requirement="uv\n")
    compile_lock(["pyproject.toml"], DEVELOPMENT, "--extra", "dev", *upgrade)
    requirement = f"cyclonedx-bom\n{pinned(DEVELOPMENT, 'setuptools')}\n"
    compile_lock(["-"], TOOLS, *upgrade, requirement=requirement)
    for image in images:
        lock = Path("images", image["name"], "requirements.txt")
        (ROOT / lock).parent.mkdir(exist_ok=True)
        if lock != DEVELOPMENT:
            options = upgrade if image.get("environment") else SAME_VERSIONS
            options = ["--extra", image["extra"], "--no-annotate", *options]
            compile_lock(["pyproject.toml"], lock, *options)
        if image["runtime"]:
            append_runtime(lock)
        print(f"{lock}: {(ROOT / lock).read_text(encoding='utf-8').count('==')} packages")


if __name__ == "__main__":
    main()
