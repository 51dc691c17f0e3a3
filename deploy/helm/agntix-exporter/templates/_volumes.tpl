{{/* What the pod is given as files. */}}

{{/* For a volume of a Secret. The files are root's and of the group of fsGroup; without one they are for everybody in the container. */}}
{{- define "agntix-exporter.secretMode" -}}
{{- if (fromYaml (include "agntix-exporter.securityContext" (list . .Values.podSecurityContext))).fsGroup }}0440{{ else }}0444{{ end -}}
{{- end }}

{{- define "agntix-exporter.volumeMounts" -}}
{{- $live := not .Values.demo }}
{{- $web := and $live .Values.webConfig.existingSecret }}
{{- $webhook := and $live .Values.webhook.enabled -}}
{{- if $live -}}
{{- if not (include "agntix-exporter.shared" .) -}}
- name: state
  mountPath: /data
{{- else if .Values.state.existingSecret -}}
- name: database
  mountPath: /etc/agntix-exporter/database
  readOnly: true
{{- end }}
- name: config
  mountPath: /etc/agntix-exporter/config.toml
  subPath: config.toml
  readOnly: true
{{- if and $web $webhook }}
- name: config
  mountPath: /etc/agntix-exporter/webhook.yml
  subPath: webhook.yml
  readOnly: true
{{- end }}
# Secrets as whole directories: they are renewed while the pod runs, which a file that is mounted alone is not.
- name: credential
  mountPath: /etc/agntix-exporter/credential
  readOnly: true
{{- else -}}
- name: scratch
  mountPath: /tmp
{{- end }}
{{- if $web }}
- name: web
  mountPath: /etc/agntix-exporter/web
  readOnly: true
{{- end }}
{{- if $webhook }}
- name: webhook
  mountPath: /etc/agntix-exporter/webhook
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "agntix-exporter.volumes" -}}
{{- $live := not .Values.demo }}
{{- $shared := include "agntix-exporter.shared" . }}
{{- $mode := include "agntix-exporter.secretMode" . -}}
{{- if $live -}}
- name: config
  configMap:
    name: {{ include "agntix-exporter.fullname" . | toYaml }}
- name: credential
  secret:
    secretName: {{ .Values.credential.existingSecret | toYaml }}
    defaultMode: {{ $mode }}
    items:
      - key: {{ .Values.credential.key | toYaml }}
        path: {{ .Values.credential.key | toYaml }}
{{- if $shared }}
{{- with .Values.state.existingSecret }}
- name: database
  secret:
    secretName: {{ toYaml . }}
    defaultMode: {{ $mode }}
{{- end }}
{{- else if not .Values.persistence.enabled }}
- name: state
  emptyDir: {}
{{- else if .Values.persistence.existingClaim }}
- name: state
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim | toYaml }}
{{- end }}
{{- else -}}
- name: scratch
  emptyDir: {sizeLimit: 256Mi}
{{- end }}
{{- if and $live .Values.webConfig.existingSecret }}
- name: web
  secret:
    secretName: {{ .Values.webConfig.existingSecret | toYaml }}
    defaultMode: {{ $mode }}
{{- end }}
{{- if and $live .Values.webhook.enabled }}
- name: webhook
  secret:
    secretName: {{ .Values.webhook.existingSecret | toYaml }}
    defaultMode: {{ $mode }}
    items:
      - key: {{ .Values.webhook.key | toYaml }}
        path: {{ .Values.webhook.key | toYaml }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
