{{/* The pod: of the StatefulSet with one replica and its volume, and of the Deployment with replicas that share a database. */}}

{{- define "agntix-exporter.pod" -}}
{{- $live := not .Values.demo }}
{{- $shared := include "agntix-exporter.shared" . }}
{{- $webhook := and $live .Values.webhook.enabled }}
{{- $web := and $live .Values.webConfig.existingSecret }}
{{- $prefix := include "agntix-exporter.prefix" . -}}
metadata:
  labels:
    {{- include "agntix-exporter.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: exporter
    {{- if $live }}
    checksum/config: {{ sha256sum .Values.config }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "agntix-exporter.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    # The volume, and the mounted secrets.
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  containers:
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
      {{- if or $live .Values.extraEnv }}
      env:
        {{- if $live }}
        {{- if $shared }}
        - name: AGNTIX_EXPORTER__STATE__URL
          value: {{ .Values.state.url | quote }}
        - name: AGNTIX_EXPORTER__STATE__SCHEMA
          value: {{ .Values.state.schema | quote }}
        {{- if .Values.state.existingSecret }}
        - name: AGNTIX_EXPORTER__STATE__PASSWORD_FILE
          value: /etc/agntix-exporter/database/{{ .Values.state.key }}
        {{- end }}
        {{- else }}
        - name: AGNTIX_EXPORTER__STATE__PATH
          value: /data
        {{- end }}
        - name: {{ eq .Values.credential.type "bearerToken" | ternary "AGNTIX_EXPORTER__API__BEARER_TOKEN_FILE" "AGNTIX_EXPORTER__API__KEY_FILE" }}
          value: /etc/agntix-exporter/credential/{{ .Values.credential.key }}
        {{- end }}
        {{- if $web }}
        - name: AGNTIX_EXPORTER__WEB__CONFIG_FILE
          value: /etc/agntix-exporter/web/{{ .Values.webConfig.key }}
        {{- end }}
        {{- if $webhook }}
        - name: AGNTIX_EXPORTER__WEBHOOK__ENABLED
          value: "true"
        - name: AGNTIX_EXPORTER__WEBHOOK__LISTEN_ADDRESS
          value: ":{{ .Values.webhook.port }}"
        - name: AGNTIX_EXPORTER__WEBHOOK__PATH
          value: {{ .Values.webhook.path | quote }}
        - name: AGNTIX_EXPORTER__WEBHOOK__SECRET_FILE
          value: /etc/agntix-exporter/webhook/{{ .Values.webhook.key }}
        {{- if $web }}
        # Plain HTTP for the deliveries: the ingress ends TLS.
        - name: AGNTIX_EXPORTER__WEBHOOK__WEB_CONFIG_FILE
          value: /etc/agntix-exporter/webhook.yml
        {{- end }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        - name: metrics
          containerPort: 9899
        {{- if $webhook }}
        - name: webhook
          containerPort: {{ .Values.webhook.port }}
        {{- end }}
      # Five minutes for a state in an older format to be carried over, and for a slow volume.
      startupProbe:
        httpGet:
          path: {{ printf "%s/-/healthy" $prefix | quote }}
          port: metrics
          scheme: {{ include "agntix-exporter.scheme" . | upper }}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 60
      livenessProbe:
        httpGet:
          path: {{ printf "%s/-/healthy" $prefix | quote }}
          port: metrics
          scheme: {{ include "agntix-exporter.scheme" . | upper }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      {{- if $shared }}
      # Ready is: it can serve a page that is current. One that cannot is taken out of the Services, and the others serve.
      readinessProbe:
        httpGet:
          path: {{ printf "%s/-/ready?page" $prefix | quote }}
          port: metrics
          scheme: {{ include "agntix-exporter.scheme" . | upper }}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      {{- if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version }}
      # It serves until the Services have forgotten it.
      lifecycle:
        preStop:
          sleep: {seconds: 5}
      {{- end }}
      {{- else }}
      # Ready is: the numbers are complete. It is scraped before that, too.
      readinessProbe:
        httpGet:
          path: {{ printf "%s/-/ready" $prefix | quote }}
          port: metrics
          scheme: {{ include "agntix-exporter.scheme" . | upper }}
        periodSeconds: 10
        timeoutSeconds: 5
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        {{- if $live }}
        {{- if not $shared }}
        - name: state
          mountPath: /data
        {{- else if .Values.state.existingSecret }}
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
        {{- else }}
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
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- if $live }}
    - name: config
      configMap:
        name: {{ include "agntix-exporter.fullname" . }}
    - name: credential
      secret:
        secretName: {{ .Values.credential.existingSecret }}
        defaultMode: 0440
        items:
          - key: {{ .Values.credential.key }}
            path: {{ .Values.credential.key }}
    {{- if $shared }}
    {{- with .Values.state.existingSecret }}
    - name: database
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- else if not .Values.persistence.enabled }}
    - name: state
      emptyDir: {}
    {{- end }}
    {{- else }}
    - name: scratch
      emptyDir: {sizeLimit: 256Mi}
    {{- end }}
    {{- if $web }}
    - name: web
      secret:
        secretName: {{ .Values.webConfig.existingSecret }}
        defaultMode: 0440
    {{- end }}
    {{- if $webhook }}
    - name: webhook
      secret:
        secretName: {{ .Values.webhook.existingSecret }}
        defaultMode: 0440
        items:
          - key: {{ .Values.webhook.key }}
            path: {{ .Values.webhook.key }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
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
