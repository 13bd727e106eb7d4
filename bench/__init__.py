# SPDX-License-Identifier: Apache-2.0
"""Measurements of speed and accuracy, each against a peer in the same run; `python -m bench` runs them all."""
