// SPDX-License-Identifier: Apache-2.0
// Settings for some fields only: byName('p99', [color('blue')]).
local mapping = import 'mapping.libsonnet';

{
  byName(name, properties): { matcher: { id: 'byName', options: name }, properties: properties },
  // Columns that begin with a value.
  byFirst(value, properties): { matcher: { id: 'byValue', options: { reducer: 'firstNotNull', op: 'eq', value: value } }, properties: properties },
  byRegexp(pattern, properties): { matcher: { id: 'byRegexp', options: pattern }, properties: properties },

  unit(unit): { id: 'unit', value: unit },
  // Dollars to the cent, where money is compared; tiles and axes have $5.60K.
  dollars: [{ id: 'unit', value: 'prefix:$' }, { id: 'decimals', value: 2 }],
  decimals(decimals): { id: 'decimals', value: decimals },
  max(value): { id: 'max', value: value },
  shades(color): { id: 'color', value: { mode: 'shades', fixedColor: color } },
  color(color): { id: 'color', value: { mode: 'fixed', fixedColor: color } },
  thresholds(thresholds): { id: 'thresholds', value: thresholds },
  // Those of a column replace the table's own, which keep what is unknown from the color of a threshold.
  mappings(mappings): { id: 'mappings', value: mappings + [mapping.none('–')] },
  links(links): { id: 'links', value: links },
  noValue(text): { id: 'noValue', value: text },
  minWidth(pixels): { id: 'custom.minWidth', value: pixels },
  hidden: { id: 'custom.hidden', value: true },
  width(pixels): { id: 'custom.width', value: pixels },
  // A table cell: its text or background in the colour of its value, or a bar.
  cell(kind): {
    id: 'custom.cellOptions',
    value: { 'color-text': { type: 'color-text' }, gauge: { type: 'gauge', mode: 'basic' } }[kind],
  },
  lineWidth(width): { id: 'custom.lineWidth', value: width },
  fillOpacity(percent): { id: 'custom.fillOpacity', value: percent },
  fillBelowTo(name): { id: 'custom.fillBelowTo', value: name },
  notInLegend: { id: 'custom.hideFrom', value: { viz: false, legend: true, tooltip: false } },
  dashed: { id: 'custom.lineStyle', value: { fill: 'dash', dash: [8, 6] } },
}
