"""Parameters of ingest by concern, and their ranges."""

from dataclasses import dataclass, field

from thimble.datasets import DATASETS
from thimble.datasets.classes import parse_classes
from thimble.datasets.index_table import parse_columns
from thimble.datasets.phantom import PHANTOM_SIZES
from thimble.datasets.volume_options import VolumeConfig
from thimble.stage import require

__all__ = [
    "DeformationConfig",
    "ExecutionConfig",
    "ImageConfig",
    "IngestConfig",
    "PhantomConfig",
    "SourceConfig",
    "SplitConfig",
]

# Kinds that say themselves what belongs to one patient or volume.
KNOWN_GROUPS = ("dicom", "nifti")
RULES = ("block", "hash", "group")
LABELS = ("required", "none")


@dataclass(frozen=True)
class SourceConfig:
    """What is read.

    Attributes:
        kind: Key of `thimble.datasets.DATASETS`.
        source: Folder of the data, or `s3://bucket/prefix`; empty for a phantom.
        source_digest: Digest of the folder's content, so that a cache sees changed scans (in a
            store: of names, sizes and ETags); empty: computed.
        name: Of the data set; empty: the kind.
        classes: `background=0;nucleus=1-65535`; empty: the default of the kind.
        terms: Terms of use; empty: those of the kind.
        labels: `required`, or `none`: images alone, which validate takes and train refuses.
    """

    kind: str = "phantom_membranes"
    source: str = ""
    source_digest: str = ""
    name: str = ""
    classes: str = ""
    terms: str = ""
    labels: str = "required"

    def __post_init__(self) -> None:
        """Check kind and classes before anything is read."""
        require(self.labels in LABELS, "labels must be required or none", labels=self.labels)
        known = ", ".join(sorted(DATASETS))
        require(self.kind in DATASETS, f"kind must be one of {known}", kind=self.kind)
        if self.classes:
            parse_classes(self.classes)


@dataclass(frozen=True)
class ImageConfig:
    """Form of the images.

    Attributes:
        channels: 1 (colour becomes luma) or 3 (grey is repeated).
        normalization: `dataset` (mean and deviation of the training images) or `image`.
        tile: Side of the square that the network sees at prediction: a multiple of 16 pixels.
        volume: How DICOM and NIfTI become images.
    """

    channels: int = 1
    normalization: str = "dataset"
    tile: int = 128
    volume: VolumeConfig = field(default_factory=VolumeConfig)

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.channels in (1, 3), "channels must be 1 or 3", channels=self.channels)
        require(
            self.normalization in ("dataset", "image"),
            "normalization must be dataset or image",
            normalization=self.normalization,
        )
        require(
            16 <= self.tile <= 4096 and self.tile % 16 == 0,
            "tile must be a multiple of 16 in [16, 4096]",
            tile=self.tile,
        )


@dataclass(frozen=True)
class DeformationConfig:
    """Elastic copies and the border map.

    Attributes:
        elastic_copies: Of each training image, in [0, 100].
        elastic_sigma_pixels: Deviation of the displacement of a grid point, in [0, 100].
        elastic_grid_pixels: Distance of the grid points, >= 4; an axis has at least three.
        border_sigma: Width of the border map in pixels, in [0, 100]; 0 for none.
    """

    elastic_copies: int = 4
    elastic_sigma_pixels: float = 10.0
    elastic_grid_pixels: float = 128.0
    border_sigma: float = 5.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, low, high in (
            ("elastic_copies", 0, 100),
            ("elastic_sigma_pixels", 0, 100),
            ("elastic_grid_pixels", 4, 65536),
            ("border_sigma", 0, 100),
        ):
            value = getattr(self, name)
            require(low <= value <= high, f"{name} must be in [{low}, {high}]", **{name: value})


