"""`thimble encode`, `decode` and `inspect`: packages in and out of the byte format."""

import json
from pathlib import Path
from typing import Any

import click

from thimble.stage import BadInput

INPUT = click.Path(path_type=Path)
# From this width on the table of `inspect` has room for the coders.
_WIDE = 100
TRUST = click.option(
    "--trust",
    type=INPUT,
    multiple=True,
    metavar="KEY",
    help="Demand a signature by this Ed25519 public key (PEM); may be repeated.",
)


@click.command(short_help="Pack a model or a .tflite file.")
@click.argument("source", type=INPUT)
@click.option("-o", "--out", type=INPUT, required=True, metavar="FILE", help="The package.")
@click.option("--sign", type=INPUT, metavar="KEY", help="Ed25519 private key (PEM) to sign with.")
def encode(source: Path, out: Path, sign: Path | None) -> None:
    """Pack a Model folder or a .tflite file into a .thimble package.

    A .tflite file needs <name>.preprocessing.json beside it, so that nobody can feed it wrongly.

    \b
    Examples:
      thimble encode runs/demo/artifacts/.../quantized -o teacher.thimble
      thimble encode teacher.tflite -o teacher-int8.thimble
      thimble encode teacher.tflite -o teacher-int8.thimble --sign release-key.pem
    """
    from thimble.artifact import write_atomically

    data = _encode(source, sign)
    with write_atomically(out.absolute()) as partial:
        partial.write_bytes(data)
    click.echo(f"wrote {out} ({len(data):,} bytes)")


def _encode(source: Path, key: Path | None) -> bytes:
    """Return the package of a Model folder or of a TFLite file."""
    from thimble.codec import encode_model, encode_tflite, signer

    sign = signer(key) if key else None
    if source.is_dir():
        from thimble.weights import load_weights

        return encode_model(load_weights(source), sign)
    if not source.exists():
        raise BadInput(f"{source} does not exist. Expected a Model folder or a .tflite file.")
    from thimble.variants import read_tflite

    if source.suffix == ".thimble":
        raise BadInput(f"{source} is a package already. `thimble decode` takes it apart.")
    content = read_tflite(source)
    if not content.preprocessing:
        raise BadInput(
            f"{source} does not say how scans are normalised. "
            f"Expected {source.with_suffix('.preprocessing.json').name} beside it."
        )
    return encode_tflite(content.data, content.preprocessing, content.name, sign)


@click.command(short_help="Unpack a package.")
@click.argument("package", type=INPUT)
@click.option(
    "-o",
    "--out",
    type=INPUT,
    required=True,
    metavar="PATH",
    help="Folder of a model, the .tflite file, or the .npy file of a tensor.",
)
@click.option("--tensor", metavar="NAME", help="Unpack this tensor and read nothing else.")
@TRUST
@click.option("--threads", default=1, show_default=True, help="Tensors to decode at a time.")
def decode(
    package: Path, out: Path, tensor: str | None, trust: tuple[Path, ...], threads: int
) -> None:
    """Unpack a package: a Model folder, or a .tflite file with its preprocessing beside it.

    \b
    Examples:
      thimble decode teacher.thimble -o teacher/
      thimble decode teacher-int8.thimble -o teacher.tflite --trust release-key.pub.pem
      thimble decode teacher.thimble --tensor bottleneck_conv_0/kernel -o kernel.npy
    """
    from thimble.artifact import write_atomically, write_json
    from thimble.codec import TfliteFile
    from thimble.codec import decode as decode_package
    from thimble.weights import save_weights

    if tensor is not None:
        _decode_tensor(package, out, tensor, trust)
        return
    content = decode_package(_read(package), threads=threads, trusted=trust)
    if isinstance(content, TfliteFile):
        with write_atomically(out.absolute()) as partial:
            partial.write_bytes(content.data)
        with write_atomically(out.absolute().with_suffix(".preprocessing.json")) as partial:
            write_json(partial, content.preprocessing)
    else:
        with write_atomically(out.absolute()) as partial:
            save_weights(content, partial)
            write_json(partial / "history.json", content.history)
    click.echo(f"wrote {out}")


def _decode_tensor(package: Path, out: Path, name: str, trust: tuple[Path, ...]) -> None:
    """Write one tensor of a model as a .npy file."""
    import numpy as np

    from thimble.artifact import write_atomically
    from thimble.codec import Package

    opened = Package.open(package, trusted=trust)
    if name not in opened.names:
        raise BadInput(
            f"{package} has no tensor {name!r}. Expected one of: {', '.join(opened.names)}."
        )
    with write_atomically(out.absolute()) as partial, partial.open("wb") as file:
        np.save(file, opened.tensor(name), allow_pickle=False)
    click.echo(f"wrote {out}")


@click.command(short_help="Show what a package holds.")
@click.argument("package", type=INPUT)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@TRUST
def inspect(package: Path, as_json: bool, trust: tuple[Path, ...]) -> None:
    """Show what a package holds: every tensor's shape, sparsity, codebook, bits and bytes.

    \b
    Examples:
      thimble inspect teacher.thimble
      thimble inspect teacher.thimble --json
    """
    from thimble.codec import inspect as inspect_package

    found = inspect_package(_read(package), trusted=trust)
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        _show(package, found)


def _show(package: Path, found: dict[str, Any]) -> None:
    """Print the tensors as a table."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDE)
    console.print(
        f"{package.name}: {found['kind']}, format {found['version']}, {found['bytes']:,} bytes",
        markup=False,
    )
    console.print(f"digest {found['digest']}", markup=False, soft_wrap=True)
    if found["signed_by"]:
        state = "verified" if found["verified"] else "not verified: name its key with --trust"
        console.print(f"signed by key {found['signed_by']} ({state})", markup=False)
    sections = ", ".join(f"{name} {size:,}" for name, size in found["sections"].items())
    console.print(f"sections in bytes: {sections}", markup=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column("tensor", overflow="fold")
    for name in ("shape", "kind", "coded by", "zeros", "values", "bits", "bytes"):
        left = name in {"kind", "coded by"}
        if name != "coded by" or console.width >= _WIDE:
            table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for row in found["tensors"]:
        sparsity, bits = row.get("sparsity"), row.get("bits_per_weight")
        table.add_row(
            _printable(row["name"].split(";")[0]),  # TFLite lists all that was fused into a tensor
            "x".join(map(str, row["shape"])) or "1",
            row["kind"],
            *([", ".join(row["coders"])] if console.width >= _WIDE else []),
            "" if sparsity is None else f"{sparsity:.1%}",
            str(row.get("codebook") or ""),
            "" if bits is None else f"{bits:.2f}",
            f"{row['bytes']:,}",
        )
    console.print(table)


def _printable(name: str) -> str:
    """Return a name without characters that a terminal would obey."""
    return "".join(each if each.isprintable() else "?" for each in name)


def _read(package: Path) -> bytes:
    """Return the bytes of a package."""
    if not package.is_file():
        raise BadInput(f"{package} does not exist. Expected a .thimble package.")
    return package.read_bytes()
