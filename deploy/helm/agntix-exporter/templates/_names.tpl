{{/* Names, labels and annotations that several objects share. */}}

{{- define "agntix-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "agntix-exporter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "agntix-exporter.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "agntix-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end }}

{{- define "agntix-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "agntix-exporter.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* toYaml puts in quotes whatever YAML would take for a number, a truth value or a time. */}}
{{- define "agntix-exporter.selector" -}}
{{- dict "app.kubernetes.io/name" (include "agntix-exporter.name" .) "app.kubernetes.io/instance" .Release.Name | toYaml -}}
{{- end }}

{{/* Of every object: `list . MORE…`, of which later ones win. */}}
{{- define "agntix-exporter.labels" -}}
{{- $top := first . -}}
{{- $labels := mergeOverwrite (dict) (default dict $top.Values.commonLabels) -}}
{{- range rest . -}}
{{- $labels = mergeOverwrite $labels (default dict .) -}}
{{- end -}}
{{- $own := dict
      "app.kubernetes.io/version" $top.Chart.AppVersion
      "app.kubernetes.io/managed-by" $top.Release.Service
      "helm.sh/chart" (printf "%s-%s" $top.Chart.Name $top.Chart.Version | replace "+" "_") -}}
{{- mergeOverwrite (dict) $own $labels (fromYaml (include "agntix-exporter.selector" $top)) | toYaml -}}
{{- end }}

{{/* The metadata of an object: `dict "top" .`, and as far as they differ "name" (which is appended), "namespace", "component", "labels", "annotations". */}}
{{- define "agntix-exporter.metadata" -}}
{{- $component := dict -}}
{{- with .component -}}
{{- $component = dict "app.kubernetes.io/component" . -}}
{{- end -}}
name: {{ printf "%s%s" (include "agntix-exporter.fullname" .top) (default "" .name) | toYaml }}
namespace: {{ default (include "agntix-exporter.namespace" .top) .namespace | toYaml }}
labels:
  {{- include "agntix-exporter.labels" (list .top .labels $component) | nindent 2 }}
{{- with mergeOverwrite (dict) (default dict .top.Values.commonAnnotations) (default dict .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "agntix-exporter.image" -}}
{{- $image := .Values.image -}}
{{- /* A registry is what has a dot or a port, as Docker reads it. */ -}}
{{- $registry := regexFind "^([^/]*[.:][^/]*|localhost)/" $image.repository -}}
{{- $repository := trimPrefix $registry $image.repository -}}
{{- with coalesce (default dict .Values.global).imageRegistry $image.registry $registry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end }}

{{/* A list, or nothing. */}}
{{- define "agntix-exporter.imagePullSecrets" -}}
{{- $names := list -}}
{{- range concat (default list .Values.imagePullSecrets) (default list (default dict .Values.global).imagePullSecrets) -}}
{{- $names = append $names (kindIs "map" . | ternary . (dict "name" .)) -}}
{{- end -}}
{{- with uniq $names -}}
{{- toYaml . -}}
{{- end -}}
{{- end }}

{{- define "agntix-exporter.scheme" -}}
{{- if and (not .Values.demo) .Values.webConfig.existingSecret .Values.webConfig.tls }}https{{ else }}http{{ end -}}
{{- end }}
