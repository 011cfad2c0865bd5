"""Widths of single layers of a U-Net."""

from typing import Any

import pytest

from thimble.models import UNetConfig, build
from thimble.stage import BadInput


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    model = build({"model": "unet", "config": {"base_width": 4, "depth": 1, **config}})
    return {
        layer.name: tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")
    }


def test_a_width_changes_its_layer_and_what_reads_it() -> None:
    before, after = shapes({}), shapes({"widths": {"conv_e0_b": 3, "up_d0": 1}})
    changed = {name: after[name] for name in after if after[name] != before[name]}
    assert changed == {
        "conv_e0_b": (3, 3, 4, 3),
        "conv_bottom_a": (3, 3, 3, 8),
        "up_d0": (2, 2, 1, 8),
        "conv_d0_a": (3, 3, 4, 4),
    }


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ({"head": 2}, r"widths must name layers among conv_e0_a.*layer='head'"),
        ({"conv_e5_a": 2}, r"layer='conv_e5_a'"),
        ({"conv_e0_a": 0}, r"widths must be integers >= 1.*conv_e0_a=0"),
        ({"conv_e0_a": 1.5}, r"conv_e0_a=1.5"),
        ([4], r"widths must be a mapping"),
    ],
)
def test_wrong_widths_are_refused(widths: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        UNetConfig(base_width=4, depth=1, widths=widths)
