{{/*
A resource of deploy/kubernetes in the namespace of the release: include "resource" (list $ RESOURCE)
*/}}
{{- define "resource" }}
{{- $root := index . 0 }}
{{- $resource := index . 1 }}
{{- $_ := set $resource.metadata "namespace" $root.Release.Namespace }}
{{- if $root.Values.operator.enabled }}
{{- $release := dict "release" $root.Values.operator.release }}
{{- $_ := set $resource.metadata "labels" (merge $release (default dict $resource.metadata.labels)) }}
{{- end }}
---
{{ toYaml $resource }}
{{- end }}

{{- define "labels" }}
app.kubernetes.io/name: openai-exporter
app.kubernetes.io/part-of: openai-monitoring
{{- end }}

{{- define "replicas" }}
{{- ternary 1 (int .Values.replicas) .Values.persistence.enabled }}
{{- end }}

{{- define "config" }}
{{- if kindIs "map" .Values.config }}
{{- toYaml .Values.config }}
{{- else }}
{{- default (.Files.Get "files/base/exporter.yml") .Values.config }}
{{- end }}
{{- end }}

{{/*
What a user may set, put into a resource of deploy/kubernetes/base.
*/}}
{{- define "deployment" }}
{{- $values := .root.Values }}
{{- $deployment := .resource }}
{{- $template := $deployment.spec.template }}
{{- $container := first $template.spec.containers }}
{{- $tag := default .root.Chart.AppVersion $values.image.tag }}
{{- $_ := set $deployment.spec "replicas" (include "replicas" .root | int) }}
{{- $_ := set $container "image" (printf "%s:%s" $values.image.repository $tag) }}
{{- $_ := set $template.metadata "labels" (merge (include "labels" .root | fromYaml) $template.metadata.labels) }}
{{- $_ := set $template.metadata "annotations" (dict "checksum/config" (include "config" .root | sha256sum)) }}
{{- range $volume := $template.spec.volumes }}
{{- if eq $volume.name "secrets" }}
{{- $_ := set $volume.secret "secretName" $values.keysSecret }}
{{- else if and (eq $volume.name "state") $values.persistence.enabled }}
{{- $_ := unset $volume "emptyDir" }}
{{- $_ := set $volume "persistentVolumeClaim" (dict "claimName" "openai-exporter") }}
{{- end }}
{{- end }}
{{- if $values.persistence.enabled }}
{{- $_ := set $deployment.spec "strategy" (dict "type" "Recreate") }}
{{- end }}
{{- $_ := mergeOverwrite $container (deepCopy $values.container) }}
{{- $_ := mergeOverwrite $template.spec (deepCopy $values.pod) }}
{{- end }}
