// SPDX-License-Identifier: Apache-2.0
// What a user sets in `_config`: refused where a name or a type is wrong, and applied to every rule.
local levels = ['critical', 'warning', 'info', 'none'];

// Edits that turn one word into another. A cell is computed at once; left to later, the chain of them would be too deep.
local distance(a, b) =
  local step(row, i) = std.foldl(
    function(next, j)
      local same = std.asciiLower(a[i]) == std.asciiLower(b[j]);
      local cell = std.min(std.min(next[j], row[j + 1]) + 1, row[j] + (if same then 0 else 1));
      if cell >= 0 then next + [cell],
    std.range(0, std.length(b) - 1),
    [i + 1]
  );
  local last = std.foldl(step, std.range(0, std.length(a) - 1), std.range(0, std.length(b)));
  last[std.length(b)];

local hint(word, names) =
  local near = std.sort([[distance(word, name), name] for name in names]);
  if near != [] && near[0][0] <= std.max(2, std.length(word) / 3) then '; did you mean "%s"?' % near[0][1]
  else '; allowed: ' + std.join(', ', names);

// Entries of these lists may have more keys than those of the defaults.
local optional = ['match', 'keep', 'note', 'years', 'months', 'days_of_month'];

local problems(path, default, value) =
  local at(key) = if path == '' then key else path + '.' + key;
  if default == null || default == {} then []
  else if std.type(default) != std.type(value) then [
    '%s: must be a %s, not %s%s' % [path, std.type(default), if value == null then 'null' else std.type(value), if value == null then '; disabledAlerts leaves out an alert' else ''],
  ]
  else if std.isObject(default) then
    local known = std.objectFieldsAll(default);
    std.flattenArrays(
      [[at(key) + ': unknown setting' + hint(key, known)] for key in std.objectFieldsAll(value) if !std.member(known, key)]
      + [[at(key) + ': is missing; write `%s+:` to change a part of it and keep the rest' % path] for key in known if !std.objectHasAll(value, key)]
      + [problems(at(key), default[key], value[key]) for key in known if std.objectHasAll(value, key)]
    )
  else if std.isArray(default) && default != [] && std.isObject(default[0]) then
    local known = std.set(std.flattenArrays([std.objectFieldsAll(entry) for entry in default]) + optional);
    std.flattenArrays([
      if !std.isObject(value[i]) then ['%s[%d]: must be an object' % [path, i]]
      else ['%s[%d].%s: unknown setting%s' % [path, i, key, hint(key, known)] for key in std.objectFieldsAll(value[i]) if !std.member(known, key)]
      for i in std.range(0, std.length(value) - 1)
    ])
  else [];

{
  // The settings, once nothing is wrong with them; a comma at the end of the selector is dropped.
  checked(defaults, config)::
    local found = problems('', defaults, config);
    assert found == [] : std.join('\n', ['_config: ' + problem for problem in found]);
    config { selector: std.rstripChars(std.stripChars(super.selector, ' \n'), ', ') },

  // Rule files with what concerns all rules: alerts left out, severities, the label of clusters, no matcher at all.
  apply(config, files)::
    local alerts = std.set([rule.alert for name in std.objectFields(files) for group in files[name] for rule in group.rules if std.objectHas(rule, 'alert')]);
    local unknown = [
      '_config: %s: no alert "%s"%s' % [setting, name, hint(name, alerts)]
      for setting in ['disabledAlerts', 'severities']
      for name in (if setting == 'severities' then std.objectFields(config.severities) else config.disabledAlerts)
      if alerts != [] && !std.member(alerts, name)
    ] + [
      '_config: severities.%s: must be one of %s' % [name, std.join(', ', levels)]
      for name in std.objectFields(config.severities)
      if !std.member(levels, config.severities[name])
    ];
    assert unknown == [] : std.join('\n', unknown);
    local cluster = config.clusterLabels;
    local clustered(expr) =
      if cluster == '' then expr
      else std.foldl(function(text, pair) std.strReplace(text, pair[0], pair[1]), [
        [' by (', ' by (' + cluster + ', '],
        [' on (', ' on (' + cluster + ', '],
        [' by (' + cluster + ', )', ' by (' + cluster + ')'],
        [' on (' + cluster + ', )', ' on ()'],
        [' on (' + cluster + ', slot)', ' on (slot)'],
      ], expr);
    local unmatched(expr) = if config.selector == '' then std.strReplace(expr, '{, ', '{') else expr;
    local applied(rule) = rule {
      expr: clustered(unmatched(super.expr)),
      [if std.objectHas(rule, 'alert') && std.objectHas(config.severities, rule.alert) then 'labels']+: { severity: config.severities[rule.alert] },
    };
    std.mapWithKey(function(_, groups) [
      group { rules: [applied(rule) for rule in group.rules if !std.member(config.disabledAlerts, std.get(rule, 'alert', ''))] }
      for group in groups
    ], files),

  // Links to panels by title -> links by id; panels: uid of a dashboard -> title -> id.
  linked(panels, files)::
    local link(url) =
      local parts = std.split(url, '<');
      local title = std.split(parts[1], '>')[0];
      local uid = std.split(std.split(parts[0], '/d/')[1], '?')[0];
      assert std.objectHas(std.get(panels, uid, {}), title) : 'dashboard %s has no panel "%s"' % [uid, title];
      parts[0] + panels[uid][title] + std.split(parts[1], '>')[1];
    std.mapWithKey(function(_, groups) [
      group { rules: [rule { annotations+: { dashboard_url: link(super.dashboard_url) } } for rule in group.rules] }
      for group in groups
    ], files),
}
