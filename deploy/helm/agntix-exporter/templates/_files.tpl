{{/* The files that the chart brings along: rules and dashboards. */}}

{{/* Prints nothing. Refuses a copy of the chart that has none of the files that a switch asks for: `list . SWITCH PATTERN WHAT`. */}}
{{- define "agntix-exporter.checkFiles" -}}
{{- $top := index . 0 -}}
{{- if not ($top.Files.Glob (index . 2)) -}}
{{- fail (printf "%s is set, but this copy of the chart has no %s: no file is %s. A tool that copied the chart left them out, or the copy is of a version that had symbolic links there, which Flux, archives and Git on Windows drop. Take the packaged chart, or the whole folder deploy/helm/agntix-exporter of the current version; deploy/helm/generate writes the files again in a clone" (index . 1) (index . 3) (index . 2)) -}}
{{- end -}}
{{- end }}
