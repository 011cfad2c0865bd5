"""KFP wiring of the huffman stage."""

from kfp import dsl

from thimble.stage import stage


@stage("huffman")
def huffman(
    model: dsl.Input[dsl.Model],
    package: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    branch: str = "teacher",
    verify: bool = True,
) -> None:
    """Pack a model with canonical Huffman codes (Han et al., 2015, section 4)."""
    from components.huffman.huffman import HuffmanConfig, encode_package
    from thimble.artifact import finish
    from thimble.stage import start

    with start("huffman", HuffmanConfig, locals(), (model.path,)) as run:
        write, figures = encode_package(model.path, run.config, run)
        finish(run, write, package.path, figures, metrics, model.path)