@dataclass(frozen=True)
class PhantomConfig:
    """Generated data.

    Attributes:
        phantom_images: How many images, >= 1.
        phantom_size: Side in pixels, in [32, 4096].
    """

    phantom_images: int = 24
    phantom_size: int = 256

    def __post_init__(self) -> None:
        """Check the ranges."""
        images, size = self.phantom_images, self.phantom_size
        require(images >= 1, "phantom_images must be >= 1", phantom_images=images)
        low, high = PHANTOM_SIZES
        expected = f"phantom_size must be in [{low}, {high}]"
        require(low <= size <= high, expected, phantom_size=size)


@dataclass(frozen=True)
class ExecutionConfig:
    """Where the work is done, and how much of it may fail; runner and workers change no record.

    Attributes:
        shards: Most record files of a split, in [1, 10000].
        runner: A Beam runner, and its options after a space; its workers must see the folders.
        workers: Processes of the DirectRunner, in [1, 256].
        max_rejected_share: Largest share of files that may be unusable, in [0, 1): they are
            listed in `rejected.jsonl`; more of them fail the stage.
        shards_at: Where the record files go instead of into the artifact: `s3://bucket/prefix`, or
            `file:///folder`; each is named by its SHA-256 and never changes.
    """

    shards: int = 4
    runner: str = "DirectRunner"
    workers: int = 1
    max_rejected_share: float = 0.05
    shards_at: str = ""

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(1 <= self.shards <= 10000, "shards must be in [1, 10000]", shards=self.shards)
        require(1 <= self.workers <= 256, "workers must be in [1, 256]", workers=self.workers)
        share = self.max_rejected_share
        require(0 <= share < 1, "max_rejected_share must be in [0, 1)", max_rejected_share=share)
        require(bool(self.runner.strip()), "runner must name a Beam runner", runner=self.runner)


@dataclass(frozen=True)
class SplitConfig:
    """How cases are split.

    Attributes:
        split_rule: `block`: contiguous in natural order, test last (slices of one specimen);
            `hash`: by a hash of the id; `group`: by a hash of the group, such as the patient.
        validation_share: Of all images, in (0, 1).
        test_share: Of all images, in (0, 1).
        group_column: Column of index.csv that names the group; empty for none.
        attribute_columns: Columns of index.csv by which results are told apart, such as
            `site=hospital;manufacturer=vendor`; they must name nobody.
        split_seed: Another seed hashes into other splits; >= 0.
    """

    split_rule: str = "block"
    validation_share: float = 0.1
    test_share: float = 0.2
    group_column: str = ""
    attribute_columns: str = ""
    split_seed: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(
            self.split_rule in RULES,
            f"split_rule must be one of {', '.join(RULES)}",
            split_rule=self.split_rule,
        )
        require(
            min(self.validation_share, self.test_share) > 0
            and self.validation_share + self.test_share < 1,
            "validation_share and test_share must be > 0 and leave room for train",
            validation_share=self.validation_share,
            test_share=self.test_share,
        )
        parse_columns(self.attribute_columns)
        require(self.split_seed >= 0, "split_seed must be >= 0", split_seed=self.split_seed)


@dataclass(frozen=True)
class IngestConfig:
    """Everything that ingest needs.

    Attributes:
        source: What is read.
        image: Form of the images.
        split: Who goes to train, validation and test.
        deformation: Elastic copies and the border map.
        phantom: Generated data.
        execution: Where the work is done.
        seed: Of the phantom and of the deformations, >= 0.
    """

    source: SourceConfig = field(default_factory=SourceConfig)
    image: ImageConfig = field(default_factory=ImageConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    deformation: DeformationConfig = field(default_factory=DeformationConfig)
    phantom: PhantomConfig = field(default_factory=PhantomConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the seed, and that groups are known where they are split by."""
        known = bool(self.split.group_column) or self.source.kind in KNOWN_GROUPS
        require(
            self.split.split_rule != "group" or known,
            "split_rule=group needs group_column, a column of index.csv",
            group_column=self.split.group_column,
        )
        columns = self.split.attribute_columns
        require(
            not columns or self.source.kind != "dicom",
            "attribute_columns is not for kind=dicom, whose files say what made them",
            attribute_columns=columns,
        )
        require(self.seed >= 0, "seed must be >= 0", seed=self.seed)
