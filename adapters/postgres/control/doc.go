// Package control keeps the control plane in Postgres: orgs, lists, API keys,
// connections, endpoints, the answers of idempotent requests, and the outbox of
// the admin topic.
//
// Its invariant: a setting and the fact that says so become durable in one
// transaction, changes happen one after another over all hubs, and what a
// process serves (the Directory) is always the settings at one revision. It
// holds no rule of its own; those are in commands/settings.
package control
