# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter demo`: simulator, exporter, Prometheus, Alertmanager, page-sink and Grafana together on loopback."""

from openai_exporter.demo.run import DemoSettings, run_demo
from openai_exporter.demo.watch import Schedule

__all__ = ["DemoSettings", "Schedule", "run_demo"]
