// The rules of deploy/prometheus/rules, read from there, with what _config sets of them.
local narrowed = (import 'selectors.libsonnet').narrowed;
local read(text) = std.parseYaml(text).groups;

// The files are named one by one, since Jsonnet imports nothing whose name is computed.
local files = {
  'agntix-exporter.yml': read(importstr '../prometheus/rules/agntix-exporter.yml'),
  'agntix-recording.yml': read(importstr '../prometheus/rules/agntix-recording.yml'),
  'agntix-sessions.yml': read(importstr '../prometheus/rules/agntix-sessions.yml'),
  'agntix-settings.yml': read(importstr '../prometheus/rules/agntix-settings.yml'),
};
local groups = std.flatMap(function(name) files[name], std.objectFields(files));
local rules = std.flatMap(function(group) group.rules, groups);
local alertNames = std.set([rule.alert for rule in rules if std.objectHas(rule, 'alert')]);

local objective = 'agntix:threshold:resolution_objective';
// Labels that routes, inhibition and texts depend on.
local reserved = ['agent_id', 'alertname', 'component', 'instance', 'job', 'organization', 'scope', 'severity', 'signal'];

local labelsOf(rule) = std.get(rule, 'labels', {});
local isWished(wish, rule) = std.get(rule, 'record') == wish.record && labelsOf(rule) == labelsOf(wish);
// An objective may be that of one agent or organization, which is a rule of its own.
local isOwn(wish) =
  wish.record == objective && labelsOf(wish) != {} && std.setDiff(std.objectFields(labelsOf(wish)), ['agent_id', 'organization']) == [];
// As people write numbers: 0.1, not 0.10000000000000001.
local vector(value) = 'vector(%.12g)' % value;

// What is wrong with _config, in words.
local problems(config) =
  local roles = std.objectFields(config.severities);
  local words = std.objectValues(config.severities);
  local added = [['additionalRuleLabels', config.additionalRuleLabels]] + [
    ['alerts.%s.labels' % name, labelsOf(config.alerts[name])]
    for name in std.objectFields(config.alerts)
  ];
  [
    'thresholds: agntix-settings.yml has no %s with exactly the labels %s' % [wish.record, labelsOf(wish)]
    for wish in config.thresholds
    if !isOwn(wish) && !std.any([isWished(wish, rule) for rule in rules])
  ] + [
    'thresholds: the objective %s is no share of the sessions; write 0.8 for 80 %%' % wish.value
    for wish in config.thresholds
    if wish.record == objective && (wish.value <= 0 || wish.value >= 1)
  ] + [
    'alerts: there is no alert %s; docs/alerting.md has their names' % name
    for name in std.objectFields(config.alerts)
    if !std.setMember(name, alertNames)
  ] + [
    'alerts.%s: there is no setting %s; there are enabled, for, keepFiringFor, labels and severity' % [name, key]
    for name in std.objectFields(config.alerts)
    for key in std.objectFields(config.alerts[name])
    if !std.member(['enabled', 'for', 'keepFiringFor', 'labels', 'severity'], key)
  ] + [
    'alerts.%s.severity is %s, but must be one of %s' % [name, config.alerts[name].severity, std.join(', ', roles)]
    for name in std.objectFields(config.alerts)
    if !std.objectHas(config.severities, std.get(config.alerts[name], 'severity', 'critical'))
  ] + [
    '%s: the label %s is set by the rules, and routes depend on it; choose another name' % [where[0], label]
    for where in added
    for label in std.objectFields(where[1])
    if std.member(reserved, label)
  ] + (
    if std.length(std.set(words)) < std.length(words)
    then ['severities: two have the same word, and Alertmanager could not tell them apart'] else []
  );

local alert(rule, config) =
  local wish = std.get(config.alerts, rule.alert, {});
  rule {
    expr: narrowed(rule.expr, config.selector),
    labels+: { severity: config.severities[std.get(wish, 'severity', rule.labels.severity)] }
             + config.additionalRuleLabels + labelsOf(wish),
    // Else a link would lead to a dashboard that is called otherwise.
    annotations: std.mapWithKey(
      function(_, text) std.strReplace(text, '/d/agntix-', '/d/' + config.dashboardUidPrefix), rule.annotations
    ),
    [if std.objectHas(wish, 'for') then 'for']: wish['for'],
    [if std.objectHas(wish, 'keepFiringFor') then 'keep_firing_for']: wish.keepFiringFor,
  };

local links(config) = {
  [if value.url != '' then value.label]: std.rstripChars(value.url, '/')
  for value in [
    { label: 'grafana_url', url: config.links.grafanaUrl },
    { label: 'exporter_url', url: config.links.exporterUrl },
    { label: 'runbook_url', url: config.links.runbookUrl },
    { label: 'app_url', url: config.links.appUrl },
  ]
};

local recording(rule, config) =
  local wishes = [wish for wish in config.thresholds if isWished(wish, rule)];
  rule {
    expr: if wishes == [] then narrowed(rule.expr, config.selector) else vector(wishes[std.length(wishes) - 1].value),
    [if rule.record == 'agntix:setting:links' then 'labels']+: links(config),
  };

// The rules that one rule becomes.
local adapted(rule, config) =
  if std.objectHas(rule, 'alert')
  then if std.get(std.get(config.alerts, rule.alert, {}), 'enabled', true) then [alert(rule, config)] else []
  else [recording(rule, config)] + (
    if rule.record == objective
    then [{ record: objective, expr: vector(wish.value), labels: wish.labels } for wish in config.thresholds if isOwn(wish)]
    else []
  );

local of(groups, config) = {
  local all = [group { rules: std.flatMap(function(rule) adapted(rule, config), group.rules) } for group in groups],
  groups: [group for group in all if group.rules != []],
};
local hasAlert(group) = std.any([std.objectHas(rule, 'alert') for rule in group.rules]);

{
  local config = $._config,
  local said = problems(config),
  assert said == [] : std.join('\n', said),

  prometheusAlerts+: of([group for group in groups if hasAlert(group)], config),
  prometheusRules+: of([group for group in groups if !hasAlert(group)], config),
}
