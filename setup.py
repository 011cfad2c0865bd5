"""Builds the one part of Thimble that is not Python: the entropy coder's inner loops."""

from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("thimble/codec/native")

setup(
    ext_modules=[
        Extension(
            "thimble.codec._native",
            sources=sorted(str(path) for path in NATIVE.glob("*.c")),
            depends=sorted(str(path) for path in NATIVE.glob("*.h")),
            extra_compile_args=["-std=c11", "-O3", "-Wall", "-Wextra"],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
