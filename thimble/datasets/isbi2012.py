"""ISBI 2012: neuronal membranes in electron microscopy, 30 consecutive slices."""

from thimble.datasets.paired import PairedReader

__all__ = ["Isbi2012Reader"]


class Isbi2012Reader(PairedReader):
    """Slices as PNG, label 0 = membrane and 255 = cell; the membrane is the foreground.

    Source: Arganda-Carreras et al., 2015, Frontiers in Neuroanatomy 9:142.
    """

    classes = "cell=255;membrane=0"
    instances = "background"
    terms = "ISBI 2012 challenge data: non-commercial research; cite Arganda-Carreras et al. 2015"
    layouts = (("train/image", "train/label"), ("image", "label"), ("images", "labels"))
