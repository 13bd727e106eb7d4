# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter demo`: simulator, exporter, Prometheus, Alertmanager, page-sink and Grafana together on loopback."""
