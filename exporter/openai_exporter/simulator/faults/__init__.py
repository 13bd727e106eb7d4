# SPDX-License-Identifier: Apache-2.0
"""Faults at run time: their kinds, which are in force, and the middleware that acts them out."""

from openai_exporter.simulator.faults.kinds import KINDS, Fault
from openai_exporter.simulator.faults.registry import Faults, InvalidFaultError

__all__ = ["KINDS", "Fault", "Faults", "InvalidFaultError"]
