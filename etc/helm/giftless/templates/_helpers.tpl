{{- /* A release may have dots in its name, a Service not. */ -}}
{{- define "giftless.name" -}}
{{- $release := replace "." "-" .Release.Name }}
{{- if contains .Chart.Name $release }}{{ $release | trunc 63 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" $release .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "giftless.metricsName" -}}
{{ include "giftless.name" . | trunc 55 | trimSuffix "-" }}-metrics
{{- end }}

{{- define "giftless.sshName" -}}
{{ include "giftless.name" . | trunc 59 | trimSuffix "-" }}-ssh
{{- end }}

{{- define "giftless.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "giftless.labels" -}}
{{ include "giftless.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "giftless.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{- define "giftless.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "giftless.name" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- /* "yes" if there may be more than one replica. */ -}}
{{- define "giftless.several" -}}
{{- if or (and .Values.autoscaling.enabled (gt (int .Values.autoscaling.maxReplicas) 1)) (and (not .Values.autoscaling.enabled) (gt (int .Values.replicaCount) 1)) }}yes{{ end }}
{{- end }}

{{- /* The configuration, without secrets: what the chart needs, and what the values say. */ -}}
{{- define "giftless.config" -}}
{{- $config := dict
  "endpoints" (list "tcp:8080:interface=\\:\\:")
  "storage" (dict "type" "local" "path" "/var/lib/giftless/objects")
  "state_dir" "/var/lib/giftless/state"
  "auth" (list (dict "type" "anonymous" "access" "read"))
  "workers" "auto"
  "log_format" "json"
  "shutdown_timeout" 60
}}
{{- with .Values.ingress }}{{ if .enabled }}
{{- $_ := set $config "public_url" (printf "%s://%s" (ternary "http" "https" (empty .tlsSecretName)) .host) }}
{{- end }}{{ end }}
{{- range $key, $value := .Values.config }}{{ $_ := set $config $key $value }}{{ end }}
{{- /* Probes ask where clients connect; the admin endpoint is for the pod alone. */ -}}
{{- $interface := ternary "\\:\\:" "127.0.0.1" .Values.metrics.enabled }}
{{- $admin := dict "public_health" true "endpoints" (list (printf "tcp:9090:interface=%s" $interface)) }}
{{- $_ := set $config "admin" (merge (dict) $admin (.Values.config.admin | default dict)) }}
{{- if .Values.ssh.enabled }}
{{- $ssh := dict "endpoints" (list "tcp:2222:interface=\\:\\:") }}
{{- if .Values.ssh.hostKeysSecret }}
{{- $files := list }}
{{- range .Values.ssh.hostKeys }}{{ $files = append $files (printf "/run/secrets/giftless-ssh/%s" .) }}{{ end }}
{{- $_ := set $ssh "host_keys" $files }}
{{- end }}
{{- range $key, $value := .Values.config.ssh }}{{ $_ := set $ssh $key $value }}{{ end }}
{{- $_ := set $config "ssh" $ssh }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- /* Longer than shutdown_timeout, 5 s for workers and preStop. */ -}}
{{- define "giftless.gracePeriod" -}}
{{- $timeout := 60 }}
{{- if hasKey .Values.config "shutdown_timeout" }}{{ $timeout = int .Values.config.shutdown_timeout }}{{ end }}
{{- add $timeout (int .Values.preStopSeconds) 15 }}
{{- end }}

{{- /* The variable that names the file of a secret value. */ -}}
{{- define "giftless.variable" -}}
GIFTLESS_{{ . | upper | replace "." "__" }}_FILE
{{- end }}
