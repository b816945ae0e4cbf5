{{- /* Refuse what cannot work, or is no place for a secret. */ -}}
{{- define "giftless.check" -}}
{{- include "giftless.refuseSecrets" (dict "value" .Values.config "path" "config") }}
{{- $config := include "giftless.config" . | fromYaml }}
{{- if regexMatch "^[0-9]" .Release.Name }}
{{- fail "the name of a Service cannot begin with a digit: choose another name for the release" }}
{{- end }}
{{- $admin := .Values.config.admin | default dict }}
{{- if or $admin.endpoints (eq (toString $admin.public_health) "false") }}
{{- fail "config.admin: endpoints and public_health are the chart's: its probes need them; metrics.enabled opens the endpoint" }}
{{- end }}
{{- if not (regexMatch "tcp6?:(port=)?8080(:|\"|$)" (toJson $config.endpoints)) }}
{{- fail "config.endpoints needs one on port 8080, such as tcp:8080: the service and the probes ask there" }}
{{- end }}
{{- $types := include "giftless.types" $config.storage | splitList " " }}
{{- if and (has "local" $types) (not .Values.persistence.enabled) }}
{{- fail "storage of type local needs persistence.enabled: objects would be lost with the pod" }}
{{- end }}
{{- if .Values.ssh.enabled }}
{{- if .Values.config.ssh | default dict | dig "host_keys" "" }}
{{- fail "config.ssh.host_keys: put them into a Secret, and name that in ssh.hostKeysSecret" }}
{{- end }}
{{- if not (regexMatch "tcp6?:(port=)?2222(:|\"|$)" (toJson $config.ssh.endpoints)) }}
{{- fail "config.ssh.endpoints needs one on port 2222, such as tcp:2222: the service connects there" }}
{{- end }}
{{- if not $config.ssh.keys }}
{{- fail "ssh.enabled needs config.ssh.keys: it says who a key is" }}
{{- end }}
{{- end }}
{{- range .Values.env }}
{{- if hasPrefix "GIFTLESS_" .name }}
{{- fail (printf "env: %s: say it in config, or in secrets" .name) }}
{{- end }}
{{- end }}
{{- $options := list }}
{{- range .Values.secrets }}
{{- if has .option $options }}
{{- fail (printf "secrets: %s is there twice" .option) }}
{{- end }}
{{- $options = append $options .option }}
{{- end }}
{{- with .Values.autoscaling }}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
{{- fail "autoscaling: minReplicas is more than maxReplicas" }}
{{- end }}
{{- end }}
{{- if include "giftless.several" . }}
{{- if has "local" $types }}
{{- fail "several replicas need storage that all share: config.storage of type s3, gcs or azure" }}
{{- end }}
{{- if .Values.persistence.enabled }}
{{- fail "several replicas cannot share a volume: set persistence.enabled: false" }}
{{- end }}
{{- if has "mirror" $types }}
{{- fail "a mirror is one replica: each has a key of its own for what the other server gives out" }}
{{- end }}
{{- range $part := list "locks" "catalogue" }}
{{- $type := dig $part "type" "sqlite" $config }}
{{- if not (has $type (list "postgresql" "none")) }}
{{- fail (printf "several replicas need config.%s of type postgresql (or none), which all share; found %s" $part $type) }}
{{- end }}
{{- end }}
{{- if not (has "secret" $options) }}
{{- fail "several replicas need the same secret: add {option: secret, secretName: …, key: …} to secrets" }}
{{- end }}
{{- if and .Values.ssh.enabled (not .Values.ssh.hostKeysSecret) }}
{{- fail "several replicas need the same keys of SSH: set ssh.hostKeysSecret" }}
{{- end }}
{{- range $index, $observer := $config.observers | default list }}
{{- if and (eq $observer.type "webhooks") (not $observer.conninfo) (not (has (printf "observers.%d.conninfo" $index) $options)) }}
{{- fail (printf "several replicas need observers.%d.conninfo, a database that all share" $index) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The types of a storage and of those inside it, with spaces between. */ -}}
{{- define "giftless.types" -}}
{{- if kindIs "map" . }}{{ .type | default "" }}
{{- range $key, $value := . }}{{ if and (kindIs "map" $value) (ne $key "keys") }} {{ include "giftless.types" $value }}{{ end }}{{ end }}
{{- end }}
{{- end }}

{{- /* Fail if a key that holds a secret has a value. */ -}}
{{- define "giftless.refuseSecrets" -}}
{{- $path := .path }}
{{- if kindIs "map" .value }}
{{- range $key, $value := .value }}
{{- $where := printf "%s.%s" $path $key }}
{{- if and $value (has $key (list "account_key" "client_secret" "connection_string" "conninfo" "hmac_secret" "key" "password" "secret" "secret_access_key" "secrets")) }}
{{- fail (printf "%s is a secret: put it into a Secret, and name that in secrets: {option: %s, secretName: …, key: …}" $where (trimPrefix "config." $where)) }}
{{- end }}
{{- include "giftless.refuseSecrets" (dict "value" $value "path" $where) }}
{{- end }}
{{- else if kindIs "slice" .value }}
{{- range $index, $value := .value }}
{{- include "giftless.refuseSecrets" (dict "value" $value "path" (printf "%s.%d" $path $index)) }}
{{- end }}
{{- end }}
{{- end }}
