// SPDX-License-Identifier: Apache-2.0
// What all panels share. A panel is made with `new` of its kind, and refined with these.
local mapping = import '../mapping.libsonnet';

{
  base(type, title, description, unit, queries): {
    local letters = std.stringChars('ABCDEFGHIJKLMNOPQRSTUVWXYZ'),
    type: type,
    title: title,
    description: description,
    datasource: { type: 'prometheus', uid: '${datasource}' },
    targets: [queries[i] { refId: letters[i] } for i in std.range(0, std.length(queries) - 1)],
    fieldConfig: { defaults: { unit: unit, custom: {} }, overrides: [] },
    options: {},
    transformations: [],
    links: [],
  },

  withMin(min): { fieldConfig+: { defaults+: { min: min } } },
  withMax(max): { fieldConfig+: { defaults+: { max: max } } },
  withDecimals(decimals): { fieldConfig+: { defaults+: { decimals: decimals } } },
  // What stands where there is nothing to draw: why, in a few words.
  withNoValue(text): { fieldConfig+: { defaults+: { noValue: text } } },
  // The same for figures and bars, which would else take the colour of the lowest value.
  withNoFigure(text): self.withNoValue(text) + self.withMappings([mapping.none(text)]),
  withThresholds(thresholds): { fieldConfig+: { defaults+: { thresholds: thresholds } } },
  withMappings(mappings): { fieldConfig+: { defaults+: { mappings+: mappings } } },
  withColor(color): { fieldConfig+: { defaults+: { color: { mode: 'fixed', fixedColor: color } } } },
  withColorScheme(mode): { fieldConfig+: { defaults+: { color: { mode: mode } } } },
  // From blue to purple by the largest (or last) value, for what people compare; the classic palette would draw some in the red of failures.
  // Two of the same size share a color: Grafana has no palette without red, and none by order but shades of one color.
  withScale(by='max'): { fieldConfig+: { defaults+: { color: { mode: 'continuous-BlPu', seriesBy: by } } } },
  // Shades of one colour, for lines that mean the same.
  withShades(color): { fieldConfig+: { defaults+: { color: { mode: 'shades', fixedColor: color } } } },
  withDataLinks(links): { fieldConfig+: { defaults+: { links: links } } },
  withOverrides(overrides): { fieldConfig+: { overrides+: overrides } },
  withTransformations(transformations): { transformations: transformations },
  withLinks(links): { links: links },
  // Looks back that far whatever the page's range (unless that is absolute), and says so in its head.
  withTimeFrom(duration): { timeFrom: duration },
  withMaxDataPoints(points): { maxDataPoints: points },
}
