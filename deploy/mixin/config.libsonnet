// What can be set, with what is shipped. Whoever leaves all of it as it is gets the files of deploy/prometheus/rules and grafana/dashboards.
//
// What is said of alerts has the names of deploy/prometheus/alerts.yml and of `rules` in the values of the chart; docs/alerting.md explains it.
{
  _config+:: {
    // Put into every selector of the exporter's metrics, in rules and dashboards, such as 'job="agntix", cluster="prod"'. It is for a Prometheus, Thanos or
    // Mimir that also has exporters that these rules are not for.
    selector: '',

    // Where annotations link to. Empty: as shipped.
    links: {
      grafanaUrl: '',
      // Where people reach the exporter, which serves the runbooks.
      exporterUrl: '',
      // Runbooks of your own, which come before those of the exporter: {alert} stands for the name of the alert, which else is put behind a slash.
      runbookUrl: '',
      // The page of Agntix that has a session, without the id.
      appUrl: '',
    },

    // Thresholds that differ from agntix-settings.yml, each given by its name and labels:
    //   thresholds+: [{ record: 'agntix:threshold:z', labels: { pace: 'fast' }, value: 4 }],
    // Nobody has an objective of resolution unless it is set: for all, or for an agent_id or an organization alone.
    //   thresholds+: [{ record: 'agntix:threshold:resolution_objective', value: 0.8 }],
    thresholds: [],

    // The value of the label severity. No shipped alert is an info.
    severities: { critical: 'critical', warning: 'warning', info: 'info' },

    // Labels that every alert gets, such as { team: 'support' }.
    additionalRuleLabels: {},

    // What differs by alert. severity is critical, warning or info, whatever it is called above:
    //   alerts+: { AgntixUnresolvedSpike: { severity: 'warning', 'for': '3m', keepFiringFor: '30m', enabled: true, labels: { team: 'delivery' } } },
    alerts: {},

    // Tags of the dashboards, by which a search finds them.
    dashboardTags: ['agntix'],
    // What their uids begin with; links between them and from alerts follow.
    dashboardUidPrefix: 'agntix-',
    // What their titles begin with.
    dashboardTitlePrefix: 'Agntix / ',
    // How often they ask anew. Empty: as each is shipped.
    dashboardRefresh: '',
    // browser, utc, or a name such as Europe/Berlin.
    dashboardTimezone: 'browser',
    // The folder, for those that read it from a mixin.
    dashboardFolder: 'Agntix',
    // The Prometheus that they open with: its uid and its name. Another one can be chosen on the dashboard.
    datasource: { uid: 'prometheus', name: 'Prometheus' },
    // Names of the data sources that are offered, as a regular expression such as '/prod/'. Empty: all.
    datasourceFilterRegex: '',
    // Variables that are not shown, such as ['cluster', 'namespace'] where no series has these labels.
    hiddenVariables: [],
  },
}
