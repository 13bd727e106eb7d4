# SPDX-License-Identifier: Apache-2.0
"""The configuration: YAML decoded strictly, cross-checked, frozen."""

from openai_exporter.config.load import load_config, zero_config
from openai_exporter.config.root import Config, dump
from openai_exporter.config.schema import schema_document
from openai_exporter.config.secret import Credential, Secret, mask_keys

__all__ = ["Config", "Credential", "Secret", "dump", "load_config", "mask_keys", "schema_document", "zero_config"]
