{{/* Where the counts are: on a volume of the one pod, or in a database that replicas share. */}}

{{/* "true" if replicas share a database, else nothing. The demo keeps its own state. */}}
{{- define "agntix-exporter.shared" -}}
{{- if and (not .Values.demo) .Values.state.url }}true{{ end -}}
{{- end }}

{{/* The workload, as kubectl names it. */}}
{{- define "agntix-exporter.workload" -}}
{{- if include "agntix-exporter.shared" . }}deployment{{ else }}statefulset{{ end -}}
/{{ include "agntix-exporter.fullname" . }}
{{- end }}

{{/* The ports of the database, of each host once, as YAML. */}}
{{- define "agntix-exporter.databasePorts" -}}
{{- $hosts := regexReplaceAll "^[a-z]+://([^/?@]*@)?([^/?]*).*$" .Values.state.url "${2}" -}}
{{- $ports := list -}}
{{- range splitList "," $hosts -}}
{{- $port := regexFind ":[0-9]+$" . | trimPrefix ":" -}}
{{- $ports = append $ports (default "5432" $port) -}}
{{- end -}}
{{- range uniq $ports }}
- port: {{ . }}
{{- end }}
{{- end }}

{{/* Prints nothing. Refuses values that contradict each other, or lack something. */}}
{{- define "agntix-exporter.check" -}}
{{- $live := not .Values.demo -}}
{{- if eq (toString .Values.enabled) "false" -}}
{{- fail (printf "enabled is false, but Helm renders this chart all the same; in the Chart.yaml of the chart above, name %s.enabled as the condition of the dependency, or leave enabled out" .Chart.Name) -}}
{{- end -}}
{{- if $live -}}
{{- $_ := required "credential.existingSecret is empty: name a Secret that holds the organization's API key, or set demo=true" .Values.credential.existingSecret -}}
{{- if .Values.webhook.enabled -}}
{{- $_ := required "webhook.existingSecret is empty: name a Secret that holds the webhook's signing secret" .Values.webhook.existingSecret -}}
{{- end -}}
{{- end -}}
{{- include "agntix-exporter.checkPaths" . -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- if .Values.demo -}}
{{- fail (printf "replicas is %d, but the demo is one process with counts of its own: set replicas=1" (int .Values.replicas)) -}}
{{- end -}}
{{- if not .Values.state.url -}}
{{- fail (printf "replicas is %d, but without a database each of them would count every session: set state.url to the PostgreSQL that they share, or replicas=1" (int .Values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- if $live -}}
{{- $state := (fromToml (default "" .Values.config)).state -}}
{{- if kindIs "map" $state -}}
{{- range list "url" "schema" "password_file" -}}
{{- if hasKey $state . -}}
{{- fail (printf "config sets state.%s, which the chart cannot see; set %s in the values instead" . (eq . "password_file" | ternary "state.existingSecret" (printf "state.%s" .))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $number, $entry := .Values.extraEnv -}}
{{- if has $entry.name (list "AGNTIX_EXPORTER__STATE__URL" "AGNTIX_EXPORTER__STATE__SCHEMA" "AGNTIX_EXPORTER__STATE__PASSWORD_FILE") -}}
{{- fail (printf "extraEnv[%d] sets %s, which the chart cannot see; set state.url, state.schema and state.existingSecret in the values instead" $number $entry.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $strategy := (default dict .Values.updateStrategy).type -}}
{{- if and (include "agntix-exporter.shared" .) (eq (default "" $strategy) "OnDelete") -}}
{{- fail "updateStrategy.type is OnDelete, which a Deployment does not know; with state.url, set RollingUpdate or Recreate" -}}
{{- else if and (not (include "agntix-exporter.shared" .)) (eq (default "" $strategy) "Recreate") -}}
{{- fail "updateStrategy.type is Recreate, which a StatefulSet does not know, and need not: it ends its pod before it starts the next; set RollingUpdate or OnDelete" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- fail "serviceMonitor.enabled and podMonitor.enabled are both set, and would scrape the same series twice: choose one of them" -}}
{{- end -}}
{{- if and .Values.podMonitoring.enabled (include "agntix-exporter.shared" .) -}}
{{- fail "podMonitoring.enabled is set with state.url: each replica serves the sessions of all, and a PodMonitoring cannot make one target of them, so they would be counted once for each replica; scrape with a ServiceMonitor or a PodMonitor, or run one exporter without state.url" -}}
{{- end -}}
{{- if and $live (not .Values.state.url) .Values.state.existingSecret -}}
{{- fail "state.existingSecret is set without state.url: name the database in state.url, without the password" -}}
{{- end -}}
{{- end }}
