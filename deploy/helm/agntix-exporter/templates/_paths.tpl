{{/* Where the exporter serves what, by the same rules as src/config/web.rs. */}}

{{/* [web] of `config`, as JSON; that of the demo is empty, since it gets no configuration file. */}}
{{- define "agntix-exporter.web" -}}
{{- $web := dict -}}
{{- if not .Values.demo -}}
{{- $config := fromToml (default "" .Values.config) -}}
{{- with $config.Error -}}
{{- fail (printf "config is not TOML as Helm reads it, and the probes take their paths from it; put right what Helm says: %v" .) -}}
{{- end -}}
{{- if kindIs "map" $config.web -}}
{{- $web = $config.web -}}
{{- end -}}
{{- end -}}
{{- toJson $web -}}
{{- end }}

{{/* What all routes but the webhook's begin with: empty, or a path that ends with no slash. */}}
{{- define "agntix-exporter.prefix" -}}
{{- $web := fromJson (include "agntix-exporter.web" .) -}}
{{- $prefix := "" -}}
{{- if hasKey $web "route_prefix" -}}
{{- $prefix = toString $web.route_prefix -}}
{{- else if hasKey $web "external_url" -}}
{{- $prefix = regexReplaceAll "^https?://[^/?#]*" (toString $web.external_url) "" -}}
{{- end -}}
{{- regexReplaceAll "/+$" $prefix "" -}}
{{- end }}

{{/* Where people reach the exporter: what web.external_url says if that is more than a path, else the Service, for who is in the cluster. */}}
{{- define "agntix-exporter.address" -}}
{{- $web := fromJson (include "agntix-exporter.web" .) -}}
{{- $url := hasKey $web "external_url" | ternary (toString $web.external_url) "" -}}
{{- if not (hasPrefix "http" $url) -}}
{{- $url = printf "%s://%s.%s.svc:%v%s" (include "agntix-exporter.scheme" .) (include "agntix-exporter.fullname" .) (include "agntix-exporter.namespace" .) .Values.service.port (include "agntix-exporter.prefix" .) -}}
{{- end -}}
{{- regexReplaceAll "/+$" $url "" -}}
{{- end }}

{{/* The whole path of the metrics. */}}
{{- define "agntix-exporter.metricsPath" -}}
{{- $web := fromJson (include "agntix-exporter.web" .) -}}
{{- include "agntix-exporter.prefix" . -}}
{{- hasKey $web "telemetry_path" | ternary (toString $web.telemetry_path) "/metrics" -}}
{{- end }}

{{/* Prints nothing. Refuses what would move the paths, or switch TLS on, where probes and ServiceMonitor do not follow. */}}
{{- define "agntix-exporter.checkPaths" -}}
{{- $elsewhere := list
      (list "--web.external-url" "AGNTIX_EXPORTER__WEB__EXTERNAL_URL" "set web.external_url in config")
      (list "--web.route-prefix" "AGNTIX_EXPORTER__WEB__ROUTE_PREFIX" "set web.route_prefix in config")
      (list "--web.telemetry-path" "AGNTIX_EXPORTER__WEB__TELEMETRY_PATH" "set web.telemetry_path in config")
      (list "--web.config.file" "AGNTIX_EXPORTER__WEB__CONFIG_FILE" "name the Secret that holds the file in webConfig.existingSecret")
      (list "--config.file" "AGNTIX_EXPORTER_CONFIG_FILE" "put its text into config") -}}
{{- $refusal := "%s[%d] sets %s, which the probes and the ServiceMonitor cannot follow; %s instead" -}}
{{- if .Values.demo -}}
{{- /* What would do without the demo does nothing here. */ -}}
{{- $refusal = "%s[%d] sets %s, which the probes and the ServiceMonitor of the demo cannot follow; leave it out, or, without the demo, %s" -}}
{{- end -}}
{{- range $one := $elsewhere -}}
{{- $flag := index $one 0 -}}
{{- $variable := index $one 1 -}}
{{- range $number, $argument := $.Values.extraArgs -}}
{{- if or (eq $argument $flag) (hasPrefix (printf "%s=" $flag) $argument) -}}
{{- fail (printf $refusal "extraArgs" $number $flag (index $one 2)) -}}
{{- end -}}
{{- end -}}
{{- range $number, $entry := $.Values.extraEnv -}}
{{- if eq $entry.name $variable -}}
{{- fail (printf $refusal "extraEnv" $number $variable (index $one 2)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $web := fromJson (include "agntix-exporter.web" .) -}}
{{- if and (hasKey $web "config_file") (not .Values.webConfig.existingSecret) -}}
{{- fail "config sets web.config_file, and the chart cannot see whether the probes have to speak HTTPS then; name the Secret that holds the file in webConfig.existingSecret, and set webConfig.tls" -}}
{{- end -}}
{{- end }}
