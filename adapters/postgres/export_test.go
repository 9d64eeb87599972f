package postgres

// OpenWithin is Open with another limit for statements.
var OpenWithin = open
