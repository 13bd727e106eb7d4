// SPDX-License-Identifier: Apache-2.0
// Every setting of rules and alerts, with its unit. Override with `_config+::`; without Jsonnet, settings.yml.

// Models that think before they answer, unless a module says otherwise (reasoning_effort), and those that think long.
local reasoning = 'o[0-9].*|gpt-5|gpt-5-(mini|nano|20[0-9-]+).*|.*(reason|think).*';
local slowest = '.*-pro|.*-pro-.*|.*deep-research.*';

{
  _config+:: {
    // --- What is watched.
    // Scrape jobs of the exporter; part of every selector.
    selector: 'job=~"openai|openai-exporter"',
    // Labels that tell replicas of the exporter apart; aggregated away.
    instanceLabels: 'instance',
    // Labels that tell clusters apart whose series one Prometheus or ruler evaluates; part of every aggregation. '' for none.
    clusterLabels: 'cluster',
    // Prometheus' and Alertmanager's own metrics; '' leaves out the alerts on them.
    prometheusSelector: 'job="prometheus"',
    alertmanagerSelector: 'job="alertmanager"',
    // Whether at least one probe is expected; false where only usage is read.
    expectProbes: true,

    // Alerts that are left out, and alerts with another severity: { OpenAIModelRetiring: 'info' }.
    disabledAlerts: [],
    severities: {},

    // --- Time.
    // Scrape interval of the probes. Service levels without a counter are sampled at this pace.
    probeInterval: '60s',
    // Times between two results of a probe (scrape interval or min_interval, whichever is longer) for which alerts on
    // results in a row have a window; a pace in between takes the next longer one.
    paces: ['1m', '2m', '3m', '5m', '10m', '15m', '20m', '30m', '1h'],
    // How long Prometheus keeps data (--storage.tsdb.retention.time).
    retention: '40d',
    // Shortens every window, `for` and interval of rules and alerts, for demos and end-to-end tests: 0.1 makes 10 minutes one.
    timeScale: 1,

    // --- Service levels. `match` takes regexes of target, module, model, endpoint (dataset for freshness); first match wins.
    slo: {
      period: '30d',
      availability: {
        objectives: [{ objective: 0.995 }],
        pages: true,
      },
      latency: {  // share of good probes that end within `bound` seconds
        objectives: [{ objective: 0.95 }],
        bounds: [
          { match: { endpoint: 'embeddings|moderations|models' }, bound: 2.5 },
          { match: { endpoint: 'images' }, bound: 60 },
          { match: { model: slowest }, bound: 60 },
          { match: { model: reasoning }, bound: 20 },
          { bound: 5 },
        ],
        pages: true,
      },
      first_token: {  // share of good streamed probes whose first visible token comes within `bound` seconds
        objectives: [{ objective: 0.95 }],
        bounds: [
          { match: { model: slowest }, bound: 60 },
          { match: { model: reasoning }, bound: 20 },
          { bound: 2.5 },
        ],
        pages: false,
      },
      freshness: {  // share of time in which a dataset is not older than `bound` seconds
        objectives: [{ objective: 0.99 }],
        bounds: [
          { match: { dataset: 'costs' }, bound: 3600 },
          { match: { dataset: 'names|limits' }, bound: 7200 },
          { match: { dataset: 'cost_drift' }, bound: 86400 },  // read every six hours
          { bound: 900 },
        ],
        pages: false,
      },
      // Multi-window, multi-burn-rate alerts (SRE workbook, chapter 5): the error ratio must exceed `factor` budgets in both
      // windows, and the long window must hold `minBad` bad events, for a ratio of few probes proves nothing.
      burn: [
        // The rows of a severity are one alert, with the shortest `for` and the longest `keep`, which bridges the gaps
        // between failures that come one by one.
        { severity: 'critical', long: '1h', short: '5m', factor: 14.4, 'for': '2m', keep: '6m', minBad: 5 },
        { severity: 'critical', long: '6h', short: '30m', factor: 6, 'for': '2m', minBad: 10 },
        { severity: 'warning', long: '2h', short: '30m', factor: 4, 'for': '1h', minBad: 20 },
        { severity: 'warning', long: '1d', short: '2h', factor: 3, 'for': '1h', minBad: 20 },
        { severity: 'warning', long: '3d', short: '6h', factor: 1, 'for': '1h', minBad: 20 },
      ],
      // A row ends where nothing failed within `window` though `due` failures were due at the ratio of its short window.
      recovered: { window: '10m', due: 2 },
      // For so long after a page about the same, budgets that it used up are no news: it takes failures that are new.
      told: { critical: '6h', warning: '10h' },
    },

    // --- Thresholds.
    thresholds: {
      targetDown: { minBad: 3, 'for': '1m', keep: '5m' },  // the last minBad results of a target are bad
      outcome: { minFresh: 3, 'for': '1m', keep: '5m' },  // the last minFresh results of a probe have the same outcome
      rateLimited: { window: '15m', share: 0.5, memory: '3h', minFresh: 3, 'for': '5m', keep: '15m' },  // share of the probes in window, minFresh real calls in memory
      invalid: { window: '2h', share: 0.25, minBad: 10 },  // share of the results in window that are not as expected
      nearDeadline: { window: '15m', share: 0.8, 'for': '15m' },  // mean duration of good probes by their deadline
      certificateDays: 7,
      headroom: { window: '15m', share: 0.1, 'for': '5m', keep: '15m' },  // left of a rate limit, best moment of window
      projectPeak: { share: 0.9, 'for': '15m' },  // used of a project's limit in its busiest minute
      projectLimit: { share: 0.8, 'for': '10m', keep: '15m' },  // used of a project's limit, mean of 10 minutes
      budget: { half: 0.5, full: 1, memory: '15m', 'for': '5m' },  // shares of a budget; the middle one is its own warn_ratio
      forecast: { quietDays: 4, 'for': '6h' },  // days of the month on which only what is beyond the band alerts
      spendLimit: { share: 0.9, 'for': '30m' },
      credit: { days: 7, pageDays: 1, 'for': '15m' },  // days that the prepaid credit still lasts
      costDrift: { share: 0.25, minUsd: 50, minElapsed: 0.2, 'for': '12h' },  // estimated against billed, by model, of the month's settled days; the bill lags, which is much of a young month
      keySpike: {  // US dollars per hour, against the mean and (times peak) the highest hour of the week before
        factor: 5,
        peak: 2,
        minUsd: 5,
        'for': '15m',
        // Pages: a share of a monthly budget within an hour, or more than factor times the mean and above minUsd.
        page: { budgetShare: 0.05, factor: 10, minUsd: 50, 'for': '5m' },
      },
      stoppedTokens: 1000,  // tokens in the same hour of every day compared, from which on none at all is an alert
      probeSpendUsd: 5,  // US dollars per target and day, what the probes themselves cost
      refreshFailing: '15m',
      bucketsLate: { hours: 4, 'for': '30m' },
      modelRetires: [
        { days: 60, severity: 'info' },
        { days: 30, severity: 'warning' },
        { days: 7, severity: 'critical' },
      ],
      keyExpires: [
        { days: 14, severity: 'warning' },
        { days: 2, severity: 'critical' },
      ],
      keyUnusedDays: 90,
      upstream: { window: '30m', share: 0.5, minCalls: 3, 'for': '15m' },  // share of calls to organization and status APIs that fail
      restarts: 3,  // starts of the exporter within an hour
      clockSkewSeconds: 30,
    },
    // Components of the status page that alert; the overall indicator also turns for products that are not the API.
    statusComponents: 'Chat Completions|Responses|Embeddings|Moderations|Images|Audio|Realtime|Batch|Files|Fine-tuning',

    // --- Anomalies: the last hour against the same hour of those of the last `days` days that are of the same kind, days
    // of the `weekend` (0 is Sunday, UTC) or others; at least `minDays` of them. The band is their median plus or minus
    // `deviations` standard deviations by their quartiles (at least `minSpread` of the median each), and never narrower than the signal's `floor`.
    anomaly: {
      days: 14,
      weekend: [0, 6],
      minDays: 3,
      deviations: 4,
      minSpread: 0.15,
      'for': '30m',
      floors: {
        tokens: 100000,  // tokens per hour and organization
        cost: 5,  // US dollars per hour and organization
        latency: 1,  // seconds
      },
    },

    // --- Where alerts point and whom they concern.
    grafanaUrl: 'http://localhost:3000',
    // Where browsers reach the exporter, for links to its CSV; empty for no such links.
    exporterUrl: 'http://localhost:9985',
    runbookUrlPattern: 'https://github.com/openai-exporter/openai-exporter/blob/main/alerting/runbooks/%s.md',
    // Dashboard -> its fixed uid.
    dashboards: {
      overview: 'openai-overview',
      probes: 'openai-probes',
      usage: 'openai-usage',
      costs: 'openai-costs',
      slo: 'openai-slo',
      models: 'openai-models',
      exporter: 'openai-exporter',
    },
    // Category of an alert -> label team; Alertmanager routes by it.
    teams: {
      availability: 'platform',
      latency: 'platform',
      limits: 'platform',
      cost: 'finops',
      usage: 'platform',  // the people of the applications that use the API
      freshness: 'finops',
      models: 'platform',
      keys: 'security',
      status: 'platform',
      exporter: 'platform',
    },
  } + (import 'alertmanager/config.libsonnet'),
}
