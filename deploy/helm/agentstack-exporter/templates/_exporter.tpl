{{/* For charts that have this one as a dependency: the sidecar, an entry of initContainers. Give it the context of this chart:
     {{ include "agentstack-exporter.sidecar" (index .Subcharts "agentstack-exporter") }} */}}
{{- define "agentstack-exporter.sidecar" -}}
{{- include "agentstack-exporter.container" (dict "root" . "part" .Values.sidecar "name" "sidecar") -}}
{{- end -}}

{{/* The volumes of the sidecar, a list; empty if it needs none. */}}
{{- define "agentstack-exporter.sidecarVolumes" -}}
{{- include "agentstack-exporter.volumes" (dict "root" . "part" .Values.sidecar) -}}
{{- end -}}

{{/* The container. Of: root, part (.Values.gateway or .Values.sidecar), name (gateway or sidecar). */}}
{{- define "agentstack-exporter.container" -}}
{{- include "agentstack-exporter.check" . -}}
{{- $values := .root.Values -}}
{{- $scheme := ternary (dict "scheme" "HTTPS") dict $values.telemetry.tls -}}
{{- $healthy := merge (dict "path" "/-/healthy" "port" "telemetry") $scheme -}}
{{- $ready := merge (dict "path" "/-/ready" "port" "telemetry") $scheme -}}
- name: exporter
  image: {{ include "agentstack-exporter.image" .root | quote }}
  {{- with $values.image.pullPolicy }}
  imagePullPolicy: {{ . }}
  {{- end }}
  {{- if eq .name "sidecar" }}
  # A native sidecar: it starts before the app and stops after it.
  restartPolicy: Always
  {{- end }}
  args:
    {{- include "agentstack-exporter.args" . | nindent 4 }}
  {{- with include "agentstack-exporter.env" . | trim }}
  env:
    {{- . | nindent 4 }}
  {{- end }}
  ports:
    - name: calls
      containerPort: {{ $values.ports.calls }}
    - name: telemetry
      containerPort: {{ $values.ports.telemetry }}
  startupProbe:
    {{- merge (dict "httpGet" $healthy) $values.probes.startup | toYaml | nindent 4 }}
  readinessProbe:
    {{- merge (dict "httpGet" $ready) $values.probes.readiness | toYaml | nindent 4 }}
  livenessProbe:
    {{- merge (dict "httpGet" $healthy) $values.probes.liveness | toYaml | nindent 4 }}
  resources:
    {{- toYaml .part.resources | nindent 4 }}
  securityContext:
    {{- mergeOverwrite (deepCopy $values.securityContext) (.part.securityContext | default dict) | toYaml | nindent 4 }}
  {{- with include "agentstack-exporter.mounts" . | trim }}
  volumeMounts:
    {{- . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The command line. */}}
{{- define "agentstack-exporter.args" -}}
{{- $values := .root.Values -}}
- serve
- --listen=0.0.0.0:{{ $values.ports.calls }}
{{- with .part.upstream }}
- {{ printf "--upstream=%s" . | quote }}
{{- end }}
{{- with .part.auth.tokensKey }}
- --auth-token-file=/etc/agentstack-exporter/{{ . }}
{{- end }}
{{- if $values.tls.existingSecret }}
- --tls-cert=/etc/agentstack-exporter-tls/tls.crt
- --tls-key=/etc/agentstack-exporter-tls/tls.key
{{- with $values.tls.clientCaKey }}
- --tls-client-ca=/etc/agentstack-exporter-tls/{{ . }}
{{- end }}
{{- end }}
- --telemetry-listen=0.0.0.0:{{ $values.ports.telemetry }}
{{- if $values.telemetry.webConfigSecret }}
- --web-config=/etc/agentstack-exporter-web/{{ $values.telemetry.webConfigKey }}
{{- else }}
- --insecure-telemetry
{{- if not (hasKey (.part.settings | default dict) "live") }}
- --no-live
{{- end }}
{{- end }}
{{- if $values.prices.enabled }}
- --prices=/etc/agentstack-exporter-prices/prices.toml
{{- end }}
{{- range $key, $value := .part.settings }}
{{- if kindIs "bool" $value }}
- --{{ ternary "" "no-" $value }}{{ $key }}
{{- else }}
{{- range $item := ternary $value (list $value) (kindIs "slice" $value) }}
- {{ printf "--%s=%s" $key (include "agentstack-exporter.plain" $item) | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A value as text. Numbers of values files are floats, and large ones would be written as 1e+06. */}}
{{- define "agentstack-exporter.plain" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* The environment, a list; empty if there is none. */}}
{{- define "agentstack-exporter.env" -}}
{{- $secret := include "agentstack-exporter.secret" . -}}
{{- range $name, $key := dict "AGENTSTACK_EXPORTER_PATH_SECRETS" .part.auth.pathSecretsKey "AGENTSTACK_EXPORTER_PLIVO_AUTH_TOKENS" .part.auth.plivoAuthTokensKey }}
{{- if $key }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ $key }}
{{- end }}
{{- end }}
{{- $place := dict -}}
{{- if eq .name "sidecar" -}}
{{- $place = dict "OTEL_RESOURCE_ATTRIBUTES" (printf "k8s.namespace.name=%s" .root.Release.Namespace) -}}
{{- end -}}
{{- range $name, $value := merge (deepCopy .root.Values.otel) $place }}
- name: {{ $name }}
  value: {{ include "agentstack-exporter.plain" $value | quote }}
{{- end }}
{{- with .root.Values.otelHeaders }}
{{- if .existingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where files are in the container. */}}
{{- define "agentstack-exporter.mounts" -}}
{{- $values := .root.Values -}}
{{- if .part.auth.tokensKey }}
- {name: exporter-tokens, mountPath: /etc/agentstack-exporter, readOnly: true}
{{- end }}
{{- if $values.tls.existingSecret }}
- {name: exporter-tls, mountPath: /etc/agentstack-exporter-tls, readOnly: true}
{{- end }}
{{- if $values.telemetry.webConfigSecret }}
- {name: exporter-web, mountPath: /etc/agentstack-exporter-web, readOnly: true}
{{- end }}
{{- if $values.prices.enabled }}
- {name: exporter-prices, mountPath: /etc/agentstack-exporter-prices, readOnly: true}
{{- end }}
{{- with $values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The volumes of the pod. */}}
{{- define "agentstack-exporter.volumes" -}}
{{- $values := .root.Values -}}
{{- if .part.auth.tokensKey }}
- name: exporter-tokens
  secret:
    secretName: {{ include "agentstack-exporter.secret" . }}
{{- end }}
{{- with $values.tls.existingSecret }}
- name: exporter-tls
  secret:
    secretName: {{ . }}
{{- end }}
{{- with $values.telemetry.webConfigSecret }}
- name: exporter-web
  secret:
    secretName: {{ . }}
{{- end }}
{{- if $values.prices.enabled }}
- name: exporter-prices
  configMap:
    name: {{ include "agentstack-exporter.prices" .root }}
{{- end }}
{{- with $values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What no schema can say: what belongs together, whether there is authentication, and whether there is time to stop. */}}
{{- define "agentstack-exporter.check" -}}
{{- $auth := .part.auth -}}
{{- $certificates := and .root.Values.tls.existingSecret .root.Values.tls.clientCaKey -}}
{{- if not (or $auth.tokensKey $auth.pathSecretsKey $auth.plivoAuthTokensKey $certificates .part.settings.insecure) -}}
{{- fail (printf "%s.auth: set tokensKey, pathSecretsKey or plivoAuthTokensKey, or tls.clientCaKey. To accept calls from anyone, set %s.settings.insecure" .name .name) -}}
{{- end -}}
{{- if and $auth.existingSecret $auth.tokens -}}
{{- fail "gateway.auth: set either existingSecret or tokens, of which the chart makes a Secret" -}}
{{- end -}}
{{- if and .root.Values.tls.clientCaKey (not .root.Values.tls.existingSecret) -}}
{{- fail "tls.clientCaKey: is a key of tls.existingSecret, which is not set" -}}
{{- end -}}
{{- if and .root.Values.telemetry.tls (not .root.Values.telemetry.webConfigSecret) -}}
{{- fail "telemetry.tls: TLS is set up by the file in telemetry.webConfigSecret, which is not set" -}}
{{- end -}}
{{- $drain := ternary 25.0 2.0 (not (empty .part.upstream)) -}}
{{- if hasKey .part.settings "drain-timeout" -}}{{- $drain = float64 (index .part.settings "drain-timeout") -}}{{- end -}}
{{- $linger := 0.0 -}}
{{- if .part.settings.linger -}}
{{- $linger = float64 (ternary (index .part.settings "linger-timeout") 60 (hasKey .part.settings "linger-timeout")) -}}
{{- end -}}
{{- $needed := addf $drain (maxf 12 $linger) -}}
{{- if lt (float64 .part.terminationGracePeriodSeconds) $needed -}}
{{- fail (printf "%s.terminationGracePeriodSeconds: with these settings the exporter needs %g s to stop (drain-timeout, then linger-timeout or 12 s), and has %v s" .name $needed .part.terminationGracePeriodSeconds) -}}
{{- end -}}
{{- end -}}
