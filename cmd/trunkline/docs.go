package main

//go:generate go run . settings --into ../../README.md
//go:generate go run . settings --into ../../deployments/config.md
//go:generate go run . settings --format env --into ../../.env.example
