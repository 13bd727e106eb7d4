// SPDX-License-Identifier: Apache-2.0
// Settings for some fields only: byName('p99', [color('blue')]).
{
  byName(name, properties): { matcher: { id: 'byName', options: name }, properties: properties },
  byRegexp(pattern, properties): { matcher: { id: 'byRegexp', options: pattern }, properties: properties },

  unit(unit): { id: 'unit', value: unit },
  decimals(decimals): { id: 'decimals', value: decimals },
  max(value): { id: 'max', value: value },
  color(color): { id: 'color', value: { mode: 'fixed', fixedColor: color } },
  thresholds(thresholds): { id: 'thresholds', value: thresholds },
  mappings(mappings): { id: 'mappings', value: mappings },
  links(links): { id: 'links', value: links },
  noValue(text): { id: 'noValue', value: text },
  minWidth(pixels): { id: 'custom.minWidth', value: pixels },
  hidden: { id: 'custom.hidden', value: true },
  width(pixels): { id: 'custom.width', value: pixels },
  // A table cell: its text or background in the colour of its value, or a bar.
  cell(kind): {
    id: 'custom.cellOptions',
    value: { 'color-text': { type: 'color-text' }, 'gradient-gauge': { type: 'gauge', mode: 'gradient' } }[kind],
  },
  lineWidth(width): { id: 'custom.lineWidth', value: width },
  fillOpacity(percent): { id: 'custom.fillOpacity', value: percent },
  fillBelowTo(name): { id: 'custom.fillBelowTo', value: name },
  notInLegend: { id: 'custom.hideFrom', value: { viz: false, legend: true, tooltip: false } },
  dashed: { id: 'custom.lineStyle', value: { fill: 'dash', dash: [8, 6] } },
}
