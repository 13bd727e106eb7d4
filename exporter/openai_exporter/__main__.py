# SPDX-License-Identifier: Apache-2.0
"""`python -m openai_exporter` is the same as the console script `openai-exporter`."""

from openai_exporter.cli.main import main

if __name__ == "__main__":
    main()
