// SPDX-License-Identifier: Apache-2.0
// Settings by pattern: a list of entries, each with an optional `match` (label -> regex); the first that matches wins.
local meta = std.set(std.stringChars('.*+?|()[]{}^$\\'));

{
  // One label matcher; a plain word needs no regex. A backslash is doubled, as in any text of PromQL.
  matcher(label, pattern)::
    local plain = std.setInter(std.set(std.stringChars(pattern)), meta) == [];
    label + (if plain then '=' else '=~') + std.escapeStringJson(pattern),

  // Label matchers of a selector, joined: selector(config.selector, { model: 'a|b' }) -> 'job="x", model=~"a|b"'.
  selector(base, match)::
    std.join(', ', (if base == '' then [] else [base]) + [
      self.matcher(label, match[label])
      for label in std.objectFields(match)
    ]),

  // `render(match, entry)` for each entry, joined with `or`: a series takes the first entry that has it.
  // The last entry must match everything, or some series would have no setting at all.
  first(what, entries, render)::
    assert std.length(entries) > 0 : '%s: the list is empty; give at least one entry without match' % what;
    local last = entries[std.length(entries) - 1];
    assert !std.objectHas(last, 'match') : '%s: the last entry must have no match, so that every series has a value' % what;
    std.join('\nor\n', [render(std.get(entry, 'match', {}), entry) for entry in entries]),
}
