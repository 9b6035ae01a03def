module farthing.dev/local/pause

go 1.26.0
