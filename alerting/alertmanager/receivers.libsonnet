// SPDX-License-Identifier: Apache-2.0
// Receivers with the channels that are configured, and nothing else.
local channels = import 'channels.libsonnet';

{
  local lib = self,

  // Name of the receiver of an audience: 'page', or 'page-research' for a team of its own.
  name(audience, team):: if team == null then audience else '%s-%s' % [audience, team],

  // Channels of an audience with their settings for a team. One that nobody configured falls back to `notify`,
  // so that cost alerts without a mail server still arrive; `info` is silent unless it is given channels.
  channelsOf(config, audience, team)::
    local overrides = if team == null then {} else config.teams[team];
    local settings(name) =
      local base = config.channels[name];
      if std.objectHas(overrides, name) then (if base == null then {} else base) + overrides[name] else base;
    local of(audience) = [
      { name: name, settings: settings(name) }
      for name in config.audiences[audience]
      if settings(name) != null
    ];
    local found = of(audience);
    if found == [] && audience == 'cost' then of('notify') else found,

  receiver(config, audience, team)::
    local found = lib.channelsOf(config, audience, team);
    std.foldl(
      function(receiver, channel) receiver + channels.render(config, audience, channel.name, channel.settings),
      found,
      { name: lib.name(audience, team) }
    ),

  watchdog(config)::
    { name: 'watchdog' } + (
      if config.watchdog == null then {}
      else channels.render(config, 'watchdog', 'webhook', config.watchdog { send_resolved: false })
    ),

  all(config)::
    local known = std.objectFields(config.channels);
    local named = std.set(
      std.flattenArrays([config.audiences[audience] for audience in std.objectFields(config.audiences)])
      + std.flattenArrays([std.objectFields(config.teams[team]) for team in std.objectFields(config.teams)])
      + known
    );
    local unknown = std.filter(function(name) !std.member(channels.names, name), named);
    assert unknown == [] :
           'alertmanager: channel "%s" is unknown; allowed: %s' % [unknown[0], std.join(', ', channels.names)];
    [
      lib.receiver(config, audience, team)
      for team in [null] + std.objectFields(config.teams)
      for audience in ['page', 'notify', 'cost', 'info']
    ] + [lib.watchdog(config), { name: 'nobody' }],
}
