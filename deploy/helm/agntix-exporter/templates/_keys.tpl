{{/* Refuses keys that the chart does not know, by files/values.schema.json, and names the nearest one. */}}

{{/* Ends with these words. helm lint mentions in passing what fails, and goes on; over a template that there is not it stumbles, and says its name. */}}
{{- define "agntix-exporter.refuse" -}}
{{- fail . -}}
{{- include . . -}}
{{- end }}

{{/* What other charts call it. */}}
{{- define "agntix-exporter.otherNames" -}}
{{- dict
      "args" "extraArgs"
      "containerSecurityContext" "securityContext"
      "dashboard" "dashboards"
      "env" "extraEnv"
      "extraConfigmapMounts" "extraVolumes and extraVolumeMounts"
      "extraDeploy" "extraManifests"
      "extraEnvFrom" "envFrom"
      "extraEnvFromSecret" "envFrom"
      "extraInitContainers" "initContainers"
      "extraObjects" "extraManifests"
      "extraSecretMounts" "extraVolumes and extraVolumeMounts"
      "grafanaDashboard" "dashboards.grafanaOperator"
      "grafanaDashboards" "dashboards.grafanaOperator"
      "httpRoute" "webhook.httpRoute"
      "ingress" "webhook.ingress"
      "prometheusRule" "rules"
      "replicaCount" "replicas"
      "route" "webhook.httpRoute"
      "secretName" "credential.existingSecret"
      "sidecars" "extraContainers"
      "strategy" "updateStrategy"
      "testConnection" "helmTest.enabled"
      "volumeMounts" "extraVolumeMounts"
      "volumes" "extraVolumes" | toJson -}}
{{- end }}

{{/* How many letters two words differ by, whatever their case: `list A B`. */}}
{{- define "agntix-exporter.distance" -}}
{{- $one := lower (index . 0) -}}
{{- $other := lower (index . 1) -}}
{{- $row := untilStep 0 (int (add1 (len $other))) 1 -}}
{{- range $i := until (len $one) -}}
{{- $letter := substr $i (int (add1 $i)) $one -}}
{{- $next := list (add1 $i) -}}
{{- range $j := until (len $other) -}}
{{- $cost := eq $letter (substr $j (int (add1 $j)) $other) | ternary 0 1 -}}
{{- $next = append $next (min (add1 (index $next $j)) (add1 (index $row (int (add1 $j)))) (add $cost (index $row $j))) -}}
{{- end -}}
{{- $row = $next -}}
{{- end -}}
{{- last $row -}}
{{- end }}

{{/* The word that is nearest to another, or nothing if none is near: `dict "word" … "known" LIST`. */}}
{{- define "agntix-exporter.nearest" -}}
{{- $near := "" -}}
{{- $least := int (max 2 (div (len .word) 3)) -}}
{{- range $known := sortAlpha .known -}}
{{- if le (sub (max (len $known) (len $.word)) (min (len $known) (len $.word))) (add1 $least) -}}
{{- $distance := int (include "agntix-exporter.distance" (list $.word $known)) -}}
{{- if or (lt $distance $least) (and (not $near) (eq $distance $least)) -}}
{{- $near = $known -}}
{{- $least = $distance -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $near -}}
{{- end }}

{{/* The paths of a schema that end with this key, whatever its case, one a line: `dict "definitions" … "schema" … "path" … "key" …`. */}}
{{- define "agntix-exporter.pathsTo" -}}
{{- $schema := .schema -}}
{{- with get $schema "$ref" -}}
{{- $schema = get $.definitions (trimPrefix "#/definitions/" .) -}}
{{- end -}}
{{- range $key, $below := $schema.properties -}}
{{- $path := printf "%s%s" $.path $key -}}
{{- if eq (lower $key) (lower $.key) }}{{ $path }}
{{ end -}}
{{- include "agntix-exporter.pathsTo" (dict "definitions" $.definitions "schema" $below "path" (printf "%s." $path) "key" $.key) -}}
{{- end -}}
{{- end }}

