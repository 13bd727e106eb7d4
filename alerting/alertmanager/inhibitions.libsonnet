// SPDX-License-Identifier: Apache-2.0
// Which alert makes which other needless. A label that both alerts lack counts as equal, one that only one has does not.
function(config)
  local environment = config.environmentLabels;
  local probe = environment + ['target', 'module', 'model'];
  local rule(source, target, equal) = { source_matchers: source, target_matchers: target, equal: equal };
  [
    // Without an exporter every other alert is a symptom or stale.
    rule(
      ['alertname="OpenAIExporterDown"'],
      ['alertname=~"OpenAI.+"', 'alertname!~"OpenAIExporterDown|OpenAIAlertDeliveryFailing|OpenAIRuleEvaluationFailing"'],
      environment,
    ),
    // The same alert, more urgent.
    rule(
      ['alertname=~"OpenAI.+"', 'severity="critical"'],
      ['severity=~"warning|info"'],
      probe + ['alertname', 'slo', 'organization', 'project_id', 'api_key_id', 'budget', 'id', 'dataset'],
    ),
    rule(
      ['alertname=~"OpenAI.+"', 'severity="warning"'],
      ['severity="info"'],
      probe + ['alertname', 'slo', 'organization', 'project_id', 'api_key_id', 'budget', 'id', 'dataset'],
    ),
    // A target that is down, or refuses us, explains what its probes and limits say.
    rule(
      ['alertname="OpenAITargetDown"'],
      ['alertname=~"OpenAIAvailabilityBudgetBurn|OpenAILatencyBudgetBurn|OpenAIFirstTokenBudgetBurn|OpenAILatencyAnomaly|OpenAIProbeNearDeadline"'],
      environment + ['target'],
    ),
    rule(
      ['alertname=~"OpenAICredentialsRejected|OpenAIQuotaExhausted|OpenAISpendLimitReached"'],
      ['alertname=~"OpenAISLOMetricAbsent|OpenAIRateLimited|OpenAIRateLimitHeadroomLow|OpenAIModelUnavailable"'],
      environment + ['target'],
    ),
    rule(
      ['alertname="OpenAIModelUnavailable"'],
      ['alertname=~"OpenAISLOMetricAbsent|OpenAIModelNotListed"'],
      probe,
    ),
    rule(
      ['alertname="OpenAIProbeCostLimited"'],
      ['alertname="OpenAISLOMetricAbsent"'],
      probe,
    ),
    // A probe that fails is also slow.
    rule(
      ['slo="availability"', 'severity="critical"'],
      ['slo=~"latency|first_token"'],
      probe,
    ),
    rule(
      ['alertname="OpenAILatencyBudgetBurn"'],
      ['alertname=~"OpenAIFirstTokenBudgetBurn|OpenAILatencyAnomaly"'],
      probe,
    ),
    // The provider knows of it: warnings about latency add nothing. Pages still come, for they say that it hits us.
    rule(
      ['alertname="OpenAIStatusIncident"'],
      ['category="latency"', 'severity!="critical"'],
      environment,
    ),
    // Old figures: what they say of spend is no news. Limits that the API enforces stay.
    rule(
      ['alertname="OpenAIUsageDataStale"', 'dataset!~"names|limits"'],
      ['category="cost"', 'severity!="critical"'],
      environment + ['organization'],
    ),
    rule(
      ['alertname="OpenAIUsageDataStale"'],
      ['alertname="OpenAIUsageRefreshFailing"'],
      environment + ['organization', 'dataset'],
    ),
  ]
