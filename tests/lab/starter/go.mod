module vertskommune.no/lab/starter

go 1.26.0
