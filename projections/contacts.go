package projections

import (
	"time"

	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
)

// Contacts is the read model of the contacts, found by any of their numbers.
func Contacts() Model {
	return Model{
		Name:    "contacts",
		Topic:   event.Contacts,
		Table:   "contacts",
		History: "contact_history",
		New:     func() event.Entity { return new(contact.Contact) },
		Columns: []Column{
			text("external_id", func(c *contact.Contact) string { return c.ExternalID.Value }),
			column("phones", Texts, contactPhones),
			column("created_at", Time, func(c *contact.Contact) *time.Time { return &c.CreatedAt }),
			column("search", Search, contactWords),
		},
	}
}

func contactPhones(c *contact.Contact) []string {
	var all []string
	for _, p := range c.Phones.Value {
		if n := Clean(p.Number); n != "" {
			all = append(all, n)
		}
	}
	return all
}

func contactWords(c *contact.Contact) []string {
	var numbers []string
	for _, p := range c.Phones.Value {
		numbers = append(numbers, phoneWords(p.Number)...)
	}
	texts := []string{c.FirstName.Value, c.LastName.Value, c.Company.Value, c.Account.Value.Name}
	for _, e := range c.Emails.Value {
		texts = append(texts, e.Address)
	}
	return words(numbers, texts...)
}
