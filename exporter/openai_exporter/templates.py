# SPDX-License-Identifier: Apache-2.0
"""The template engine of HTML pages, set up once for all packages that have some."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment(package: str) -> Environment:
    """The templates of a package: values are escaped, and a missing one is an error."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
