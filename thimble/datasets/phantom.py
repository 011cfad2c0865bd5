"""What the phantoms share: smooth random fields, a camera, and their cases."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from thimble.datasets.source import Case, Refusal, Sample, SourceOptions
from thimble.stage import BadInput, require

__all__ = ["PHANTOM_SIZES", "PhantomReader", "expose", "smooth_field"]

Floats = NDArray[np.float64]
PHANTOM_SIZES = (32, 4096)


def smooth_field(size: int, scale: float, rng: np.random.Generator) -> Floats:
    """Return smooth noise `(size, size)` of mean 0 and deviation 1.

    Args:
        size: Side in pixels.
        scale: Size of its bumps in pixels, a Gaussian's sigma.
        rng: Source of randomness.
    """
    # The noise is drawn coarse and enlarged: a wide Gaussian on full pixels would cost more
    # than the rest of the phantom.
    step = max(1, int(scale // 2))
    margin = 8
    coarse = rng.standard_normal((size // step + 2 * margin,) * 2)
    coarse = ndimage.gaussian_filter(coarse, scale / step, mode="wrap")
    coarse = (coarse - coarse.mean()) / coarse.std()
    place = np.arange(size) / step + margin / 2
    return ndimage.map_coordinates(coarse, np.meshgrid(place, place, indexing="ij"), order=1)


def expose(
    scene: Floats, rng: np.random.Generator, blur: float, photons: float, shading: float
) -> NDArray[np.uint8]:
    """Photograph a scene: optics, uneven illumination, shot and read-out noise, 8 bits.

    Args:
        scene: `(height, width)` in about [0, 1].
        rng: Source of randomness.
        blur: Sigma of the optics in pixels.
        photons: Mean count at brightness 1; fewer make more noise.
        shading: Relative strength of uneven illumination.
    """
    size = scene.shape[0]
    scene = ndimage.gaussian_filter(scene, blur, mode="reflect")
    scene = scene * (1 + shading * np.clip(smooth_field(size, max(32, size / 3), rng), -2, 2))
    counts = rng.poisson(np.clip(scene, 0, 1.5) * photons) / photons
    noisy = counts + 0.01 * rng.standard_normal(scene.shape)
    return np.clip(np.rint(noisy * 255), 0, 255).astype(np.uint8)


class PhantomReader:
    """Generated cases: the same options give the same pixels on any machine.

    Subclasses say the name of a case, the classes and how one is drawn.
    """

    classes = ""
    instances = "foreground"
    terms = "generated data, CC0"
    prefix = "phantom"
    draw: Callable[[int, np.random.Generator], tuple[NDArray[np.uint8], NDArray[Any]]]

    def __init__(self, options: SourceOptions) -> None:
        """Check number and size."""
        if options.source:
            raise BadInput(
                f"A phantom is generated and reads no folder. Received: source={options.source!r}. "
                "Leave source empty, or choose the kind of your data."
            )
        if options.group_column or options.attribute_columns:
            raise BadInput(
                "A phantom has no index.csv: leave group_column and attribute_columns empty."
            )
        require(options.images >= 1, "phantom_images must be >= 1", phantom_images=options.images)
        low, high = PHANTOM_SIZES
        expected = f"phantom_size must be in [{low}, {high}]"
        require(low <= options.size <= high, expected, phantom_size=options.size)
        self.options = options
        self.notes: list[str] = []

    def cases(self) -> tuple[list[Case], list[Refusal]]:
        """Return all cases in order."""
        names = [f"{self.prefix}-{index:05d}" for index in range(self.options.images)]
        return [Case(name, name) for name in names], []

    def read(self, case: Case) -> Iterator[Sample]:
        """Generate a case."""
        index = int(case.id.rpartition("-")[2])
        rng = np.random.default_rng([self.options.seed, index])
        image, label = type(self).draw(self.options.size, rng)
        yield Sample(case.id, image[..., None], label)
