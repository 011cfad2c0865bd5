"""What a change of a feature most likely comes from, in words that its reader can act on."""

__all__ = ["likely_cause"]

# What a feature's name begins with, then: what it means when it falls, and when it rises. One
# sentence serves both where the direction says nothing.
CAUSES: dict[str, tuple[str, ...]] = {
    "aspect": ("images of another shape: turned by 90 degrees, cropped or padded",),
    "black": (
        "a raised black level: shifted or inverted intensities",
        "more black pixels: clipped, masked or padded images",
    ),
    "border_flat": (
        "the border is no longer of one value: cropped, noisy or resampled images",
        "a border of one value: padded images",
    ),
    "border": ("the border differs otherwise from the middle: cropped or padded images",),
    "brightness": (
        "darker images: shifted or scaled intensities, another window or exposure",
        "brighter images: shifted or scaled intensities, another window or exposure",
    ),
    "colour": ("other colours: another stain, camera or order of channels",),
    "contrast": (
        "scaled contrast: lower than before (another window or exposure)",
        "scaled contrast: higher than before (another window or exposure)",
    ),
    "direction": ("rows and columns changed roles: turned by 90 degrees, or resampled unequally",),
    "edge_inside": ("masks end elsewhere: dilated, eroded or shifted masks",),
    "edge_outside": ("masks end elsewhere: dilated, eroded or shifted masks",),
    "edge": ("outlines of masks no longer follow the image: shifted, dilated or eroded masks",),
    "field_strength": ("another scanner",),
    "foreground": (
        "less of the class: empty, eroded or swapped labels, or other patients",
        "more of the class: dilated or swapped labels, or other patients",
    ),
    "grey_levels": (
        "fewer grey levels: another bit depth or lossy compression",
        "more grey levels: another bit depth, resampled or noisy images",
    ),
    "height": ("images of another size: cropped, padded or resampled",),
    "intensity_column": ("the content lies elsewhere from left to right: flipped left-right",),
    "intensity_deviation": ("scaled contrast: another window or exposure, or another gamma",),
    "intensity_row": ("the content lies elsewhere from top to bottom: flipped up-down",),
    "intensity_skew": ("dark and bright changed roles: inverted intensities or another gamma",),
    "intensity": (
        "darker images: shifted, scaled or inverted intensities, or another gamma",
        "brighter images: shifted, scaled or inverted intensities, or another gamma",
    ),
    "label_column": ("labels lie elsewhere from left to right: flipped or shifted masks",),
    "label_empty": ("empty masks",),
    "label_row": ("labels lie elsewhere from top to bottom: flipped or shifted masks",),
    "noise": (
        "smoother images: blurred, denoised or resampled",
        "noisier images: another dose, gain or scanner",
    ),
    "object_size": (
        "smaller objects: eroded masks, or another magnification or spacing",
        "larger objects: dilated or merged masks, or another magnification or spacing",
    ),
    "objects": ("another number of objects: merged, split or lost masks, or cropped images",),
    "pixels": ("another bit depth or number of channels",),
    "repeats": ("duplicated patients: images of one patient come again under another",),
    "saturated": ("clipped highlights, or inverted or shifted intensities",),
    "sharpness": (
        "blurred images: defocus, resampling or denoising",
        "sharper or noisier images",
    ),
    "slice_thickness": ("another protocol",),
    "spacing": ("wrong or other spacing",),
    "step": (
        "classes differ less or the other way round: swapped labels, inverted intensities or masks "
        "of other images",
        "classes differ more than before",
    ),
    "tube_voltage": ("another protocol",),
    "width": ("images of another size: cropped, padded or resampled",),
}
# Longest first: `edge_inside` before `edge`.
NAMES = sorted(CAUSES, key=len, reverse=True)


def likely_cause(feature: str, rises: bool) -> str:
    """Return what a change of a feature most likely comes from.

    Args:
        feature: Its name.
        rises: Whether its mean is larger than before.
    """
    for name in NAMES:
        if feature == name or feature.startswith(name + "_"):
            causes = CAUSES[name]
            return causes[-1] if rises else causes[0]
    return f"another mix of the attribute {feature}, such as a new scanner or site"
