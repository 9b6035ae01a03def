{{/* The release's full name: `farthing` when the release is called that. */}}
{{- define "farthing.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* What a Deployment and its Services select by: these never change. */}}
{{- define "farthing.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels of every object of the chart. */}}
{{- define "farthing.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "farthing.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "farthing.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* A full image reference; call with (list $ .Values.image). */}}
{{- define "farthing.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The restricted Pod Security level. */}}
{{- define "farthing.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "farthing.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Names that the operator and its Role must agree on. */}}
{{- define "farthing.leaseName" -}}{{ dig "leadership" "name" "farthing-operator" .Values.settings }}{{- end -}}
{{- define "farthing.keySecretName" -}}farthing-operator-key{{- end -}}

{{/*
CEL: the request comes from the operator, from Kubernetes' own controllers and nodes, or from somebody who holds the verb
`release` on budgetedtrainingjobs (the way out when the operator is gone).
*/}}
{{- define "farthing.trusted" -}}
request.userInfo.username in ['system:kube-controller-manager', 'system:kube-scheduler',
'system:serviceaccount:{{ .Release.Namespace }}:{{ include "farthing.serviceAccountName" . }}']
|| (has(request.userInfo.groups) && request.userInfo.groups.exists(group,
group in ['system:serviceaccounts:kube-system', 'system:nodes']))
|| authorizer.group('farthing.dev').resource('budgetedtrainingjobs').namespace(request.namespace)
.check('release').allowed()
{{- end -}}
