"""Instance maps: every object has its own label value, 0 is the background."""

from thimble.datasets.paired import PairedReader

__all__ = ["InstancesReader"]


class InstancesReader(PairedReader):
    """Images and uint8 or uint16 maps of instances; every value above 0 is foreground.

    Source: Caicedo et al., 2019, Nature Methods 16:1247 (the 2018 Data Science Bowl).
    """

    classes = "background=0;nucleus=1-65535"
    instances = "values"
