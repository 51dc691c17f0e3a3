{{/* The container of the exporter: its arguments, its environment and its probes. */}}

{{- define "agntix-exporter.container" -}}
{{- $live := not .Values.demo }}
{{- $shared := include "agntix-exporter.shared" . }}
{{- $webhook := and $live .Values.webhook.enabled }}
{{- $prefix := include "agntix-exporter.prefix" . -}}
- name: exporter
  image: {{ include "agntix-exporter.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args:
    {{- if .Values.demo }}
    - demo
    {{- else }}
    - --config.file=/etc/agntix-exporter/config.toml
    {{- end }}
    - --web.listen-address=:9899
    {{- range .Values.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  {{- with include "agntix-exporter.environment" . | trim }}
  env:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with .Values.envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - name: metrics
      containerPort: 9899
    {{- if $webhook }}
    - name: webhook
      containerPort: {{ .Values.webhook.port }}
    {{- end }}
  {{- $healthy := printf "%s/-/healthy" $prefix }}
  {{- with include "agntix-exporter.probe" (dict "top" . "own" .Values.startupProbe "path" $healthy) }}
  # Five minutes for a state in an older format to be carried over, and for a slow volume.
  startupProbe:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with include "agntix-exporter.probe" (dict "top" . "own" .Values.livenessProbe "path" $healthy) }}
  livenessProbe:
    {{- . | nindent 4 }}
  {{- end }}
  {{- if $shared }}
  {{- $usual := dict "periodSeconds" 5 "timeoutSeconds" 5 "failureThreshold" 2 }}
  {{- with include "agntix-exporter.probe" (dict "top" . "own" .Values.readinessProbe "path" (printf "%s/-/ready?page" $prefix) "usual" $usual) }}
  # Ready is: it can serve a page that is current. One that cannot is taken out of the Services, and the others serve.
  readinessProbe:
    {{- . | nindent 4 }}
  {{- end }}
  {{- else }}
  {{- $usual := dict "periodSeconds" 10 "timeoutSeconds" 5 }}
  {{- with include "agntix-exporter.probe" (dict "top" . "own" .Values.readinessProbe "path" (printf "%s/-/ready" $prefix) "usual" $usual) }}
  # Ready is: the numbers are complete. It is scraped before that, too.
  readinessProbe:
    {{- . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- if .Values.lifecycle }}
  lifecycle:
    {{- toYaml .Values.lifecycle | nindent 4 }}
  {{- else if and $shared (kindIs "map" .Values.lifecycle) (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) }}
  # It serves until the Services have forgotten it.
  lifecycle:
    preStop:
      sleep: {seconds: 5}
  {{- end }}
  {{- with include "agntix-exporter.securityContext" (list . .Values.securityContext) }}
  securityContext:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with .Values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    {{- include "agntix-exporter.volumeMounts" . | nindent 4 }}
{{- end }}

{{/* The variables that the chart sets, and further ones. */}}
{{- define "agntix-exporter.environment" -}}
{{- $live := not .Values.demo }}
{{- $web := and $live .Values.webConfig.existingSecret }}
{{- if $live }}
{{- if include "agntix-exporter.shared" . }}
- name: AGNTIX_EXPORTER__STATE__URL
  value: {{ .Values.state.url | quote }}
- name: AGNTIX_EXPORTER__STATE__SCHEMA
  value: {{ .Values.state.schema | quote }}
{{- if .Values.state.existingSecret }}
- name: AGNTIX_EXPORTER__STATE__PASSWORD_FILE
  value: {{ printf "/etc/agntix-exporter/database/%s" .Values.state.key | quote }}
{{- end }}
{{- else }}
- name: AGNTIX_EXPORTER__STATE__PATH
  value: /data
{{- end }}
- name: {{ eq .Values.credential.type "bearerToken" | ternary "AGNTIX_EXPORTER__API__BEARER_TOKEN_FILE" "AGNTIX_EXPORTER__API__KEY_FILE" }}
  value: {{ printf "/etc/agntix-exporter/credential/%s" .Values.credential.key | quote }}
{{- end }}
{{- if $web }}
- name: AGNTIX_EXPORTER__WEB__CONFIG_FILE
  value: {{ printf "/etc/agntix-exporter/web/%s" .Values.webConfig.key | quote }}
{{- end }}
{{- if and $live .Values.webhook.enabled }}
- name: AGNTIX_EXPORTER__WEBHOOK__ENABLED
  value: "true"
- name: AGNTIX_EXPORTER__WEBHOOK__LISTEN_ADDRESS
  value: ":{{ .Values.webhook.port }}"
- name: AGNTIX_EXPORTER__WEBHOOK__PATH
  value: {{ .Values.webhook.path | quote }}
- name: AGNTIX_EXPORTER__WEBHOOK__SECRET_FILE
  value: {{ printf "/etc/agntix-exporter/webhook/%s" .Values.webhook.key | quote }}
{{- if $web }}
# Plain HTTP for the deliveries: the ingress ends TLS.
- name: AGNTIX_EXPORTER__WEBHOOK__WEB_CONFIG_FILE
  value: /etc/agntix-exporter/webhook.yml
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A probe, or nothing if it is null or not enabled: `dict "top" . "own" VALUES "path" … "usual" DEFAULTS`. httpGet of the user's is added to the chart's. */}}
{{- define "agntix-exporter.probe" -}}
{{- if and (kindIs "map" .own) (ne (toString (default dict .own).enabled) "false") -}}
{{- $probe := omit (mergeOverwrite (dict) (default dict .usual) .own) "enabled" -}}
{{- if not (or .own.exec .own.tcpSocket) -}}
{{- $get := dict "path" .path "port" "metrics" "scheme" (include "agntix-exporter.scheme" .top | upper) -}}
{{- $_ := set $probe "httpGet" (mergeOverwrite $get (default dict .own.httpGet)) -}}
{{- end -}}
{{- include "agntix-exporter.withoutNull" $probe -}}
{{- end -}}
{{- end }}
