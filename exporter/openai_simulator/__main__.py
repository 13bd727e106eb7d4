# SPDX-License-Identifier: Apache-2.0
"""`python -m openai_simulator` is the same as `openai-exporter simulate`."""

from openai_simulator.server import simulate_command

if __name__ == "__main__":
    simulate_command()