{{/* What to say of a key that the schema does not know: `dict "root" … "schema" … "path" … "key" …`. */}}
{{- define "agntix-exporter.unknownKey" -}}
{{- $near := include "agntix-exporter.nearest" (dict "word" .key "known" (keys .schema.properties)) -}}
{{- $distance := int (include "agntix-exporter.distance" (list .key $near)) -}}
{{- $elsewhere := include "agntix-exporter.pathsTo" (dict "definitions" .root.definitions "schema" .root "path" "" "key" .key) | trim | splitList "\n" | compact -}}
{{- $other := get (fromJson (include "agntix-exporter.otherNames" .)) .key -}}
{{- $words := "" -}}
{{- if and $near (le $distance 1) -}}
{{- $words = printf "did you mean %s%s?" .path $near -}}
{{- else if and $other (not .path) -}}
{{- $words = printf "here it is called %s" $other -}}
{{- else if $near -}}
{{- $words = printf "did you mean %s%s?" .path $near -}}
{{- else if and $elsewhere (le (len $elsewhere) 4) -}}
{{- $words = printf "did you mean %s?" (join " or " $elsewhere) -}}
{{- else if .path -}}
{{- $words = printf "there can be: %s" (keys .schema.properties | sortAlpha | join ", ") -}}
{{- else -}}
{{- $words = "`helm show values` prints all that there are" -}}
{{- end -}}
{{- printf "%s%s is no value of this chart; %s" .path .key $words -}}
{{- end }}

{{/*
Prints nothing. Refuses unknown keys at every level, and null where the chart can do without neither value nor default:
`dict "root" SCHEMA "schema" SCHEMA-OF-VALUE "value" VALUE "path" "a.b" "defaults" WHETHER-VALUES.YAML-HAS-THE-LEVEL`.
*/}}
{{- define "agntix-exporter.checkKeys" -}}
{{- $schema := .schema -}}
{{- with get $schema "$ref" -}}
{{- $schema = get $.root.definitions (trimPrefix "#/definitions/" .) -}}
{{- end -}}
{{- $more := get $schema "additionalProperties" -}}
{{- if kindIs "map" .value -}}
{{- $path := empty .path | ternary "" (printf "%s." .path) -}}
{{- range $key, $value := .value -}}
{{- $at := printf "%s%s" $path $key -}}
{{- $known := dict "root" $.root "value" $value "path" $at -}}
{{- if hasKey (default dict $schema.properties) $key -}}
{{- $below := get $schema.properties $key -}}
{{- /* Levels whose keys have no defaults. */ -}}
{{- $open := or (has $at (list "global" "podMonitor" "updateStrategy")) (hasPrefix "#/definitions/probe" (default "" (get $below "$ref"))) -}}
{{- include "agntix-exporter.checkKeys" (merge $known (dict "schema" $below "defaults" (and $.defaults (not $open)))) -}}
{{- else if kindIs "map" $more -}}
{{- include "agntix-exporter.checkKeys" (merge $known (dict "schema" $more "defaults" false)) -}}
{{- else if eq (toString $more) "false" -}}
{{- include "agntix-exporter.refuse" (include "agntix-exporter.unknownKey" (dict "root" $.root "schema" $schema "path" $path "key" $key)) -}}
{{- end -}}
{{- end -}}
{{- if .defaults -}}
{{- range $key, $below := $schema.properties -}}
{{- if or (not (hasKey $.value $key)) (kindIs "invalid" (get $.value $key)) -}}
{{- include "agntix-exporter.checkNull" (dict "root" $.root "schema" $below "path" (printf "%s%s" $path $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if and (kindIs "slice" .value) (kindIs "map" $schema.items) -}}
{{- range $number, $value := .value -}}
{{- include "agntix-exporter.checkKeys" (dict "root" $.root "schema" $schema.items "value" $value "path" (printf "%s[%d]" $.path $number) "defaults" false) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Prints nothing. Helm takes away a default that is set to null; of texts, lists and maps of the user's own that is as good as an empty one. */}}
{{- define "agntix-exporter.checkNull" -}}
{{- $schema := .schema -}}
{{- with get $schema "$ref" -}}
{{- $schema = get $.root.definitions (trimPrefix "#/definitions/" .) -}}
{{- end -}}
{{- $types := kindIs "slice" $schema.type | ternary $schema.type (list $schema.type) -}}
{{- $needed := or (hasKey $schema "minLength") (has "integer" $types) (and $schema.enum (not (has "" $schema.enum))) -}}
{{- $needed = or $needed (and $schema.pattern (not (regexMatch $schema.pattern ""))) -}}
{{- $needed = or $needed (and $schema.properties (has "object" $types) (not (has .path (list "global" "updateStrategy")))) -}}
{{- if and $needed (not (has "null" $types)) -}}
{{- include "agntix-exporter.refuse" (printf "%s is null, and the chart cannot do without it; leave it out for its default" .path) -}}
{{- end -}}
{{- end }}
