// SPDX-License-Identifier: Apache-2.0
// Words in the place of numbers.
{
  // values({ '0': ['All clear', 'green'] }): exact values; a colour may be left out.
  values(words): {
    type: 'value',
    options: {
      [value]: { text: words[value][0], index: 0 } + (if std.length(words[value]) > 1 then { color: words[value][1] } else {})
      for value in std.objectFields(words)
    },
  },
  // From `from` to `to`, both included; null is open.
  range(from, to, text, color): { type: 'range', options: { from: from, to: to, result: { text: text, color: color, index: 1 } } },
  // The same as colour only; the number stays.
  band(from, to, color): { type: 'range', options: { from: from, to: to, result: { color: color, index: 1 } } },
  // Where there is no value at all.
  none(text): { type: 'special', options: { match: 'null+nan', result: { text: text, color: 'text', index: 2 } } },
}
