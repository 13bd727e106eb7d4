// SPDX-License-Identifier: Apache-2.0
// Who hears of what: the dead man's switch first, then cost by office hours, then teams, pages before warnings.
local receivers = import 'receivers.libsonnet';

function(config)
  local quiet = if config.quietTimes == [] then {} else { mute_time_intervals: ['quiet-times'] };
  local page = {
    matchers: ['severity="critical"'],
    group_wait: config.groupWait.page,
    repeat_interval: config.repeat.page,
  };
  // Members of one outage: each model's share of failures has an alert of its own, and they start within minutes. That a
  // model is gone is certain at once.
  local member = page {
    matchers+: ['model!=""', 'alertname!="OpenAIModelUnavailable"'],
    group_wait: config.groupWait.notify,
  };
  local cost = {
    matchers: ['category="cost"', 'severity!="critical"'],
    active_time_intervals: ['office-hours'],
    repeat_interval: config.repeat.cost,
  } + quiet;
  // A budget is spent until its period ends; nobody needs to read that every day.
  local budget = cost { matchers+: ['alertname=~"OpenAI(|User|Key)BudgetSpent"'], repeat_interval: config.repeat.budget };
  // A shutdown or an expiry that is days away wakes nobody; a weekend with office hours closed cannot swallow it.
  local deadline = page { matchers+: ['category=~"models|keys"'], active_time_intervals: ['office-hours'] };
  local info = { matchers: ['severity="info"'] } + quiet;
  local notify = { matchers: ['severity="warning"'] } + quiet;

  // Every level of urgency, for one team or (team null) for everybody else. Cost that does not page comes before info.
  local levels(team) = [
    deadline { receiver: receivers.name('page', team) },
    member { receiver: receivers.name('page', team) },
    page { receiver: receivers.name('page', team) },
    budget { receiver: receivers.name('cost', team) },
    cost { receiver: receivers.name('cost', team) },
    info { receiver: receivers.name('info', team) },
    notify { receiver: receivers.name('notify', team) },
  ];

  {
    receiver: 'notify',
    // Environments share no notification: what joins another's group would wait for its interval.
    group_by: std.set(['alertname', 'organization', 'target', 'slo', 'job'] + config.environmentLabels),
    group_wait: config.groupWait.notify,
    group_interval: config.groupInterval,
    repeat_interval: config.repeat.notify,
    routes: [
      {
        matchers: ['alertname="Watchdog"'],
        receiver: 'watchdog',
        group_wait: '0s',
        group_interval: '1m',
        repeat_interval: '1m',
      },
      { matchers: ['severity="none"'], receiver: 'nobody' },
    ] + [
      { matchers: ['team="%s"' % team], receiver: receivers.name('notify', team), routes: levels(team) }
      for team in std.objectFields(config.teams)
    ] + levels(null),
  }
