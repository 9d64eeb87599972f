package call

// Named is what the source of a fact calls the call. Facts come in any order: whoever
// hears of the call before its start knows it by that id all the same. It is absent in
// facts that name the call by our id.
type Named struct {
	// ExternalID is the source's id of the call; what the start says counts more.
	ExternalID string `json:"external_id,omitempty"`
	// ConnectionID is the connection that reported the fact, if one did.
	ConnectionID string `json:"connection_id,omitempty"`
}

// name fills in what the call is called. The connection belongs to the name.
func (n Named) name(c *Call) {
	if c.ExternalID == "" && n.ExternalID != "" {
		c.ExternalID, c.ConnectionID = n.ExternalID, n.ConnectionID
	}
}
