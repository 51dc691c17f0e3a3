{{/* What a ServiceMonitor and a PodMonitor have in common. */}}

{{/* The job: the name of the Service, or the value of the label that jobLabel names. `dict "top" . "jobLabel" … "labels" LABELS-OF-THE-OBJECT`. */}}
{{- define "agntix-exporter.job" -}}
{{- $name := include "agntix-exporter.fullname" .top -}}
{{- with .jobLabel -}}
{{- $name = default $name (get (fromYaml (include "agntix-exporter.labels" (list $.top $.labels))) .) -}}
{{- end -}}
{{- $name -}}
{{- end }}

{{/* Limits and such of the monitor itself. */}}
{{- define "agntix-exporter.monitorSpec" -}}
{{- $spec := dict -}}
{{- range $field := list "jobLabel" "targetLabels" "podTargetLabels" "sampleLimit" "targetLimit" "labelLimit" "labelNameLengthLimit" "labelValueLengthLimit" "scrapeProtocols" "scrapeClass" "attachMetadata" -}}
{{- with get $.settings $field -}}
{{- $_ := set $spec $field . -}}
{{- end -}}
{{- end -}}
{{- $release := include "agntix-exporter.namespace" .top -}}
{{- if and .settings.namespace (ne .settings.namespace $release) -}}
{{- $_ := set $spec "namespaceSelector" (dict "matchNames" (list $release)) -}}
{{- end -}}
{{- with mergeOverwrite $spec (default dict .settings.extraSpec) -}}
{{- toYaml . -}}
{{- end -}}
{{- end }}

{{/*
An endpoint: `dict "top" . "settings" VALUES "collect" WHAT "job" THE-JOB-IF-IT-MUST-BE-SAID`. With replicas, "sessions" is one target of all pods, and
"exporter" is each of them.
*/}}
{{- define "agntix-exporter.endpoint" -}}
{{- $top := .top }}
{{- $settings := .settings }}
{{- $name := include "agntix-exporter.fullname" $top -}}
port: metrics
path: {{ include "agntix-exporter.metricsPath" $top | quote }}
{{- with .collect }}
params: {"collect[]": [{{ . }}]}
{{- end }}
interval: {{ $settings.interval }}
scrapeTimeout: {{ $settings.scrapeTimeout }}
scheme: {{ default (include "agntix-exporter.scheme" $top) $settings.scheme }}
{{- if $settings.honorLabels }}
honorLabels: true
{{- end }}
{{- if eq (toString $settings.honorTimestamps) "false" }}
honorTimestamps: false
{{- end }}
{{- with $settings.proxyUrl }}
proxyUrl: {{ quote . }}
{{- end }}
{{- range $field := list "tlsConfig" "basicAuth" "authorization" }}
{{- with get $settings $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- if or .collect .job $settings.relabelings }}
relabelings:
  {{- with $settings.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if eq (default "" .collect) "sessions" }}
  # The pods behind the Service are one target: with the same address and labels Prometheus keeps one of them.
  - {targetLabel: __address__, replacement: {{ printf "%s.%s.svc:%v" $name (include "agntix-exporter.namespace" $top) $top.Values.service.port | quote }}}
  - {targetLabel: instance, replacement: {{ $name | quote }}}
  - {action: labeldrop, regex: pod|container|node}
  {{- end }}
  {{- with .job }}
  - {targetLabel: job, replacement: {{ quote . }}}
  {{- end }}
{{- end }}
{{- with $settings.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.extraEndpoint }}
{{ toYaml . }}
{{- end }}
{{- end }}
