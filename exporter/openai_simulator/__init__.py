# SPDX-License-Identifier: Apache-2.0
"""A faithful simulated OpenAI API on a socket. Knows nothing of the exporter."""
