package dialects

//go:generate go run ../../cmd/dialectdocs -root ../..
