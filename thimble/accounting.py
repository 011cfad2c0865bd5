"""What a network costs at any point of the pipeline: the bytes of its package count."""

from thimble.codec import encode_model
from thimble.weights import Weights, figures_of

__all__ = ["account_for"]


def account_for(weights: Weights) -> dict[str, float]:
    """Return parameters, float32 bytes, sparsity, and the bytes of its package now."""
    package_bytes = len(encode_model(weights))
    figures = figures_of(weights)
    return {
        **figures,
        "package_bytes": float(package_bytes),
        "ratio": figures["float32_bytes"] / package_bytes,
    }
