"""KFP wiring of the convert stage."""

from kfp import dsl

from thimble.stage import stage


@stage("convert")
def convert(
    package: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    converted: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    branch: str = "teacher",
    variants: str = "float32,float16,dynamic,int8",
    tile: int = 0,
    calibration_patches: int = 64,
    check_patches: int = 8,
    seed: int = 1,
    int8_max_drop: float = 0.003,
    int8_check_images: int = 0,
    int8_tuning_steps: int = 0,
    int8_learning_rate: float = 1e-4,
    int8_float_share: float = 0.5,
) -> None:
    """Make TFLite variants of the decoded package and check each against the Keras model."""
    from components.convert.convert import ConvertConfig, convert_package
    from thimble.artifact import finish
    from thimble.stage import start

    given = dict(
        branch=branch, variants=variants, tile=tile, calibration_patches=calibration_patches,
        check_patches=check_patches, seed=seed, int8_max_drop=int8_max_drop,
        int8_check_images=int8_check_images, int8_tuning_steps=int8_tuning_steps,
        int8_learning_rate=int8_learning_rate, int8_float_share=int8_float_share,
    )  # fmt: skip
    with start("convert", ConvertConfig, given, inputs=(package.path, dataset.path)) as run:
        result, figures = convert_package(package.path, dataset.path, run.config, run)
        finish(run, result, converted.path, figures, metrics, previous=package.path)
