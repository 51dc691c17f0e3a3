{{/* The dashboards, one by one, for ConfigMaps and for GrafanaDashboards. */}}

{{/* Those that are wanted, as JSON: file by name. Refuses names that no dashboard has. */}}
{{- define "agntix-exporter.dashboards" -}}
{{- $wanted := dict -}}
{{- $names := list -}}
{{- range $path, $_ := .Files.Glob "files/dashboards/*.json" -}}
{{- $name := base $path | trimSuffix ".json" -}}
{{- $names = append $names $name -}}
{{- $own := default dict (get (default dict $.Values.dashboards.overrides) $name) -}}
{{- if not (or (has $name $.Values.dashboards.disabled) (eq (toString $own.enabled) "false")) -}}
{{- $_ := set $wanted $name $path -}}
{{- end -}}
{{- end -}}
{{- range $name := .Values.dashboards.disabled -}}
{{- if not (has $name $names) -}}
{{- fail (include "agntix-exporter.noDashboard" (list "dashboards.disabled" $name $names)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.dashboards.overrides -}}
{{- if not (has $name $names) -}}
{{- fail (include "agntix-exporter.noDashboard" (list "dashboards.overrides" $name $names)) -}}
{{- end -}}
{{- end -}}
{{- toJson $wanted -}}
{{- end }}

{{/* The text of a dashboard: `list . FILE`. The graphs mark where an alert of a severity began, and tables colour both; so they know what severities are called. */}}
{{- define "agntix-exporter.dashboard" -}}
{{- $top := index . 0 -}}
{{- $words := $top.Values.rules.severities -}}
{{- $critical := printf "severity=\\\"%s\\\"" $words.critical -}}
{{- $top.Files.Get (index . 1) | replace "severity=\\\"critical\\\"" $critical | replace "\"critical\"" (quote $words.critical) | replace "\"warning\"" (quote $words.warning) -}}
{{- end }}
