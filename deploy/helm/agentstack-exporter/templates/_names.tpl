{{/* The name of all objects. */}}
{{- define "agentstack-exporter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the gateway's pods. They never change, nor with an alias of the chart. */}}
{{- define "agentstack-exporter.selectorLabels" -}}
app.kubernetes.io/name: agentstack-exporter
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of all objects. */}}
{{- define "agentstack-exporter.labels" -}}
{{ include "agentstack-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The name of the service account of the gateway. */}}
{{- define "agentstack-exporter.serviceAccount" -}}
{{- .Values.gateway.serviceAccount.name | default (ternary (include "agentstack-exporter.fullname" .) "default" .Values.gateway.serviceAccount.create) -}}
{{- end -}}

{{/* The image with its tag, and its digest if that is given. */}}
{{- define "agentstack-exporter.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- with .Values.image.digest -}}{{- printf "@%s" . -}}{{- end -}}
{{- end -}}

{{/* The Secret with the credentials. Of: root, part (.Values.gateway or .Values.sidecar). */}}
{{- define "agentstack-exporter.secret" -}}
{{- .part.auth.existingSecret | default (include "agentstack-exporter.fullname" .root) -}}
{{- end -}}

{{/* The ConfigMap with the prices. */}}
{{- define "agentstack-exporter.prices" -}}
{{- .Values.prices.existingConfigMap | default (printf "%s-prices" (include "agentstack-exporter.fullname" .)) -}}
{{- end -}}
