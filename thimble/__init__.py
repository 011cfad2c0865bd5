"""What two or more stages need: artifacts, models, records, scoring, the package format."""

__version__ = "0.1.0"
