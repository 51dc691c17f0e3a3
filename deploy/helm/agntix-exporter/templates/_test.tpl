{{/* Of the pod of helm test. It is none of those that the Service has, so its labels are others. */}}
{{- define "agntix-exporter.testSelector" -}}
{{- dict "app.kubernetes.io/name" (printf "%s-test" (include "agntix-exporter.name" .)) "app.kubernetes.io/instance" .Release.Name | toYaml -}}
{{- end }}
