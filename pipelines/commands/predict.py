"""`thimble predict`: a package or a .tflite file and a scan give a mask and an overlay."""

from pathlib import Path
from typing import Any

import click

from thimble.stage import BadInput

# Colour-blind safe (Okabe, Ito, 2008), by class index from 1.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178),
           (213, 94, 0), (204, 121, 167))  # fmt: skip
OPACITY = 0.45


@click.command(short_help="Segment a scan.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The mask; the overlay goes beside it.  [default: <image>-mask.png]",
)
def predict(model: Path, image: Path, out: Path | None) -> None:
    """Segment a scan: class indices as a PNG, and an overlay to look at. Research use only.

    The package holds how scans are normalised and tiled; the scan may have any size.

    \b
    Examples:
      thimble predict teacher-int8.thimble scan.png
      thimble predict teacher.tflite scan.tif -o masks/scan.png
    """
    if not image.is_file():
        raise BadInput(f"{image} does not exist. Expected a PNG, TIFF or JPEG image.")
    from PIL import Image

    from thimble.artifact import write_atomically
    from thimble.datasets.pixels import read_image
    from thimble.prediction import open_model

    network = open_model(model)
    scan = read_image(str(image))
    mask = network.predict(scan)
    target = (out or image.with_name(f"{image.stem}-mask.png")).absolute()
    overlay = target.with_name(f"{target.stem.removesuffix('-mask')}-overlay.png")
    for path, picture in ((target, mask), (overlay, paint(scan, mask))):
        with write_atomically(path) as partial:
            Image.fromarray(picture).save(partial, format="PNG")
    shares = ", ".join(
        f"{name} {float((mask == index).mean()):.1%}" for index, name in enumerate(network.classes)
    )
    click.echo(f"wrote {target} and {overlay.name}\nshare of pixels: {shares}")


def paint(scan: Any, mask: Any) -> Any:
    """Paint classes over a scan.

    Args:
        scan: (height, width, 1 or 3) uint8 or uint16; stretched to its own range.
        mask: (height, width) uint8 class indices.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    import numpy as np

    grey = scan.astype(np.float32)
    low, high = float(grey.min()), float(grey.max())
    picture = np.repeat((grey - low) * (255.0 / max(high - low, 1.0)), 3 // grey.shape[-1], axis=-1)
    for index in range(1, int(mask.max()) + 1):
        colour = np.array(COLOURS[(index - 1) % len(COLOURS)], np.float32)
        chosen = mask == index
        picture[chosen] = picture[chosen] * (1 - OPACITY) + colour * OPACITY
    return picture.round().astype(np.uint8)
