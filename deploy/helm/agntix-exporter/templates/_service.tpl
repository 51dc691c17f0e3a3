{{/* What Services have in common. */}}

{{- define "agntix-exporter.serviceType" -}}
type: {{ .type }}
{{- range $field := list "loadBalancerClass" "externalTrafficPolicy" }}
{{- with get $ $field }}
{{ $field }}: {{ toYaml . }}
{{- end }}
{{- end }}
{{- with .loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "agntix-exporter.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
