{{- /*
The name of the installation: of its objects, and the value of their label. Without nameOverride it is
fixed, and not the name of the release: two installations with the same domain would inject twice, so
Helm refuses the second.
*/ -}}
{{- define "outrigger.name" -}}
{{- .Values.nameOverride | default "outrigger" -}}
{{- end }}

{{- /* Values of the label of Outrigger's own pods, those of an installation with the usual name too. */ -}}
{{- define "outrigger.ours" -}}
{{- list "outrigger" (include "outrigger.name" .) | uniq | toYaml -}}
{{- end }}

{{- /* Warn, Deny or Off. YAML reads an unquoted Off as a boolean. */ -}}
{{- define "outrigger.advice" -}}
{{- ternary "Off" .Values.advice (eq (toString .Values.advice) "false") -}}
{{- end }}

{{- define "outrigger.labels" -}}
app.kubernetes.io/name: {{ include "outrigger.name" . }}
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
{{- $name := include "outrigger.name" . -}}
{{- if ne $name "outrigger" -}}
{{- $config = merge (dict "service" $name "webhookConfiguration" $name "lease" $name "caSecret" (printf "%s-ca" $name) "servingSecret" (printf "%s-serving" $name)) $config -}}
{{- end -}}
{{- if ne (include "outrigger.advice" .) "Warn" -}}
{{- $config = set $config "advice" (include "outrigger.advice" .) -}}
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
{{ include "outrigger.name" . }}-tls
{{- else if eq .Values.certificates.mode "files" -}}
{{ required "certificates.files.secretName: expected the name of a Secret with tls.crt and tls.key, because certificates.mode is files" .Values.certificates.files.secretName }}
{{- end -}}
{{- end }}

{{- /* CEL: the pod has the annotation, with any value. */ -}}
{{- define "outrigger.asks" -}}
has(object.metadata.annotations) && '{{ .Values.domain }}/inject' in object.metadata.annotations
{{- end }}

{{- /* Takes the root and the path. */ -}}
{{- define "outrigger.clientConfig" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.certificates.mode "files" }}
caBundle: {{ required "certificates.files.caBundle: expected certificates in PEM, because certificates.mode is files" $root.Values.certificates.files.caBundle | b64enc }}
{{- end }}
service:
  namespace: {{ $root.Release.Namespace }}
  name: {{ include "outrigger.name" $root }}
  path: {{ index . 1 }}
  port: 443
{{- end }}

{{- define "outrigger.excludedNamespaces" -}}
{{- concat (list "kube-system" "kube-node-lease" "kube-public" .Release.Namespace) .Values.webhook.excludedNamespaces | uniq | toYaml -}}
{{- end }}

{{- define "outrigger.testNamespace" -}}
{{- .Values.test.namespace | default (printf "%s-test" (include "outrigger.name" .)) -}}
{{- end }}

{{- /* CEL: an annotation or a label of the object, or of a template in it, has the domain. */ -}}
{{- define "outrigger.mentionsTheDomain" -}}
([object.metadata] + (has(object.spec) && has(object.spec.template) && has(object.spec.template.metadata) ? [object.spec.template.metadata] : []) + (has(object.spec) && has(object.spec.jobTemplate) && has(object.spec.jobTemplate.metadata) ? [object.spec.jobTemplate.metadata] : []) + (has(object.spec) && has(object.spec.jobTemplate) && has(object.spec.jobTemplate.spec) && has(object.spec.jobTemplate.spec.template) && has(object.spec.jobTemplate.spec.template.metadata) ? [object.spec.jobTemplate.spec.template.metadata] : [])).exists(m, (has(m.annotations) && m.annotations.exists(key, key.contains('{{ .Values.domain }}/'))) || (has(m.labels) && m.labels.exists(key, key.contains('{{ .Values.domain }}/'))))
{{- end }}

{{- /* CEL: the object is new, or its pod template is another one. */ -}}
{{- define "outrigger.templateChanged" -}}
request.operation == 'CREATE' || (has(object.spec) && has(object.spec.jobTemplate) && has(object.spec.jobTemplate.spec) && has(object.spec.jobTemplate.spec.template) ? object.spec.jobTemplate.spec.template != oldObject.spec.jobTemplate.spec.template : has(object.spec) && has(object.spec.template) && object.spec.template != oldObject.spec.template)
{{- end }}

{{- /* CEL: no controller made the object. */ -}}
{{- define "outrigger.hasNoController" -}}
!has(object.metadata.ownerReferences) || !object.metadata.ownerReferences.exists(owner, has(owner.controller) && owner.controller)
{{- end }}

{{- /* CEL: the template is new, changed, or deleted. */ -}}
{{- define "outrigger.templateObjectChanged" -}}
request.operation == 'CREATE' || request.operation == 'DELETE' || !has(object.metadata.deletionTimestamp) && (object.spec != oldObject.spec || has(object.metadata.labels) != has(oldObject.metadata.labels) || has(object.metadata.labels) && object.metadata.labels != oldObject.metadata.labels || has(object.metadata.annotations) != has(oldObject.metadata.annotations) || has(object.metadata.annotations) && object.metadata.annotations != oldObject.metadata.annotations)
{{- end }}
