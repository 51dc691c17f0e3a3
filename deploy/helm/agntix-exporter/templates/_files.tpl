{{/* The files that the chart brings along: rules and dashboards. What their names in values must be. */}}

{{/* Prints nothing. Refuses a copy of the chart that has none of the files that are asked for: `list . WHY PATTERN WHAT`. */}}
{{- define "agntix-exporter.checkFiles" -}}
{{- $top := index . 0 -}}
{{- if not ($top.Files.Glob (index . 2)) -}}
{{- fail (printf "%s, but this copy of the chart has no %s: no file is %s. A tool that copied the chart left them out, or the copy is of a version that had symbolic links there, which Flux, archives and Git on Windows drop. Take the packaged chart, or the whole folder deploy/helm/agntix-exporter of the current version; deploy/helm/generate writes the files again in a clone" (index . 1) (index . 3) (index . 2)) -}}
{{- end -}}
{{- end }}

{{/* `list VALUE NAME FOUND`: what to say of an alert that the rules do not have. */}}
{{- define "agntix-exporter.noAlert" -}}
{{- $near := include "agntix-exporter.nearest" (dict "word" (index . 1) "known" (keys (index . 2))) -}}
{{- printf "%s: there is no alert %s; %s" (index . 0) (index . 1) ($near | empty | ternary "docs/alerting.md has their names" (printf "did you mean %s?" $near)) -}}
{{- end }}

{{/* `list VALUE NAME NAMES`: what to say of a dashboard that there is not. */}}
{{- define "agntix-exporter.noDashboard" -}}
{{- $near := include "agntix-exporter.nearest" (dict "word" (index . 1) "known" (index . 2)) -}}
{{- printf "%s: there is no dashboard %s; %s" (index . 0) (index . 1) ($near | empty | ternary (printf "there are %s" (join ", " (index . 2))) (printf "did you mean %s?" $near)) -}}
{{- end }}
