# SPDX-License-Identifier: Apache-2.0
"""The inference endpoints: validation, generation, replies and streams, paced in real time."""
