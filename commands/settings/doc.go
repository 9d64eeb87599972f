// Package settings decides changes of the control plane: orgs, lists, keys,
// connections and endpoints. A change is a pure decision on a Snapshot that
// ends in Changes: the settings as they are from now on, and the facts that say
// so. A Store makes both durable in one transaction; the facts reach the admin
// topic from there, at least once and in order.
//
// It delivers nothing and reads no fact: health, deliveries and test calls
// belong to the delivery engine.
package settings
