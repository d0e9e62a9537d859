{{- /* Objects have fixed names: two installations with the same domain would inject twice, so Helm refuses the second. */ -}}

{{- define "outrigger.labels" -}}
app.kubernetes.io/name: outrigger
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "outrigger.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* Settings of the program: the chart's settings, overridden by the user's. */ -}}
{{- define "outrigger.config" -}}
{{- $config := dict "listen" "0.0.0.0:9443" "adminListen" "0.0.0.0:8080" "cluster" "on" "templates" (list "built-in" "/etc/outrigger/templates") -}}
{{- if ne .Values.domain "outrigger.dev" -}}
{{- $config = set $config "domain" .Values.domain -}}
{{- end -}}
{{- with .Values.webhook.excludedNamespaces -}}
{{- $config = set $config "excludeNamespaces" (concat (list "kube-system" "kube-node-lease" "kube-public") . | uniq) -}}
{{- end -}}
{{- if ne .Values.certificates.mode "self" -}}
{{- $config = merge (dict "certificates" .Values.certificates.mode "tlsCert" "/etc/outrigger/tls/tls.crt" "tlsKey" "/etc/outrigger/tls/tls.key") $config -}}
{{- end -}}
{{- toYaml (mergeOverwrite $config (deepCopy .Values.config)) -}}
{{- end }}

{{- /* The Secret with the serving certificate if the program does not create it. */ -}}
{{- define "outrigger.tlsSecret" -}}
{{- if eq .Values.certificates.mode "certManager" -}}
outrigger-tls
{{- else if eq .Values.certificates.mode "files" -}}
{{ required "certificates.files.secretName: expected the name of a Secret with tls.crt and tls.key, because certificates.mode is files" .Values.certificates.files.secretName }}
{{- end -}}
{{- end }}

{{- /* CEL: the pod has the annotation, with any value. */ -}}
{{- define "outrigger.asks" -}}
has(object.metadata.annotations) && '{{ .Values.domain }}/inject' in object.metadata.annotations
{{- end }}

{{- define "outrigger.clientConfig" -}}
{{- if eq .Values.certificates.mode "files" }}
caBundle: {{ required "certificates.files.caBundle: expected certificates in PEM, because certificates.mode is files" .Values.certificates.files.caBundle | b64enc }}
{{- end }}
service:
  namespace: {{ .Release.Namespace }}
  name: outrigger
  path: /mutate
  port: 443
{{- end }}

{{- define "outrigger.excludedNamespaces" -}}
{{- concat (list "kube-system" "kube-node-lease" "kube-public" .Release.Namespace) .Values.webhook.excludedNamespaces | uniq | toYaml -}}
{{- end }}
