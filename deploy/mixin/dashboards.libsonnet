// The dashboards of grafana/dashboards, read from there, with what _config sets of them.
local narrowed = (import 'selectors.libsonnet').narrowed;

// The files are named one by one, since Jsonnet imports nothing whose name is computed.
local files = {
  'agntix-agent.json': importstr '../../grafana/dashboards/agntix-agent.json',
  'agntix-conversation.json': importstr '../../grafana/dashboards/agntix-conversation.json',
  'agntix-duration.json': importstr '../../grafana/dashboards/agntix-duration.json',
  'agntix-exporter.json': importstr '../../grafana/dashboards/agntix-exporter.json',
  'agntix-intents.json': importstr '../../grafana/dashboards/agntix-intents.json',
  'agntix-operations.json': importstr '../../grafana/dashboards/agntix-operations.json',
  'agntix-overview.json': importstr '../../grafana/dashboards/agntix-overview.json',
  'agntix-quality.json': importstr '../../grafana/dashboards/agntix-quality.json',
  'agntix-sessions.json': importstr '../../grafana/dashboards/agntix-sessions.json',
};
local shippedPrefix = 'agntix-';
local shippedTitle = 'Agntix / ';
local shippedApp = 'https://app.agntix.ai/en/logs-history';

// As the chart does it: the graphs mark where an alert of this severity began, and tables colour both.
local withSeverities(text, words) =
  local marked = std.strReplace(text, 'severity=\\"critical\\"', 'severity=\\"%s\\"' % words.critical);
  std.strReplace(std.strReplace(marked, '"critical"', '"%s"' % words.critical), '"warning"', '"%s"' % words.warning);

// In addresses, and in queries that say which dashboard a row leads to.
local withPrefix(text, prefix) =
  std.strReplace(std.strReplace(text, '/d/' + shippedPrefix, '/d/' + prefix), '\\"' + shippedPrefix, '\\"' + prefix);

// Every query of panels, variables and marks.
local withSelector(value, selector) =
  if std.isObject(value) then {
    [key]:
      if std.member(['definition', 'expr', 'query'], key) && std.isString(value[key])
      then narrowed(value[key], selector)
      else withSelector(value[key], selector)
    for key in std.objectFields(value)
  }
  else if std.isArray(value) then [withSelector(one, selector) for one in value]
  else value;

local variable(shipped, config) =
  shipped +
  (if std.member(config.hiddenVariables, shipped.name) then { hide: 2 } else {}) +
  (
    if shipped.type != 'datasource' then {}
    else {
      current+: { text: config.datasource.name, value: config.datasource.uid },
      [if config.datasourceFilterRegex != '' then 'regex']: config.datasourceFilterRegex,
    }
  );

// The rules say it too, where they are loaded.
local withApp(text, url) = if url == '' then text else std.strReplace(text, shippedApp, std.rstripChars(url, '/'));

local dashboard(shipped, config) =
  local words = withSeverities(withApp(shipped, config.links.appUrl), config.severities);
  local title = std.escapeStringJson(config.dashboardTitlePrefix);
  local titled = std.strReplace(words, shippedTitle, title[1:std.length(title) - 1]);
  local parsed = std.parseJson(withPrefix(titled, config.dashboardUidPrefix));
  local board = if config.selector == '' then parsed else withSelector(parsed, config.selector);
  board {
    uid: config.dashboardUidPrefix + board.uid[std.length(shippedPrefix):],
    tags: config.dashboardTags,
    refresh: if config.dashboardRefresh == '' then super.refresh else config.dashboardRefresh,
    timezone: config.dashboardTimezone,
    templating+: { list: [variable(one, config) for one in board.templating.list] },
  };

{
  local config = $._config,
  local unknown = [
    name
    for name in config.hiddenVariables
    if !std.member([one.name for one in std.parseJson(files['agntix-sessions.json']).templating.list], name)
  ],
  assert unknown == [] : 'hiddenVariables: there is no variable %s' % std.join(', ', unknown),

  grafanaDashboardFolder: config.dashboardFolder,
  grafanaDashboards+: {
    [config.dashboardUidPrefix + name[std.length(shippedPrefix):]]: dashboard(files[name], config)
    for name in std.objectFields(files)
  },
}
