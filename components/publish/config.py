"""Parameters of publish by concern, and their ranges."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from components.publish.terms import RESEARCH
from thimble.stage import require
from thimble.store_access import Location

__all__ = ["OriginConfig", "PublishConfig", "ReleaseConfig", "UseConfig"]


@dataclass(frozen=True)
class ReleaseConfig:
    """What is released, and where to.

    Attributes:
        release_folder: A local folder; empty for none but the artifact.
        release_name: Folder of this model inside it.
        release_packages: Packages by name (`teacher-int8`), separated by commas; empty for the one
            that the gates judged.
        release_url: Folder of releases in an object store, `s3://bucket/prefix`; empty for none.
        report_url: Folder for the report in another, private bucket, as it shows scans; empty for
            none.
        basis_url: Folder for the basis of the next training in a private bucket, as it holds the
            scans of the test split; empty for none.
    """

    release_folder: str = ""
    release_name: str = "model"
    release_packages: str = ""
    release_url: str = ""
    report_url: str = ""
    basis_url: str = ""

    def __post_init__(self) -> None:
        """Check names."""
        plain = bool(self.release_name) and Path(self.release_name).name == self.release_name
        require(
            plain and not self.release_name.startswith("."),
            "release_name must be one folder name that does not start with a dot",
            release_name=self.release_name,
        )
        public = Location.parse(self.release_url).bucket if self.release_url else ""
        for name, what in (("report_url", "report shows"), ("basis_url", "basis holds")):
            url = getattr(self, name)
            require(
                not url or Location.parse(url).bucket != public,
                f"{name} must be in another bucket than release_url: the {what} scans",
                **{name: url},
            )

    @property
    def packages(self) -> list[str]:
        """The packages asked for."""
        return [name.strip() for name in self.release_packages.split(",") if name.strip()]


@dataclass(frozen=True)
class UseConfig:
    """What the owner of the model says about it.

    Attributes:
        intended_use: In the words of the model card.
        population: Whose scans the data set holds, as far as it is known.
        scanners: What made them, as far as it is known.
        override_terms: Data sets, separated by commas, whose owners allow this release although
            their terms forbid it.
    """

    intended_use: str = RESEARCH
    population: str = ""
    scanners: str = ""
    override_terms: str = ""

    def __post_init__(self) -> None:
        """A model card without an intended use is none."""
        use = self.intended_use
        require(bool(use.strip()), "intended_use must say what for", intended_use=use)


@dataclass(frozen=True)
class OriginConfig:
    """Which run it comes from.

    Attributes:
        pipeline: Name of the pipeline.
        commit: Commit of the code that ran.
        run_name: Name of the run.
        images: Image of every stage, `stage=reference` separated by commas.
        run_started: When the run began, such as 2026-01-31T12:00:00+00:00: an older run cannot
            replace the release of a newer one. Empty: when it is published.
        submitted_by: Who started the run, for the audit log.
    """

    pipeline: str = ""
    commit: str = ""
    run_name: str = ""
    images: str = ""
    run_started: str = ""
    submitted_by: str = ""

    def __post_init__(self) -> None:
        """Check the time."""
        try:
            known = not self.run_started or datetime.fromisoformat(self.run_started).tzinfo
        except ValueError:
            known = None
        require(
            bool(known),
            "run_started must be a time with its zone, such as 2026-01-31T12:00:00+00:00",
            run_started=self.run_started,
        )


@dataclass(frozen=True)
class PublishConfig:
    """Release, use and origin."""

    release: ReleaseConfig = field(default_factory=ReleaseConfig)
    use: UseConfig = field(default_factory=UseConfig)
    origin: OriginConfig = field(default_factory=OriginConfig)
