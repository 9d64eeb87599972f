package event

// SchemaID is the `$id` of an event type's JSON Schema and the dataschema
// attribute of its CloudEvents. It is a name, not a promise that the address
// answers; the file of that name is in schemas/events.
func SchemaID(t Type) string { return "https://trunkline.dev/schemas/events/" + string(t) + ".json" }
