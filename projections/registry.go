package projections

// Models are all read models that are kept by folding. To add one, write its
// file, add its line here and its tables to schemas/postgres.
func Models() []Model {
	return []Model{
		Leads(),
		Calls(),
		Agents(),
		Alerts(),
		Messages(),
		Contacts(),
		Deliveries(),
		Operations(),
	}
}
