// Alert rules, recording rules and dashboards of agntix-exporter as a monitoring mixin. README.md says how to use it, config.libsonnet what can be set.
(import 'config.libsonnet') +
(import 'rules.libsonnet') +
(import 'dashboards.libsonnet')
