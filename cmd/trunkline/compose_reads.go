package main

import (
	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/postgres/readmodel"
)

// readAPI is the Postgres read models as the API asks for them.
type readAPI struct{ *readmodel.Reader }

var _ httpapi.Reads = readAPI{}
