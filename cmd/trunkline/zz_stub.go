package main

import "context"

type projectionsCommand struct{}

func (projectionsCommand) Run() error { return nil }

func (a *app) startWebhooks(context.Context) error { return nil }
