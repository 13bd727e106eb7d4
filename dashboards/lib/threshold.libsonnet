// SPDX-License-Identifier: Apache-2.0
// Colours by value. Red means that somebody should act; what is merely large is not red.
local absolute(steps) = { mode: 'absolute', steps: steps };

{
  // One colour, whatever the value.
  plain(color='text'): absolute([{ color: color, value: null }]),
  // Good below `warn`, bad from `bad` on.
  rising(warn, bad): absolute([
    { color: 'green', value: null },
    { color: 'orange', value: warn },
    { color: 'red', value: bad },
  ]),
  // Bad below `bad`, good from `warn` on.
  falling(bad, warn): absolute([
    { color: 'red', value: null },
    { color: 'orange', value: bad },
    { color: 'green', value: warn },
  ]),
  // Draws attention from `value` on, without alarm.
  notice(value): absolute([{ color: 'green', value: null }, { color: 'orange', value: value }]),
  steps(pairs): absolute([{ color: pair[0], value: pair[1] } for pair in pairs]),
}
