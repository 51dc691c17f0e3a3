{{/* What the pod and its container may do. */}}

{{/* A map without what is null in it, on both its levels; or nothing. */}}
{{- define "agntix-exporter.withoutNull" -}}
{{- $kept := dict -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value -}}
{{- with fromYaml (include "agntix-exporter.withoutNull" $value) -}}
{{- $_ := set $kept $key . -}}
{{- end -}}
{{- else if not (kindIs "invalid" $value) -}}
{{- $_ := set $kept $key $value -}}
{{- end -}}
{{- end -}}
{{- with $kept -}}
{{- toYaml . -}}
{{- end -}}
{{- end }}

{{/* "true" where OpenShift chooses the user and the groups, else nothing. */}}
{{- define "agntix-exporter.openshift" -}}
{{- $openshift := default dict (default dict (default dict .Values.global).compatibility).openshift -}}
{{- $adapt := default "auto" $openshift.adaptSecurityContext -}}
{{- if or (eq $adapt "force") (and (eq $adapt "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) }}true{{ end -}}
{{- end }}

{{/* A security context, or nothing: `list . VALUES`. */}}
{{- define "agntix-exporter.securityContext" -}}
{{- $own := default dict (index . 1) -}}
{{- if ne (toString $own.enabled) "false" -}}
{{- $own = omit $own "enabled" -}}
{{- if include "agntix-exporter.openshift" (index . 0) -}}
{{- $own = omit $own "runAsUser" "runAsGroup" "fsGroup" -}}
{{- end -}}
{{- include "agntix-exporter.withoutNull" $own -}}
{{- end -}}
{{- end }}
