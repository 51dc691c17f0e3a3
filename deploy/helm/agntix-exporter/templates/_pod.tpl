{{/* The pod: of the StatefulSet with one replica and its volume, and of the Deployment with replicas that share a database. */}}

{{- define "agntix-exporter.pod" -}}
{{- $shared := include "agntix-exporter.shared" . }}
{{- $annotations := dict "kubectl.kubernetes.io/default-container" "exporter" -}}
{{- if not .Values.demo -}}
{{- $_ := set $annotations "checksum/config" (default "" .Values.config | sha256sum) -}}
{{- end -}}
metadata:
  labels:
    {{- include "agntix-exporter.labels" (list . .Values.podLabels) | nindent 4 }}
  annotations:
    {{- mergeOverwrite $annotations (default dict .Values.commonAnnotations) (default dict .Values.podAnnotations) | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "agntix-exporter.serviceAccountName" . | toYaml }}
  automountServiceAccountToken: {{ .Values.automountServiceAccountToken | default false }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- range $field := list "priorityClassName" "runtimeClassName" "schedulerName" "dnsPolicy" }}
  {{- with get $.Values $field }}
  {{ $field }}: {{ toYaml . }}
  {{- end }}
  {{- end }}
  {{- range $field := list "dnsConfig" "hostAliases" }}
  {{- with get $.Values $field }}
  {{ $field }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with include "agntix-exporter.imagePullSecrets" . }}
  imagePullSecrets:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with include "agntix-exporter.securityContext" (list . .Values.podSecurityContext) }}
  # fsGroup is for the volume, and for the mounted secrets.
  securityContext:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    {{- include "agntix-exporter.container" . | nindent 4 }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "agntix-exporter.volumes" . | nindent 4 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else if $shared }}
  # Over zones and nodes as far as there are several, those of one revision among themselves.
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "agntix-exporter.selector" $ | nindent 10 }}
      matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
