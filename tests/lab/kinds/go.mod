module vertskommune.no/lab/kinds

go 1.26.0

// Nothing of it is built: the definitions of its kinds come with it.
require github.com/prometheus-operator/prometheus-operator v0.82.0
