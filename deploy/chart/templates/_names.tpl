{{- define "vertskommune.labels" -}}
app.kubernetes.io/name: vertskommune
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "vertskommune.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}
{{- define "vertskommune.to" -}}
{{- range .cidrs }}
- ipBlock: {cidr: {{ . | quote }}}
{{- end }}
{{- end }}
{{- define "vertskommune.ports" -}}
{{- range .ports }}
- {protocol: TCP, port: {{ . }}}
{{- end }}
{{- end }}
